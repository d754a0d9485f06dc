r"""Reads and writes one JSON array: each element is a record, whatever the white space between.

Rule: the file is never held whole. Elements are cut by looking for their ends alone; whether one is valid JSON shows when it
is decoded, so that a bad element fails alone while its brackets and quotes balance.
"""

import codecs
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Self

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.outcomes import NULL, Outcome
from batchdrop.core.model.reading import AS_EVER, NESTED, Reading
from batchdrop.formats.json_reading import TAIL_BYTES_MAX, checked_tail
from batchdrop.formats.json_text import columns_of_texts, decode_record, one_line, with_answer
from batchdrop.formats.jsonl import JsonLines
from batchdrop.formats.records import NO_HEADER, Columns, Header, JsonValue, Record, Skipped, check_blanks, in_runs

_SPACE = b" \t\r\n"
# White space that may precede the array; far more than any tool writes.
_LEAD_BYTES_MAX = 1 << 16
_READ_BYTES = 1 << 16
# A whole string, one bracket, or a run of what is neither: possessive, so that a long string is looked at once.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},]|[^\s"\[\]{},]++|\s++', re.DOTALL)
_ENDS_ITSELF = frozenset({b'"', b"[", b"]", b"{", b"}", b","})
_NO_SPACE = re.compile(rb"[^ \t\r\n]")


@dataclass(frozen=True, slots=True)
class JsonArray:
    """The format of `.json`."""

    record_bytes_max: int
    extension: str = "json"
    reading: Reading = AS_EVER
    header: Header = NO_HEADER

    def open(self, stream: BinaryIO) -> Self:
        """Return the format of the upload in *stream*, which is at its first byte. Raises UploadRejected as `read_header`."""
        return replace(self, header=self.read_header(stream))

    def read_header(self, stream: BinaryIO) -> Header:
        """Return where the elements start. Raises UploadRejected(`not_an_array`); nothing but white space holds none."""
        if self.reading.shape == NESTED:
            head = stream.read(self.reading.body_start)
            return Header(len(head), head)
        lead = stream.read(_LEAD_BYTES_MAX)
        text = lead.removeprefix(codecs.BOM_UTF8).lstrip(_SPACE)
        if not text:
            return Header(len(lead))
        if not text.startswith(b"["):
            raise UploadRejected("not_an_array", _no_array(text))
        body_start = len(lead) - len(text) + 1
        return Header(body_start, lead[:body_start])

    def read_runs(
        self, stream: BinaryIO, offset: int, row: int, skipped: Skipped | None = None
    ) -> Iterator[list[Record]]:
        """Yield a record for each element; *offset* may be where one starts or where the one before ended."""
        if not self.header.head:
            return iter(())
        tail = skipped or Skipped()
        elements = _Elements(stream, offset, self.record_bytes_max, tail if self.reading.shape == NESTED else None)
        return in_runs(_records(elements, row, is_first=offset == self.header.body_start))

    def decode(self, record: Record) -> JsonValue:
        """Return the element's value. Raises ItemRefused(`not_json`)."""
        return decode_record(record.raw, record.row, record.start)

    def columns(self, records: Sequence[Record], names: Collection[str]) -> Columns | None:
        """Return the columns *names*, or None if a record lacks one of them or isn't an object."""
        return columns_of_texts([record.raw for record in records], names)

    def json_text(self, record: Record, *, is_valid: bool = False) -> bytes:
        """Return the element on one line, or `null` if it isn't JSON."""
        return one_line(record.raw, is_valid=is_valid)

    def result_head(self) -> bytes:
        """Return the opening bracket, and what an object has before it."""
        return self.header.head if self.reading.shape == NESTED else b"["

    def result(self, record: Record, outcome: Outcome, *, is_first: bool) -> bytes:
        """Return the element with its answer, on a line of its own."""
        return _separator(is_first=is_first) + with_answer(
            self.json_text(record, is_valid=outcome.record != NULL), outcome, record.raw
        )

    def result_tail(self) -> bytes:
        """Return the closing bracket, and what an object has behind it."""
        return b"\n]" + (self.reading.tail.encode() if self.reading.shape == NESTED else b"\n")

    def failure_head(self) -> bytes:
        """Return the opening bracket, and what an object has before it."""
        return self.result_head()

    def failure(self, record: Record, *, is_first: bool) -> bytes:
        """Return the element as it came, on lines of its own."""
        return _separator(is_first=is_first) + record.raw

    def failure_tail(self) -> bytes:
        """Return the closing bracket, and what an object has behind it."""
        return b"\n]" + (self.reading.tail.encode() if self.reading.shape == NESTED else b"\n")


def _no_array(text: bytes) -> str:
    """Return what to do about a file that begins with *text* instead of a bracket."""
    if text.startswith(b"{"):
        return (
            "a .json file is one JSON array of records, and this one is an object: put it between [ and ], or name the file "
            ".jsonl if it holds one record a line"
        )
    return "a .json file is one JSON array of records, and this one does not begin with [ at line 1"


def _separator(*, is_first: bool) -> bytes:
    return b"\n" if is_first else b",\n"


def _records(elements: "_Elements", row: int, *, is_first: bool) -> Iterator[Record]:
    if elements.starts(is_first=is_first):
        while True:
            row += 1
            start, raw = elements.take(row)
            yield Record(row, start, start + len(raw), raw)
            if not elements.goes_on(row):
                break


class _Elements:
    """Cuts elements from a stream; holds one element and what was read beyond it."""

    def __init__(self, stream: BinaryIO, offset: int, element_bytes_max: int, skipped: Skipped | None = None) -> None:
        self._skipped = skipped  # where what follows the array within an object is noted
        self._stream = stream
        self._element_bytes_max = element_bytes_max
        self._buffer = b""
        self._position = 0  # in the buffer
        self._buffer_start = offset  # of the buffer, in the upload

    @property
    def _offset(self) -> int:
        return self._buffer_start + self._position

    def starts(self, *, is_first: bool) -> bool:
        """Whether an element follows; steps over the comma where reading begins behind an element."""
        match self._next_byte():
            case b"]":
                self._close()
                return False
            case b"," if not is_first:
                self._position += 1
        return True

    def has_value(self) -> bool:
        """Whether a value follows, where no array is around them; steps over a comma."""
        if self._next_byte() == b",":
            self._position += 1
        return self._next_byte() != b""

    def goes_on(self, row: int) -> bool:
        """Whether another element follows the one that was taken; steps over the comma."""
        match self._next_byte():
            case b"]":
                self._close()
                return False
            case b",":
                self._position += 1
                return True
            case b"":
                raise _broken(f"the array is not closed: it ends behind record {row}")
            case found:
                raise _broken(
                    f"behind record {row}, at byte {self._offset}, stands {found.decode(errors='replace')!r} instead of a comma"
                )

    def take(self, row: int) -> tuple[int, bytes]:
        """Return the next element and where it starts."""
        if self._next_byte() in {b",", b"]", b"}", b""}:
            raise _broken(f"record {row} is missing at byte {self._offset}")
        end = self._end_of_element(row)
        if end - self._position > self._element_bytes_max:
            raise self._too_large(row)
        start, raw = self._offset, self._buffer[self._position : end]
        self._position = end
        return start, raw

    def _end_of_element(self, row: int) -> int:
        """Return where, in the buffer, the element that starts here ends."""
        position, depth = self._position, 0
        while True:
            token = _TOKEN.match(self._buffer, position)
            # A run that reaches the end of what was read may continue behind it.
            if token is None or (token.end() == len(self._buffer) and token[0][-1:] not in _ENDS_ITSELF):
                position = self._more(position, row, is_unclosed=depth > 0 or token is None)
                if position < 0:
                    return len(self._buffer)
                continue
            text = token[0]
            if depth == 0 and position > self._position and (text in {b",", b"]", b"}"} or text.isspace()):
                return position
            depth += text in {b"[", b"{"}
            depth -= text in {b"]", b"}"}
            position = token.end()
            if depth == 0 and text in {b"]", b"}"}:
                return position

    def _more(self, position: int, row: int, *, is_unclosed: bool) -> int:
        """Read on and return *position* in the new buffer; -1 where the upload ends behind a lone value."""
        position -= self._position
        self._drop_taken()
        if len(self._buffer) > self._element_bytes_max:
            raise self._too_large(row)
        # Doubling keeps the work linear: a string that continues is read again from its quote.
        block = self._stream.read(max(_READ_BYTES, len(self._buffer)))
        if not block:
            if is_unclosed:
                raise _broken(f"the upload ends inside record {row}, which starts at byte {self._offset}")
            return -1
        self._buffer += block
        return position

    def _too_large(self, row: int) -> UploadRejected:
        where = f"record {row} (at byte {self._offset})"
        message = (
            f"{where} is longer than {self._element_bytes_max:,} bytes, the limit for one record (record_bytes_max)"
        )
        return UploadRejected(
            "record_too_large", f"{message}; if a quote or bracket was never closed, it is in this one"
        )

    def _drop_taken(self) -> None:
        self._buffer_start += self._position
        self._buffer = self._buffer[self._position :]
        self._position = 0

    def _next_byte(self) -> bytes:
        """Skip white space and return the byte that follows without taking it; nothing at the end."""
        start = self._offset
        while True:
            if found := _NO_SPACE.search(self._buffer, self._position):
                self._position = found.start()
                return found[0]
            self._position = len(self._buffer)
            check_blanks(start, self._offset, self._element_bytes_max)
            self._drop_taken()
            self._buffer = self._stream.read(_READ_BYTES)
            if not self._buffer:
                return b""

    def _close(self) -> None:
        """Step over the closing bracket; nothing may follow but the rest of an object."""
        self._position += 1
        if self._skipped is not None:
            rest = self._buffer[self._position :] + self._stream.read(TAIL_BYTES_MAX + 1)
            self._skipped.tail = checked_tail(rest, self._offset)
            return
        if found := self._next_byte():
            raise _broken(f"behind the array, at byte {self._offset}, stands {found.decode(errors='replace')!r}")


def _broken(message: str) -> UploadRejected:
    return UploadRejected(
        "broken_array", f"{message}; a .json file is one JSON array of records, with commas between them"
    )


@dataclass(frozen=True, slots=True)
class JsonValues(JsonLines):
    """JSON records one after the other, over lines as they like, with commas between them or not; results are one a line."""

    def read_runs(
        self, stream: BinaryIO, offset: int, row: int, skipped: Skipped | None = None
    ) -> Iterator[list[Record]]:
        """Yield a record for each value."""
        del skipped
        return in_runs(_values(_Elements(stream, offset, self.record_bytes_max), row))

    def decode(self, record: Record) -> JsonValue:
        """Return the record's value. Raises ItemRefused(`not_json`)."""
        return decode_record(record.raw, record.row, record.start)

    def failure(self, record: Record, *, is_first: bool) -> bytes:
        """Return the record as it came, and a line end."""
        del is_first
        return record.raw + b"\n"


def _values(elements: _Elements, row: int) -> Iterator[Record]:
    while elements.has_value():
        row += 1
        start, raw = elements.take(row)
        yield Record(row, start, start + len(raw), raw)
