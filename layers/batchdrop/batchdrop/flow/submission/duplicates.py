"""Batches of ours that are not collected: a shard was paid for twice, against all care. They are found in the list, and reported.

Rule: they are never touched, because a person may know more than the ledger. One exception: where the ledger's own batch has
the very same ticket, one call was made into two on its way, and the second is cancelled.
"""

from collections.abc import Iterable

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.errors import LeaseLost, NotAtProvider, ProviderRefused, ProviderUnavailable
from batchdrop.core.model.shard import Shard, read_ticket
from batchdrop.core.submission.batch_signals import STATUSES_STOPPABLE, STATUSES_UNDER_WAY, is_duplicate
from batchdrop.flow.ports import Provider
from batchdrop.flow.submission.batch_list import Sweep
from batchdrop.flow.unit_of_work import Work, keep_shard


def report_duplicates(work: Work, provider: Provider, shards: Iterable[Shard], seen: Sweep) -> None:
    """Report each batch in *seen* that has a ticket of ours beside the one that counts, once.

    *shards* are those under way; of others only a batch that still runs is suspect, since theirs have ended. Raises KeyRefused.
    """
    under_way = {(shard.job, shard.number): shard for shard in shards}
    reads_left = work.limits.suspects_per_tick_max
    for batch in seen.by_id.values():
        named = read_ticket(batch.ticket)
        if named is None:
            continue
        known = under_way.get((named.job, named.shard))
        is_suspect = is_duplicate(known, batch, batch.ticket) if known else batch.status in STATUSES_UNDER_WAY
        if not is_suspect:
            continue
        if reads_left == 0:
            break
        reads_left -= 1
        shard = work.ports.ledger.shard(named.job, named.shard)  # what was listed may be older than the row
        if shard and is_duplicate(shard, batch, batch.ticket):
            _report(work, provider, shard, batch, seen)


def _report(work: Work, provider: Provider, shard: Shard, batch: Batch, seen: Sweep) -> None:
    counted = seen.by_id.get(shard.attempt.batch)
    is_twin = counted is not None and counted.ticket == batch.ticket
    try:
        if is_twin and batch.status in STATUSES_STOPPABLE:
            provider.cancel_batch(batch.id)
        note_duplicate(work, shard, batch, batch.ticket)
    except (LeaseLost, NotAtProvider, ProviderRefused, ProviderUnavailable) as error:
        # It is still listed in the next tick.
        work.ports.log.info("shard.left", job_id=shard.job, shard=shard.number, cause=str(error))


def note_duplicate(work: Work, shard: Shard, batch: Batch, ticket: str) -> Shard:
    """Write to the row that *batch* is a duplicate, log it, and return the row. Raises LeaseLost as `keep_shard`."""
    if len(shard.duplicates) >= work.limits.duplicates_per_shard_max:
        return shard
    noted = keep_shard(work, shard, duplicates=(*shard.duplicates, batch.id))
    work.ports.log.warning(
        "batch.duplicate", job_id=shard.job, shard=shard.number, ticket=ticket, batch_id=batch.id, status=batch.status
    )
    return noted
