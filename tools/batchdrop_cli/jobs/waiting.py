"""Waiting for jobs, with visible progress.

Rule: waiting changes nothing. A person who stops waiting loses nothing but the sight of it.
"""

from collections.abc import Callable, Sequence
from time import monotonic, sleep

from batchdrop.core.model.keys import Upload
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.jobs.status import JobStatus, status_of
from batchdrop_cli.stack import Connection

LOOK_SECONDS = 0.5  # between two looks; the local stack moves every 2 s
# Three attempts of a batch's 24 hours, and a week in which an uncertain one is looked for: no job takes longer.
WAIT_SECONDS_MAX = 14 * 24 * 3600.0

type Watch = Callable[[Upload, JobStatus | None], None]  # receives what each look found


def wait_for(
    connection: Connection,
    uploads: Sequence[Upload],
    watch: Watch,
    *,
    timeout_seconds: float = WAIT_SECONDS_MAX,
    look_seconds: float = LOOK_SECONDS,
) -> list[JobStatus]:
    """Return how the job of each upload ended, in their order. Raises CommandFailed when the time is over."""
    deadline = monotonic() + timeout_seconds
    ended: dict[Upload, JobStatus] = {}
    while True:
        for upload in uploads:
            if upload not in ended:
                status = status_of(connection, upload)
                watch(upload, status)
                if status is not None and status.is_over:
                    ended[upload] = status
        if len(ended) == len(set(uploads)):
            return [ended[upload] for upload in uploads]
        if monotonic() > deadline:
            names = ", ".join(upload.job_id for upload in uploads if upload not in ended)
            raise CommandFailed(f"Not over after {timeout_seconds:,.0f} s: {names}. See: batchdrop status")
        sleep(look_seconds)
