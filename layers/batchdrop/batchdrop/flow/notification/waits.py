"""Notifies people that a job, or the whole installation, waits for something that they can put right, or for their approval.

Rule: a row says that a notification is pending before it is sent, and until it is known to be sent; the row is the outbox.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from batchdrop.core.admission.budget import allowed_microdollars
from batchdrop.core.delivery.job_lifecycle import HoldTold, JobCancelled, advance_job, may_expire
from batchdrop.core.model.install import Install, circuit_key
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.reasons import Reason, Refusal
from batchdrop.core.model.shard import Shard
from batchdrop.core.notification.notifications import render_common_wait, render_hold, render_wait
from batchdrop.core.submission.common_waits import (
    Cause,
    after_cause,
    cause_of,
    hang_of,
    outage_of,
    to_be_told,
    waiting_jobs,
)
from batchdrop.core.submission.common_waits import told as told_of
from batchdrop.core.submission.day_waits import after_day
from batchdrop.core.submission.refusing import refused_models, waited_for
from batchdrop.core.submission.shard_waits import reason_to_tell
from batchdrop.core.submission.waits import hold_expired, owed, owed_hold, told, waits_for_one, waits_for_refused
from batchdrop.flow.admission.admit import Admission
from batchdrop.flow.ports import Provider
from batchdrop.flow.unit_of_work import Work, change_install, move_job, read_job, transact


def note_common_wait(work: Work, jobs: Sequence[Job], shards: Sequence[Shard], found: Provider | Reason) -> Work:
    """Write what holds up jobs of the whole installation, ask for the notification about it, and return *work* as it is then.

    However many jobs wait, it is one write where a cause begins or ends and none otherwise. *found* is the provider, or why
    there is no key for it.
    """
    if isinstance(found, Reason):
        cause = cause_of(None, found)
    else:
        circuit = work.install.circuits.get(circuit_key(found.base_url, found.fingerprint))
        cause = cause_of(circuit, None)
    now, limits, base_url = work.ports.clock.now(), work.limits, work.ports.providers.base_url
    outage = outage_of(work.install.unanswered, shards, now, limits)
    if outage is None or not outage.is_for_all:
        outage = hang_of(work.install.hang, base_url, now, limits) or outage
    cause = cause or outage
    return _noted(work, cause, waiting_jobs(cause, jobs, shards) if cause else 0)


def end_common_wait(work: Work) -> Work:
    """Return *work* with nothing that holds jobs up: there are none."""
    return _noted(work, None, 0) if work.install.wait else work


def note_day_wait(work: Work, jobs: Sequence[Job], admission: Admission) -> Work:
    """Write that jobs wait for another day's money, once a day, ask for the notification, and return *work* as it is then.

    Where more began to wait in this tick than it may write statuses of, those of all jobs are written again, some a tick.
    """
    if not admission.is_asked:
        return work
    now, limits = work.ports.clock.now(), work.limits
    waiting = [job for job in jobs if job.id in admission.day_spent]
    are_many = len(admission.noted) > limits.statuses_per_tick_max

    def after(install: Install) -> Install:
        moved = after_day(install, waiting, now, limits)
        asked = to_be_told(moved.day_wait, now, limits) if waiting else None
        statuses_after = "" if are_many else moved.statuses_after
        return replace(moved, day_wait=asked or moved.day_wait, statuses_after=statuses_after)

    return _changed(work, after)


def _noted(work: Work, cause: Cause | None, jobs: int) -> Work:
    now, limits = work.ports.clock.now(), work.limits

    def after(install: Install) -> Install:
        moved = after_cause(install, cause, jobs, now, limits)
        return replace(moved, wait=to_be_told(moved.wait, now, limits) or moved.wait)

    return _changed(work, after)


def _changed(work: Work, after: Callable[[Install], Install]) -> Work:
    """Write what *after* makes of the installation's row, and ask a worker to send the notification that this makes pending."""
    if after(work.install) == work.install:
        return work
    before, now = work.install, work.ports.clock.now()
    install = change_install(work, after) or work.ports.ledger.install() or before
    for was, wait in ((before.wait, install.wait), (before.day_wait, install.day_wait)):
        if wait and wait != was and wait.asked_at == now:
            work.ports.log.warning("installation.waits", code=wait.reason.code, jobs=wait.jobs)
            work.ports.wakeups.tell()
    return replace(work, install=install)


def note_refusals(work: Work, jobs: Sequence[Job], shards: Sequence[Shard]) -> set[str]:
    """Write to *jobs* which refusal of the provider they wait for, where that is new, and return the ids of those."""
    by_job: dict[str, list[Shard]] = {}
    for shard in shards:
        by_job.setdefault(shard.job, []).append(shard)
    models = refused_models(shards)
    noted = set()
    for job in jobs:
        refusal = waited_for(job, by_job.get(job.id, ()), models, work.ports.clock.now(), work.limits)
        if not work.may_go_on():
            break
        if waits_for_refused(job, refusal) != job and _note_refusal(work, job, refusal):
            noted.add(job.id)
    return noted


def note_shard_waits(work: Work, jobs: Sequence[Job], shards: Sequence[Shard]) -> None:
    """Write to *jobs* what one of their shards has waited for, for long, so that people are notified: once for each cause."""
    by_job: dict[str, list[Shard]] = {}
    for shard in shards:
        by_job.setdefault(shard.job, []).append(shard)
    for job in jobs:
        reason = reason_to_tell(by_job.get(job.id, ()), work.ports.clock.now(), work.limits)
        if reason and work.may_go_on() and waits_for_one(job, reason) != job:
            note_wait(work, job.id, reason)


def _note_refusal(work: Work, job: Job, refusal: Refusal | None) -> bool:
    is_new = transact(work, read_job(work, job.id), lambda read: waits_for_refused(read, refusal)).is_written
    if is_new and refusal and refusal.reason.code != job.waiting.code:
        work.ports.log.warning("job.waits", job_id=job.id, code=refusal.reason.code)
    return is_new


def tell_common_wait(work: Work) -> None:
    """Publish the installation's pending notifications, then say so. A crash between the two sends a copy with the same id."""
    for wait in (work.install.wait, work.install.day_wait):
        if wait and not wait.is_told:
            work.ports.notifications.publish(render_common_wait(wait))
            change_install(work, partial(told_of, number=wait.number))
            work.ports.log.info("wait.told", code=wait.reason.code, jobs=wait.jobs)


def note_wait(work: Work, job: str, cause: Reason) -> None:
    """Write to *job* that some of it waits for *cause*, once."""
    if transact(work, read_job(work, job), lambda read: waits_for_one(read, cause)).is_written:
        work.ports.log.warning("job.waits", job_id=job, code=cause.code)


def tell_waits(work: Work, job: Job) -> Job:
    """Publish each pending notification of *job*, then say so, and return its row.

    A crash between the two sends a second copy with the same id.
    """
    location = f"s3://{work.ports.results_bucket}/{Keys(job.id, job.key).results}"
    for number, reason in owed(job).items():
        work.ports.notifications.publish(render_wait(job, number, reason, location))
        job = _tell(work, job, number)
        work.ports.log.info("wait.told", job_id=job.id, code=reason.code)
    return job


def tell_hold(work: Work, job: Job) -> Job:
    """Publish the notification that *job* is held, then say so, and return its row.

    A crash between the two sends a second copy with the same id.
    """
    hold = owed_hold(job)
    if hold is None:
        return job
    location = f"s3://{work.ports.results_bucket}/{Keys(job.id, job.key).results}"
    expires_at = hold.since + work.limits.hold_seconds_max
    work.ports.notifications.publish(
        render_hold(job, hold, allowed_microdollars(job, work.limits), expires_at, location)
    )
    job = move_job(work, job, HoldTold(hold.number))
    work.ports.log.info("hold.told", job_id=job.id, count=hold.number)
    return job


def expire_holds(work: Work, jobs: Sequence[Job]) -> list[Job]:
    """End each of *jobs* that was held for the longest time allowed; return all of them as they are then."""
    return [_expired(work, job) if may_expire(job, work.now()) else job for job in jobs]


def _expired(work: Work, job: Job) -> Job:
    """Return *job* cancelled, unless a person approved it meanwhile: the row that was listed may be old."""
    event = JobCancelled(hold_expired(work.limits))
    settled = transact(
        work, job, lambda read: advance_job(read, event, work.now()) if may_expire(read, work.now()) else None
    )
    if settled.is_written:
        work.ports.log.warning("hold.expired", job_id=job.id)
    return settled.row


def _tell(work: Work, job: Job, number: int) -> Job:
    # It may have ended meanwhile.
    return transact(work, job, lambda read: told(read, number) if number in owed(read) else None).row
