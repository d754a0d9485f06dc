"""What planning wrote and what the upload holds, read again: for sending, for joining answers and for merging.

Rule: objects are opened one at a time and read as streams; a job of any size takes the memory of one record. What planning
took is taken again whatever the limits are now.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice

from batchdrop.core.model.errors import BrokenState
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys, Upload
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.plan import Chunk, PlanPage, decode_page
from batchdrop.flow.ports import Storage
from batchdrop.formats import format_of
from batchdrop.formats.records import Format, Header, Record, read_records

_UNLIMITED = Limits(record_bytes_max=sys.maxsize - 1, csv_field_bytes_max=sys.maxsize >> 1)
# Bytes that are sooner read than skipped by opening the upload anew.
_SKIP_BYTES_MIN = 8_000_000


def upload_of(job: Job) -> Upload:
    """Return the upload that *job* reads."""
    return Upload(job.bucket, job.key, job.version)


def upload_format(job: Job) -> Format:
    """Return the format of an upload that was planned."""
    return format_of(upload_of(job), _UNLIMITED)


def read_pages(storage: Storage, job: Job) -> Iterator[PlanPage]:
    """Yield the pages of the plan that the ledger knows of. Raises BrokenState where one is gone."""
    keys = Keys(job.id, job.key)
    for number in range(job.plan.pages):
        content = storage.read(keys.plan_page(number))
        if content is None:
            raise BrokenState(f"job {job.id}: page {number} of the plan is gone")
        yield decode_page(content)


def read_chunks(storage: Storage, job: Job) -> list[Chunk]:
    """Return the job's chunks by group and number."""
    chunks = [chunk for page in read_pages(storage, job) for chunk in page.chunks]
    return sorted(chunks, key=lambda chunk: (chunk.group, chunk.number))


def refused_keys(storage: Storage, job: Job) -> Iterator[str]:
    """Yield the keys of the refused records' outcomes, by row; pages that refused nothing wrote none."""
    keys, before = Keys(job.id, job.key), 0
    for number, page in enumerate(read_pages(storage, job)):
        if page.refused > before:
            yield keys.refused(number)
        before = page.refused


def shard_lines(storage: Storage, job: Job, shard: Shard, chunks: Sequence[Chunk]) -> Iterator[bytes]:
    """Yield the request lines of this attempt with their line ends, by row. *chunks* are those of `read_chunks`."""
    keys = Keys(job.id, job.key)
    if shard.source_shard is not None:
        source = keys.input_lines(shard.source_shard, shard.source_attempt)
        yield from _lines(storage, source, shard.first_line, shard.end_line)
        return
    first_line = 0
    for chunk in (chunk for chunk in chunks if chunk.group == shard.group):
        start = max(shard.first_line - first_line, 0)
        end = min(shard.end_line - first_line, chunk.lines)
        if start < end:
            yield from _lines(storage, keys.chunk(chunk.group, chunk.number), start, end)
        first_line += chunk.lines


def _lines(storage: Storage, key: str, start: int, end: int) -> Iterator[bytes]:
    """Yield lines *start* to *end* of an object. Raises BrokenState where it has fewer."""
    left = end - start
    with storage.open(key) as stream:
        for line in islice(stream, start, end):
            left -= 1
            yield line
    if left:
        raise BrokenState(f"{key} has {left} lines fewer than the {end} that were written")


def read_header(storage: Storage, job: Job) -> Header:
    """Return the upload's header. Raises UploadRejected where the upload is gone."""
    with storage.open_upload(upload_of(job)) as stream:
        return upload_format(job).read_header(stream)


def all_records(storage: Storage, job: Job) -> Iterator[Record]:
    """Yield every record of the upload. Raises UploadRejected where the upload is gone."""
    header = read_header(storage, job)
    yield from _records(storage, job, header, header.body_start, 0)


def shard_records(
    storage: Storage, job: Job, shard: Shard, chunks: Sequence[Chunk], rows: Iterator[int]
) -> Iterator[Record]:
    """Yield the records of *rows*, which ascend and belong to the shard's group.

    *rows* is read one ahead of what is yielded. Raises UploadRejected where the upload is gone, and BrokenState where it has
    no such row.
    """
    header = read_header(storage, job)
    starts = iter([chunk for chunk in chunks if chunk.group == shard.group])
    records: Iterator[Record] = iter(())
    offset, chunk = -_SKIP_BYTES_MIN, None
    for row in rows:
        while chunk is None or chunk.last_row < row:
            chunk = next(starts, None)
            if chunk is None:
                raise BrokenState(f"job {job.id}: row {row} lies in no chunk of group {shard.group}")
        if chunk.start - offset >= _SKIP_BYTES_MIN:
            records = _records(storage, job, header, chunk.start, chunk.first_row - 1)
        for record in records:
            if record.row == row:
                break
        else:
            raise BrokenState(f"job {job.id}: the upload has no row {row}")
        offset = record.end
        yield record


def _records(storage: Storage, job: Job, header: Header, offset: int, row: int) -> Iterator[Record]:
    with storage.open_upload(upload_of(job), offset) as stream:
        yield from read_records(upload_format(job), stream, header, offset, row)
