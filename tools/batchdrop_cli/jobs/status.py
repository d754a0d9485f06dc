"""Jobs as a person sees them: `status.json` of each, found below `results/`.

Rule: a status is read tolerantly, since the stack may be newer than this command.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import batched

import msgspec

from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import RESULTS_PREFIX, Keys, Upload
from batchdrop.core.model.reasons import NotificationEvent
from batchdrop_cli.failures import CommandFailed, MisusedCommand
from batchdrop_cli.stack import Connection

JOB_ID = re.compile(r"[0-9a-f]{20}")
PREFIX_CHARS_MIN = 4
_ID_BEGINS = re.compile(rf"[0-9a-f]{{{PREFIX_CHARS_MIN},20}}")
# Folders that one search looks into: thousands of drops; each costs a request.
FOLDERS_MAX = 100_000

READS_IN_FLIGHT = 16

COMPLETED = "completed"


class Counts(msgspec.Struct, frozen=True):
    """How far the items of a job are."""

    items: int = 0
    planned: int = 0
    sent: int = 0
    succeeded: int = 0
    failed: int = 0


class StatusReason(msgspec.Struct, frozen=True):
    """Why a job ended as it did, or waits."""

    code: str
    message: str


class Waiting(msgspec.Struct, frozen=True, rename={"cause": "for"}):
    """What a job waits for, and since when (ISO 8601); *models* are those whose quota it waits for.

    *reason* says more of what holds up many jobs.
    """

    cause: str
    since: str | None = None
    models: tuple[str, ...] = ()
    reason: StatusReason | None = None


class StatusQuote(msgspec.Struct, frozen=True):
    """What a job was expected to cost, in US dollars; None where a model has no price."""

    usd: float | None = None
    unpriced_models: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0


class StatusCost(msgspec.Struct, frozen=True):
    """What a job may cost, and has cost, in US dollars; None where that is not known."""

    quote: StatusQuote
    spent_usd: float | None = 0.0
    reserved_usd: float | None = 0.0
    allowed_usd: float | None = None


class UploadNames(msgspec.Struct, frozen=True):
    """What was dropped."""

    bucket: str
    key: str
    version: str


class JobStatus(msgspec.Struct, frozen=True):
    """What `status.json` tells of a job. *event* is how it ended, None while it has not."""

    job: str
    state: str
    upload: UploadNames
    task: str = "-"
    event: str | None = None
    read_as: str | None = None
    items: str = "objects"  # how one item can be read; a stack of an older release does not say
    counts: Counts = Counts()
    waiting: Waiting | None = None
    cost: StatusCost | None = None
    reason: StatusReason | None = None
    created_at: str | None = None
    updated_at: str | None = None
    ended_at: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether everything that the person may expect is written; the notification may still be on its way."""
        return self.event is not None

    @property
    def upload_dropped(self) -> Upload:
        """The object version that it is of."""
        return Upload(self.upload.bucket, self.upload.key, self.upload.version)

    @property
    def folder(self) -> str:
        """Where its results lie in the results bucket, with its slash."""
        return Keys(self.job, self.upload.key).results


def status_of(connection: Connection, upload: Upload) -> JobStatus | None:
    """Return the status of the job of *upload*, None while it has none."""
    return _read_status(connection, Keys(upload.job_id, upload.key).status)


def all_statuses(connection: Connection) -> Iterator[JobStatus]:
    """Yield the status of every job, in no promised order."""
    return walk(connection, lambda folder: status_below(connection, folder))


def walk[Found](connection: Connection, read: Callable[[str], Found | None]) -> Iterator[Found]:
    """Yield what *read* makes of the folder of each job, which has its slash; in no promised order, some side by side.

    Folders are walked level by level. One that *read* makes nothing of isn't a job's, and is entered; a job's own isn't: its
    items cost nothing here.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # 0.1 s for `--help`

    waiting = deque([RESULTS_PREFIX])
    with ThreadPoolExecutor(READS_IN_FLIGHT) as pool:
        for _ in range(FOLDERS_MAX):
            if not waiting:
                return
            for some in batched(connection.folders(connection.results_bucket, waiting.popleft()), READS_IN_FLIGHT):
                jobs = [folder for folder in some if JOB_ID.fullmatch(folder.rstrip("/").rpartition("/")[2])]
                found = dict(zip(jobs, pool.map(read, jobs), strict=True))
                waiting.extend(folder for folder in some if found.get(folder) is None)
                yield from (one for one in found.values() if one is not None)


def find_job(connection: Connection, job: str) -> JobStatus:
    """Return the status of the job whose id is *job*, or begins so. Raises MisusedCommand where several do."""
    if not _ID_BEGINS.fullmatch(job):
        raise MisusedCommand(
            f"{job!r} isn't a job id, or the first {PREFIX_CHARS_MIN} characters of one or more: those are 0-9 and a-f. "
            "See: batchdrop status"
        )
    found = []
    for status in all_statuses(connection):
        if status.job == job:
            return status
        if status.job.startswith(job):
            found.append(status)
    if len(found) > 1:
        raise MisusedCommand(f"{job} begins the ids of several jobs: {', '.join(sorted(one.job for one in found))}.")
    if found:
        return found[0]
    raise CommandFailed(f"There is no job {job} here; one that was dropped a moment ago may not have begun yet.")


def chosen(jobs: Iterable[JobStatus], task: str | None, state: str | None, since: str | None) -> Iterator[JobStatus]:
    """Yield those of *jobs* that are of the task, in the state or ended so, and dropped *since*; None is any.

    Raises MisusedCommand for a state that there is none of, and for a *since* that isn't a date or time.
    """
    names = {*(one.value.lower() for one in JobState), *(one.value for one in NotificationEvent if one.value)}
    if state is not None and state.lower() not in names:
        raise MisusedCommand(f"There is no state {state!r}. The states are: {', '.join(sorted(names))}.")
    try:
        begins = datetime.fromisoformat(since).replace(tzinfo=UTC) if since else None
    except ValueError as error:
        raise MisusedCommand(
            f"{since!r} isn't a date such as 2026-11-30, or a time such as 2026-11-30T14:00."
        ) from error
    for job in jobs:
        is_of_state = state is None or state.lower() in {job.state.lower(), job.event}
        dropped = datetime.fromisoformat(job.created_at) if job.created_at else None
        is_young = begins is None or (dropped is not None and dropped >= begins)
        if is_of_state and is_young and task in {None, job.task}:
            yield job


def status_below(connection: Connection, folder: str) -> JobStatus | None:
    """Return the status that is in *folder*, None where there is none."""
    return _read_status(connection, f"{folder}status.json")


def _read_status(connection: Connection, key: str) -> JobStatus | None:
    content = connection.read(connection.results_bucket, key)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=JobStatus)
    except msgspec.DecodeError as error:
        raise CommandFailed(f"s3://{connection.results_bucket}/{key} isn't a status of a job: {error}") from error
