"""Opens one job, once an invocation: what planning wrote and what the upload holds, for sending, joining and merging.

Rule: each thing is read when it is first needed, and once. Objects are read as streams, one at a time; a job of any size takes
the memory of one record and of IN_HAND_BYTES. What planning took is taken again whatever the limits are now.
"""

import hashlib
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from batchdrop.core.model.errors import BrokenState
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys, Upload
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.plan import Chunk, PlanPage, Recipe, decode_page
from batchdrop.core.planning.requests import ready_made
from batchdrop.core.planning.task import parse_task, recipe_of_task
from batchdrop.flow.ports import PlanStorage
from batchdrop.formats import format_of
from batchdrop.formats.records import Format, Record, read_records

if TYPE_CHECKING:
    from collections.abc import Buffer

_UNLIMITED = Limits(record_bytes_max=sys.maxsize - 1, csv_field_bytes_max=sys.maxsize >> 1)
# Reading this many bytes is faster than opening the upload again to skip them.
_SKIP_BYTES_MIN = 8_000_000
# A smaller upload is fetched once, and so much of what was just written is not fetched again: most drops are smaller.
IN_HAND_BYTES: Final = 1 << 20


def upload_of(job: Job) -> Upload:
    """Return the upload that *job* reads."""
    return Upload(job.bucket, job.key, job.version)


def upload_format(job: Job) -> Format:
    """Return the format of an upload that was planned."""
    return format_of(upload_of(job), _UNLIMITED, job.reading, is_csv=job.options.csv is not None)


class PlannedJob:
    """A job's row as it was last read or written here, and its objects in both buckets."""

    def __init__(self, storage: PlanStorage, job: Job, limits: Limits | None = None) -> None:
        self.storage = storage
        self.job = job
        self.keys = Keys(job.id, job.key)
        self.limits = limits or Limits()
        self._pages: list[PlanPage] = []
        self._chunks: list[Chunk] = []
        self._chunks_of_pages = 0
        self._in_hand: dict[str, bytes] = {}
        self._in_hand_bytes = 0
        self._upload: bytes | None = None  # whole, where it is small
        self.is_copied = job.reading.is_copied  # whether the upload is read from its copy

    # ------------------------------------------------------------------ objects of the results bucket

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        """Write one object, which never changes, and keep it in hand while there is space."""
        self.storage.put(key, content, content_type)
        self.keep(key, content)

    def keep(self, key: str, content: bytes) -> None:
        """Keep in hand what this invocation wrote to *key*, while there is space."""
        if self._in_hand_bytes + len(content) <= IN_HAND_BYTES:
            self._in_hand[key] = content
            self._in_hand_bytes += len(content)

    def forget(self, key: str) -> None:
        """Let the object be fetched: what this invocation wrote may not be what counts."""
        self._in_hand_bytes -= len(self._in_hand.pop(key, b""))

    def read(self, key: str) -> bytes | None:
        """Return an object whole, or None where there is none."""
        found = self._in_hand.get(key)
        return self.storage.read(key) if found is None else found

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Open an object for buffered reading. Raises NotYet where there is none."""
        found = self._in_hand.get(key)
        return self.storage.open(key) if found is None else io.BytesIO(found)

    # ------------------------------------------------------------------ what planning wrote

    @cached_property
    def recipe(self) -> Recipe:
        """How the job's records become requests: as its pinned task says, or as they are. Raises UploadRejected."""
        job = self.job
        if not job.snapshot:
            return ready_made(self.limits)
        content = self.read(self.keys.task_snapshot)
        if content is None or hashlib.sha256(content).hexdigest() != job.snapshot:
            raise BrokenState(f"job {job.id}: its copy of the task is gone or is another")
        return recipe_of_task(parse_task(job.task, content), self.limits)

    @property
    def pages(self) -> list[PlanPage]:
        """The pages of the plan that the ledger knows of. Raises BrokenState where one is gone."""
        for number in range(len(self._pages), self.job.plan.pages):
            content = self.read(self.keys.plan_page(number))
            if content is None:
                raise BrokenState(f"job {self.job.id}: page {number} of the plan is gone")
            self._pages.append(decode_page(content))
        return self._pages[: self.job.plan.pages]

    @property
    def chunks(self) -> list[Chunk]:
        """The job's chunks by group and number."""
        pages = self.pages
        if self._chunks_of_pages != len(pages):
            chunks = [chunk for page in pages for chunk in page.chunks]
            self._chunks = sorted(chunks, key=lambda chunk: (chunk.group, chunk.number))
            self._chunks_of_pages = len(pages)
        return self._chunks

    def chunks_of(self, group: int) -> list[Chunk]:
        """Return the chunks of one group, in order."""
        return [chunk for chunk in self.chunks if chunk.group == group]

    def refused_keys(self) -> Iterator[str]:
        """Yield the keys of the refused records' outcomes, by row; pages that refused nothing wrote none."""
        before = 0
        for number, page in enumerate(self.pages):
            if page.refused > before:
                yield self.keys.refused(number)
            before = page.refused

    def lines(self, shard: Shard) -> Iterator[bytes]:
        """Yield the request lines of this attempt of *shard* with their line ends, by row."""
        if shard.source_shard is not None:
            source = self.keys.input_lines(shard.source_shard, shard.source_attempt)
            yield from self._lines(source, shard.first_line, shard.end_line)
            return
        first_line = 0
        for chunk in self.chunks_of(shard.group):
            start = max(shard.first_line - first_line, 0)
            end = min(shard.end_line - first_line, chunk.lines)
            if start < end:
                yield from self._lines(self.keys.chunk(chunk.group, chunk.number), start, end)
            first_line += chunk.lines

    def _lines(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """Yield lines *start* to *end* of an object. Raises BrokenState where it has fewer."""
        left = end - start
        with self.open(key) as stream:
            for line in islice(stream, start, end):
                left -= 1
                yield line
        if left:
            raise BrokenState(f"{key} has {left} lines fewer than the {end} that were written")

    # ------------------------------------------------------------------ what the upload holds

    @cached_property
    def form(self) -> Format:
        """The format of the upload, as it was planned, opened. Raises UploadRejected where the upload is gone."""
        return self.opened(lambda _start: upload_format(self.job))

    def opened(self, look: Callable[[bytes], Format]) -> Format:
        """Return the format that *look* sees in the first bytes of the upload, opened. Raises UploadRejected.

        Where *look* makes the copy that the upload is to be read from, it sees the first bytes of that next.
        """
        while True:
            is_copied = self.is_copied
            with self.open_upload(0) as stream:
                start = stream.read(IN_HAND_BYTES)
                form = look(start)
                if self.is_copied == is_copied:
                    if len(start) < IN_HAND_BYTES:
                        self._upload = start
                    return form.open(cast(BinaryIO, io.BufferedReader(_Rejoined(start, stream))))

    def read_from_copy(self) -> None:
        """Read the upload from its copy from now on."""
        self.is_copied, self._upload = True, None

    def open_upload(self, start: int) -> AbstractContextManager[BinaryIO]:
        """Open the upload, or its copy, for buffered reading from byte *start*; raises as the port does."""
        if self._upload is None:
            if self.is_copied:
                return self.storage.open(self.keys.copy, start)
            return self.storage.open_upload(upload_of(self.job), start)
        stream = io.BytesIO(self._upload)
        stream.seek(start)
        return stream

    def all_records(self) -> Iterator[Record]:
        """Yield every record of the upload. Raises UploadRejected where the upload is gone."""
        yield from self._records(self.form.header.body_start, 0)

    def records(self, shard: Shard, rows: Iterator[int]) -> Iterator[Record]:
        """Yield the records of *rows*, which ascend and belong to the group of *shard*.

        *rows* is read one ahead of what is yielded. Raises UploadRejected where the upload is gone, and BrokenState where it has
        no such row.
        """
        job = self.job
        starts = iter(self.chunks_of(shard.group))
        records: Iterator[Record] = iter(())
        offset, chunk = -_SKIP_BYTES_MIN, None
        for row in rows:
            while chunk is None or chunk.last_row < row:
                chunk = next(starts, None)
                if chunk is None:
                    raise BrokenState(f"job {job.id}: row {row} is in no chunk of group {shard.group}")
            if chunk.start - offset >= _SKIP_BYTES_MIN:
                records = self._records(chunk.start, chunk.first_row - 1)
            for record in records:
                if record.row == row:
                    break
            else:
                raise BrokenState(f"job {job.id}: the upload has no row {row}")
            offset = record.end
            yield record

    def _records(self, offset: int, row: int) -> Iterator[Record]:
        form = self.form
        with self.open_upload(offset) as stream:
            yield from read_records(form, stream, offset, row)


class _Rejoined(io.RawIOBase):
    """The bytes that were taken from a stream, then the stream."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start, self._rest = memoryview(start), rest

    def readable(self) -> bool:
        """Whether this can be read: always."""
        return True

    def readinto(self, target: "Buffer") -> int:
        """Fill *target* as far as the start goes, or else from the stream; 0 at the end."""
        into = memoryview(target)
        content = self._start[: len(into)] or self._rest.read(len(into))
        self._start = self._start[len(content) :]
        into[: len(content)] = content
        return len(content)
