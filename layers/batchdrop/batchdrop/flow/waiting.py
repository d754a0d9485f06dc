"""Telling people that a job waits for something that they can put right, or for their approval.

Rule: what is owed stands in the job's row before anybody is told, and until it is known that they were; the row is the outbox.
"""

from collections.abc import Sequence

from batchdrop.core.errors import LeaseLost
from batchdrop.core.job_lifecycle import Cancelled, HoldTold, advance_job, may_expire
from batchdrop.core.jobs import Keys
from batchdrop.core.ledger_rows import Change, Job, Shard, Write, circuit_key
from batchdrop.core.money import allowed_microdollars
from batchdrop.core.notices import render_hold, render_wait
from batchdrop.core.waiting import cause_of, hold_expired, jobs_to_send, owed, owed_hold, told, waits
from batchdrop.flow.ports import Provider
from batchdrop.flow.steps import Work, keep_job, move_job, read_job, settle, written


def note_waits(work: Work, jobs: Sequence[Job], shards: Sequence[Shard], provider: Provider | None) -> list[Job]:
    """Write to *jobs* what they wait for, and return all of them as they are now. *provider* is None without a key."""
    circuit = work.install.circuits.get(circuit_key(provider.base_url, provider.fingerprint)) if provider else None
    cause = cause_of(circuit.reason if circuit else None, is_key_there=provider is not None)
    to_send = jobs_to_send(jobs, shards)
    now = work.ports.clock.now()
    return [_noted(work, job, waits(job, cause, now, is_to_send=job.id in to_send)) for job in jobs]


def _noted(work: Work, before: Job, after: Job) -> Job:
    if after == before:
        return before
    try:
        noted = keep_job(
            work, before, waits=after.waits, waiting_for=after.waiting_for, waiting_since=after.waiting_since
        )
    except LeaseLost:
        return before  # somebody else moved it: the next tick looks again
    if noted.waits != before.waits:
        work.ports.log.warning("job.waits", job_id=noted.id, code=noted.waits[-1].reason.code)
    return noted


def tell_waits(work: Work, job: Job) -> None:
    """Publish each notice that *job* owes, then say so. A crash between the two sends a second copy with the same id."""
    location = f"s3://{work.ports.results_bucket}/{Keys(job.id, job.key).results}"
    for number, reason in owed(job).items():
        work.ports.notices.publish(render_wait(job, number, reason, location))
        _tell(work, job, number)
        work.ports.log.info("wait.told", job_id=job.id, code=reason.code)


def tell_hold(work: Work, job: Job) -> None:
    """Publish the notice that *job* is held, then say so. A crash between the two sends a second copy with the same id."""
    hold = owed_hold(job)
    if hold is None:
        return
    location = f"s3://{work.ports.results_bucket}/{Keys(job.id, job.key).results}"
    expires_at = hold.since + work.limits.hold_seconds_max
    work.ports.notices.publish(render_hold(job, hold, allowed_microdollars(job, work.limits), expires_at, location))
    move_job(work, job, HoldTold(hold.number))
    work.ports.log.info("hold.told", job_id=job.id, count=hold.number)


def expire_holds(work: Work, jobs: Sequence[Job]) -> list[Job]:
    """End each of *jobs* that was held for so long that nobody will approve of it; return all of them as they are then."""
    return [_expired(work, job) if may_expire(job, work.now()) else job for job in jobs]


def _expired(work: Work, job: Job) -> Job:
    """Return *job* cancelled, unless somebody approved of it meanwhile: the row that was listed may be old."""
    rows = iter([job])

    def decide() -> Change | None:
        read = next(rows, None) or read_job(work, job.id)
        if not may_expire(read, work.now()):
            return None
        cancelled = advance_job(read, Cancelled(hold_expired(work.limits)), work.now())
        return Change((Write(read, written(work.ports, cancelled)),))

    if settle(work.ports, decide) is not None:
        work.ports.log.warning("hold.expired", job_id=job.id)
    return read_job(work, job.id)


def _tell(work: Work, job: Job, number: int) -> None:
    def decide() -> Change | None:
        read = read_job(work, job.id)
        after = told(read, number)
        return None if after == read else Change((Write(read, written(work.ports, after)),))

    settle(work.ports, decide)
