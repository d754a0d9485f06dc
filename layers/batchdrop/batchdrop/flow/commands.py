"""Does what a person asks of a job. An empty object `control/<job>/<word>` in the inbox bucket asks for something.

Rule: what is asked for is written to the job's row, on condition that it still makes sense there, before anything is done about
it; so a word may come twice, late or while others work. What makes no sense, or not any more, is logged and changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping

from batchdrop.core.delivery.job_lifecycle import (
    Approved,
    JobCancelled,
    JobEvent,
    Retried,
    advance_job,
    may_be_approved,
    may_be_cancelled,
    may_be_retried,
)
from batchdrop.core.model.errors import (
    IllegalTransition,
    KeyRefused,
    LeaseLost,
    ProviderRefused,
    ProviderUnavailable,
    Superseded,
)
from batchdrop.core.model.install import Asked
from batchdrop.core.model.job import Job
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.flow.delivery.status import write_status
from batchdrop.flow.ports import Ports, Provider
from batchdrop.flow.submission.cancel import ask_to_cancel, stop_shards
from batchdrop.flow.submission.circuit_breaker import believe, note_refusal, open_provider
from batchdrop.flow.submit import Continued, admit_and_send, continue_job
from batchdrop.flow.unit_of_work import Work, begin, read_job, transact


def handle_command(ports: Ports, limits: Limits, job: str, word: str) -> None:
    """Do what *word* asks of *job*. May be repeated."""
    if ports.ledger.job(job) is None:
        ports.log.warning("control.ignored", job_id=job, reason="no such job")
        return
    action = _ACTIONS.get(word)
    if action is None:
        ports.log.warning("control.ignored", job_id=job, reason="unknown word")
        return
    work = begin(ports, limits)
    done = action(work, job)
    write_status(work, job, *((done.job, done.shards) if done else ()))


def _cancel(work: Work, job: str) -> Continued | None:
    """Cancel *job*; what a crash leaves undone behind the first write, poll does."""
    if not _record(work, job, JobCancelled(), may_be_cancelled, "it is over, or was cancelled before"):
        return None
    work.ports.log.info("job.cancelled", job_id=job)
    stopped = stop_shards(work, work.ports.ledger.shards(job))
    running = [shard for shard in stopped if shard.state is ShardState.RUNNING]
    provider = open_provider(work) if running else None
    if provider is not None:
        _stop_batches(work, provider, running)
    return None


def _stop_batches(work: Work, provider: Provider, running: Iterable[Shard]) -> None:
    """Ask for the batches of *running* to be stopped at once: poll would do it a minute later, and continues where this ends."""
    try:
        for shard in running:
            believed = believe(work, provider, shard) if work.may_go_on() else None
            if believed:
                ask_to_cancel(work, provider, believed)
    except KeyRefused as error:
        note_refusal(work, provider, error, Asked.LOOK)
    except (IllegalTransition, LeaseLost, ProviderRefused, ProviderUnavailable, Superseded) as error:
        work.ports.log.info("cancel.left", cause=str(error))


def _approve(work: Work, job: str) -> Continued | None:
    """Approve a held *job*, and send what there is quota for at once."""
    row = _record(work, job, Approved(), may_be_approved, "it is not held: nothing is to be approved")
    if row is None:
        return None
    work.ports.log.info("job.approved", job_id=job)
    return admit_and_send(work, work.open(row))


def _retry(work: Work, job: str) -> Continued | None:
    """Start *job* again where it was rejected for what may have passed."""
    reason = "it was not rejected, or not for a reason that may have passed; failed records can be dropped again"
    row = _record(work, job, Retried(), may_be_retried, reason)
    if row is None:
        return None
    work.ports.log.info("job.retried", job_id=job)
    return continue_job(work, row)


def _record(work: Work, job: str, event: JobEvent, may_be: Callable[[Job], bool], otherwise: str) -> Job | None:
    """Move *job* by *event* where it *may be*, and return its row; log *otherwise* where it may not, and return None."""
    settled = transact(
        work, read_job(work, job), lambda read: advance_job(read, event, work.now()) if may_be(read) else None
    )
    if settled.is_written:
        return settled.row
    work.ports.log.info("control.ignored", job_id=job, reason=otherwise)
    return None


_ACTIONS: Mapping[str, Callable[[Work, str], Continued | None]] = {
    "approve": _approve,
    "cancel": _cancel,
    "retry": _retry,
}
