"""Declares what every format offers: an upload read as records, and results written in the same format.

Rule: reading may begin at the start of any record, and the same bytes always give the same records, because planning
resumes, collecting joins and merging all read the upload again.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import BinaryIO, Final, Protocol, Self

import msgspec

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.outcomes import Outcome
from batchdrop.core.model.reasons import Reason
from batchdrop.core.planning.plan import Columns, JsonValue

__all__ = ["RUN_BYTES", "RUN_RECORDS", "Columns", "Format", "Header", "JsonValue", "Record", "Skipped"]
__all__ += ["check_blanks", "in_runs", "read_records"]

# Records that are read together: what is done once for a run is little beside what is done for each, and all that is made of
# one stays in the processor's cache. Its last record may be of any size.
RUN_RECORDS: Final = 128
RUN_BYTES: Final = 256_000


@dataclass(frozen=True, slots=True)
class Header:
    """What the start of an upload says about the rest."""

    body_start: int  # byte offset of the first record
    head: bytes = b""  # the bytes before it, as they came (a CSV header with its line end, a byte order mark)
    columns: tuple[str, ...] = ()  # in CSV, each another; empty elsewhere
    line_end: bytes = b"\n"
    fields: tuple[str, ...] = ()  # of the row that the columns are in, as they came
    repeated: Mapping[str, tuple[int, ...]] = MappingProxyType({})  # names of several columns, and their numbers


@dataclass(slots=True)
class Skipped:
    """What of an upload isn't a record, as far as reading came: rows of a CSV by their first bytes."""

    blank: "array[int]" = field(default_factory=lambda: array("Q"))
    headers: "array[int]" = field(default_factory=lambda: array("Q"))
    tail: bytes = b""  # of JSON within an object: what is behind its array, once reading came there

    def take(self, end: float) -> tuple[int, int]:
        """Return how many rows before byte *end* were blank, and how many were headers again. They are counted once."""
        counts = bisect_left(self.blank, end), bisect_left(self.headers, end)
        del self.blank[: counts[0]], self.headers[: counts[1]]
        return counts


NO_HEADER: Final = Header(0)


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as it is in the upload. A Struct, because a frozen dataclass takes ten times as long to make."""

    row: int  # 1-based, header excluded
    start: int  # byte offsets: its first byte, and past its last (line end included)
    end: int
    raw: bytes  # as it came, its line end included; of an array's element only the element
    fields: Sequence[str] = ()  # in CSV; empty elsewhere
    problem: Reason | None = None  # why it cannot be used, where that shows while reading


class Format(Protocol):
    """One file format; opened, one upload in it. All positions are byte offsets in the upload, or in its copy."""

    @property
    def extension(self) -> str:
        """The ending of result files, without a dot."""

    @property
    def header(self) -> Header:
        """What the start of the opened upload says about the rest."""

    def open(self, stream: BinaryIO) -> Self:
        """Return the format of the upload in *stream*, which is at its first byte: it knows its header. Raises UploadRejected."""

    def read_runs(
        self, stream: BinaryIO, offset: int, row: int, skipped: Skipped | None = None
    ) -> Iterator[list[Record]]:
        """Yield the records from *offset* on, where *stream* is, some at a time; *row* records come before it.

        Rows that aren't records are noted in *skipped*.

        No run is empty, and its memory is bounded. Raises UploadRejected where the rest cannot be read as this format; all
        records before it were yielded.
        """

    def decode(self, record: Record) -> JsonValue:
        """Return the record's value: an object by column in CSV. Raises ItemRefused."""

    def columns(self, records: Sequence[Record], names: Collection[str]) -> Columns | None:
        """Return what *records* have in the columns *names*, at least; None if one lacks a column, or isn't an object."""

    def json_text(self, record: Record, *, is_valid: bool = False) -> bytes:
        """Return the record as JSON on one line; `null` if it isn't a valid record. *is_valid* saves the check."""

    def result_head(self) -> bytes:
        """Return the bytes before the first result."""

    def result(self, record: Record, outcome: Outcome, *, is_first: bool) -> bytes:
        """Return the record with its answer."""

    def result_tail(self) -> bytes:
        """Return the bytes after the last result."""

    def failure_head(self) -> bytes:
        """Return the bytes before the first failed record."""

    def failure(self, record: Record, *, is_first: bool) -> bytes:
        """Return the record as it came."""

    def failure_tail(self) -> bytes:
        """Return the bytes after the last failed record."""


def check_blanks(start: int, end: int, bytes_max: int) -> None:
    """Raise UploadRejected where bytes *start* to *end*, which hold blanks alone, are more than *bytes_max*.

    Such a gap is bounded as a record is, because the clock is only read between two records.
    """
    if end - start > bytes_max:
        message = (
            f"from byte {start} on are more than {bytes_max:,} bytes of blank lines and spaces, the limit between two "
            "records (record_bytes_max); remove them"
        )
        raise UploadRejected("too_many_blanks", message)


def read_records(form: Format, stream: BinaryIO, offset: int, row: int) -> Iterator[Record]:
    """Return the records that `Format.read_runs` yields, one by one."""
    return chain.from_iterable(form.read_runs(stream, offset, row))


def in_runs(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Yield *records* in runs."""
    run: list[Record] = []
    try:
        for record in records:
            run.append(record)
            if len(run) == RUN_RECORDS or record.end - run[0].start >= RUN_BYTES:
                yield run
                run = []
    except UploadRejected:
        if run:
            yield run
        raise
    if run:
        yield run
