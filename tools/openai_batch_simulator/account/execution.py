"""Runs the lines of one batch and writes its two files.

Rule: lines run in an order drawn once, which is also the order of the files; a line is noted in the ledger at the
moment at which it runs, before anything is written about it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from openai_batch_simulator.account.batches import Batch
from openai_batch_simulator.answers.responder import Answer, Responder
from openai_batch_simulator.blobs import Blob
from openai_batch_simulator.faults.lines import LineFaults, instead_of_answer, spoil
from openai_batch_simulator.ledger import BatchCharges

if TYPE_CHECKING:
    from array import array


class _Line(msgspec.Struct):
    """What a run needs of a line; where it goes says the batch."""

    custom_id: str
    body: msgspec.Raw


_decode_line = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.encode
WRITE_BYTES = 1 << 18
FIRST_ERROR_STATUS = 400

# Codes of `error` in a line without a response, and the words of the first; those of the second are ours:
# https://developers.openai.com/api/docs/guides/batch, as of 2026-09-26, and
# https://docs.rs/crate/openai-client-base/latest/source/docs/BatchRequestOutputError.md, read 2026-11-22.
NEVER_RAN = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed because the batch was cancelled.",
}
_TIMED_OUT = b'{"code":"request_timeout","message":"The request to the model timed out."}'


@dataclass(slots=True, kw_only=True)
class Run:
    """The work of one batch; *position* is how many lines of *order* were dealt with."""

    batch: Batch
    charges: BatchCharges
    order: "array[int]"
    responder: Responder
    line_faults: LineFaults
    output: Blob
    errors: Blob
    bodies_are_text: bool = False
    position: int = 0

    def advance_to(self, position: int, now: float) -> None:
        """Run the lines up to *position* of the order."""
        writer = _Writer(self.output, self.errors)
        for line, request in self._requests(position):
            self._run_line(line, request, now, writer)
        writer.flush()

    def abandon_rest(self, code: str) -> None:
        """Report the lines that did not run, with one of the codes of `NEVER_RAN`."""
        error = _encode({"code": code, "message": NEVER_RAN[code]})
        writer = _Writer(self.output, self.errors)
        for line, request in self._requests(len(self.order)):
            writer.write(_without_response(self.batch.id, line, request.custom_id, error), is_success=False)
        writer.flush()

    def _requests(self, position: int) -> Iterator[tuple[int, _Line]]:
        offsets = self.charges.offsets
        with self.charges.source.open() as source:
            while self.position < position:
                line = self.order[self.position]
                self.position += 1
                source.seek(offsets[line])
                yield line, _decode_line(source.read(offsets[line + 1] - offsets[line]))

    def _run_line(self, line: int, request: _Line, now: float, writer: "_Writer") -> None:
        struck = self.line_faults.on(line) if self.line_faults.lines else frozenset()
        answer = instead_of_answer(self.line_faults, struck)
        if answer is None:
            answer = self.responder.answer(self.batch.endpoint, bytes(request.body), now)
            if struck and answer.status_code < FIRST_ERROR_STATUS:
                answer = spoil(answer, struck)
        is_charged = 0 < answer.status_code < FIRST_ERROR_STATUS
        is_success = is_charged or "lines_status_zero" in struck
        self.charges.note(line, answer.status_code, charged=is_charged, delivered="lines_missing" not in struck)
        self._count(answer, is_success=is_success)
        if self.bodies_are_text and answer.status_code:
            answer = replace(answer, body=_encode(answer.body.decode()))
        text = _line_text(self.batch.id, line, request.custom_id, answer, is_success=is_success)
        for piece in _pieces(text, request.custom_id, struck):
            writer.write(piece, is_success=is_success)

    def _count(self, answer: Answer, *, is_success: bool) -> None:
        self.batch.completed += is_success
        self.batch.failed += not is_success
        self.batch.usage.input_tokens += answer.input_tokens
        self.batch.usage.output_tokens += answer.output_tokens


@dataclass(slots=True)
class _Writer:
    """Gathers lines, because a file is opened for each write."""

    output: Blob
    errors: Blob
    _good: bytearray = field(default_factory=bytearray)
    _bad: bytearray = field(default_factory=bytearray)

    def write(self, text: bytes, *, is_success: bool) -> None:
        gathered = self._good if is_success else self._bad
        gathered += text
        if len(gathered) >= WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        for blob, gathered in ((self.output, self._good), (self.errors, self._bad)):
            if gathered:
                blob.append(gathered)
                gathered.clear()


def _line_text(batch_id: str, line: int, custom_id: str, answer: Answer, *, is_success: bool) -> bytes:
    """Return a line of an output or error file; the answer's body is spliced in as it is."""
    if answer.status_code == 0 and not is_success:
        return _without_response(batch_id, line, custom_id, _TIMED_OUT)
    return b'{"id":"%b","custom_id":%b,"response":{"status_code":%d,"request_id":"%b","body":%b},"error":null}\n' % (
        _line_id(batch_id, line),
        _encode(custom_id),
        answer.status_code,
        b"%08x%b" % (line, batch_id[-24:].encode()),
        answer.body,
    )


def _without_response(batch_id: str, line: int, custom_id: str, error: bytes) -> bytes:
    identifier, encoded = _line_id(batch_id, line), _encode(custom_id)
    return b'{"id":"%b","custom_id":%b,"response":null,"error":%b}\n' % (identifier, encoded, error)


def _line_id(batch_id: str, line: int) -> bytes:
    return b"batch_req_%b%08x" % (batch_id[-24:].encode(), line)


def _pieces(text: bytes, custom_id: str, struck: frozenset[str]) -> Iterator[bytes]:
    """Yield what is written for one line, where faults strike it."""
    if "lines_blank" in struck:
        yield b"\n"
    if "lines_missing" not in struck:
        yield text
    if "lines_doubled" in struck:
        yield text
    if "lines_foreign" in struck:
        yield text.replace(b'"custom_id":' + _encode(custom_id), b'"custom_id":' + _encode("foreign-" + custom_id), 1)
