"""Decides what is asked for again because a call failed: a few of many shards try for all others.

Rule: while calls of a kind fail, only a few of the shards that wait for one are tried in a tick. One that goes through later
than any failed shows that the provider obeys again: then the others go, too.
"""

from collections.abc import Iterable
from typing import Final

from batchdrop.core.model.limits import MINUTE
from batchdrop.core.model.shard import Shard, ShardState

TO_SEND: Final = frozenset({ShardState.RESERVED, ShardState.UPLOADED})
_UNCERTAIN: Final = frozenset({ShardState.CREATING, ShardState.FENCING, ShardState.PARKED})

# A batch that was made before that says nothing about creates: what failed since may be forgotten by its row. Chosen: shorter
# than the 35 minutes after which an uncertain create is tried again.
TAKEN_LATELY_SECONDS: Final = 10 * MINUTE


def is_retried(shard: Shard) -> bool:
    """Whether the worker that takes *shard* repeats a call that failed: it was not answered, or gave no answers."""
    if shard.unanswered is not None:
        return True
    if shard.state in TO_SEND:
        return shard.attempt.uncertain > 0
    return shard.state is ShardState.HARVESTING and shard.attempt.gone is not None


def are_creates_taken(shards: Iterable[Shard], now: int) -> bool:
    """Whether a batch of one of *shards* was made just now, and none failed to be made since."""
    failed_at, taken_at = now - TAKEN_LATELY_SECONDS, 0
    for shard in shards:
        if shard.attempt.batch:
            taken_at = max(taken_at, shard.attempt.file.intent_at)
        elif shard.state in _UNCERTAIN:
            failed_at = max(failed_at, shard.attempt.file.intent_at)
        elif shard.unanswered is not None:
            failed_at = max(failed_at, shard.unanswered.last_at)
    return taken_at > failed_at


def are_answers_given(shards: Iterable[Shard], fetched_at: int) -> bool:
    """Whether answers that had not been given were *fetched_at* a time since when none of *shards* failed to be collected."""
    outages = [
        outage
        for shard in shards
        if shard.state is ShardState.HARVESTING
        for outage in (shard.unanswered, shard.attempt.gone)
        if outage
    ]
    return fetched_at > max((outage.last_at for outage in outages), default=0)
