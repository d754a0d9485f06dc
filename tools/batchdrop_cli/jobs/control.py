"""A person's hand on a job: approve, cancel and retry are words that the stack hears, forget deletes what it wrote.

Rule: the command looks first, so that a word that would be ignored is not said; what the stack then does shows in the status.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from batchdrop.core.delivery.job_lifecycle import RETRIABLE_CODES
from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import CONTROL_PREFIX, Keys
from batchdrop.core.model.reasons import NotificationEvent
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.jobs.status import JobStatus
from batchdrop_cli.stack import PAGES_MAX, Connection

# The most that one call deletes (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html, 2026-11-22).
DELETED_A_CALL_MAX = 1_000
ENDED = JobState.ENDED.value
HELD = JobState.HELD.value


def ask_to_cancel(connection: Connection, job: JobStatus) -> None:
    """Ask the stack to cancel *job*. Raises CommandFailed where it is over."""
    if job.is_over:
        raise CommandFailed(f"The job is over ({job.event}): there is nothing to cancel.")
    _say(connection, job, "cancel")


def ask_to_approve(connection: Connection, job: JobStatus) -> None:
    """Ask the stack to let a held *job* continue. Raises CommandFailed where it is not held."""
    if job.state != HELD:
        raise CommandFailed(f"The job is not held ({job.event or job.state}): there is nothing to approve of.")
    _say(connection, job, "approve")


def ask_to_retry(connection: Connection, job: JobStatus) -> None:
    """Ask the stack to start *job* again. Raises CommandFailed where it was not rejected for what may have passed."""
    if job.event is None:
        raise CommandFailed(f"The job is not over ({job.state}): there is nothing to retry.")
    if job.event != NotificationEvent.REJECTED:
        raise CommandFailed(
            f"The job was not rejected ({job.event}), and what was sent is not sent again as a whole. To ask for the failed "
            f"records again, drop its failures file: batchdrop results {job.job} --to DIR"
        )
    code = job.reason.code if job.reason else ""
    if code not in RETRIABLE_CODES:
        why = f"{job.reason.message} ({code})" if job.reason else "no reason is known"
        raise CommandFailed(f"The same file would be rejected again: {why}. Correct it and drop it.")
    _check_notified(job)
    _say(connection, job, "retry")


def _check_notified(job: JobStatus) -> None:
    """Raise CommandFailed while the stack still has to tell how the job ended: it would not hear, or write once more."""
    if job.state != ENDED:
        raise CommandFailed("The notification about how the job ended is still on its way. Try again in a moment.")


def _say(connection: Connection, job: JobStatus, word: str) -> None:
    connection.storage.put_object(Bucket=connection.inbox_bucket, Key=f"{CONTROL_PREFIX}{job.job}/{word}", Body=b"")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or the mark of its deletion."""

    key: str
    version: str


def versions_of(connection: Connection, job: JobStatus) -> list[Version]:
    """Return every version of every object that the stack wrote for *job*; the status comes last.

    A person who is interrupted while they are deleted can find the job again. Raises CommandFailed while it is not over.
    """
    if not job.is_over:
        raise CommandFailed(f"The job is not over ({job.state}). Cancel it first: batchdrop cancel {job.job}")
    _check_notified(job)
    keys = Keys(job.job, job.upload.key)
    below = [*_versions(connection, keys.internal), *_versions(connection, keys.results)]
    # By name: releases before this one let another job's folder lie within.
    found = (version for version in below if keys.is_written(version.key))
    return sorted(found, key=lambda version: version.key == keys.status)


def forget(connection: Connection, job: JobStatus, versions: list[Version]) -> None:
    """Delete the upload's version and *versions*, for good. May be repeated. Raises CommandFailed for what was refused."""
    connection.storage.delete_object(Bucket=connection.inbox_bucket, Key=job.upload.key, VersionId=job.upload.version)
    for start in range(0, len(versions), DELETED_A_CALL_MAX):
        _delete(connection, versions[start : start + DELETED_A_CALL_MAX])


def _delete(connection: Connection, versions: list[Version]) -> None:
    reply = connection.storage.delete_objects(
        Bucket=connection.results_bucket,
        Delete={"Objects": [{"Key": found.key, "VersionId": found.version} for found in versions], "Quiet": True},
    )
    for refused in reply.get("Errors", []):
        raise CommandFailed(f"{refused.get('Key')} was not deleted: {refused.get('Message')}")


def _versions(connection: Connection, folder: str) -> Iterator[Version]:
    pages = connection.storage.get_paginator("list_object_versions").paginate(
        Bucket=connection.results_bucket, Prefix=folder
    )
    for _, page in zip(range(PAGES_MAX), pages, strict=False):
        for version in page.get("Versions", []):
            yield Version(version["Key"], version["VersionId"])
        for marker in page.get("DeleteMarkers", []):
            yield Version(marker["Key"], marker["VersionId"])
