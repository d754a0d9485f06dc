"""Reads and writes JSON lines: one record a line. Blank lines aren't records; a byte order mark at the start is tolerated.

Rule: a line that is not JSON fails alone.
"""

import codecs
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO, Self

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.outcomes import NULL, Outcome
from batchdrop.formats.json_text import columns_of_texts, decode_record, one_line, with_answer
from batchdrop.formats.records import (
    NO_HEADER,
    RUN_BYTES,
    RUN_RECORDS,
    Columns,
    Header,
    JsonValue,
    Record,
    Skipped,
    check_blanks,
)


@dataclass(frozen=True, slots=True)
class JsonLines:
    """The format of `.jsonl` and `.ndjson`."""

    record_bytes_max: int
    extension: str = "jsonl"
    header: Header = NO_HEADER

    def open(self, stream: BinaryIO) -> Self:
        """Return the format of the upload in *stream*, which is at its first byte."""
        return replace(self, header=self.read_header(stream))

    def read_header(self, stream: BinaryIO) -> Header:
        """Return where the lines start: behind a byte order mark."""
        mark = stream.read(len(codecs.BOM_UTF8))
        return Header(len(mark), mark) if mark == codecs.BOM_UTF8 else Header(0)

    def read_runs(
        self, stream: BinaryIO, offset: int, row: int, skipped: Skipped | None = None
    ) -> Iterator[list[Record]]:
        """Yield a record for each line that is not blank. Raises UploadRejected(`record_too_large`)."""
        del skipped
        line_bytes_max, start, filled, run = self.record_bytes_max, offset, offset, list[Record]()
        for line in iter(partial(stream.readline, line_bytes_max + 1), b""):
            size_bytes = len(line)
            if size_bytes > line_bytes_max:
                if run:
                    yield run
                raise self._too_large(row + 1, offset)
            if not line.isspace():
                row += 1
                filled = offset + size_bytes
                run.append(Record(row, offset, filled, line))
            offset += size_bytes
            if offset - filled > line_bytes_max:
                break
            if run and (len(run) == RUN_RECORDS or offset - start >= RUN_BYTES):
                yield run
                start, run = offset, []
        if run:
            yield run
        check_blanks(filled, offset, line_bytes_max)

    def _too_large(self, row: int, offset: int) -> UploadRejected:
        return UploadRejected(
            "record_too_large",
            f"line {row} (at byte {offset}) is longer than {self.record_bytes_max:,} bytes, the limit for one record "
            "(record_bytes_max); each record is on a line of its own",
        )

    def decode(self, record: Record) -> JsonValue:
        """Return the line's value. Raises ItemRefused(`not_json`)."""
        return decode_record(record.raw.strip(), record.row, record.start, "line")

    def columns(self, records: Sequence[Record], names: Collection[str]) -> Columns | None:
        """Return the columns *names*, or None if a record lacks one of them or isn't an object."""
        return columns_of_texts([record.raw for record in records], names)

    def json_text(self, record: Record, *, is_valid: bool = False) -> bytes:
        """Return the line without its ends, or `null` if it isn't JSON."""
        return one_line(record.raw, is_valid=is_valid)

    def result_head(self) -> bytes:
        """Return nothing: a byte order mark would be in the way of every reader."""
        return b""

    def result(self, record: Record, outcome: Outcome, *, is_first: bool) -> bytes:
        """Return the record with its answer on one line."""
        del is_first
        return with_answer(self.json_text(record, is_valid=outcome.record != NULL), outcome, record.raw) + b"\n"

    def result_tail(self) -> bytes:
        """Return nothing."""
        return b""

    def failure_head(self) -> bytes:
        """Return the byte order mark, where there was one."""
        return self.header.head

    def failure(self, record: Record, *, is_first: bool) -> bytes:
        """Return the line as it came."""
        del is_first
        return record.raw

    def failure_tail(self) -> bytes:
        """Return nothing."""
        return b""
