"""Decides how long an upload that S3 refuses to give is looked at again, and from when on it is as good as gone.

Rule: the job's row says since when. Once S3 gives the upload, reading continues as if nothing had happened.
"""

from dataclasses import replace

from batchdrop.core.delivery.job_lifecycle import UploadAwaited, is_withheld_for_good
from batchdrop.core.model.errors import UploadRejected, UploadWithheld
from batchdrop.core.model.job import Job
from batchdrop.core.model.limits import MINUTE, Limits
from batchdrop.flow.ports import Clock
from batchdrop.flow.unit_of_work import Work, move_job, read_job, transact


def raise_if_withheld(error: UploadRejected, job: Job, clock: Clock, limits: Limits) -> None:
    """Raise *error* while *job*'s upload is to be looked at again."""
    if isinstance(error, UploadWithheld) and not is_withheld_for_good(job, clock.now(), limits):
        raise error


def await_upload(work: Work, job: Job, error: UploadWithheld) -> Job:
    """Return *job*, which is planned or finished, waiting for its upload."""
    _warn(work, job, error)
    return move_job(work, job, UploadAwaited())


def note_withheld(work: Work, job: Job, error: UploadWithheld) -> None:
    """Write since when the upload of *job* is refused, whose batches are being collected."""
    _warn(work, job, error)
    now = work.ports.clock.now()
    transact(work, read_job(work, job.id), lambda read: None if read.withheld_at else replace(read, withheld_at=now))


def rejection(error: UploadRejected, limits: Limits) -> str:
    """Return the words for the person who dropped the upload."""
    if not isinstance(error, UploadWithheld):
        return error.message
    return f"{error.message} It was looked at again for {limits.withheld_seconds_max // MINUTE} minutes."


def _warn(work: Work, job: Job, error: UploadWithheld) -> None:
    work.ports.log.warning("upload.withheld", job_id=job.id, cause=error.message)
