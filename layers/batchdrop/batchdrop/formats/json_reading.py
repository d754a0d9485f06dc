"""Finds out how JSON is laid out: one array, an array within an object, or records one after the other.

Rule: the answer follows from the first bytes alone. Where they are what the ending says, nothing else is looked for.
"""

import codecs
import json
import re
from typing import Final

import msgspec

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.reading import AS_EVER, NESTED, VALUES, Reading

# What is behind the array of an object is kept with the job; a list with its page and its totals has some dozens of bytes.
TAIL_BYTES_MAX: Final = 4_096
_BLANKS: Final = b" \t\r\n"
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]', re.DOTALL)
_RECORDS_FOLLOW: Final = re.compile(rb"\s*\{")


def json_reading(start: bytes, extension: str, *, is_whole: bool) -> Reading:
    """Return how the JSON that begins with *start* is laid out, which is the whole upload if *is_whole*."""
    text = start.removeprefix(codecs.BOM_UTF8)
    stripped = text.lstrip(_BLANKS)
    if not stripped.startswith(b"{"):
        return AS_EVER
    if extension != "json" and _is_json(stripped.partition(b"\n")[0]):
        return AS_EVER
    end = _end_of_value(stripped)
    if end and (extension != "json" or stripped[end:].strip(_BLANKS).startswith(b"{")):
        return Reading(shape=VALUES)
    body_start = _nested_array(stripped) if extension == "json" and (is_whole or not end) else 0
    if not body_start:
        return AS_EVER
    return Reading(shape=NESTED, body_start=len(start) - len(stripped) + body_start)


def checked_tail(tail: bytes, offset: int) -> bytes:
    """Return *tail*, all that follows the array of an object from byte *offset* on. Raises UploadRejected(`not_an_array`)."""
    message = f"the file is an object with an array of records, and behind that array, at byte {offset},"
    if len(tail) > TAIL_BYTES_MAX:
        raise UploadRejected(
            "not_an_array", f"{message} are more than {TAIL_BYTES_MAX:,} bytes; put the array alone into the file"
        )
    try:
        members = msgspec.json.decode(b'{"":0' + tail, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UploadRejected("not_an_array", f"{message} is what does not end the object: {error}") from error
    for name, value in members.items():
        if bytes(value).startswith(b"[") and _RECORDS_FOLLOW.match(bytes(value), 1):
            raise UploadRejected(
                "not_an_array",
                f"{message} is another one, `{name[:40]}`; put the one that is meant alone into the file",
            )
    return tail


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _end_of_value(text: bytes) -> int:
    """Return where the object that *text* begins with ends; 0 where it does not, or isn't JSON."""
    try:
        _, end = json.JSONDecoder().raw_decode(shown := text.decode(errors="replace"))
    except (ValueError, RecursionError):
        return 0
    return len(shown[:end].encode())


def _nested_array(text: bytes) -> int:
    """Return where the first record of the first array of objects begins, right in the object that *text* begins with.

    0 where there is none.
    """
    depth, before = 0, b""
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token == b"[" and depth == 1 and before == b":" and _RECORDS_FOLLOW.match(text, found.end()):
            return found.end()
        depth += (token in (b"[", b"{")) - (token in (b"]", b"}"))
        before = token
    return 0
