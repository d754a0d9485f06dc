"""Writes an object for each item that a cancelled job never cut into a shard, as every other item has one.

Rule: done before the merge, within the time of the invocation, and taken up again behind the last row that is known to be
written. The bytes are those of the line that the merge writes into `outcomes.jsonl`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.job import ItemAccess, Job, StalledAttempts
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.outcomes import decode_outcome
from batchdrop.core.model.shard import Shard
from batchdrop.flow.delivery.merge import never_sent, never_sent_nameless, outcome_lines
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.withheld import raise_if_withheld
from batchdrop.flow.unit_of_work import Work, keep_job


def deliver_unsent(work: Work, planned: PlannedJob, shards: Sequence[Shard]) -> Job | None:
    """Write the objects of items that were never cut; return the job, or None where the rest is for the next invocation.

    May be repeated. Raises BrokenState as `outcome_lines`, LeaseLost where another worker has the job, UploadWithheld while
    S3 may still give the upload.
    """
    job = planned.job
    if not job.cancelled_at or job.options.items is not ItemAccess.OBJECTS:
        return job
    writing = _Writing(work, job)
    try:
        work.ports.storage.put_many(writing.objects(_with_upload(planned, shards)))
    except UploadRejected as error:
        raise_if_withheld(error, job, work.ports.clock, work.limits)
        work.ports.storage.put_many(writing.objects(_without_upload(planned, shards)))
    if writing.is_over and writing.row == job.delivered_row:
        return job
    work.ports.log.info("unsent.delivered", job_id=job.id, count=writing.count)
    if writing.is_over:
        return keep_job(work, job, delivered_row=writing.row, stalled=StalledAttempts())
    is_further = writing.row > job.delivered_row
    stalled = StalledAttempts() if is_further else job.stalled
    keep_job(work, job, delivered_row=writing.row, lease=None, due_at=work.ports.clock.now(), stalled=stalled)
    return None


@dataclass(slots=True)
class _Writing:
    """How far the objects are: *row* is the last one that was handed out to be written."""

    work: Work
    job: Job
    row: int = 0
    count: int = 0
    is_over: bool = False

    def __post_init__(self) -> None:
        self.row = self.job.delivered_row

    def objects(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[str, bytes]]:
        """Yield key and content of what is not written yet, for as long as there is time."""
        keys = Keys(self.job.id, self.job.key)
        for row, line in lines:
            if not self.work.may_go_on():
                return
            self.row, self.count = row, self.count + 1
            yield keys.item(decode_outcome(line).name), line.rstrip(b"\n")
        self.is_over = True


def _with_upload(planned: PlannedJob, shards: Sequence[Shard]) -> Iterator[tuple[int, bytes]]:
    line_of, has_outcome = never_sent(planned), _Rows(planned, shards)
    for record in planned.all_records():
        if record.row not in has_outcome and record.row > planned.job.delivered_row:
            yield record.row, line_of(record)


def _without_upload(planned: PlannedJob, shards: Sequence[Shard]) -> Iterator[tuple[int, bytes]]:
    has_outcome, job = _Rows(planned, shards), planned.job
    for row in range(1, job.items + 1):
        if row not in has_outcome and row > job.delivered_row:
            yield row, never_sent_nameless(row)


class _Rows:
    """The rows that have an outcome, asked for in ascending order."""

    def __init__(self, planned: PlannedJob, shards: Sequence[Shard]) -> None:
        self._rows = (row for row, _ in outcome_lines(planned, shards))
        self._next = next(self._rows, 0)

    def __contains__(self, row: int) -> bool:
        if row != self._next:
            return False
        self._next = next(self._rows, 0)
        return True
