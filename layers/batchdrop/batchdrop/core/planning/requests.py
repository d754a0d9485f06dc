"""Writes the lines of a batch's input, and reads ready-made requests.

Rule: a line begins with its row, so that joining and cutting never decode it. The row is the `custom_id` that is sent; the
user's name of an item stays here.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat

import msgspec

from batchdrop.core.model.answer_bounds import AnswerBound, answer_bound, bounding_of
from batchdrop.core.model.dialects import Dialect
from batchdrop.core.model.digits import encode_json
from batchdrop.core.model.endpoints import CHAT, ENDPOINTS, FULL_URLS, Endpoint, Shape, endpoint_of
from batchdrop.core.model.errors import ItemRefused
from batchdrop.core.model.estimates import base_tokens
from batchdrop.core.model.keys import item_name, item_names, row_name
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.wording import shown_name
from batchdrop.core.planning.plan import (
    Columns,
    JsonValue,
    Recipe,
    Request,
    RequestRun,
    Together,
    are_objects,
    are_texts,
)

_LINE_START = b'{"custom_id":"'
_LINE_MIDDLES = {endpoint: f'","method":"POST","url":"{endpoint}","body":'.encode() for endpoint in ENDPOINTS}
_LINE_MEMBERS = ("custom_id", "method", "url", "body")
_LINE_MEMBERS_SET = frozenset(_LINE_MEMBERS)
_FULL_LINE = '{"custom_id": …, "method": "POST", "url": "/v1/…", "body": {…}}'
FOREIGN = "foreign_format"
# Members by which the batch formats of other providers are known.
_FOREIGN_MEMBERS = {"params": "Anthropic", "modelInput": "Amazon Bedrock", "request": "Google Vertex AI or Gemini"}

_STRUCTURED = ("json_schema", "json_object")
# Names of models are part of ledger keys; the longest known (a fine-tuned one's) have about 100.
_MODEL_CHARS_MAX = 200


def request_line(row: int, request: Request) -> bytes:
    """Return the line that is sent for the item in *row*, with its line end."""
    return b"".join((_LINE_START, b"%d" % row, _LINE_MIDDLES[request.endpoint], request.body, b"}\n"))


class MadeLines(msgspec.Struct, frozen=True):
    """Lines in parts, as many of each line; joined they are the lines."""

    parts: list[bytes]
    sizes: list[int]
    body_sizes: list[int]

    def first(self) -> bytes:
        """Return the first line."""
        return b"".join(self.parts[: len(self.parts) // len(self.sizes)])


class LineForm:
    """Makes the lines of bodies that differ only in some pieces; the *ready* bytes are between these pieces."""

    def __init__(self, endpoint: str, ready: Sequence[bytes]) -> None:
        start, *self._others = (*ready[:-1], ready[-1] + b"}\n")
        self._start = (_LINE_START + b"%d" + (_LINE_MIDDLES[endpoint] + start).replace(b"%", b"%%")).__mod__
        self._ready_bytes, self._others_bytes = sum(map(len, ready)), sum(map(len, self._others))

    def lines(self, rows: range, pieces: Sequence[Sequence[bytes]]) -> MadeLines:
        """Return the line of each row, made of what each of *pieces* has for it."""
        starts = list(map(self._start, rows))
        strands: list[Iterable[bytes]] = [starts]
        for piece, ready in zip(pieces, self._others, strict=True):
            strands += (piece, repeat(ready))
        lengths = (
            list(map(sum, zip(*(map(len, piece) for piece in pieces), strict=True))) if pieces else [0] * len(rows)
        )
        return MadeLines(
            list(chain.from_iterable(zip(*strands, strict=False))),
            [len(start) + self._others_bytes + length for start, length in zip(starts, lengths, strict=True)],
            [self._ready_bytes + length for length in lengths],
        )


def sent_lines(lines: Iterable[bytes], endpoint: str, dialect: Dialect) -> Iterable[bytes]:
    """Return *lines*, all that `request_line` made for *endpoint*, as a server of this dialect wants them."""
    made = _LINE_MIDDLES[endpoint]
    wanted = (
        f'","method":"POST","url":"{dialect.endpoint(endpoint)}","body":' if dialect.lines_have_url else '","body":'
    )
    if wanted.encode() == made:
        return lines
    return (line.replace(made, wanted.encode(), 1) for line in lines)


def row_of_line(line: bytes) -> int:
    """Return the row of a line that `request_line` made."""
    start = len(_LINE_START)
    return int(line[start : line.index(b'"', start)])


def body_of_line(line: bytes) -> bytes:
    """Return the body of a line that `request_line` made."""
    return line[line.index(b',"body":') + 8 : line.rindex(b"}")]


def make_request(name: str, endpoint: str, model: str, body: bytes, tokens: int, *, answers: AnswerBound) -> Request:
    """Return the request of the item called *name*. *tokens* are estimated; *answers* bounds its answers."""
    return Request(name, endpoint, model, body, tokens, inputs_of(endpoint, body), answers)


class _EmbeddingBody(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw(b"null")


def inputs_of(endpoint: str, body: bytes) -> int:
    """Return how many texts a body asks to embed: the strings or token lists of its `input`, else one; 0 elsewhere."""
    if not endpoint_of(endpoint).counts_inputs:
        return 0
    given: JsonValue = msgspec.json.decode(msgspec.json.decode(body, type=_EmbeddingBody).input)
    return len(given) if isinstance(given, list) and given and isinstance(given[0], str | list) else 1


class _Typed(msgspec.Struct):
    type: str = ""


class _TextOptions(msgspec.Struct, rename={"shape": "format"}):
    shape: _Typed | None = None


class _ShapedBody(msgspec.Struct, rename={"shape": "response_format"}):
    shape: _Typed | None = None
    text: _TextOptions | None = None


def is_structured(line: bytes, endpoint: Endpoint) -> bool:
    """Whether a line that `request_line` made asks for JSON: chat's `response_format`, or `text.format` of responses."""
    mark = endpoint.structure_mark
    if not mark or line.rfind(mark) < 0:  # `in` takes five times as long
        return False
    try:
        shaped = msgspec.json.decode(body_of_line(line), type=_ShapedBody)
    except msgspec.ValidationError:
        return False
    options: _ShapedBody | _TextOptions | None = shaped if endpoint.shape is Shape.CHAT else shaped.text
    return bool(options and options.shape and options.shape.type in _STRUCTURED)


def ready_made(limits: Limits) -> Recipe:
    """Return the recipe of uploads that hold requests: native batch lines and bare chat bodies, told apart by record."""

    def build(value: JsonValue, name: str) -> Request:
        endpoint, body = _endpoint_and_body(_record(value))
        encoded = encode_json(body)
        tokens = base_tokens(encoded, limits.bytes_per_token)
        return make_request(name, endpoint, checked_model(body), encoded, tokens, answers=answer_bound(endpoint, body))

    return Recipe(_ready_made_name, build, names_from_user=True, together=_lines_together(limits))


def _lines_together(limits: Limits) -> Together:
    """Return how batch lines that ask one model at one endpoint become requests."""

    def requests(columns: Columns, rows: range) -> RequestRun | None:
        identifiers, methods, urls, bodies = (columns[member] for member in _LINE_MEMBERS)
        if not (
            are_texts(identifiers) and all(map(str.strip, identifiers)) and are_texts(urls) and are_objects(bodies)
        ):
            return None
        endpoint, first = FULL_URLS.get(urls[0]), bodies[0]
        is_one = methods.count("POST") == urls.count(urls[0]) == len(rows)
        if endpoint is None or not (is_one and _ask_alike(endpoint, bodies)):
            return None
        encoded = list(map(encode_json, bodies))
        made = LineForm(endpoint, (b"", b"")).lines(rows, [encoded])
        tokens = list(map(base_tokens, encoded, repeat(limits.bytes_per_token)))
        return RequestRun(
            rows, item_names(identifiers), made.parts, made.sizes, tokens, endpoint, checked_model(first),
            inputs_of(endpoint, encoded[0]), answer_bound(endpoint, first),
        )  # fmt: skip

    return Together(frozenset(_LINE_MEMBERS), requests)


def _ask_alike(endpoint: str, bodies: Sequence[dict[str, JsonValue]]) -> bool:
    """Whether all ask one model for answers of one length, none as a stream, and each embedding has one text."""
    try:
        model = checked_model(bodies[0])
    except ItemRefused:
        return False
    bounding, answers = bounding_of(bodies[0]), answer_bound(endpoint, bodies[0])
    counts_inputs = endpoint_of(endpoint).counts_inputs
    for body in bodies:
        if body.get("model") != model or body.get("stream"):
            return False
        # Their bytes are compared first, which takes a fifth of decoding them.
        if bounding_of(body) != bounding and answer_bound(endpoint, body) != answers:
            return False
        if counts_inputs and not isinstance(body.get("input"), str):
            return False
    return True


def _ready_made_name(value: JsonValue, row: int) -> str:
    """Return the name by `custom_id`, or by row for a bare body."""
    record = _record(value)
    if not _is_line(record):
        return row_name(row)
    custom_id = record.get("custom_id")
    if isinstance(custom_id, int) and not isinstance(custom_id, bool):
        return item_name(str(custom_id))
    if not isinstance(custom_id, str) or not custom_id.strip():
        raise ItemRefused(
            "no_id", "`custom_id` is missing, empty, or neither text nor a whole number; each line needs its own"
        )
    return item_name(custom_id)


def _record(value: JsonValue) -> dict[str, JsonValue]:
    """Return *value* as the object that a request is. Raises ItemRefused for anything else, and for foreign formats."""
    if isinstance(value, list):
        raise ItemRefused(
            "bad_request", "a record is an array; to send the elements of one JSON array, name the file .json"
        )
    if not isinstance(value, dict):
        raise ItemRefused("bad_request", f"a ready-made request is a JSON object, such as {_FULL_LINE}")
    if "body" not in value and "messages" not in value:
        _check_foreign(value)
    return value


def _check_foreign(record: Mapping[str, JsonValue]) -> None:
    for member, provider in _FOREIGN_MEMBERS.items():
        if isinstance(record.get(member), dict):
            raise ItemRefused(
                FOREIGN,
                f"this is the batch format of {provider} (`{member}`); a line of OpenAI's is {_FULL_LINE}",
            )


def _is_line(record: Mapping[str, JsonValue]) -> bool:
    return not _LINE_MEMBERS_SET.isdisjoint(record)


def _endpoint_and_body(record: dict[str, JsonValue]) -> tuple[str, dict[str, JsonValue]]:
    """Return where the request goes and its body. Raises ItemRefused."""
    if not _is_line(record):
        if "messages" in record:
            return CHAT, record
        raise ItemRefused(
            "bad_request",
            f"a bare body needs `messages`; for any other endpoint write the full line {_FULL_LINE}; "
            "records for a task go below inbox/ in the folder of its name",
        )
    if "response" in record and "url" not in record:
        raise ItemRefused("bad_request", "this is a line of a batch's output, not of its input")
    if missing := [f"`{member}`" for member in _LINE_MEMBERS if member not in record]:
        raise ItemRefused("bad_request", f"the line lacks {', '.join(missing)}; a full line is {_FULL_LINE}")
    method, url, body = record["method"], record["url"], record["body"]
    if method != "POST":
        raise ItemRefused("bad_request", f"`method` is {_brief(method)}; the Batch API takes `POST` alone")
    endpoint = FULL_URLS.get(url) if isinstance(url, str) else None
    if endpoint is None:
        raise ItemRefused("bad_request", f"`url` is {_brief(url)}; the Batch API takes {', '.join(sorted(ENDPOINTS))}")
    if not isinstance(body, dict):
        raise ItemRefused("bad_request", "`body` isn't a JSON object; text that holds JSON has to become an object")
    return endpoint, body


def _brief(value: JsonValue) -> str:
    """Return a short text as it is; of anything else say only what it isn't."""
    return shown_name(value) if isinstance(value, str) else "no text"


def checked_model(body: Mapping[str, JsonValue]) -> str:
    """Return the model that *body* names. Raises ItemRefused where there is none, or where the answer would be streamed."""
    model = body.get("model")
    if not isinstance(model, str) or not model.strip():
        raise ItemRefused("bad_request", "the body lacks `model`, the name of a model as text")
    if model != model.strip():
        raise ItemRefused("bad_request", f"`model` begins or ends with a blank: {shown_name(model)}")
    if len(model) > _MODEL_CHARS_MAX:
        raise ItemRefused("bad_request", f"`model` is longer than {_MODEL_CHARS_MAX} characters")
    if body.get("stream"):
        raise ItemRefused("bad_request", "`stream` is set in the body; in a batch it must be absent or false")
    return model
