"""Handles JSON as text: reads it with a place in the message, and adds answers without touching the rest.

Rule: the user's text is copied, never decoded and encoded again, so that numbers keep their digits.
"""

import json
import re
from collections.abc import Collection, Container, Sequence
from itertools import chain
from operator import itemgetter
from typing import Final

import msgspec

from batchdrop.core.model.digits import decode_json
from batchdrop.core.model.errors import ItemRefused
from batchdrop.core.model.limits import NESTING_MAX
from batchdrop.core.model.nesting import has_many_brackets, is_too_deep
from batchdrop.core.model.outcomes import Outcome, on_one_line
from batchdrop.core.planning.plan import Columns, JsonValue, are_objects
from batchdrop.formats.encodings import ENCODING_ADVICE

NULL = b"null"
_CONSTANT: Final = re.compile(rb'(?P<text>"(?:[^"\\]++|\\.)*+")|-?\b(?:NaN|Infinity)\b', re.DOTALL)
_encode = msgspec.json.Encoder().encode
_raw_of = msgspec.json.Decoder(msgspec.Raw).decode
_members_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NESTS: Final = frozenset({dict, list})
_NATIVE_MEMBERS = frozenset(("custom_id", "method", "url", "body"))


def decode_record(text: bytes, row: int, start: int, kind: str = "record") -> JsonValue:
    """Return the value of a record's text, which starts at byte *start*. Raises ItemRefused with the column.

    *kind* is what the person counts to find it: a `line`, blank ones left out, or a `record`.
    """
    if is_too_deep(text):
        message = f"{kind} {row} (at byte {start}) is nested deeper than {NESTING_MAX} levels, the limit"
        raise ItemRefused("not_json", message)
    try:
        value: JsonValue = _decoded(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ItemRefused("not_json", f"{kind} {row} (at byte {start}) is {_why(text, error)}") from error
    return value


def _decoded(text: bytes) -> JsonValue:
    try:
        value: JsonValue = decode_json(text)
    except msgspec.DecodeError:
        if (written := without_constants(text)) == text:
            raise
        value = decode_json(written)
    return value


def without_constants(text: bytes) -> bytes:
    """Return JSON *text* with null in place of NaN and Infinity, which Python and pandas write and JSON does not have."""
    if b"NaN" not in text and b"Infinity" not in text:
        return text
    return _CONSTANT.sub(lambda found: found["text"] or NULL, text)


def columns_of_texts(texts: Sequence[bytes], names: Collection[str]) -> Columns | None:
    """Return what JSON objects have in the columns *names*; None if one isn't an object, or lacks one of them."""
    try:
        values = list(
            map(decode_json, texts)
        )  # of any depth: it gives up after some thousand levels, within milliseconds
        if not are_objects(values):
            return None
        # Most records are flat, and the types of their members cost a tenth of a search for brackets in their texts.
        is_nested = not _NESTS.isdisjoint(map(type, chain.from_iterable(map(dict.values, values))))
        if is_nested and has_many_brackets(b"".join(texts)) and any(map(is_too_deep, texts)):
            return None
        return {name: list(map(itemgetter(name), values)) for name in names}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None


def _why(text: bytes, error: Exception) -> str:
    """Return what is wrong and at which column, from the slower reader where it sees it too."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    try:
        json.loads(text.decode(), parse_constant=_refuse_constant)
    except json.JSONDecodeError as precise:
        its_line = f"its line {precise.lineno}, " if b"\n" in text else ""
        return f"not JSON at {its_line}column {precise.colno}: {precise.msg[:1].lower()}{precise.msg[1:]}"
    except UnicodeDecodeError as precise:
        return f"not UTF-8 at its byte {precise.start + 1}: {ENCODING_ADVICE}"
    except (ValueError, RecursionError) as precise:
        return f"not JSON: {precise}"
    return "not JSON: a number is out of range or half of a surrogate pair is alone"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} isn't a JSON number")


def one_line(text: bytes, *, is_valid: bool = False) -> bytes:
    """Return the JSON *text* on one line with its digits as they are, or `null` if it isn't JSON."""
    text = without_constants(text.strip())
    try:
        if not is_valid:
            _raw_of(text)
            text.decode()
            if is_too_deep(text):
                return NULL
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NULL
    # Line ends can only be between tokens: inside strings they are escaped.
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text


def free_name(name: str, taken: Container[str]) -> str:
    """Return *name*, or *name* with the lowest suffix from `_2` on that is not taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def with_answer(record: bytes, outcome: Outcome, raw: bytes) -> bytes:
    """Return a record's JSON with its answer, on one line for every reader of lines.

    A native request line becomes OpenAI's output line with the user's custom_id; an object gains `output`, `status` and
    `error` (suffixed where it has such members); anything else becomes the member `record` of a new object. Where the record
    as it came, *raw*, has NaN or Infinity it is given back so.
    """
    return on_one_line(_with_answer(record, outcome, raw))


def _with_answer(record: bytes, outcome: Outcome, raw: bytes) -> bytes:
    members = _members(record)
    if members is None:
        return _encode({"record": msgspec.Raw(record), **_answer(outcome)})
    if members.keys() >= _NATIVE_MEMBERS:
        return _output_line(members["custom_id"], outcome)
    answer = _answer(outcome)
    if not members.keys().isdisjoint(answer):
        answer = {free_name(name, members): value for name, value in answer.items()}
    if not members:
        return _encode(answer)
    written = raw.strip()
    if b"\n" in written or without_constants(written) == written:
        written = record
    return b"".join((written.rstrip()[:-1].rstrip(), b",", _encode(answer)[1:]))


def _members(record: bytes) -> dict[str, msgspec.Raw] | None:
    if not record.lstrip().startswith(b"{"):
        return None
    return _members_of(record)


def _answer(outcome: Outcome) -> dict[str, object]:
    return {"output": outcome.output, "status": outcome.status, "error": outcome.error}


def _output_line(custom_id: msgspec.Raw, outcome: Outcome) -> bytes:
    """Return the line that the Batch API writes (https://developers.openai.com/api/docs/guides/batch, 2026-09-26)."""
    response, is_said = None, False
    if outcome.status_code is not None:
        response = {
            "status_code": outcome.status_code,
            "request_id": outcome.request_id,
            "body": outcome.response,
        }
        is_said = outcome.status_code // 100 != 2 and bytes(outcome.response) != NULL  # noqa: PLR2004  the 2 of "2xx"
    return _encode(
        {
            "id": outcome.line_id,
            "custom_id": custom_id,
            "response": response,
            # A body that came with an error of HTTP says it. One that came with success says nothing of why it is of no use.
            "error": None if is_said else outcome.error,
        },
    )
