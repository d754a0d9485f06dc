"""Finds work that makes no progress, whatever its due times say: a job that is retried every minute is always due again.

Rule: each row says when it last made progress. How long it may stay so depends on its state alone:

* a batch has its window;
* quota comes when other shards of the model make progress;
* an approval is up to a person;
* another day's money comes with the day;
* for everything else an hour is long.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from batchdrop.core.model.dialects import Dialect
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.reasons import WaitingFor
from batchdrop.core.model.shard import Shard, ShardState

# A shard in one of these states makes progress, or counts as stalled on its own.
_AT_PROVIDER: Final = frozenset({ShardState.RUNNING, ShardState.HARVESTING})


@dataclass(frozen=True, slots=True)
class Stalled:
    """A job without progress: since when, the state of what is stuck, and for a shard its number and how its calls fail."""

    job: str
    since: int
    state: str
    shard: int | None = None
    cause: str = ""


def stalled(rows: Iterable[Job | Shard], now: int, limits: Limits, dialect: Dialect) -> list[Stalled]:
    """Return the jobs without progress among *rows*, which is everything under way; each once, the longest first."""
    listed = list(rows)
    jobs = {row.id: row for row in listed if isinstance(row, Job)}
    shards = [row for row in listed if isinstance(row, Shard)]
    look = _Look(now, limits, dialect)
    found = [_of_shard(shard) for shard in shards if shard.state is not ShardState.WAITING and look.is_stalled(shard)]
    moving = {shard.model for shard in shards if shard.state in _AT_PROVIDER and not look.is_stalled(shard)}
    moving |= {shard.model for shard in shards if now - _progress_of(shard) < limits.no_progress_seconds}
    found += [
        _of_shard(shard)
        for shard in shards
        if shard.state is ShardState.WAITING
        and shard.model not in moving
        and look.is_waiting_long(shard, jobs.get(shard.job))
    ]
    under_way = {shard.job for shard in shards}
    found += [
        Stalled(job.id, _progress_of(job), job.state.value)
        for job in jobs.values()
        if look.is_job_stalled(job, moving, has_shards=job.id in under_way)
    ]
    first: dict[str, Stalled] = {}
    for one in sorted(found, key=lambda one: one.since):
        first.setdefault(one.job, one)
    return list(first.values())


@dataclass(frozen=True, slots=True)
class _Look:
    now: int
    limits: Limits
    dialect: Dialect

    def is_stalled(self, shard: Shard) -> bool:
        """Whether a *shard* that does not wait for quota makes no progress."""
        allowed_seconds = self.limits.no_progress_seconds
        if shard.state is ShardState.RUNNING and shard.attempt.gone is None:
            allowed_seconds = self._running_seconds()
        since = _progress_of(shard)
        return bool(since) and self.now - since >= allowed_seconds

    def _running_seconds(self) -> int:
        if not self.dialect.window_expires:
            return self.limits.no_progress_windowless_seconds
        return self.limits.no_progress_running_seconds + self.dialect.overdue_seconds

    def is_waiting_long(self, row: Job | Shard, job: Job | None) -> bool:
        """Whether *row*, of *job*, waits too long: for quota while its model is idle, or for a day's money."""
        if job is None or job.state is JobState.HELD:
            return False
        is_for_a_day = job.waiting.cause == WaitingFor.DAILY_CAP
        allowed_seconds = self.limits.no_progress_running_seconds if is_for_a_day else self.limits.no_progress_seconds
        since = _progress_of(row)
        return bool(since) and self.now - since >= allowed_seconds

    def is_job_stalled(self, job: Job, moving: set[str], *, has_shards: bool) -> bool:
        """Whether *job* itself, and not one of its shards, makes no progress."""
        if job.state is JobState.RUNNING and not job.is_cut:
            models = {group.model for group in job.groups if group.cut_lines < group.lines}
            return not models & moving and self.is_waiting_long(job, job)
        if job.state is JobState.HELD or (job.state is JobState.RUNNING and has_shards):
            return False
        return self.now - _progress_of(job) >= self.limits.no_progress_seconds


def _progress_of(row: Job | Shard) -> int:
    """Return when *row* last made progress. For a row of an older release it is taken from other times; 0 if it has none."""
    if isinstance(row, Job):
        return row.progressed_at or row.created_at
    attempt = row.attempt
    if row.state is ShardState.RUNNING and attempt.gone is not None:
        return max(row.progressed_at, attempt.gone.since)
    known = (row.taken_at, attempt.batch_ended_at, attempt.file.uploaded_at, attempt.first_intent_at)
    return row.progressed_at or max(known)


def _of_shard(shard: Shard) -> Stalled:
    outage = shard.unanswered or shard.attempt.gone
    cause = outage.cause if outage else shard.attempt.refusal.reason.code if shard.attempt.refusal else ""
    return Stalled(shard.job, _progress_of(shard), shard.state.value, shard.number, cause)


def listed(found: Sequence[Stalled], most: int) -> str:
    """Return the first *most* of *found* for a person: the job, what is stuck and why."""
    shown = ", ".join(map(_shown, found[:most]))
    return f"{shown} and {len(found) - most:,} more" if len(found) > most else shown


def _shown(one: Stalled) -> str:
    where = one.state if one.shard is None else f"shard {one.shard} {one.state}"
    return f"{one.job} ({where}{': ' + one.cause if one.cause else ''})"
