"""Finds what a table that was restored from a backup does not know: batches made after the moment that it shows.

Rule: a batch that the restored row could have made is taken for its own; where there is one that it could not have made, its job
is not continued, because that would pay for the same items again. Create calls that were used are never used again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.reasons import Reason
from batchdrop.core.model.shard import Shard, ShardState, TryName, read_ticket
from batchdrop.core.submission.batch_signals import STATUS_FAILED
from batchdrop.core.submission.shard_events import Restored
from batchdrop.core.submission.shard_lifecycle import EDGES

RESTORED = Reason(
    "restored",
    "The table was restored from a backup that did not know this upload, which had been sent. Look for its results; "
    "retry it only if there are none.",
)


@dataclass(frozen=True, slots=True)
class Try:
    """A batch of ours, and the create call that made it."""

    name: TryName
    batch: Batch


type Tries = Mapping[str, Mapping[int, Sequence[Try]]]  # by job and shard


def tries_of(batches: Iterable[Batch], install: str) -> Tries:
    """Return the batches of this installation by the job and shard that they are of."""
    tries: dict[str, dict[int, list[Try]]] = defaultdict(lambda: defaultdict(list))
    for batch in batches:
        name = read_ticket(batch.ticket)
        if name is not None and name.install == install:
            tries[name.job][name.shard].append(Try(name, batch))
    return tries


def unknown_tries(shard: Shard, tries: Iterable[Try]) -> list[Try]:
    """Return those of *tries*, the shard's, that ran or run, for this attempt or a later one, and that its row does not name."""
    named = {shard.attempt.batch, *shard.batches, *shard.duplicates}
    return [
        one
        for one in tries
        if one.batch.status != STATUS_FAILED and one.batch.id not in named and one.name.attempt >= shard.attempt.number
    ]


def may_be_its_own(shard: Shard, one: Try) -> bool:
    """Whether the restored row could have made this batch: for its attempt, of as many requests, and it has no other."""
    return (
        Restored in EDGES[shard.state]
        and one.name.attempt == shard.attempt.number
        and one.batch.total in (None, 0, shard.sent_items)  # counted only after validation
    )


def is_beside(shard: Shard, one: Try) -> bool:
    """Whether the batch is a mere duplicate of the one that the row names for this attempt."""
    return one.name.attempt == shard.attempt.number and shard.state in (ShardState.RUNNING, ShardState.HARVESTING)


def restored_event(shard: Shard, tries: Sequence[Try]) -> Restored:
    """Return what the *tries* of its attempt mean to the row: tickets to be found under, and numbers that are used."""
    same = [one for one in tries if one.name.attempt == shard.attempt.number]
    own = [one for one in unknown_tries(shard, same) if may_be_its_own(shard, one)]
    tickets = tuple(dict.fromkeys(one.batch.ticket for one in own if one.batch.ticket not in shard.attempt.tickets))
    is_made = bool(own)
    return Restored(tickets, max((one.name.try_number for one in same), default=0), is_made=is_made)


def lost_tries(shards: Mapping[int, Shard], tries: Mapping[int, Sequence[Try]]) -> list[Batch]:
    """Return the batches of a job, its *tries* by shard, that no row of its *shards* can take for its own."""
    lost = []
    for number, of_shard in tries.items():
        shard = shards.get(number)
        if shard is None:
            lost += [one.batch for one in of_shard if one.batch.status != STATUS_FAILED]
            continue
        if shard.state is ShardState.DONE:
            continue
        unknown = unknown_tries(shard, of_shard)
        lost += [one.batch for one in unknown if not (may_be_its_own(shard, one) or is_beside(shard, one))]
    return lost
