"""Does what follows a definite refusal: of an upload, of a create, of a batch for want of quota.

Rule: no batch exists, so nothing here is uncertain. What is refused waits without quota, and what was uploaded for it is
deleted; a refusal concerns the smallest thing that it names, and only what lasted for a day fails items.
"""

from collections.abc import Callable
from dataclasses import replace

from batchdrop.core.admission.quota_estimator import after_refused, believed_limit, cooled_down
from batchdrop.core.delivery.job_lifecycle import ShardSplit, advance_job
from batchdrop.core.model.change import Change, QuotaWrite, Write
from batchdrop.core.model.errors import IllegalTransition, ProviderError, Superseded
from batchdrop.core.model.job import Job
from batchdrop.core.model.quota import WHOLE_ACCOUNT, Quota, QuotaEstimate
from batchdrop.core.model.reasons import Scope
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.refusing import given_up, is_model_given_up, is_refused_again, of_model
from batchdrop.core.submission.shard_events import ModelRefused, NoQuota, SendRefused, ShardEvent
from batchdrop.core.submission.shard_lifecycle import (
    advance,
    is_foreign,
    no_quota_backoff_seconds,
    refused_wait_seconds,
    split,
)
from batchdrop.flow.ports import Provider
from batchdrop.flow.unit_of_work import Work, log_transition, move_shard, read_job, read_shard, transact


def obey(work: Work, provider: Provider, shard: Shard, refusal: ShardEvent) -> Shard:
    """Do what a definite refusal asks for, unless `recover` has taken the call further meanwhile; return the row."""
    try:
        after = _moved(work, shard, refusal)
    except (IllegalTransition, Superseded) as error:
        work.ports.log.info(
            "refusal.late", job_id=shard.job, shard=shard.number, ticket=shard.attempt.ticket, cause=str(error)
        )
        return read_shard(work, shard)
    file = shard.attempt.file.id
    if isinstance(refusal, SendRefused | ModelRefused) and file and after.attempt.file.id != file:
        _discard(work, provider, shard)
    return after


def _moved(work: Work, shard: Shard, refusal: ShardEvent) -> Shard:
    match refusal:
        case NoQuota():
            return back_off(work, shard, refusal)
        case SendRefused():
            return _settled(work, shard, refusal, lambda read: _after_send_refused(work, read, refusal))
        case ModelRefused():
            return _settled(work, shard, refusal, lambda read: _after_model_refused(work, read, refusal))
        case _:
            return move_shard(work, shard, refusal)


def _settled(work: Work, shard: Shard, event: ShardEvent, change: Callable[[Shard], Change]) -> Shard:
    """Write what *change* makes of *shard*, which *event* happened to, and return the row."""
    after = transact(work, shard, change).row
    log_transition(work, after, event)
    return after


def _discard(work: Work, provider: Provider, shard: Shard) -> None:
    """Delete the file that was uploaded for nothing. Where that fails, the sweep finds it."""
    try:
        provider.delete_file(shard.attempt.file.id)
    except ProviderError as error:
        work.ports.log.info(
            "file.kept", job_id=shard.job, shard=shard.number, file_id=shard.attempt.file.id, cause=str(error)
        )


def _after_send_refused(work: Work, read: Shard, event: SendRefused) -> Change:
    now, job = work.now(), read_job(work, read.job)
    scope = Scope.LINE if event.is_too_large else Scope.SHARD
    is_known = is_refused_again(job, event.reason, scope, now.time, work.limits)
    after = advance(read, replace(event, is_given_up=event.is_given_up or is_known), now)
    if after.state is ShardState.HARVESTING and after.attempt.refusal and not after.is_cancelled:
        return Change((Write(read, after), Write(job, given_up(job, after.attempt.refusal, now.time))))
    is_parted = after.state is ShardState.WAITING and event.is_too_large and after.sent_items > 1
    return _halved(work, read, after, job) if is_parted else Change((Write(read, after),))


def _after_model_refused(work: Work, read: Shard, event: ModelRefused) -> Change:
    now, quota, job = work.now(), work.ports.ledger.quota(read.account, read.model), read_job(work, read.job)
    refusal = of_model(quota.quota_estimate, event.refusal)
    is_over = is_model_given_up(refusal, job, now.time, work.limits)
    after = advance(read, replace(event, refusal=refusal, is_given_up=is_over), now)
    until = now.time + refused_wait_seconds(refusal, work.limits)
    quota_estimate = cooled_down(replace(quota.quota_estimate, refusal=refusal), until)
    return replace(Change((Write(read, after),)), quotas=(QuotaWrite(quota, quota_estimate),))


def back_off(work: Work, shard: Shard, event: NoQuota) -> Shard:
    """Send *shard* back to wait for quota, learn from it, and split it where it was refused with nothing else enqueued."""
    return _settled(work, shard, event, lambda read: _after_no_quota(work, read, event))


def _after_no_quota(work: Work, read: Shard, event: NoQuota) -> Change:
    quota = work.ports.ledger.quota(read.account, WHOLE_ACCOUNT if event.is_inputs else read.model)
    held = read.quota_inputs if event.is_inputs else read.quota_tokens
    seen = replace(event, is_idle=quota.used <= held, stated=believed_limit(quota.quota_estimate, event.stated))
    waiting = advance(read, seen, work.now())
    is_parted = waiting.state is ShardState.WAITING and seen.is_idle and waiting.sent_items > 1
    change = _halved(work, read, waiting, read_job(work, read.job)) if is_parted else Change((Write(read, waiting),))
    return replace(change, quotas=(QuotaWrite(quota, _quota_estimate(work, read, seen, quota, held)),))


def _halved(work: Work, read: Shard, waiting: Shard, job: Job) -> Change:
    """Return the change that makes two shards of *read*, which now is *waiting*."""
    first, second = split(waiting, job.shards, waiting.items // 2)
    grown = advance_job(job, ShardSplit(), work.now())
    return Change((Write(read, first), Write(None, second), Write(job, grown)))


def _quota_estimate(work: Work, shard: Shard, event: NoQuota, quota: Quota, held: int) -> QuotaEstimate:
    """Return what is known of *quota* after *shard*, which held so much of it, was refused.

    Where a lower limit keeps no shard away, because another user fills the queue, time does.
    """
    total = quota.taken + held if not shard.taken_at else quota.taken
    quota_estimate = after_refused(quota.quota_estimate, total, event.stated)
    if not is_foreign(shard, event):
        return quota_estimate
    wait_seconds = no_quota_backoff_seconds(shard.attempt.refused_count, work.limits)
    return cooled_down(quota_estimate, work.ports.clock.now() + wait_seconds)
