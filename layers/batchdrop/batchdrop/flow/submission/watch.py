"""Watches batches that are known to exist.

Rule: what the list shows is believed; what it does not show is asked for, each in its turn. A batch that cannot be found is
waited for, never made again, and given up after days.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from batchdrop.core.admission.quota import input_limit, token_limit
from batchdrop.core.admission.quota_estimator import after_taken
from batchdrop.core.model.batches import Batch
from batchdrop.core.model.change import Change, QuotaWrite, Write
from batchdrop.core.model.errors import (
    Conflict,
    IllegalTransition,
    NotAtProvider,
    ProviderRefused,
    ProviderUnavailable,
    Superseded,
)
from batchdrop.core.model.limits import HOUR
from batchdrop.core.model.quota import WHOLE_ACCOUNT, Quota, QuotaEstimate
from batchdrop.core.model.reasons import Outage, Reason
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.batch_signals import (
    STATUS_FAILED,
    STATUSES_TAKEN,
    STATUSES_UNDER_WAY,
    is_hopeless,
    observe,
    stuck_reason,
)
from batchdrop.core.submission.refusing import accepted
from batchdrop.core.submission.shard_events import BatchStuck, BatchTaken, GivenUp, MoneyMissed, NoQuota
from batchdrop.core.submission.shard_lifecycle import advance
from batchdrop.flow.admission.admit import is_idle_but_for
from batchdrop.flow.ports import Provider
from batchdrop.flow.submission.circuit_breaker import believe, note_lack
from batchdrop.flow.submission.refused import back_off
from batchdrop.flow.unit_of_work import (
    Work,
    keep_shard,
    log_transition,
    move_shard,
    transact,
    unanswered,
)

# A share of the first shard: no account is known whose queue takes so little.
_SLIVERS: Final = 10


def watch(work: Work, provider: Provider, shard: Shard, batch: Batch) -> Shard | None:
    """Move the RUNNING *shard* if its *batch* has ended, or never will, and return it; None while there is nothing to do."""
    event = (
        observe(shard, batch, is_idle=is_idle_but_for(work, shard)) if batch.status not in STATUSES_UNDER_WAY else None
    )
    if event is None and is_hopeless(shard, batch, work.ports.clock.now(), work.limits, provider.dialect):
        work.ports.log.warning(
            "batch.given_up", job_id=shard.job, shard=shard.number, batch_id=batch.id, status=batch.status
        )
        return move_shard(work, shard, BatchStuck(shard.attempt.ticket, batch, stuck_reason(batch, work.limits)))
    if event is None:
        if batch.status not in STATUSES_UNDER_WAY:
            work.ports.log.warning("batch.status_unknown", job_id=shard.job, shard=shard.number, status=batch.status)
        return None
    if isinstance(event, MoneyMissed):
        note_lack(work, provider, shard, event.reason)
    return back_off(work, shard, event) if isinstance(event, NoQuota) else move_shard(work, shard, event)


def has_failed(batch: Batch | None) -> bool:
    """Whether *batch* was refused."""
    return batch is not None and batch.status == STATUS_FAILED


def note_taken(work: Work, shard: Shard, batch: Batch | None) -> Shard:
    """Write that the provider had quota for the *batch* of a RUNNING *shard*, where that is new, and return the row."""
    is_new = shard.state is ShardState.RUNNING and not shard.taken_at and shard.quota_tokens
    if batch is None or not is_new or batch.status not in STATUSES_TAKEN:
        return shard
    event = BatchTaken(shard.attempt.ticket)

    def taken(read: Shard) -> Change:
        after = advance(read, event, work.now())
        return Change((Write(read, after),), tuple(_quota_estimates(work, after)))

    try:
        after = transact(work, shard, taken).row
    except (Conflict, IllegalTransition, Superseded) as error:
        work.ports.log.info("shard.left", job_id=shard.job, shard=shard.number, cause=str(error))
        return shard
    log_transition(work, after, event)
    return after


def _quota_estimates(work: Work, taken: Shard) -> Iterator[QuotaWrite]:
    """Yield what it teaches that *taken* was taken beside what was taken before."""
    limits, ledger = work.limits, work.ports.ledger
    quota = ledger.quota(taken.account, taken.model)
    total, limit = quota.taken + taken.quota_tokens, token_limit(quota, limits)
    tiny = limits.first_shard_tokens // _SLIVERS
    quota_estimate = accepted(
        after_taken(quota.quota_estimate, limit, total, limits.first_shard_tokens, tiny), taken.attempt.file.intent_at
    )
    yield from _quota_estimate(quota, quota_estimate)
    if taken.quota_inputs:
        whole = ledger.quota(taken.account, WHOLE_ACCOUNT)
        total, limit = whole.taken + taken.quota_inputs, input_limit(whole, limits)
        yield from _quota_estimate(
            whole, after_taken(whole.quota_estimate, limit, total, limits.shard_embedding_inputs_max)
        )


def _quota_estimate(quota: Quota, quota_estimate: QuotaEstimate) -> list[QuotaWrite]:
    """Return the write of a *quota_estimate* that is new; one that is not keeps no other worker from writing one."""
    return [] if quota_estimate == quota.quota_estimate else [QuotaWrite(quota, quota_estimate)]


def look_up(work: Work, provider: Provider, shard: Shard) -> Batch | None:
    """Ask for the batch of a RUNNING *shard* that the list did not show; None where it cannot be found for now.

    Raises ProviderUnavailable, with the shard's turn over.
    """
    later = work.ports.clock.now() + work.limits.retrieve_interval_seconds
    try:
        batch = provider.batch(shard.attempt.batch)
    except (NotAtProvider, ProviderRefused) as error:
        work.ports.log.warning(
            "batch.not_found", job_id=shard.job, shard=shard.number, batch_id=shard.attempt.batch, cause=str(error)
        )
        believed = believe(work, provider, shard)
        if believed:
            _seek_gone(work, believed, str(error))
        return None
    except ProviderUnavailable as error:
        keep_shard(work, shard, due_at=later, unanswered=unanswered(work, shard, error))
        raise
    keep_shard(work, shard, due_at=later, unanswered=None, attempt=replace(shard.attempt, gone=None))
    return batch


def _seek_gone(work: Work, shard: Shard, cause: str) -> None:
    """Look again in an hour for the batch of *shard*; once it was gone for a day, its items fail.

    They may have run and be paid for, so they are never sent again.
    """
    now = work.ports.clock.now()
    gone = shard.attempt.gone or Outage(now, cause)
    if now - gone.since < work.limits.gone_seconds_max:
        keep_shard(work, shard, attempt=replace(shard.attempt, gone=gone), unanswered=None, due_at=now + HOUR)
        return
    message = (
        f"The provider no longer shows the batch {shard.attempt.batch}. It was looked for, for a day. Its requests may have "
        "run and may be paid for, so they are not sent again."
    )
    work.ports.log.warning("batch.gone", job_id=shard.job, shard=shard.number, batch_id=shard.attempt.batch)
    move_shard(work, shard, GivenUp(shard.attempt.ticket, Reason("batch_gone", message)))


def note_shown(work: Work, shard: Shard) -> Shard:
    """Write that the batch of *shard*, which was gone or not answered for, is shown again, and return the row."""
    if not (shard.attempt.gone or shard.unanswered):
        return shard
    return keep_shard(work, shard, unanswered=None, attempt=replace(shard.attempt, gone=None))
