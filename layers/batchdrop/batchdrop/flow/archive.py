"""The provider's files: copied into the results bucket as they came, then indexed on disk.

Rule: nothing is derived from a file before it is archived, and what is archived is never replaced by less; from then on
the work can be repeated without the provider.
"""

import os
import shutil
import tempfile
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

from batchdrop.core.answers import failure_of, may_be_sent_again, parse_answer, row_of_answer
from batchdrop.core.batches import Batch
from batchdrop.core.errors import DownloadCut
from batchdrop.core.jobs import Keys
from batchdrop.core.ledger_rows import Job, Shard
from batchdrop.core.reconciliation import answers_outstanding
from batchdrop.flow.ports import Ports

# One answer, in bytes: images in base64 are the largest. A longer line cannot be read as an answer.
ANSWER_BYTES_MAX = 64_000_000
# Reading in such pieces costs least (3,304 MB for each second of CPU, measured).
READ_BYTES = 1 << 20
# A large download is cut now and then (https://github.com/openai/openai-python/issues/2959, read 2026-11-22).
DOWNLOADS_MAX = 3

_UNKNOWN_ROW = -1


class AnswerIndex:
    """Where each answer lies in a batch's files on disk: 24 bytes a line, some 100 while they are sorted.

    A batch has 50,000 lines at most, so this is small whatever the job. Answers are taken by ascending row, because that
    is the order of everything else.
    """

    def __init__(self, output: BinaryIO | None, errors: BinaryIO | None) -> None:
        """Index both files, which stand at their start."""
        self._rows = array("q")
        self._descriptors = array("i")
        self._lengths = array("I")
        self._offsets = array("q")
        self.output_lines = self._add(output)
        # How many rows the output file answers; a line that comes twice is one answer.
        self.output_answers = len({*self._rows} - {_UNKNOWN_ROW})
        self.error_lines = self._add(errors)
        # How many lines of the error file have a cause that may pass.
        self.passing_errors = sum(map(self._is_passing, range(self.output_lines, len(self._rows))))
        self._sort()
        self.unknown = self.duplicates = self._next = 0

    def _add(self, file: BinaryIO | None) -> int:
        """Index the lines of *file* that are not blank and return how many."""
        if file is None:
            return 0
        rows, lengths, offsets, offset = array("q"), array("I"), array("q"), 0
        for line in iter(partial(file.readline, ANSWER_BYTES_MAX), b""):
            size_bytes = len(line)
            if not line.isspace():
                rows.append(row_of_answer(line) or _UNKNOWN_ROW)
                lengths.append(size_bytes)
                offsets.append(offset)
            offset += size_bytes
        self._rows += rows
        self._lengths += lengths
        self._offsets += offsets
        self._descriptors.extend([file.fileno()] * len(rows))
        return len(rows)

    def _is_passing(self, entry: int) -> bool:
        answer = parse_answer(self._line(entry))
        failure = failure_of(answer)
        return failure is not None and may_be_sent_again(answer, failure)

    def _sort(self) -> None:
        """Sort by row; of lines with the same row the output file's come first."""
        order = sorted(range(len(self._rows)), key=self._rows.__getitem__)
        self._rows, self._descriptors, self._lengths, self._offsets = (
            array(numbers.typecode, map(numbers.__getitem__, order))
            for numbers in (self._rows, self._descriptors, self._lengths, self._offsets)
        )

    def take_run(self, rows: Sequence[int]) -> Iterator[Sequence[bytes]]:
        """Yield for each of *rows* what `take` returns."""
        first, wanted = self._next, array("q", rows)
        end = first + len(wanted)
        if self._rows[first:end] != wanted or self._rows[end : end + 1] == wanted[-1:]:
            return map(self.take, rows)
        self._next = end  # each is answered by one line: nearly always
        places = (numbers[first:end] for numbers in (self._descriptors, self._lengths, self._offsets))
        return zip(map(os.pread, *places), strict=True)

    def take(self, row: int) -> Sequence[bytes]:
        """Return the lines that answer *row*, the output file's first. Rows must ascend from call to call."""
        first = bisect_left(self._rows, row, self._next)
        end = bisect_right(self._rows, row, first)
        self.unknown += first - self._next
        self.duplicates += max(0, end - first - 1)
        self._next = end
        return list(map(self._line, range(first, end)))

    def find(self, row: int) -> list[bytes]:
        """Return the lines that answer *row*, the output file's first; of any row, and counting nothing."""
        first = bisect_left(self._rows, row)
        return list(map(self._line, range(first, bisect_right(self._rows, row, first))))

    def finish(self) -> None:
        """Count what is left as unknown: no item asked for it."""
        self.unknown += len(self._rows) - self._next
        self._next = len(self._rows)

    def restart(self) -> None:
        """Stand before the first row again."""
        self.unknown = self.duplicates = self._next = 0

    def _line(self, place: int) -> bytes:
        return os.pread(self._descriptors[place], self._lengths[place], self._offsets[place])


@contextmanager
def archive(ports: Ports, job: Job, shard: Shard, batch: Batch | None) -> Iterator[AnswerIndex]:
    """Archive the files of *batch* that are not archived yet, and give an index of their answers while the context lasts.

    What is archived is read back instead, and downloaded again only while the batch shows fewer answers than it counted.
    Without a batch, what is archived is all there is. May be repeated; raises what `Provider.download` and
    `Providers.open` raise.
    """
    with ExitStack() as spools:
        files = [_spooled(ports, kept, spools) for kept in _kept_files(job, shard, batch)]
        index = AnswerIndex(*files)
        if batch is not None and answers_outstanding(batch, shard.sent_items, index.output_answers, index.error_lines):
            files = [
                _grown(ports, kept, file, spools)
                for kept, file in zip(_kept_files(job, shard, batch), files, strict=True)
            ]
            index = AnswerIndex(*files)
        ports.log.info(
            "batch.archived", job_id=job.id, shard=shard.number, attempt=shard.attempt, batch_id=shard.batch,
            output_lines=index.output_lines, error_lines=index.error_lines,
        )  # fmt: skip
        yield index


@dataclass(frozen=True, slots=True)
class _Kept:
    """One of a batch's two files: where it is kept, and what the provider calls it, if there is one."""

    key: str
    file: str | None


def _kept_files(job: Job, shard: Shard, batch: Batch | None) -> tuple[_Kept, _Kept]:
    """Return the output file and the error file."""
    keys = Keys(job.id, job.key)
    return (
        _Kept(keys.raw_output(shard.number, shard.attempt), batch.output_file if batch else None),
        _Kept(keys.raw_errors(shard.number, shard.attempt), batch.error_file if batch else None),
    )


def _spooled(ports: Ports, kept: _Kept, spools: ExitStack) -> BinaryIO | None:
    """Return the file on disk, from the archive or else from the provider by way of the archive."""
    if ports.storage.size_bytes(kept.key) is None:
        return _downloaded(ports, kept, spools, more_than_bytes=-1)
    spool = _new_spool(spools)
    with ports.storage.open(kept.key) as stream:
        shutil.copyfileobj(stream, spool, READ_BYTES)
    return _rewound(spool)


def _grown(ports: Ports, kept: _Kept, archived: BinaryIO | None, spools: ExitStack) -> BinaryIO | None:
    """Return the file as the provider has it now where that is more than what is archived."""
    size_bytes = -1 if archived is None else archived.seek(0, os.SEEK_END)
    fresh = _downloaded(ports, kept, spools, more_than_bytes=size_bytes)
    return fresh or (archived and _rewound(archived))


def _downloaded(ports: Ports, kept: _Kept, spools: ExitStack, *, more_than_bytes: int) -> BinaryIO | None:
    """Download and archive the file; None where there is none, or none that is larger than what is archived."""
    if kept.file is None:
        return None
    spool = _new_spool(spools)
    if _download(ports, kept.file, spool) <= more_than_bytes:
        return None
    ports.storage.put_file(kept.key, _rewound(spool))
    return _rewound(spool)


def _download(ports: Ports, file: str, spool: BinaryIO) -> int:
    """Download until a whole file came; after a few that were cut the last error goes to the caller."""
    for attempt in range(DOWNLOADS_MAX - 1):
        try:
            return ports.providers.open().download(file, spool)
        except DownloadCut:
            ports.log.warning("download.cut", file_id=file)
            ports.clock.pause(attempt)
            spool.seek(0)
            spool.truncate()
    return ports.providers.open().download(file, spool)


def _new_spool(spools: ExitStack) -> BinaryIO:
    """Return an unnamed file on disk: it is gone with the process, however that ends."""
    return cast(BinaryIO, spools.enter_context(tempfile.TemporaryFile(buffering=READ_BYTES)))


def _rewound(spool: BinaryIO) -> BinaryIO:
    spool.flush()
    spool.seek(0)
    return spool
