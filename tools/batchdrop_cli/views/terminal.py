"""What a terminal would obey: escapes in the names of files, in the words of a server, in a log.

Rule: what other people wrote reaches a terminal as text alone.
"""

from typing import Final

from batchdrop.core.model.wording import printable

_KEPT: Final = "\n\t"


def disarmed(text: str) -> str:
    """Return *text*, lines as they are, with every other character that cannot be printed as its escape."""
    return printable(text, _KEPT)


def disarmed_json(text: str) -> str:
    """Return JSON on one line with what cannot be printed as JSON's own escapes: it says the same."""
    return "".join(char if char.isprintable() else _json_escape(char) for char in text)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
