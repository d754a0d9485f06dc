"""Completes: the answers of an ended batch become outcomes; the outcomes of a job become results and a notification.

Rule: nothing is derived before the provider's files are in our own bucket. The summary is written last. The notification is
pending (NOTIFYING) before it is sent and until it is known to be sent.
"""

from dataclasses import dataclass, replace

from batchdrop.core.admission.budget import cost_of
from batchdrop.core.admission.quota_estimator import after_answers, after_usage, are_answer_tokens, is_usage
from batchdrop.core.delivery.job_lifecycle import (
    Broken,
    Merged,
    Notified,
    ShardDone,
    advance_job,
    given_up,
    is_withheld_for_good,
)
from batchdrop.core.delivery.summary import Results, results_of_summary
from batchdrop.core.model.batches import Batch
from batchdrop.core.model.change import Change, QuotaWrite, Write
from batchdrop.core.model.errors import (
    BatchdropError,
    BrokenState,
    DownloadCut,
    IllegalTransition,
    KeyMissing,
    KeyRefused,
    LeaseLost,
    NotAtProvider,
    NotYet,
    OutOfTime,
    ProviderError,
    ProviderRefused,
    ProviderSilent,
    ProviderUnavailable,
    UploadWithheld,
)
from batchdrop.core.model.install import Asked
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import MINUTE, Limits
from batchdrop.core.model.outcomes import Usage
from batchdrop.core.model.reasons import Reason
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.model.wording import provider_words
from batchdrop.core.notification.notifications import render
from batchdrop.core.submission.batch_signals import STATUS_FAILED
from batchdrop.core.submission.retries import is_retried
from batchdrop.core.submission.shard_events import GivenUp, Harvested
from batchdrop.core.submission.shard_lifecycle import advance, again
from batchdrop.flow.admission.budget import settled as day_settled
from batchdrop.flow.collection.archive import archive
from batchdrop.flow.collection.collect import Harvest, derive
from batchdrop.flow.delivery.merge import merge
from batchdrop.flow.delivery.status import put_status, write_status
from batchdrop.flow.delivery.unsent import deliver_unsent
from batchdrop.flow.notification.waits import tell_common_wait, tell_hold, tell_waits
from batchdrop.flow.operations.provider_files import tidy_attempt
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.withheld import await_upload, note_withheld
from batchdrop.flow.ports import Ports
from batchdrop.flow.submission.circuit_breaker import (
    believe,
    end_fetch_hang,
    keep_proof,
    may_fetch,
    note_answers,
    note_fetch_hang,
    note_good_key,
    note_lack,
    note_refusal,
    open_provider,
)
from batchdrop.flow.unit_of_work import (
    Work,
    attempted,
    begin,
    change_install,
    leased,
    log_transition,
    move_job,
    move_shard,
    postpone,
    read_job,
    read_shard,
    take_job_lease,
    take_shard_lease,
    transact,
    unanswered,
)


def handle_wakeup(ports: Ports, limits: Limits, job: str, shard: int | None) -> None:
    """Harvest a shard, or finish a job. Where nothing is to be done, or another worker does it, nothing happens."""
    found = ports.ledger.job(job)
    if found is None:
        ports.log.warning("wakeup.ignored", job_id=job)
        return
    work = begin(ports, limits)
    planned, harvested, is_told = work.open(found), None, False
    try:
        if shard is None:
            planned.job = tell_hold(work, tell_waits(work, found))
            is_told = _finish(work, planned)
        else:
            row = ports.ledger.shard(job, shard)
            if row is not None and row.state is ShardState.HARVESTING:
                harvested = _harvest_shard(work, planned, row)
                is_told = _finish(work, planned)
    except (LeaseLost, IllegalTransition) as error:
        ports.log.info("work.left", job_id=job, shard=shard, cause=str(error))
        return
    if not is_told:
        write_status(work, job)
    if harvested and _has_ended(*harvested):
        tidy_attempt(work, *harvested)


def tell(ports: Ports, limits: Limits) -> None:
    """Send the installation's pending notification, if there is one. Idempotent."""
    tell_common_wait(begin(ports, limits))


def _has_ended(shard: Shard, batch: Batch | None) -> bool:
    """Whether nothing of the attempt of *shard* can still run: of what may, no file is deleted before the sweep does."""
    return not shard.is_stuck and (batch is not None or not shard.attempt.batch)


def _harvest_shard(work: Work, planned: PlannedJob, found: Shard) -> tuple[Shard, Batch | None] | None:
    """Write the outcomes of the attempt of *found* and move it on; where answers are outstanding, look again later.

    Returns the shard as it was and its batch, where its outcomes are recorded.
    """
    is_fresh = found.attempt.is_unarchived
    shard = take_shard_lease(work, found, attempt=replace(found.attempt, is_unarchived=False))
    try:
        looked = _look(work, shard)
        if looked is None:
            return None
        shard, batch = looked
        harvest = _derive(work, planned, shard, batch, is_fresh=is_fresh)
        end_fetch_hang(work)
    except (KeyMissing, KeyRefused) as error:
        work.ports.log.warning("key.refused", job_id=shard.job, shard=shard.number, cause=str(error))
        provider = open_provider(work)
        if isinstance(error, KeyRefused) and provider is not None:
            note_refusal(work, provider, error, Asked.FETCH)
        mine = _still_mine(work, shard)
        postpone(work, mine, work.limits.circuit_seconds, unanswered=unanswered(work, mine, error))
        return None
    except (NotAtProvider, ProviderRefused) as error:
        _wait_for_gone(work, _still_mine(work, shard), error)
        return None
    except (DownloadCut, NotYet, OutOfTime, ProviderUnavailable, UploadWithheld) as error:
        if isinstance(error, UploadWithheld):
            note_withheld(work, read_job(work, shard.job), error)
        provider = open_provider(work) if isinstance(error, ProviderSilent) else None
        if provider is not None and isinstance(error, ProviderSilent):
            note_fetch_hang(work, provider, error)
        work.ports.log.warning("harvest.delayed", job_id=shard.job, shard=shard.number, cause=str(error))
        _look_later(work, _still_mine(work, shard), error)
        return None
    if harvest.must_wait:
        work.ports.log.info("answers.awaited", job_id=shard.job, shard=shard.number, missing=harvest.missing)
        cause = f"the provider counts {harvest.missing:,} more answers than it shows"
        _look_for_gone(work, shard, cause)
        return None
    _record(work, planned, shard, harvest)
    if batch and is_retried(shard):
        _note_fetched(work)
    _note_account(work, shard, batch, harvest)
    return shard, batch


def _note_fetched(work: Work) -> None:
    """Write that answers are given again, for all others that wait for theirs; once in a while, because each of them says so."""
    now = work.ports.clock.now()
    if now - work.install.fetched_at >= MINUTE:
        change_install(work, lambda install: replace(install, fetched_at=now))


def _note_account(work: Work, shard: Shard, batch: Batch | None, harvest: Harvest) -> None:
    """Hold back creates where answers failed for want of money, and release all once answers come again."""
    provider = open_provider(work) if batch else None
    if provider is None or batch is None:
        return
    note_good_key(work, provider, (Asked.LOOK, Asked.FETCH))
    if harvest.unpaid:
        note_lack(work, provider, shard, Reason(harvest.unpaid.code, harvest.unpaid.message))
    elif batch.status != STATUS_FAILED and harvest.succeeded + harvest.failed:
        note_answers(work, provider, shard)


def _look_later(work: Work, shard: Shard, error: BatchdropError) -> None:
    """Leave *shard* for later: for a minute, or for longer where the provider has not answered for long."""
    if isinstance(error, OutOfTime):
        postpone(work, shard, 0)
        return
    if not isinstance(error, ProviderError):
        postpone(work, shard, MINUTE)
        return
    outage = unanswered(work, shard, error)
    is_lasting = work.ports.clock.now() - outage.since >= work.limits.unavailable_seconds
    postpone(work, shard, work.limits.circuit_seconds if is_lasting else MINUTE, unanswered=outage)


def _look_for_gone(work: Work, shard: Shard, cause: str) -> None:
    """Look again later for answers of *shard* that the provider does not show."""
    gone = again(shard.attempt.gone, cause, work.ports.clock.now())
    attempt = replace(shard.attempt, gone=gone)
    postpone(work, shard, work.limits.answers_retry_seconds, unanswered=None, attempt=attempt)


def _still_mine(work: Work, shard: Shard) -> Shard:
    """Return *shard* as it is now. Raises LeaseLost where another worker took it on: what failed here may be done by then.

    A file that is gone may have been deleted by another worker that collected it meanwhile.
    """
    read = read_shard(work, shard)
    if read.lease is None or read.lease.owner != work.ports.writer:
        raise LeaseLost(f"{shard.attempt.ticket} was taken on by another worker")
    return read


def _look(work: Work, shard: Shard) -> tuple[Shard, Batch | None] | None:
    """Return *shard* and its batch as it is now, without one where there is none to ask for; None where it must wait."""
    if not shard.attempt.batch or (shard.reason is not None and not shard.is_stuck):
        return shard, None
    provider = open_provider(work)
    if provider is None:
        postpone(work, shard, work.limits.circuit_seconds)
        return None
    hang = may_fetch(work, provider)
    if hang is not None:
        _look_later(work, shard, ProviderUnavailable(hang.cause))
        return None
    believed = believe(work, provider, shard)
    if believed is None:
        return None
    batch = provider.batch(believed.attempt.batch)
    # Here too, because the worker that created it may have died before it could, or never heard of it.
    keep_proof(work, provider, batch.id)
    return believed, batch


def _derive(work: Work, planned: PlannedJob, shard: Shard, batch: Batch | None, *, is_fresh: bool) -> Harvest:
    give_up = work.ports.clock.now() - shard.attempt.batch_ended_at >= work.limits.answers_missing_seconds_max
    with archive(work.ports, work.limits, planned.job, shard, batch, is_fresh=is_fresh) as answers:
        return derive(work.ports, planned, shard, answers, batch, give_up_missing=give_up)


def _wait_for_gone(work: Work, shard: Shard, error: ProviderError) -> None:
    """Look again for a day for what the provider does not show; then its items fail. They may be paid: never sent again."""
    work.ports.log.warning("answers.not_found", job_id=shard.job, shard=shard.number, cause=str(error))
    if work.ports.clock.now() - shard.attempt.batch_ended_at < work.limits.answers_missing_seconds_max:
        _look_for_gone(work, shard, str(error))
        return
    message = (
        "The provider does not give the answers any more. They may have been paid for, so the requests are not sent again. "
        f"{provider_words(str(error))}"
    )
    move_shard(work, shard, GivenUp(shard.attempt.ticket, Reason("answers_gone", message)))


def _record(work: Work, planned: PlannedJob, shard: Shard, harvest: Harvest) -> None:
    """Move the shard and its job's counts in one write, so that the last of two shards that end together finishes the job.

    The worker that writes that finishes it: the same write leases the job.
    """
    done = Harvested(
        shard.attempt.ticket,
        harvest.again_lines,
        harvest.usage.input_tokens,
        harvest.counted,
        is_unpaid=harvest.is_unpaid,
    )
    unsent = 0 if shard.attempt.batch or shard.attempt.number > 1 else harvest.failed

    def recorded(read: Shard) -> Change | None:
        if (read.state, read.attempt.ticket) != (shard.state, shard.attempt.ticket):
            return None
        job = read_job(work, shard.job)
        now = work.now()
        spent = _spent(job, shard, harvest.usage)
        counted = ShardDone(
            harvest.succeeded, harvest.failed, is_last_attempt=not harvest.again_lines, unsent=unsent,
            spent_microdollars=spent, released_microdollars=read.reserved_microdollars,
        )  # fmt: skip
        moved, grown = advance(read, done, now), advance_job(job, counted, now)
        if grown.state is JobState.FINISHING:
            grown = leased(work, grown)
        writes = (Write(read, moved), Write(job, grown))
        return Change(writes, _quota_estimate(work, job, shard, harvest), day=day_settled(work, read, spent))

    settled = transact(work, shard, recorded)
    planned.job = settled.beside(Job) or planned.job
    if not settled.is_written:
        planned.forget(planned.keys.part(shard.number))
    log_transition(work, settled.row, done)
    work.ports.log.info(
        "shard.harvested", job_id=shard.job, shard=shard.number, attempt=shard.attempt.number, batch_id=shard.attempt.batch,
        succeeded=harvest.succeeded, failed=harvest.failed, again=harvest.again_lines, unknown=harvest.unknown,
    )  # fmt: skip
    _say_unbelieved(work, planned.job, shard, harvest)


def _say_unbelieved(work: Work, job: Job, shard: Shard, harvest: Harvest) -> None:
    """Record which of the provider's numbers are ignored, because they are absurd."""
    usage = harvest.usage
    if harvest.miscounted:
        work.ports.log.warning(
            "usage.not_believed",
            job_id=shard.job,
            shard=shard.number,
            batch_id=shard.attempt.batch,
            count=harvest.miscounted,
        )
    base_tokens = _base_tokens_counted(shard, harvest)
    is_odd = _is_whole(shard, harvest) and not is_usage(base_tokens, usage.input_tokens)
    is_long = not are_answer_tokens(harvest.counted, usage.output_tokens) and not are_answer_tokens(
        _answers_counted(job, shard, harvest), usage.output_tokens
    )
    if is_odd or is_long:
        work.ports.log.warning(
            "usage.not_learned", job_id=shard.job, shard=shard.number, batch_id=shard.attempt.batch, tokens=base_tokens,
            input_tokens=usage.input_tokens, output_tokens=usage.output_tokens,
        )  # fmt: skip


def _spent(job: Job, shard: Shard, usage: Usage) -> int:
    """Return what the provider's count comes to; 0 if the price is unknown."""
    rate = job.groups[shard.group].rate
    return cost_of(rate, usage.input_tokens, usage.output_tokens, usage.cached_tokens) or 0


def _quota_estimate(work: Work, job: Job, shard: Shard, harvest: Harvest) -> tuple[QuotaWrite, ...]:
    """Return what the batch teaches about estimates, and about answers.

    About estimates only where the provider counted nearly all of what was estimated.
    """
    usage, now = harvest.usage, work.ports.clock.now()
    is_whole = _is_whole(shard, harvest)
    if not is_whole and not usage.output_tokens:
        return ()
    quota = work.ports.ledger.quota(shard.account, shard.model)
    quota_estimate = quota.quota_estimate
    if is_whole:
        quota_estimate = after_usage(
            quota_estimate, job.task, _base_tokens_counted(shard, harvest), usage.input_tokens, now
        )
    if usage.output_tokens:
        answers = _answers_counted(job, shard, harvest)
        quota_estimate = after_answers(quota_estimate, job.task, answers, usage.output_tokens, now)
    return () if quota_estimate == quota.quota_estimate else (QuotaWrite(quota, quota_estimate),)


def _base_tokens_counted(shard: Shard, harvest: Harvest) -> int:
    """Return how many tokens bytes said of those items that the provider counted."""
    sent_base_tokens = shard.base_tokens * shard.sent_tokens // shard.tokens
    return sent_base_tokens * harvest.counted // shard.sent_items


def _answers_counted(job: Job, shard: Shard, harvest: Harvest) -> int:
    """Return how many answers those items have that the provider counted: some requests ask for several."""
    group = job.groups[shard.group]
    return harvest.counted * (group.lines + group.extra_answers) // group.lines


def _is_whole(shard: Shard, harvest: Harvest) -> bool:
    """Whether the provider counted nearly all of what was estimated."""
    return 10 * harvest.counted >= 9 * shard.sent_items and _base_tokens_counted(shard, harvest) > 0


def _finish(work: Work, planned: PlannedJob) -> bool:
    """Bring a job whose items all have an outcome to its end; return whether its status was written by that."""
    results = None
    if planned.job.state is JobState.FINISHING:
        with attempted(work, planned.job) as taken:
            planned.job = taken
            results = _merge(work, planned)
    if planned.job.state is JobState.NOTIFYING:
        planned.job = take_job_lease(work, planned.job)
        _notify(work, planned, results)
        return True
    return False


@dataclass(frozen=True, slots=True)
class _Delivered:
    """What was delivered, in hand: what the result files hold, and the shards that they are of."""

    results: Results
    shards: list[Shard]


def _merge(work: Work, planned: PlannedJob) -> _Delivered | None:
    """Write the results of the job and move it on; None where it is not ended by that, or ends without results."""
    job = planned.job
    end = given_up(job, work.limits)
    if end:
        work.ports.log.warning("job.stalled", job_id=job.id, attempt=job.stalled.attempts - 1)
        planned.job = move_job(work, job, end)
        return None
    shards = list(work.ports.ledger.shards(job.id))
    try:
        delivered = deliver_unsent(work, planned, shards)
        if delivered is None:
            return None
        planned.job = job = delivered
        is_gone = is_withheld_for_good(job, work.ports.clock.now(), work.limits)
        merged = merge(work.ports, planned, shards, waits_for_upload=not is_gone)
    except UploadWithheld as error:
        planned.job = await_upload(work, planned.job, error)
        return None
    except BrokenState as error:
        # The outcomes do not add up: our defect. The items that were written stay; a person has to look.
        work.ports.log.warning("job.broken", job_id=job.id, cause=str(error))
        planned.job = move_job(work, job, Broken(Reason("broken_state", str(error))))
        return None
    work.ports.log.info(
        "job.merged", job_id=job.id, succeeded=merged.succeeded, failed=merged.failed,
        input_tokens=sum(usage.input_tokens for usage in merged.usage.values()),
        output_tokens=sum(usage.output_tokens for usage in merged.usage.values()),
    )  # fmt: skip
    planned.job = move_job(work, job, Merged(merged.succeeded, merged.failed))
    return _Delivered(merged, shards)


def _notify(work: Work, planned: PlannedJob, delivered: _Delivered | None) -> None:
    """Publish the job's pending notification, then say so. A crash between the two sends a second copy with the same id.

    The status follows it, and says ENDED only then: while a notification cannot be sent, a job has not ended.
    """
    job = planned.job
    shards = delivered.shards if delivered else list(work.ports.ledger.shards(job.id))
    results = delivered.results if delivered else _read_results(planned)
    location = f"s3://{work.ports.results_bucket}/{planned.keys.results}"
    work.ports.notifications.publish(render(job, results, location))
    put_status(work, advance_job(job, Notified(), work.now()), shards)
    planned.job = move_job(work, job, Notified())
    work.ports.log.info("job.ended", job_id=job.id, state=job.event)


def _read_results(planned: PlannedJob) -> Results:
    """Return what an invocation before this one delivered; nothing where the job was rejected."""
    summary = planned.read(planned.keys.summary)
    return results_of_summary(summary) if summary else Results()
