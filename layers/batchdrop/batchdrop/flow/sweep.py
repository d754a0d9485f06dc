"""One look at the provider's list of batches, for all shards of a tick.

Rule: a list proves that something is *not* there only if it was read to its end, or to a time before the oldest create that
is asked about in a list that was seen to descend; and it counts from the moment that its first page was asked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from batchdrop.core.batches import Batch
from batchdrop.core.ledger_rows import Shard, ShardState
from batchdrop.core.limits import MINUTE
from batchdrop.core.observing import prefer
from batchdrop.flow.ports import Provider
from batchdrop.flow.steps import Work

# A create counts as listed from its intent; clocks differ, and the provider stamps in its own time.
_HORIZON_SLACK_SECONDS = 15 * MINUTE


@dataclass(slots=True)
class Sweep:
    """What the list showed. *is_complete*: what is not in it was not at the provider when it began.

    *descended_to* is how old the last batch was that a list that was not complete showed; None where it did not descend.
    """

    began_at: int
    is_complete: bool = False
    descended_to: int | None = None
    by_ticket: dict[str, Batch] = field(default_factory=dict)
    by_id: dict[str, Batch] = field(default_factory=dict)

    def shows_all_since(self, time: int) -> bool:
        """Whether every batch that was made since *time* would have been shown, old ones of others or not.

        A busy project has more batches in a day than a tick may list: a create of this hour need not wait for them all.
        """
        is_past = self.descended_to is not None and self.descended_to < time - _HORIZON_SLACK_SECONDS
        return self.is_complete or is_past


def is_sought(shard: Shard) -> bool:
    """Whether a batch of *shard* may be at the provider without our knowing it."""
    if shard.state in (ShardState.CREATING, ShardState.FENCING, ShardState.PARKED):
        return True
    return shard.state in (ShardState.RESERVED, ShardState.UPLOADED) and shard.uncertain > 0


def sweep(work: Work, provider: Provider, shards: Iterable[Shard]) -> Sweep:
    """List batches until everything is shown that the sought and RUNNING among *shards* could have at the provider.

    Keeps only batches that bear this installation's tickets; bounded in pages.
    """
    starts = [_may_exist_since(shard) for shard in shards if is_sought(shard) or shard.state is ShardState.RUNNING]
    seen = Sweep(work.ports.clock.now())
    horizon = min(starts, default=seen.began_at) - _HORIZON_SLACK_SECONDS
    ours = f"{work.install.id}."
    after: str | None = None
    last_created = None
    descends = True
    for _ in range(work.limits.list_pages_max):
        page = provider.list_batches(after)
        for batch in page.batches:
            descends = descends and (last_created is None or batch.created_at <= last_created)
            last_created = batch.created_at
            seen.descended_to = last_created if descends else None
            if batch.ticket.startswith(ours):
                seen.by_ticket[batch.ticket] = prefer(seen.by_ticket.get(batch.ticket), batch)
                seen.by_id[batch.id] = batch
        after = page.next_after
        if after is None or (descends and last_created is not None and last_created < horizon):
            seen.is_complete = True
            break
    return seen


def _may_exist_since(shard: Shard) -> int:
    return shard.first_intent_at or shard.intent_at or shard.file_uploaded_at
