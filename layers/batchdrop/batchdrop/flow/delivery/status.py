"""Writes `status.json`, which shows a job while it runs.

Rule: it is a picture of the ledger, never read back. An invocation writes it once, at its end or before the notification goes
out, and once more only if the job moved while the picture was taken.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from batchdrop.core.admission.budget import allowed_microdollars
from batchdrop.core.delivery.summary import status_document
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.shard import Shard
from batchdrop.core.submission.common_waits import early_wait
from batchdrop.core.submission.day_waits import day_reason
from batchdrop.flow.unit_of_work import Work, change_install, read_job

_PICTURES_MAX = 3


def write_status(work: Work, job: str, row: Job | None = None, shards: Sequence[Shard] | None = None) -> None:
    """Write the job's status as the ledger has it now. May be repeated.

    *row* is the job's as this invocation wrote it last, *shards* all of its shards', where they are in hand.
    """
    for _ in range(_PICTURES_MAX):
        before = row or read_job(work, job)
        put_status(work, before, list(work.ports.ledger.shards(job)) if shards is None else shards)
        if read_job(work, job).revision == before.revision:
            return
        row = shards = None


def put_status(work: Work, job: Job, shards: Sequence[Shard]) -> None:
    """Write the status of *job* with *shards*, all of its shards."""
    allowed = allowed_microdollars(job, work.limits)
    wait = work.install.wait or early_wait(work.install.hang, work.ports.providers.base_url)
    document = status_document(job, shards, work.ports.clock.now(), allowed, wait=wait, day=day_reason(work.limits))
    work.ports.storage.put(Keys(job.id, job.key).status, document)


def rewrite_statuses(work: Work, jobs: Sequence[Job], written: Collection[str]) -> int:
    """Continue to write the statuses of *jobs* again after a common wait began or ended; return how many were written.

    A tick writes some and keeps the place in the installation's row, so that no job's row has to say whether its status knows.
    *written* are the ids of those whose status this tick wrote already.
    """
    after = work.install.statuses_after
    if after is None:
        return 0
    left = sorted(job.id for job in jobs if job.id > after)
    some = left[: work.limits.statuses_per_tick_max]
    count, last = 0, after
    for job in some:
        if not work.may_go_on():
            break
        if job not in written:
            write_status(work, job)
            count += 1
        last = job
    place = None if last == (left[-1] if left else after) else last

    def kept(install: Install) -> Install | None:
        return replace(install, statuses_after=place) if install.statuses_after == after else None

    change_install(work, kept)
    return count
