"""Reads the provider's list of batches once, for all shards of a tick.

Rule: a list proves that something is *not* there only if it was read to its end, or to a time before the oldest create that
is asked about in a list that was seen to descend; and it counts from the moment that its first page was asked for. A batch
whose time cannot be read (0) shows no order: all pages are read then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.errors import ProviderError, ProviderRefused, ProviderUnavailable
from batchdrop.core.model.limits import MINUTE
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.batch_signals import prefer
from batchdrop.flow.ports import Provider
from batchdrop.flow.unit_of_work import Work

# A create counts as listed from its intent; clocks differ, and the provider stamps in its own time.
_HORIZON_SLACK_SECONDS = 15 * MINUTE


@dataclass(slots=True)
class Sweep:
    """What the list showed. *is_complete*: what is not in it was not at the provider when it began.

    *failed*: why a page did not come; what the pages before it showed holds all the same. *is_missing*: that has lasted, while
    the provider answers other calls.

    *descended_to* is how old the last batch was that a list that was not complete showed; None where it did not descend.
    """

    began_at: int
    is_complete: bool = False
    descended_to: int | None = None
    failed: ProviderError | None = None
    is_missing: bool = False
    by_ticket: dict[str, Batch] = field(default_factory=dict)
    by_id: dict[str, Batch] = field(default_factory=dict)

    def shows_all_since(self, time: int) -> bool:
        """Whether every batch that was made since *time* would have been shown, old ones of others or not.

        A busy project has more batches in a day than a tick may list: a create of this hour need not wait for them all.
        """
        is_past = self.descended_to is not None and self.descended_to < time - _HORIZON_SLACK_SECONDS
        return self.is_complete or is_past

    def keep(self, batch: Batch | None) -> None:
        """Remember one of our batches."""
        if batch is None:
            return
        self.by_id[batch.id] = batch
        if batch.ticket:
            self.by_ticket[batch.ticket] = prefer(self.by_ticket.get(batch.ticket), batch)


class _Ours:
    """Tells this installation's batches from others', by their tickets.

    Where the server shows no metadata a batch is known by its input file, which is uploaded for one create call and has
    its ticket's name, and one whose create was answered by its id.
    """

    def __init__(self, install: str, shards: Sequence[Shard], *, has_tickets: bool) -> None:
        self._prefix = f"{install}."
        attempts = [] if has_tickets else [shard.attempt for shard in shards]
        self._tickets = {attempt.file.id: attempt.ticket for attempt in attempts if attempt.file.id}
        self._running = {shard.attempt.batch for shard in shards if shard.state is ShardState.RUNNING}

    def known(self, batch: Batch) -> Batch | None:
        """Return *batch* with its ticket, as far as that is known; None where it is not ours."""
        if batch.ticket.startswith(self._prefix):
            return batch
        if not batch.ticket and batch.input_file in self._tickets:
            return replace(batch, metadata={"ticket": self._tickets[batch.input_file]})
        return batch if batch.id in self._running else None


def is_sought(shard: Shard) -> bool:
    """Whether a batch of *shard* may be at the provider without our knowing it."""
    if shard.state in (ShardState.CREATING, ShardState.FENCING, ShardState.PARKED):
        return True
    return shard.state in (ShardState.RESERVED, ShardState.UPLOADED) and shard.attempt.uncertain > 0


def sweep(work: Work, provider: Provider, shards: Iterable[Shard]) -> Sweep:
    """List batches until everything is shown that the sought and RUNNING among *shards* could have at the provider.

    Keeps only batches that are this installation's; bounded in pages, each of which is asked for once. Raises KeyRefused.
    """
    at_provider = [shard for shard in shards if is_sought(shard) or shard.state is ShardState.RUNNING]
    ours = _Ours(work.install.id, at_provider, has_tickets=provider.dialect.echoes_metadata)
    starts = [_may_exist_since(shard) for shard in at_provider]
    seen = Sweep(work.ports.clock.now())
    horizon = min(starts, default=seen.began_at) - _HORIZON_SLACK_SECONDS
    after: str | None = None
    last_created = None
    descends = True
    for _ in range(work.limits.list_pages_max):
        if not work.may_ask():
            break
        try:
            page = provider.list_batches(after)
        except (ProviderRefused, ProviderUnavailable) as error:
            work.ports.log.warning("list.failed", cause=str(error))
            seen.failed = error
            break
        for batch in page.batches:
            descends = descends and 0 < batch.created_at <= (last_created or batch.created_at)
            last_created = batch.created_at
            seen.descended_to = last_created if descends else None
            seen.keep(ours.known(batch))
        after = page.next_after
        if after is None or (descends and last_created is not None and last_created < horizon):
            seen.is_complete = True
            break
    return seen


def _may_exist_since(shard: Shard) -> int:
    return shard.attempt.first_intent_at or shard.attempt.file.intent_at or shard.attempt.file.uploaded_at
