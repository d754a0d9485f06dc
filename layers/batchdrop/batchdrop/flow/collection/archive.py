"""Copies the provider's files into the results bucket as they come, and indexes them on the way.

Rule: nothing is derived from a file before it is archived, and what is archived is never replaced by less; from then on
the work can be repeated without the provider. No file has to fit on disk or in memory.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from batchdrop.core.collection.unanswered import answers_outstanding
from batchdrop.core.model.batches import Batch
from batchdrop.core.model.errors import BatchdropError, DownloadCut, OutOfTime
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.shard import Shard
from batchdrop.flow.collection.answer_index import AnswerFile, AnswerIndex, Disk
from batchdrop.flow.ports import ObjectWriter, Ports

# Reading in such pieces costs least (3,304 MB for each second of CPU, measured).
READ_BYTES: Final = 1 << 20
# A large download is cut now and then (https://github.com/openai/openai-python/issues/2959, read 2026-11-22).
DOWNLOADS_MAX: Final = 3


@contextmanager
def archive(
    ports: Ports, limits: Limits, job: Job, shard: Shard, batch: Batch | None, *, is_fresh: bool = False
) -> Iterator[AnswerIndex]:
    """Archive the files of *batch* that are not archived yet, and give an index of their answers while the context lasts.

    What is archived is read back instead, and downloaded again only while the batch shows fewer answers than it counted.
    Without a batch, what is archived is all there is. *is_fresh*: no worker has begun to archive any of it.
    May be repeated; raises what `Provider.download` and
    `Providers.open` raise, and OutOfTime where so much was downloaded that deriving it is left to the next invocation.
    """
    output, errors = _kept_files(job, shard, batch)
    with ExitStack() as opened:
        desk = _Desk(ports, Disk(limits.answer_spool_bytes_max), opened, is_fresh=is_fresh)
        files = desk.collected(output), desk.collected(errors)
        index = desk.index(*files)
        if batch is not None and answers_outstanding(batch, shard.sent_items, index.output_answers, index.error_lines):
            files = desk.grown(output, files[0]), desk.grown(errors, files[1])
            index = desk.index(*files)
        ports.log.info(
            "batch.archived", job_id=job.id, shard=shard.number, attempt=shard.attempt.number, batch_id=shard.attempt.batch,
            output_lines=index.output_lines, error_lines=index.error_lines,
            size_bytes=sum(file.size_bytes for file in files if file),
        )  # fmt: skip
        _check_time(ports, limits, desk.downloaded_bytes)
        yield index


def _check_time(ports: Ports, limits: Limits, downloaded_bytes: int) -> None:
    """Raise OutOfTime where deriving what was just downloaded would not end in time. The next invocation reads it back."""
    needed_seconds = limits.stop_margin_seconds + downloaded_bytes // limits.derived_bytes_per_second
    if downloaded_bytes and ports.clock.remaining_seconds() < needed_seconds:
        raise OutOfTime(f"{downloaded_bytes:,} bytes of answers were archived and need {needed_seconds:,} s more")


@dataclass(frozen=True, slots=True)
class _Kept:
    """One of a batch's two files: where it is kept, and what the provider calls it, if there is one."""

    key: str
    file: str | None
    is_errors: bool


def _kept_files(job: Job, shard: Shard, batch: Batch | None) -> tuple[_Kept, _Kept]:
    """Return the output file and the error file."""
    keys, output, errors = Keys(job.id, job.key), None, None
    if batch is not None:
        output, errors = batch.output_file, batch.error_file
    return (
        _Kept(keys.raw_output(shard.number, shard.attempt.number), output, is_errors=False),
        _Kept(keys.raw_errors(shard.number, shard.attempt.number), errors, is_errors=True),
    )


class _NoMore(BatchdropError):
    """The provider has no more of a file than what is archived: the writing of the object ends, and leaves it as it was."""


def _check_more(size_bytes: int, more_than_bytes: int) -> None:
    if size_bytes <= more_than_bytes:
        raise _NoMore


@dataclass(slots=True)
class _Desk:
    """What copying one batch's files needs."""

    ports: Ports
    disk: Disk
    opened: ExitStack
    is_fresh: bool
    downloaded_bytes: int = 0

    def index(self, output: AnswerFile | None, errors: AnswerFile | None) -> AnswerIndex:
        """Return the index of both files."""
        return AnswerIndex(output, errors, lambda key: self.opened.enter_context(self.ports.storage.open_ranges(key)))

    def collected(self, kept: _Kept) -> AnswerFile | None:
        """Return the file from the archive, or else from the provider by way of the archive."""
        if self.is_fresh or self.ports.storage.size_bytes(kept.key) is None:
            return self._downloaded(kept, more_than_bytes=-1)
        file = self._new_file(kept)
        with self.ports.storage.open(kept.key) as stream:
            while content := stream.read(READ_BYTES):
                file.write(content)
        file.finish()
        return file

    def grown(self, kept: _Kept, archived: AnswerFile | None) -> AnswerFile | None:
        """Return the file as the provider has it now where that is more than what is archived."""
        return self._downloaded(kept, more_than_bytes=archived.size_bytes if archived else -1) or archived

    def _downloaded(self, kept: _Kept, *, more_than_bytes: int) -> AnswerFile | None:
        """Download the file into the archive; None where there is none, or none that is larger than what is archived.

        After some downloads that were cut the last error goes to the caller.
        """
        if kept.file is None:
            return None
        for attempt in range(DOWNLOADS_MAX - 1):
            try:
                return self._copied(kept, kept.file, more_than_bytes)
            except DownloadCut:
                self.ports.log.warning("download.cut", file_id=kept.file)
                self.ports.clock.pause(attempt)
        return self._copied(kept, kept.file, more_than_bytes)

    def _copied(self, kept: _Kept, name: str, more_than_bytes: int) -> AnswerFile | None:
        """Copy the file called *name* into the archive as it comes. Where that fails, what is archived stays as it was."""
        file = self._new_file(kept)
        try:
            with self.ports.storage.writer(kept.key) as parts:
                size_bytes = self.ports.providers.open().download(name, _Both(parts, file))
                _check_more(size_bytes, more_than_bytes)
        except _NoMore:
            file.leave_disk()
            return None
        except DownloadCut:
            file.leave_disk()
            raise
        file.finish()
        self.downloaded_bytes += size_bytes
        return file

    def _new_file(self, kept: _Kept) -> AnswerFile:
        file = AnswerFile(kept.key, self.disk, counts_passing=kept.is_errors)
        self.opened.callback(file.leave_disk)
        return file


@dataclass(frozen=True, slots=True)
class _Both:
    """Writes to the archive and to the index at the same time."""

    parts: ObjectWriter
    file: AnswerFile

    def write(self, content: bytes) -> int:
        """Append *content* to both, and return how many bytes it has."""
        self.parts.write(content)
        return self.file.write(content)
