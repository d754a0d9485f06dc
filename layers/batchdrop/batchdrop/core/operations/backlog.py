"""Counts what a tick finds undone, so that an operator sees whether work moves.

Rule: a row counts as due only if a worker should act on it now. A shard that waits for quota or for its batch isn't late.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import HOUR
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.retries import TO_SEND, is_retried

# A worker moves these after a wake-up message. Poll moves everything else, by what the provider shows.
_OF_WORKERS = TO_SEND | {ShardState.HARVESTING, JobState.PLANNING, JobState.FINISHING, JobState.NOTIFYING}
_UNCERTAIN = frozenset({ShardState.CREATING, ShardState.FENCING, ShardState.PARKED})
# An uncertain create call is resolved within 35 minutes (grace and fence) unless something is wrong.
_UNCERTAIN_SECONDS = HOUR


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts and an age in seconds, as one tick found them; zeros where nothing is under way."""

    due: int = 0
    oldest_due_seconds: int = 0
    uncertain: int = 0
    is_held: bool = False
    approvals: int = 0  # jobs that wait for a person to approve their cost


def backlog(
    rows: Sequence[Job | Shard], now: int, *, is_open: bool, is_sending: bool = True, is_readable: bool = True
) -> Backlog:
    """Return what of *rows*, as the tick read them, is due to a worker, uncertain, or held back.

    *is_open*: batch creation is allowed. While it isn't, or while nothing *is_sending* because the provider does not answer,
    shards to be sent count as held, not late. *is_readable*: answers may be fetched, likewise. A row under a worker's lease
    isn't due, nor is one that is retried in its turn because a call failed.
    """
    shards = [row for row in rows if isinstance(row, Shard)]
    held = (frozenset() if is_open and is_sending else TO_SEND) | (
        frozenset() if is_readable else {ShardState.HARVESTING}
    )
    late = [now - row.due_at for row in rows if row.due_at is not None and _is_due(row, now, held)]
    uncertain = [s for s in shards if s.state in _UNCERTAIN and now - s.attempt.first_intent_at > _UNCERTAIN_SECONDS]
    is_held = not is_open or any(shard.unreachable_at for shard in shards)
    approvals = sum(isinstance(row, Job) and row.state is JobState.HELD for row in rows)
    return Backlog(len(late), max(late, default=0), len(uncertain), is_held, approvals)


def _is_due(row: Job | Shard, now: int, held: frozenset[ShardState]) -> bool:
    if row.due_at is None or row.due_at > now or (row.lease is not None and row.lease.until > now):
        return False
    return row.state in _OF_WORKERS and row.state not in held and not (isinstance(row, Shard) and is_retried(row))
