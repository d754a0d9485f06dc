"""Drops as tests write them: a job of an upload in memory, and its plan carried to the end."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from fakes.memory import MemoryStorage

from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Outcome, decode_outcome
from batchdrop.core.planning.plan import PlanPage
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.plan import pin_task, plan_pages
from batchdrop.flow.ports import Storage
from batchdrop.formats.records import Format, Record, read_records

LIMITS = Limits()


def job_of(storage: MemoryStorage, key: str, content: bytes, task: bytes | None = None) -> Job:
    """Return a fresh job of *content* dropped at *key*, with its task pinned."""
    upload = storage.drop(key, content)
    job = Job(id=upload.job_id, bucket=upload.bucket, key=key, version=upload.version, created_at=1, task=upload.task)
    if task is None:
        return job
    pinned = pin_task(PlannedJob(storage, job), task)
    return replace(job, snapshot=pinned.digest, options=pinned.options)


def with_page(job: Job, page: PlanPage) -> Job:
    """Return *job* as the ledger has it once *page* is recorded."""
    return replace(job, plan=page.cursor, groups=page.groups, items=page.items, refused=page.refused)


def planned(
    storage: Storage,
    job: Job,
    limits: Limits = LIMITS,
    should_stop: Callable[[], bool] = lambda: False,
    pages_max: int | None = None,
) -> Job:
    """Return *job* with every page that planning yields, *pages_max* at most."""
    for page in islice(plan_pages(PlannedJob(storage, job, limits), should_stop), pages_max):
        job = with_page(job, page)
    return job


def sent_lines(storage: Storage, job: Job) -> Iterator[bytes]:
    """Yield the lines of every chunk, by group and number."""
    for chunk in PlannedJob(storage, job).chunks:
        yield from (storage.read(Keys(job.id, job.key).chunk(chunk.group, chunk.number)) or b"").splitlines(
            keepends=True
        )


def refused_outcomes(storage: Storage, job: Job) -> list[Outcome]:
    """Return the outcomes of the records that planning refused."""
    return [
        decode_outcome(line)
        for key in PlannedJob(storage, job).refused_keys()
        for line in (storage.read(key) or b"").splitlines()
    ]


def records_of(form: Format, content: bytes) -> tuple[Format, list[Record]]:
    """Return the format, opened, and all records of *content*."""
    opened = form.open(io.BytesIO(content))
    stream = io.BytesIO(content[opened.header.body_start :])
    return opened, list(read_records(opened, stream, opened.header.body_start, 0))
