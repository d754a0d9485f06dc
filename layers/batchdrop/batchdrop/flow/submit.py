"""Submits: an upload becomes a job, its records become chunks, and what there is quota for becomes batches.

Rule: the job's row is written before anything is read, so that whatever dies from here on, poll finds the job. An upload
that cannot be used ends as a job with one notification, never as an error that the queue would try again.
"""

from dataclasses import dataclass

from batchdrop.core.delivery.job_lifecycle import JobEvent, Rejected, TaskAwaited, given_up, is_withheld_for_good
from batchdrop.core.model.errors import Conflict, IllegalTransition, LeaseLost, UploadRejected, UploadWithheld
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.keys import (
    NO_TASK,
    Upload,
    is_ignored,
    is_key_plain,
    is_key_too_long,
    is_of_results,
    named_version,
)
from batchdrop.core.model.limits import UPLOAD_KEY_BYTES_MAX, Limits
from batchdrop.core.model.reasons import Reason, WaitingFor
from batchdrop.core.model.shard import Shard
from batchdrop.core.model.wording import listed, shown_name
from batchdrop.flow.admission.admit import admit_fresh, held_up, note_waiting
from batchdrop.flow.admission.budget import page_planned
from batchdrop.flow.delivery.status import write_status
from batchdrop.flow.planned_job import PlannedJob, upload_of
from batchdrop.flow.planning.plan import pin_task, plan_pages
from batchdrop.flow.planning.withheld import await_upload, rejection
from batchdrop.flow.ports import Ports
from batchdrop.flow.submission.circuit_breaker import BreakerState, breaker_state, open_provider, upload_state
from batchdrop.flow.submission.create import send
from batchdrop.flow.unit_of_work import Work, attempted, begin, keep_job, leased, move_job, write_new

_STATUS_SECONDS = 10  # planning that takes longer is notified before what is planned is sent
_TASK_LOOK_SECONDS = 20  # how often a task that is not there yet is looked for


def handle_upload(ports: Ports, limits: Limits, upload: Upload) -> None:
    """Begin the job of *upload*, or carry on with it where the event comes again."""
    if is_ignored(upload.key):
        ports.log.info("drop.ignored", key_bytes=len(upload.key.encode()))
        return
    work = begin(ports, limits)
    fresh = Job(
        id=upload.job_id, bucket=upload.bucket, key=upload.key, version=upload.version, task=upload.task,
        created_at=ports.clock.now(), due_at=ports.clock.now(),
    )  # fmt: skip
    begun = write_new(work, leased(work, fresh))
    if begun is not None:
        ports.log.info("job.began", job_id=fresh.id, task=fresh.task)
    else:
        begun = ports.ledger.job(fresh.id)
        if begun is None:
            raise Conflict(
                f"the rows of the table stay busy, and that of job {fresh.id} was not taken: the message comes again"
            )
        ports.log.info("job.known", job_id=fresh.id)
    _continue_told(work, begun)


def handle_wakeup(ports: Ports, limits: Limits, job: str, shard: int | None) -> None:
    """Carry on with a job that is being planned, or with a shard that is to be sent."""
    found = ports.ledger.job(job)
    if found is None:
        ports.log.warning("wakeup.ignored", job_id=job)
        return
    work = begin(ports, limits)
    if shard is None:
        _continue_told(work, found)
        return
    row = ports.ledger.shard(job, shard)
    provider = open_provider(work)
    if row is not None and provider is not None:
        send(work, provider, row, work.open(found))
        write_status(work, job)


def _continue_told(work: Work, job: Job) -> None:
    """Carry on with *job*, and write its status where anything was done."""
    done = continue_job(work, job)
    if done is not None:
        write_status(work, job.id, done.job, done.shards)


@dataclass(slots=True)
class Continued:
    """What an invocation did with a job: its row as it is then, and all of its shards where they are in hand."""

    job: Job
    shards: list[Shard] | None = None


def continue_job(work: Work, job: Job) -> Continued | None:
    """Plan *job* from where planning stopped, then send what there is quota for; None where there was nothing to do."""
    if job.state is not JobState.PLANNING:
        return None
    began_at = work.ports.clock.now()
    try:
        with attempted(work, job) as taken:
            planned = work.open(taken)
            end = given_up(taken, work.limits)
            row = _give_up(work, taken, end) if end else _plan(work, planned)
    except (LeaseLost, IllegalTransition) as error:
        work.ports.log.info("job.left", job_id=job.id, cause=str(error))
        return None
    if row.state is JobState.HELD:
        work.ports.log.warning("job.held", job_id=job.id)
    if row.state is not JobState.RUNNING:
        return Continued(row)
    if work.ports.clock.now() - began_at >= _STATUS_SECONDS:
        write_status(work, job.id, row)  # sending may take as long again
    planned.job = row
    return admit_and_send(work, planned)


def _give_up(work: Work, job: Job, end: JobEvent) -> Job:
    """Return *job* rejected: what killed attempt after attempt would kill the next."""
    work.ports.log.warning("job.stalled", job_id=job.id, attempt=job.stalled.attempts - 1)
    return move_job(work, job, end)


def _plan(work: Work, planned: PlannedJob) -> Job:
    """Return the job as far as planning brought it: RUNNING, FINISHING, rejected, or still PLANNING when time ran out."""
    job = planned.job
    try:
        _check_upload(work, job)
        planned.job = pinned = _pin_task(work, planned)
        if pinned.waiting.cause == WaitingFor.TASK:
            return pinned
        for page in plan_pages(planned, should_stop=lambda: not work.may_go_on()):
            planned.job = pinned = move_job(work, pinned, page_planned(work, pinned, page))
        if pinned.state is JobState.PLANNING:
            # Time ran out: the due index brings it back, and the lease must not keep the next worker away.
            return keep_job(work, pinned, lease=None, due_at=work.ports.clock.now())
    except UploadRejected as error:
        return _rejected(work, planned.job, error)
    work.ports.log.info("job.planned", job_id=job.id, items=pinned.items, refused=pinned.refused)
    return pinned


def _rejected(work: Work, job: Job, error: UploadRejected) -> Job:
    """Return *job* rejected, or waiting where S3 may still give its upload."""
    if isinstance(error, UploadWithheld) and not is_withheld_for_good(job, work.ports.clock.now(), work.limits):
        return await_upload(work, job, error)
    work.ports.log.warning("job.rejected", job_id=job.id, code=error.code)
    return move_job(work, job, Rejected(Reason(error.code, rejection(error, work.limits))))


def _check_upload(work: Work, job: Job) -> None:
    """Refuse what must not be started. Raises UploadRejected."""
    upload = upload_of(job)
    if not named_version(upload.version):
        message = (
            "The inbox bucket has no versioning: an overwrite could change what is being read. Turn it on, drop again."
        )
        raise UploadRejected("unversioned", message)
    if is_key_too_long(upload.key):
        message = f"The key is longer than {UPLOAD_KEY_BYTES_MAX} bytes: names of results would be too long. Use a shorter one."
        raise UploadRejected("key_too_long", message)
    if is_of_results(upload.key):
        message = (
            "A part of the key looks like the id of a job, as in results that were copied back into the inbox: they are "
            "not asked again. If this is a file of your own, rename that part."
        )
        raise UploadRejected("key_of_results", message)
    if not is_key_plain(upload.key):
        message = "The key has an empty part, a part `.` or `..`, or a control character, and cannot be read safely. Rename it."
        raise UploadRejected("key_unusable", message)
    put_at = work.ports.storage.upload_modified_at(upload)
    if job.retries:
        return  # a person knows how old it is
    if put_at < work.install.started_at or job.created_at - put_at > work.limits.old_drop_seconds:
        # After a restore or a late redrive it may have been paid for already: only a person starts it.
        message = "The upload is older than this installation or 7 days and may have been done before. Drop it again or retry it."
        raise UploadRejected("too_old", message)


def _pin_task(work: Work, planned: PlannedJob) -> Job:
    """Return the job with its task copied, or waiting for the task to come. Raises UploadRejected where it stays away."""
    job = planned.job
    if job.task == NO_TASK or job.snapshot:
        return job
    content = work.ports.storage.task(job.task)
    if content is not None:
        return move_job(work, job, pin_task(planned, content))
    waited = work.ports.clock.now() - job.created_at
    if waited < work.limits.task_wait_seconds:
        return move_job(work, job, TaskAwaited(_TASK_LOOK_SECONDS))
    raise UploadRejected("no_such_task", _no_such_task(job.task, work.ports.storage.task_names()))


def _no_such_task(task: str, names: list[str] | None) -> str:
    if names is None:
        known = "Those that are there cannot be listed: a key below tasks/ has a part such as `..`. Delete it: batchdrop tasks."
    else:
        known = f"The tasks there are: {listed(names)}." if names else "There are no tasks yet."
    return (
        f"There is no task {shown_name(task)}: tasks/{task}.yaml is not in the inbox bucket, and did not come while "
        f"it was waited for. {known} Ready-made requests need no task: they go directly below inbox/."
    )


def admit_and_send(work: Work, planned: PlannedJob) -> Continued:
    """Send what there is quota for at once: a small drop is at the provider within the invocation that planned it."""
    sent: list[Shard] = []
    provider = open_provider(work)
    if provider is not None and {breaker_state(work, provider), upload_state(work, provider)} == {BreakerState.CLOSED}:
        passed_by = held_up(work.ports.ledger.active(), planned.job.id)
        is_free = all(group.model not in passed_by for group in planned.job.groups)
        for shard in admit_fresh(work, planned) if is_free else ():
            if not work.may_go_on():
                return Continued(planned.job)
            sent.append(send(work, provider, shard, planned))
    job = note_waiting(work, planned.job).row
    return Continued(job, sent if len(sent) == job.shards else None)
