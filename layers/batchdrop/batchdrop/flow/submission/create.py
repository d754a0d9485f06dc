"""Creates a batch once: the worker's side of the protocol. `recover` is the other side.

    RESERVED ──(upload the input, named after the ticket)──► UPLOADED ──(write the intent)──► CREATING ──(one POST)──► answer

Rule: the intent is durable before the call, the call is made once, and what is not a definite answer stays CREATING until
`recover` finds the batch or fences the call off. `create_batch` is called here and nowhere else.
"""

import tempfile
from contextlib import suppress
from typing import Final

from batchdrop.core.model.batches import Accepted, CreateAnswer, Declined, NotSent, Uncertain
from batchdrop.core.model.errors import (
    DiskFull,
    IllegalTransition,
    KeyRefused,
    LeaseLost,
    NotAtProvider,
    ProviderRefused,
    ProviderSilent,
    ProviderUnavailable,
    Superseded,
)
from batchdrop.core.model.install import Asked
from batchdrop.core.model.limits import MINUTE, Limits
from batchdrop.core.model.reasons import Reason
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.planning.requests import sent_lines
from batchdrop.core.submission.batch_signals import is_duplicate, read_refusal, read_upload_refusal
from batchdrop.core.submission.dedupe import SentOnce
from batchdrop.core.submission.refusals import is_account_refused
from batchdrop.core.submission.refusing import DISK_FULL
from batchdrop.core.submission.shard_events import (
    NOTHING_SAVED,
    BatchFound,
    CreateTurnedAway,
    InputUnusable,
    InputUploaded,
    SendRefused,
)
from batchdrop.flow.admission.admit import is_idle_but_for
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.ports import Provider
from batchdrop.flow.submission.cancel import ask_to_cancel
from batchdrop.flow.submission.circuit_breaker import (
    close_circuit,
    end_hang,
    is_circuit_known,
    keep_proof,
    may_create,
    note_hang,
    note_refusal,
    open_circuit,
)
from batchdrop.flow.submission.disk import full_disk_told
from batchdrop.flow.submission.duplicates import note_duplicate
from batchdrop.flow.submission.refused import obey
from batchdrop.flow.unit_of_work import (
    Work,
    intend_create,
    move_shard,
    postpone,
    read_shard,
    take_shard_lease,
    unanswered,
)

# How often the status of a file is read that is not processed yet: with each tick.
FILE_LOOK_SECONDS: Final = 30
# Where the SDK, too, waits no longer (`files.wait_for_processing`), and what a server may say instead of `error`. Anything else
# is on its way: Azure says `pending` (https://learn.microsoft.com/en-us/answers/questions/2203029, 2026-11-22).
FILE_STATUSES_FINAL: Final = frozenset({"processed", "error", "failed", "deleted"})

_SENDABLE: Final = frozenset({ShardState.RESERVED, ShardState.UPLOADED})


def send(work: Work, provider: Provider, shard: Shard, planned: PlannedJob) -> Shard:
    """Bring *shard* of the job *planned* as far towards RUNNING as this invocation can, and return it as it is then.

    May be repeated at any time and by anybody: each step is conditional on the shard's state and ticket.
    """
    if shard.state not in _SENDABLE:
        return shard
    allowed = may_create(work, provider)
    if allowed is None:
        return _stood_back(work, shard)
    work = allowed
    try:
        shard = take_shard_lease(work, shard)
        if shard.state is ShardState.RESERVED:
            shard = _upload(work, provider, shard, planned)
        return _create(work, provider, shard, planned)
    except (IllegalTransition, LeaseLost, Superseded) as error:
        work.ports.log.info("shard.left", job_id=shard.job, shard=shard.number, cause=str(error))
    except KeyRefused as error:
        note_refusal(work, provider, error, Asked.SEND)
        now = read_shard(work, shard)
        if now.state in _SENDABLE:
            postpone(work, now, work.limits.circuit_seconds)
    except ProviderRefused as error:
        work.ports.log.warning(
            "upload.refused",
            job_id=shard.job,
            shard=shard.number,
            ticket=shard.attempt.ticket,
            status=error.status,
            code=error.code,
        )
        obey(work, provider, read_shard(work, shard), read_upload_refusal(error, shard))
    except DiskFull as error:
        work.ports.log.warning("disk.full", job_id=shard.job, shard=shard.number, cause=str(error))
        obey(work, provider, read_shard(work, shard), SendRefused(shard.attempt.ticket, DISK_FULL))
    except ProviderUnavailable as error:
        work.ports.log.warning("provider.unavailable", job_id=shard.job, shard=shard.number, cause=str(error))
        _postpone_failed(work, read_shard(work, shard), error)
    return read_shard(work, shard)


def _stood_back(work: Work, shard: Shard) -> Shard:
    """Return *shard*, due again in a minute: others may be woken first, and the message that came for it is spent."""
    lease = shard.lease
    is_taken = lease is not None and lease.until > work.ports.clock.now() and lease.owner != work.ports.writer
    with suppress(LeaseLost):
        return shard if is_taken else postpone(work, shard, MINUTE)
    return read_shard(work, shard)


def _postpone_failed(work: Work, shard: Shard, error: ProviderUnavailable) -> None:
    """Leave *shard* for later. If its upload failed, each time for longer, because its bytes go all over again.

    Where it was stopped meanwhile, because its job was cancelled, nothing is left to be done.
    """
    if shard.state not in _SENDABLE:
        return
    outage = unanswered(work, shard, error)
    if shard.state is not ShardState.RESERVED:
        postpone(work, shard, MINUTE, unanswered=outage)
        return
    wait_seconds = min(MINUTE << min(shard.failed_uploads, 16), work.limits.upload_backoff_seconds_max)
    postpone(work, shard, wait_seconds, unanswered=outage, failed_uploads=shard.failed_uploads + 1)


def answer_seconds(size_bytes: int, failed_uploads: int, limits: Limits) -> int:
    """Return how long the answer to an upload may be waited for: longer after each that was in vain."""
    first = limits.upload_answer_seconds + size_bytes // limits.upload_answer_bytes_per_second
    return min(first << min(failed_uploads, 8), limits.upload_answer_seconds_max)


def _upload(work: Work, provider: Provider, shard: Shard, planned: PlannedJob) -> Shard:
    lines = planned.lines(shard)
    once = SentOnce(lines) if planned.job.options.dedupe else None
    with full_disk_told(), tempfile.TemporaryFile() as spool:
        for line in sent_lines(once or lines, shard.endpoint, provider.dialect):
            spool.write(line)
        wait_seconds = answer_seconds(spool.tell(), shard.failed_uploads, work.limits)
        total_seconds = wait_seconds + spool.tell() // work.limits.upload_bytes_per_second_min
        spool.seek(0)
        name = f"{shard.attempt.ticket}.jsonl"
        try:
            file = provider.upload_input(
                name,
                spool,
                work.limits.input_file_lifetime_seconds,
                answer_seconds=wait_seconds,
                total_seconds=total_seconds,
            )
        except ProviderSilent as error:
            note_hang(work, provider, str(error))
            raise
        end_hang(work)
    saving = once.saving(shard) if once else NOTHING_SAVED
    return move_shard(
        work, shard, InputUploaded(shard.attempt.ticket, file, provider.base_url, provider.fingerprint, saving)
    )


def _create(work: Work, provider: Provider, shard: Shard, planned: PlannedJob) -> Shard:
    if (shard.base_url, shard.fingerprint) != (provider.base_url, provider.fingerprint):
        return move_shard(work, shard, InputUnusable(shard.attempt.ticket))
    limits = work.limits
    if work.ports.clock.remaining_seconds() < limits.create_timeout_seconds + limits.create_margin_seconds:
        return postpone(work, shard, 0)
    if provider.dialect.waits_for_processed and not _is_processed(work, provider, shard):
        return postpone(work, shard, FILE_LOOK_SECONDS)
    shard = intend_create(work, shard, planned.job)
    if shard.state is not ShardState.CREATING:
        return shard
    answer = provider.create_batch(
        file=shard.attempt.file.id,
        endpoint=shard.endpoint,
        metadata={"ticket": shard.attempt.ticket, "job": shard.job, "shard": str(shard.number)},
    )
    return _record(work, provider, shard, answer)


def _is_processed(work: Work, provider: Provider, shard: Shard) -> bool:
    """Whether to make a batch of the file, which was uploaded just before: once it is processed, or was waited for long enough.

    What was not processed by then, or never will be, the create says in the provider's own words.
    """
    if work.ports.clock.now() - shard.attempt.file.uploaded_at >= work.limits.file_visible_seconds_max:
        return True
    try:
        status = provider.file_status(shard.attempt.file.id)
    except NotAtProvider:
        return False  # not visible yet
    except ProviderRefused:
        return True
    return status in FILE_STATUSES_FINAL


def _record(work: Work, provider: Provider, shard: Shard, answer: CreateAnswer) -> Shard:
    """Write down what the create call said. What is uncertain stays CREATING: only `recover` may continue from there."""
    if isinstance(answer, Uncertain) and answer.is_silent:
        note_hang(work, provider, answer.cause, is_of_create=True)
    else:
        end_hang(work, is_of_create=True)
    if isinstance(answer, Accepted):
        work.ports.log.info(
            "batch.created", job_id=shard.job, shard=shard.number, ticket=shard.attempt.ticket, batch_id=answer.batch.id,
            request_id=answer.request_id,
        )  # fmt: skip
        after = _adopt(work, shard, BatchFound(answer.batch, shard.attempt.ticket))
        keep_proof(work, provider, answer.batch.id)
        if is_circuit_known(work, provider):
            close_circuit(work, provider)
        is_unwanted = after.is_cancelled and after.state is ShardState.RUNNING
        return ask_to_cancel(work, provider, after) if is_unwanted else after
    if isinstance(answer, Declined):
        if is_account_refused(answer.status, answer.code):
            open_circuit(work, provider, Reason(answer.code or f"http_{answer.status}", answer.message))
        event = read_refusal(answer, shard, work.ports.clock.now(), work.limits, is_idle=is_idle_but_for(work, shard))
        if isinstance(event, CreateTurnedAway) and event.asked_seconds:
            _say_long_wait(work, shard, answer)
        return obey(work, provider, shard, event)
    if isinstance(answer, NotSent):
        work.ports.log.warning("provider.unavailable", job_id=shard.job, shard=shard.number, cause=answer.cause)
        return obey(work, provider, shard, CreateTurnedAway(shard.attempt.ticket, MINUTE, answer.cause))
    work.ports.log.warning(
        "create.uncertain", job_id=shard.job, shard=shard.number, ticket=shard.attempt.ticket, cause=answer.cause
    )
    return shard


def _say_long_wait(work: Work, shard: Shard, declined: Declined) -> None:
    work.ports.log.warning(
        "create.asked_to_wait", job_id=shard.job, shard=shard.number, status=declined.status, code=declined.code,
        retry_after_seconds=declined.retry_after_seconds, seconds=work.limits.retry_after_seconds_max,
    )  # fmt: skip


def _adopt(work: Work, shard: Shard, found: BatchFound) -> Shard:
    """Take the batch, unless the shard has another by now: that is reported, and nothing is touched."""
    try:
        return move_shard(work, shard, found)
    except (IllegalTransition, Superseded):
        now = read_shard(work, shard)
        is_beside = is_duplicate(now, found.batch, found.ticket)
        return note_duplicate(work, now, found.batch, found.ticket) if is_beside else now
