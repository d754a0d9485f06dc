"""Looks at every line of an input file before a batch runs.

Rule: all lines are looked at and every fault is reported, up to `ERRORS_MAX`; one fault fails the whole batch.
Codes are those that public reports and the tables of compatible services agree on; there is no official list
(https://learn.microsoft.com/azure/ai-foundry/openai/how-to/batch, read 2026-11-22).
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import BinaryIO, Final

import msgspec

from openai_batch_simulator.account.behaviour import Behaviour
from openai_batch_simulator.account.quota import Load
from openai_batch_simulator.messages import UNREADABLE

# Our choice: enough to correct a file by, little enough to read in a batch object.
ERRORS_MAX = 100
# A token is taken for four bytes of the body: how the provider counts before it tokenizes is not documented.
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class LineError:
    """One entry of a failed batch's `errors.data`; *line* is 1-based, None where the whole file is meant."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def describe(self) -> dict[str, object]:
        """Return the BatchError object of the API."""
        return {"code": self.code, "message": self.message, "param": self.param, "line": self.line}


@dataclass(frozen=True, slots=True)
class Valid:
    """A file that may run: *offsets* are where its lines begin, and where the last one ends."""

    load: Load
    offsets: "array[int]"


class InputLine(msgspec.Struct):
    """The parts of a request line that are looked at."""

    custom_id: str
    url: str
    method: str
    body: msgspec.Raw


class BareLine(msgspec.Struct, forbid_unknown_fields=True):
    """A request line of a server that knows where it goes from the batch alone."""

    custom_id: str
    body: msgspec.Raw


class _BodyHead(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_REQUIRED: Final = ("custom_id", "method", "url", "body")
_decode_line = msgspec.json.Decoder(InputLine).decode
_decode_bare_line = msgspec.json.Decoder(BareLine).decode
_decode_head = msgspec.json.Decoder(_BodyHead).decode


def token_estimate(body: bytes | memoryview) -> int:
    """Return how many tokens of the queue a request body takes."""
    return max(1, len(body) // BYTES_PER_TOKEN)


def validate(source: BinaryIO, size_bytes: int, endpoint: str, behaviour: Behaviour) -> Valid | list[LineError]:
    """Return what is needed to run the file, or everything that is wrong with it."""
    if size_bytes > behaviour.bytes_max:
        message = f"The file is {size_bytes} bytes; the maximum is {behaviour.bytes_max} bytes."
        return [LineError("file_too_large", message)]
    check = _Check(endpoint, behaviour)
    for text in source:
        check.look_at(text)
    return check.verdict(size_bytes)


@dataclass(slots=True)
class _Check:
    """What is known after the lines so far."""

    endpoint: str
    behaviour: Behaviour
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    errors: list[LineError] = field(default_factory=list)
    model: str | None = None
    tokens: int = 0
    embedding_inputs: int = 0
    _position: int = 0
    # Eight bytes of digest stand for an id: 50,000 random ones collide once in 10^10 files.
    _ids: set[bytes] = field(default_factory=set)

    def look_at(self, text: bytes) -> None:
        self.offsets.append(self._position)
        self._position += len(text)
        number = len(self.offsets)
        if len(self.errors) < ERRORS_MAX and number <= self.behaviour.lines_max:
            self.errors.extend(self._faults(text, number))

    def verdict(self, size_bytes: int) -> Valid | list[LineError]:
        if not self.offsets:
            return [LineError("empty_file", "The batch file contains no requests.")]
        self.errors.extend(self._excesses())
        if self.errors or self.model is None:
            return self.errors[:ERRORS_MAX]
        self.offsets.append(size_bytes)
        return Valid(Load(self.model, self.tokens, self.embedding_inputs), self.offsets)

    def _excesses(self) -> Iterator[LineError]:
        lines, inputs, limits = len(self.offsets), self.embedding_inputs, self.behaviour
        if lines > limits.lines_max:
            yield LineError("too_many_tasks", f"The batch has {lines} requests; the maximum is {limits.lines_max}.")
        if inputs > limits.embedding_inputs_max:
            message = f"The batch has {inputs} embedding inputs; the maximum is {limits.embedding_inputs_max}."
            yield LineError("too_many_tasks", message)

    def _faults(self, text: bytes, number: int) -> Iterator[LineError]:
        is_bare = self.behaviour.dialect.lines_are_bare
        try:
            line = _decode_bare_line(text) if is_bare else _decode_line(text)
        except UNREADABLE as error:
            yield from _malformed(text, number, is_bare=is_bare, error=str(error))
            return
        yield from self._line_faults(line, number)
        yield from self._body_faults(line.body, number)

    def _line_faults(self, line: InputLine | BareLine, number: int) -> Iterator[LineError]:
        digest = blake2b(line.custom_id.encode(), digest_size=8).digest()
        if digest in self._ids:
            message = f"The custom_id '{line.custom_id}' is already in use in this batch."
            yield LineError("duplicate_custom_id", message, number, "custom_id")
        self._ids.add(digest)
        if isinstance(line, BareLine):
            return
        if line.method != "POST":
            yield LineError("invalid_method", "The method of a request must be POST.", number, "method")
        if line.url != self.behaviour.dialect.url(self.endpoint):
            message = "The URL provided for this request does not match the batch endpoint."
            yield LineError("invalid_url", message, number, "url")

    def _body_faults(self, body: msgspec.Raw, number: int) -> Iterator[LineError]:
        try:
            head = _decode_head(body)
            self.embedding_inputs += _count_inputs(head.input) if self.endpoint == "/v1/embeddings" else 0
        except UNREADABLE as error:
            yield LineError("invalid_request", f"The body is not a request: {error}.", number, "body")
            return
        self.tokens += token_estimate(body)
        if head.stream:
            yield LineError("streaming_unsupported", "Streaming is not supported in a batch.", number, "body.stream")
        yield from self._model_faults(head.model or _default_model(self.endpoint), number)

    def _model_faults(self, model: str | None, number: int) -> Iterator[LineError]:
        if model is None:
            yield LineError("missing_required_parameter", "Missing required parameter: 'model'.", number, "body.model")
        elif model != "".join(model.split()) or (self.behaviour.models and model not in self.behaviour.models):
            yield LineError("model_not_found", f"The model '{model}' does not exist.", number, "body.model")
        elif self.model is None:
            self.model = model
        elif model != self.model:
            message = f"The model '{model}' differs from '{self.model}': a batch has one model."
            yield LineError("mismatched_model", message, number, "body.model")


def _default_model(endpoint: str) -> str | None:
    # Moderations is the endpoint whose body needs no model (`openai/types/moderation_create_params.py`, 3.54.0).
    return "omni-moderation-latest" if endpoint == "/v1/moderations" else None


def _count_inputs(given: msgspec.Raw | msgspec.UnsetType) -> int:
    """Return how many texts an embedding request carries: an array counts each element, an array of tokens is one."""
    if given is msgspec.UNSET:
        return 0
    decoded = msgspec.json.decode(given)
    if isinstance(decoded, list) and decoded and not isinstance(decoded[0], int):
        return len(decoded)
    return 1


def _malformed(text: bytes, number: int, *, is_bare: bool, error: str) -> Iterator[LineError]:
    """Yield what keeps a line from being a request."""
    try:
        decoded = msgspec.json.decode(text)
    except UNREADABLE:
        yield LineError("invalid_json_line", "This line is not parseable as valid JSON.", number)
        return
    if not isinstance(decoded, dict):
        yield LineError("invalid_request", "This line is not a JSON object.", number)
        return
    if is_bare:
        yield LineError("invalid_request", f"This line is not an id and a body: {error}.", number)
        return
    for name in _REQUIRED:
        if name not in decoded:
            yield LineError("missing_required_parameter", f"Missing required parameter: '{name}'.", number, name)
        elif name != "body" and not isinstance(decoded[name], str):
            yield LineError("invalid_request", f"The parameter '{name}' must be a string.", number, name)
