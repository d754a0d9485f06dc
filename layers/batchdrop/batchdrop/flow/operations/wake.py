"""Wakes the functions that do the work: sends a wake-up message for each row that is due.

Rule: a conditional write first moves the due time past the worker's time-out, so that two pollers send one message. A message
that is lost costs that time, never data.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from batchdrop.core.model.errors import LeaseLost
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.refusing import is_under_refusal
from batchdrop.core.submission.retries import are_answers_given, are_creates_taken, is_retried
from batchdrop.core.submission.waits import owed, owed_hold
from batchdrop.flow.submission.circuit_breaker import BreakerState
from batchdrop.flow.unit_of_work import Work, keep_job, keep_shard

SUBMIT_STATES = frozenset({ShardState.RESERVED, ShardState.UPLOADED})
_COMPLETE_JOB_STATES = frozenset({JobState.FINISHING, JobState.NOTIFYING})


def needs_provider(row: Job | Shard) -> bool:
    """Whether the worker that takes *row* has to ask the provider: to send it, or for its answers."""
    if isinstance(row, Job):
        return False
    is_batch_asked_for = bool(row.attempt.batch) and (row.reason is None or row.is_stuck)
    return row.state in SUBMIT_STATES or (row.state is ShardState.HARVESTING and is_batch_asked_for)


@dataclass(slots=True)
class Wakes:
    """The wake-up messages of one tick, up to a limit."""

    work: Work
    sent: int = 0
    _woken: set[tuple[str, int]] = field(default_factory=set)

    def without_provider(self, rows: Iterable[Job | Shard]) -> None:
        """Wake those of *rows* whose worker needs no provider: it comes first, because the provider may take all the time."""
        for row in rows:
            if not needs_provider(row):
                self._wake(row)

    def all(self, rows: Sequence[Job | Shard], *, creates: BreakerState, reads: BreakerState) -> None:
        """Wake those of *rows* that are due, and of those that send or fetch as many as may now.

        Of what the provider refused, or did not answer, only a few are tried again in a tick, whatever quota they were let into:
        each would ask in vain each minute. Once one of those that were not answered goes through, the others go, too.

        A row may be given more than once; its newest reading comes first.
        """
        limits = self.work.limits
        most = {BreakerState.CLOSED: limits.wakeups_per_tick_max, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 0}
        left = {True: most[creates], False: most[reads]}
        refused_left, retried_left = limits.refused_retries_per_tick_max, self._most_retried(rows)
        seen = set[tuple[str, int]]()
        for row in rows:
            if _name_of(row) in seen:
                continue
            seen.add(_name_of(row))
            if isinstance(row, Job) or not needs_provider(row):
                self._wake(row)
                continue
            is_create, is_again = row.state in SUBMIT_STATES, is_retried(row)
            is_refused = is_create and is_under_refusal(row)
            may = left[is_create] and (refused_left or not is_refused)
            if may and (retried_left[is_create] or not is_again) and self._wake(row):
                left[is_create] -= 1
                refused_left -= is_refused
                retried_left[is_create] -= is_again

    def _most_retried(self, rows: Sequence[Job | Shard]) -> dict[bool, int]:
        """Return how many shards may repeat a call that failed: of those to be sent (True), and of those to be collected."""
        shards, limits = [row for row in rows if isinstance(row, Shard)], self.work.limits
        goes_through = {
            True: are_creates_taken(shards, self.work.ports.clock.now()),
            False: are_answers_given(shards, self.work.install.fetched_at),
        }
        return {
            is_create: limits.wakeups_per_tick_max if goes_through[is_create] else limits.retried_per_tick_max
            for is_create in goes_through
        }

    def _wake(self, row: Job | Shard) -> bool:
        """Wake *row* if it is due and was not woken; return whether it was."""
        if _name_of(row) in self._woken or self.sent >= self.work.limits.wakeups_per_tick_max:
            return False
        if not self.work.may_go_on() or not _wake_one(self.work, row):
            return False
        self._woken.add(_name_of(row))
        self.sent += 1
        return True


def _name_of(row: Job | Shard) -> tuple[str, int]:
    return (row.id, -1) if isinstance(row, Job) else (row.job, row.number)


def _wake_one(work: Work, row: Job | Shard) -> bool:
    now = work.ports.clock.now()
    is_leased = row.lease is not None and row.lease.until > now
    if row.due_at is None or row.due_at > now or is_leased:
        return False
    wakeups = work.ports.wakeups
    later = now + work.limits.worker_timeout_seconds + work.limits.wakeup_margin_seconds
    try:
        match row:
            case Job(state=JobState.PLANNING):
                keep_job(work, row, due_at=later)
                wakeups.submit(row.id)
            case Job(state=state) if state in _COMPLETE_JOB_STATES or owed(row) or owed_hold(row):
                keep_job(work, row, due_at=later)
                wakeups.complete(row.id)
            case Shard(state=state) if state in SUBMIT_STATES:
                keep_shard(work, row, due_at=later)
                wakeups.submit(row.job, row.number)
            case Shard(state=ShardState.HARVESTING):
                keep_shard(work, row, due_at=later)
                wakeups.complete(row.job, row.number)
            case _:
                return False
    except LeaseLost:
        return False
    return True
