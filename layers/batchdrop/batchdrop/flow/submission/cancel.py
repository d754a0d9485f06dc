"""Stops what a person cancelled: what is not sent never is, and batches that run are asked to stop; so are stuck ones.

Rule: the job's row says first that it is cancelled, and every intent to create is written on condition that it does not; so
whatever dies from here on, poll continues to stop. A batch is cancelled only by the shard that the ledger records it for.
"""

from collections.abc import Iterable
from dataclasses import replace

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.errors import (
    IllegalTransition,
    NotAtProvider,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from batchdrop.core.model.limits import HOUR
from batchdrop.core.model.shard import Shard
from batchdrop.core.submission.batch_signals import STATUSES_STOPPABLE, is_stuck
from batchdrop.core.submission.shard_events import CancelAsked, Cancelled
from batchdrop.core.submission.shard_lifecycle import EDGES
from batchdrop.flow.ports import Provider
from batchdrop.flow.unit_of_work import Work, keep_shard, move_shard


def stop_shards(work: Work, shards: Iterable[Shard]) -> list[Shard]:
    """Stop those of *shards*, all of cancelled jobs, that could still be sent or run; return them as they are then.

    What is being collected is left alone: should it come back to be sent again, it is stopped there. May be repeated.
    """
    stopped = []
    for shard in shards:
        if not work.may_go_on():
            break
        if shard.is_cancelled or Cancelled not in EDGES[shard.state]:
            continue
        try:
            stopped.append(move_shard(work, shard, Cancelled()))
        except IllegalTransition as error:
            work.ports.log.info("shard.left", job_id=shard.job, shard=shard.number, cause=str(error))
    return stopped


def stop_batch(work: Work, provider: Provider, shard: Shard, batch: Batch) -> None:
    """Ask the provider to cancel *batch* where that would change anything, again every hour until it shows."""
    if batch.status in STATUSES_STOPPABLE:
        ask_to_cancel(work, provider, shard)


def stop_stuck(work: Work, provider: Provider, shard: Shard, batch: Batch) -> bool:
    """Ask the provider to cancel *batch* where it has not ended hours after its window, at most once an hour.

    What it answered is collected when it has ended, and the rest is sent again as after an expiry.
    """
    if not is_stuck(shard, batch, work.ports.clock.now(), work.limits, provider.dialect):
        return False
    work.ports.log.warning("batch.stuck", job_id=shard.job, shard=shard.number, batch_id=batch.id, status=batch.status)
    ask_to_cancel(work, provider, shard)
    return True


def ask_to_cancel(work: Work, provider: Provider, shard: Shard) -> Shard:
    """Ask the provider to cancel the batch of the RUNNING *shard*, unless it was asked within the hour.

    One that was not answered is asked again after minutes, each time later. Raises KeyRefused.
    """
    now, limits = work.ports.clock.now(), work.limits
    unheard_seconds = (
        limits.cancel_unheard_seconds << min(shard.attempt.cancels_unheard - 1, 16)
        if shard.attempt.cancels_unheard
        else HOUR
    )
    if now - shard.attempt.cancel_asked_at < min(unheard_seconds, limits.cancel_retry_seconds) or not work.may_ask():
        return shard
    asked = move_shard(work, shard, CancelAsked(shard.attempt.ticket))
    try:
        provider.cancel_batch(asked.attempt.batch)
    except ProviderUnavailable as error:
        _warn(work, asked, error)
        return _unheard(work, asked, asked.attempt.cancels_unheard + 1)
    except (NotAtProvider, ProviderRefused) as error:
        _warn(work, asked, error)
    else:
        work.ports.log.info("batch.cancel_asked", job_id=asked.job, shard=asked.number, batch_id=asked.attempt.batch)
    return _unheard(work, asked, 0) if asked.attempt.cancels_unheard else asked


def _unheard(work: Work, shard: Shard, count: int) -> Shard:
    return keep_shard(work, shard, attempt=replace(shard.attempt, cancels_unheard=count))


def _warn(work: Work, shard: Shard, error: ProviderError) -> None:
    work.ports.log.warning(
        "cancel.failed", job_id=shard.job, shard=shard.number, batch_id=shard.attempt.batch, cause=str(error)
    )
