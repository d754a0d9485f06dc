"""Reads what the provider answered to one request, from lines of its output and error files, tolerantly.

Rule: only a 2xx status is a success, whichever file the line is in, and only what the provider itself reports as not done may be
sent again; a 2xx answer that is of no use is paid for and therefore final.
The shape of a line: https://developers.openai.com/api/docs/guides/batch (read 2026-09-26); where the cause of a failed
line is: https://github.com/openai/openai-openapi/issues/302 (read 2026-11-22).
"""

import json
import re
from typing import Annotated, Final

import msgspec

from batchdrop.core.model.limits import NESTING_MAX
from batchdrop.core.model.nesting import is_too_deep
from batchdrop.core.model.outcomes import NULL, Failure
from batchdrop.core.submission.refusals import is_money_code

# A request was not executed, or its execution is reported to have ended without an answer
# (https://docs.rs/crate/openai-client-base/latest/source/docs/BatchRequestOutputError.md, read 2026-11-22).
CODES_TO_SEND_AGAIN: Final = frozenset({"batch_expired", "batch_cancelled", "request_timeout"})
# A message for people; the whole error stays in the item's `response`.
MESSAGE_CHARS_MAX: Final = 2_000
CODE_CHARS_MAX: Final = 64
_NO_MESSAGE: Final = "The provider gave no message."
# Rows are numbers of ours; more digits than this cannot be one (and Python is slow on very long ones).
ROW_DIGITS_MAX: Final = 15

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TOO_MANY_REQUESTS = 429
# At the top of a line: before anything that a model wrote.
_CUSTOM_ID: Final = re.compile(rb'\s*\{(?:\s*"id"\s*:\s*"[^"\\]*"\s*,)?\s*"custom_id"\s*:\s*"?(\d+)"?\s*[,}]')
_UNREADABLE = "unreadable_answer"
_DEEP: Final = msgspec.json.encode(
    {
        "code": _UNREADABLE,
        "message": f"The answer nests deeper than {NESTING_MAX} levels and cannot be read. The request may be paid for, so it is "
        "not sent again; the answer stays in the provider's file below internal/ for a while.",
    }
)


class HttpResponse(msgspec.Struct, gc=False):
    """What the endpoint answered. *status_code* is None where it isn't a status of HTTP."""

    status_code: Annotated[int, msgspec.Meta(ge=0, le=999)] | None = None
    request_id: str | None = None
    body: msgspec.Raw = NULL  # as it came: some servers write it as a text that holds it


class Answer(msgspec.Struct, gc=False, rename={"line_id": "id"}):
    """One line of a provider's file, but for whom it answers. Nearly all lines have these types, and are read in one go."""

    line_id: str | None = None
    response: HttpResponse | None = None
    error: msgspec.Raw = NULL  # the line's own error, beside the response

    @property
    def status(self) -> int | None:
        """Return the HTTP status; None where there was no HTTP response."""
        return self.response.status_code if self.response else None

    @property
    def request_id(self) -> str | None:
        """Return what the provider calls the request."""
        return self.response.request_id if self.response else None

    @property
    def body(self) -> msgspec.Raw:
        """Return the endpoint's body on one line; NULL where there is none."""
        return _body(self.response.body) if self.response else NULL

    @property
    def is_2xx(self) -> bool:
        """Whether the request was executed with success, and so is paid for."""
        status = self.response.status_code if self.response else None
        return status is not None and status // 100 == 2  # noqa: PLR2004  the 2 of "2xx"


class _Line(msgspec.Struct):
    id: msgspec.Raw = NULL
    custom_id: msgspec.Raw = NULL
    response: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


class _Response(msgspec.Struct):
    status_code: msgspec.Raw = NULL
    request_id: msgspec.Raw = NULL
    body: msgspec.Raw = NULL


class _NamedLine(msgspec.Struct, gc=False):
    custom_id: str | int


class _Error(msgspec.Struct):
    code: msgspec.Raw = NULL
    type: msgspec.Raw = NULL
    message: msgspec.Raw = NULL
    detail: msgspec.Raw = NULL


class _Detail(msgspec.Struct):
    """One field that a server found wrong, as FastAPI says it (https://fastapi.tiangolo.com/tutorial/handling-errors/)."""

    msg: str
    loc: list[str | int] = []


class _ErrorBody(msgspec.Struct):
    error: msgspec.Raw = NULL


_decode_answer = msgspec.json.Decoder(Answer).decode
_decode_named = msgspec.json.Decoder(_NamedLine).decode
_line = msgspec.json.Decoder(_Line)
_response = msgspec.json.Decoder(_Response)
_error = msgspec.json.Decoder(_Error)
_error_body = msgspec.json.Decoder(_ErrorBody)
_details = msgspec.json.Decoder(list[_Detail])
_string = msgspec.json.Decoder(str)


def row_of_answer(line: bytes) -> int | None:
    """Return the row that a line of a provider's file answers; None where that cannot be known, or isn't one of ours."""
    try:
        return _row(_decode_named(line).custom_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read_row(line)


def row_of_head(head: bytes) -> int | None:
    """Return the row of a line of which only the *head* is there; None where the head does not tell it."""
    found = _CUSTOM_ID.match(head)
    return _row(found[1].decode()) if found else None


def too_large(row: int, size_bytes: int, size_bytes_max: int) -> bytes:
    """Return what stands for the line that answers *row* where it is too long to be read: it is paid for, and fails."""
    message = (
        f"The answer has {size_bytes:,} bytes, and more than {size_bytes_max:,} cannot be read. The request ran and is paid for, "
        "so it is not sent again; the answer stays in the provider's file below internal/ for a while."
    )
    error = {"code": "answer_too_large", "message": message}
    return msgspec.json.encode({"custom_id": str(row), "response": {"status_code": 200}, "error": error})


def parse_answer(line: bytes) -> Answer:
    """Return what *line* says."""
    try:
        if not line.isascii():
            line.decode()  # the decoder below looks at none of the bytes that it passes on
        return _decode_answer(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read_answer(line)


def failure_of(answer: Answer) -> Failure | None:
    """Return why *answer* is none, or None where it is a success of HTTP."""
    return failure_with(answer, answer.body)


def failure_with(answer: Answer, body: msgspec.Raw) -> Failure | None:
    """Return why *answer*, which has this body, is none, or None where it is a success of HTTP.

    The code is the provider's own where it is one, else `http_<status>`.
    """
    if answer.error != NULL:
        return described_failure(answer.error, _status_code(answer))
    if not answer.is_2xx:
        read = _read(_error_body, body)
        return described_failure(read.error if read and read.error != NULL else body, _status_code(answer))
    if _first_byte(body) != b"{":
        return Failure(_UNREADABLE, "The provider reported success, but its answer is empty or no JSON object.")
    return None


def may_be_sent_again(answer: Answer, failure: Failure) -> bool:
    """Whether the provider reported that this request did not succeed for a reason that may pass.

    Never after a 2xx, and never for a cause that is not listed: only then is nothing paid twice.
    """
    if answer.is_2xx:
        return False
    status = answer.status
    if status is not None and (status in (0, _TOO_MANY_REQUESTS) or status // 100 == 5):  # noqa: PLR2004  "5xx"
        return True
    return failure.code in CODES_TO_SEND_AGAIN or is_money_code(failure.code)


def described_failure(raw: msgspec.Raw, fallback: str) -> Failure:
    """Return the failure that *raw* describes: an object with code and message or detail, or a bare string."""
    described = _read(_error, raw) or _Error(message=raw)
    code = _code(described.code) or _code(described.type) or fallback
    message = _words(described.message) or _detail(described.detail) or _NO_MESSAGE
    return Failure(code, message[:MESSAGE_CHARS_MAX])


def code_of(text: str | None) -> str | None:
    """Return *text* as it came where it can serve as a code: short, and on one line."""
    if not text or len(text) > CODE_CHARS_MAX or not text.isprintable() or text.isspace():
        return None
    return text


def _code(raw: msgspec.Raw) -> str | None:
    """Return the code that *raw* is, be it a text or a number; some servers repeat the HTTP status there."""
    number = bytes(raw)
    return number.decode() if number.isdigit() and len(number) <= CODE_CHARS_MAX else code_of(text_of(raw))


def _words(raw: msgspec.Raw) -> str | None:
    """Return what *raw* says: a text itself, anything else as JSON."""
    text = text_of(raw)
    return None if raw == NULL else text if text is not None else bytes(raw).decode(errors="replace")


def _detail(raw: msgspec.Raw) -> str | None:
    """Return what the `detail` of a refused request says, field by field where it names them."""
    found = _read(_details, raw)
    if not found:
        return _words(raw)
    return "; ".join(": ".join(filter(None, (".".join(map(str, one.loc)), one.msg))) for one in found)


def text_of(raw: msgspec.Raw) -> str | None:
    """Return the JSON string *raw*; None where it is null, no string, or not decodable."""
    if raw == NULL:
        return None
    try:
        return _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def compact_json(text: str) -> msgspec.Raw | None:
    """Return the JSON *text* on one line, its numbers as they came; None where it isn't JSON, or nests without end."""
    content: bytes | None = text.encode()
    if content is not None and is_too_deep(content):
        return None
    for _ in range(2):
        try:
            return None if content is None else msgspec.Raw(msgspec.json.format(content, indent=-1))
        except (msgspec.DecodeError, RecursionError):
            content = _repaired(text.encode())
    return None


def read_answer(line: bytes) -> Answer:
    """Read field by field a line whose fields have other types than usual, or that needs repair first."""
    if row_of_head(content := line.removeprefix(_BYTE_ORDER_MARK)) is not None and is_too_deep(content):
        # The request may be paid for, so it is not sent again.
        return Answer(response=HttpResponse(status_code=200), error=msgspec.Raw(_DEEP))
    read = _read_line(content)
    return Answer(text_of(read.id), _http_response(read.response), read.error)


def read_row(line: bytes) -> int | None:
    """Read the row of such a line. One that isn't a JSON object answers none."""
    row = row_of_head(content := line.removeprefix(_BYTE_ORDER_MARK))
    if row is not None and is_too_deep(content):
        return row
    return _row(_custom_id(_read_line(content).custom_id))


def _read_line(content: bytes) -> _Line:
    read = _read(_line, content) if _is_utf8(content) else None
    if read is None:
        repaired = _repaired(content)
        read = _read(_line, repaired) if repaired is not None else None
    return read or _Line()


def _http_response(raw: msgspec.Raw) -> HttpResponse | None:
    found = _read(_response, raw)
    if found is None:
        return None
    return HttpResponse(_status(found.status_code), text_of(found.request_id), found.body)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _repaired(content: bytes) -> bytes | None:
    """Return JSON that every reader takes: half surrogates and broken UTF-8 become U+FFFD, NaN null; None for no JSON.

    Models write half an emoji now and then, and the answer around it is paid for.
    """
    try:
        value = json.loads(content.decode("utf-8", "replace"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _read[Shape](decoder: "msgspec.json.Decoder[Shape]", raw: msgspec.Raw | bytes) -> Shape | None:
    """Return *raw* as the decoder's shape; None where it has another."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _row(custom_id: str | int | None) -> int | None:
    """Return the row that we named; leading zeros, signs and other digits are not ours. It may come back as a number."""
    text = str(custom_id) if isinstance(custom_id, int) else custom_id
    if text and len(text) <= ROW_DIGITS_MAX and text.isdecimal() and text[0] != "0" and text.isascii():
        return int(text)
    return None


def _custom_id(raw: msgspec.Raw) -> str | None:
    """Return the text of a custom_id, or the digits of one that is a whole number, also where it is written as `7.0`."""
    whole, _, fraction = bytes(raw).partition(b".")
    return whole.decode() if whole.isdigit() and not fraction.strip(b"0") else text_of(raw)


def _status(raw: msgspec.Raw) -> int | None:
    """Return the HTTP status, be it a number or a string of digits."""
    digits = bytes(raw).strip(b'"')
    return int(digits) if digits.isdigit() and len(digits) <= 3 else None  # noqa: PLR2004  an HTTP status has three


def _body(raw: msgspec.Raw) -> msgspec.Raw:
    """Return the body as JSON on one line, also where it came as a string that holds JSON."""
    if _first_byte(raw) != b'"':
        return raw
    text = text_of(raw)
    inner = compact_json(text) if text is not None else None
    return raw if inner is None else inner


def _first_byte(raw: msgspec.Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def _status_code(answer: Answer) -> str:
    return _UNREADABLE if answer.status is None else f"http_{answer.status}"
