"""Watching batches that are known to exist.

Rule: what the list shows is believed; what it does not show is asked for, each in its turn. A batch that cannot be found is
waited for, never made again.
"""

from batchdrop.core.batches import Batch
from batchdrop.core.errors import NotAtProvider
from batchdrop.core.events import NoRoom
from batchdrop.core.ledger_rows import Shard
from batchdrop.core.limits import HOUR
from batchdrop.core.observing import STATUSES_UNDER_WAY, observe
from batchdrop.flow.admit import is_idle_but_for
from batchdrop.flow.create import back_off
from batchdrop.flow.key import believe
from batchdrop.flow.ports import Provider
from batchdrop.flow.steps import Work, keep_shard, move_shard


def watch(work: Work, shard: Shard, batch: Batch) -> Shard | None:
    """Move the RUNNING *shard* if its *batch* has ended, and return it; None while there is nothing to do."""
    event = (
        observe(shard, batch, is_idle=is_idle_but_for(work, shard)) if batch.status not in STATUSES_UNDER_WAY else None
    )
    if event is None:
        if batch.status not in STATUSES_UNDER_WAY:
            work.ports.log.warning("batch.status_unknown", job_id=shard.job, shard=shard.number, status=batch.status)
        return None
    return back_off(work, shard, event) if isinstance(event, NoRoom) else move_shard(work, shard, event)


def look_up(work: Work, provider: Provider, shard: Shard) -> Batch | None:
    """Ask for the batch of a RUNNING *shard* that the list did not show; None where it cannot be found for now."""
    try:
        batch = provider.batch(shard.batch)
    except NotAtProvider:
        work.ports.log.warning("batch.not_found", job_id=shard.job, shard=shard.number, batch_id=shard.batch)
        believed = believe(work, provider, shard)
        if believed:
            keep_shard(work, believed, due_at=work.ports.clock.now() + HOUR)
        return None
    keep_shard(work, shard, due_at=work.ports.clock.now() + work.limits.retrieve_interval_seconds)
    return batch
