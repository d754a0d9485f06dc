"""Reads the API key from the text of a secret or of a person, for the functions and for the command.

Rule: text that cannot be sent unchanged isn't a key. Each kind of such text has a code that a job waits for. No message
quotes anything of what was read.
"""

import json
from typing import Final

from batchdrop.core.model.errors import KeyMissing

# The longest kinds are tokens of some 2,000 characters; this stops a file that was put there by mistake.
KEY_CHARS_MAX: Final = 8_000

_CANNOT_BE_SENT: Final = "and cannot be sent."


def read_key(content: str) -> str:
    """Return the key that *content* is, without the space around it. Raises KeyMissing where there is none that can be sent."""
    key = content.strip()
    if not key:
        raise KeyMissing("key_missing", "There is no API key yet.")
    if _is_json(key):
        message = (
            "JSON, as the console's key/value form makes it, isn't an API key: put the key alone there, as plain text."
        )
        raise KeyMissing("key_is_json", message)
    if len(key) > KEY_CHARS_MAX:
        raise KeyMissing("key_too_long", f"The API key has more than {KEY_CHARS_MAX:,} characters, {_CANNOT_BE_SENT}")
    if not key.isascii():
        what = "characters outside of ASCII, such as a dash or a quotation mark of a text program,"
        raise KeyMissing("key_not_ascii", f"The API key has {what} {_CANNOT_BE_SENT}")
    if not key.isprintable() or " " in key:
        what = "blanks, line breaks or control characters within it,"
        raise KeyMissing("key_with_blanks", f"The API key has {what} {_CANNOT_BE_SENT}")
    return key


def binary_key() -> KeyMissing:
    """Return what to say of a secret that holds bytes."""
    return KeyMissing(
        "key_is_binary", "The secret holds bytes, which aren't an API key: put the key there as plain text."
    )


def _is_json(text: str) -> bool:
    """Whether *text* is JSON of a kind that no key is."""
    if text[0] not in '{["':
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
