"""A world that keeps a diary: every durable effect in the order in which it happened, and the ledger's rows as one page.

Rule: the diary leaves out what moves nothing on: writes of the ledger that change no state (leases, due times, the
installation's row), and `status.json`, which is a picture of the ledger. Ids are written as JOB, BATCH and FILE.
"""

import re
from dataclasses import dataclass, field, replace

import httpx2
from fakes.memory import MemoryLedger, MemoryLog, MemoryNotifications, MemoryStorage, MemoryWakeups
from fakes.world import World

from batchdrop.core.model.change import Change
from batchdrop.core.model.job import Job
from batchdrop.core.model.quota import Quota
from batchdrop.core.model.shard import Shard
from batchdrop.flow.ports import Notification
from openai_batch_simulator.account.behaviour import CALM, Behaviour

_IDS = (
    (re.compile(r"\b[0-9a-f]{20}\b"), "JOB"),
    (re.compile(r"\bbatch_\w+"), "BATCH"),
    (re.compile(r"\bfile-\w+"), "FILE"),
)
_MINUTE = 60
UNHURRIED = replace(CALM, run_seconds=90)  # so that one tick sees a batch under way


@dataclass
class Diary:
    """The lines that were written since somebody read them last."""

    lines: list[str] = field(default_factory=list)

    def note(self, place: str, what: str) -> None:
        """Write one line: where something became durable, and what."""
        for pattern, name in _IDS:
            what = pattern.sub(name, what)
        self.lines.append(f"{place:8} {what}")


class _Ledger(MemoryLedger):
    def __init__(self, diary: Diary, log: MemoryLog) -> None:
        super().__init__(log)
        self.diary = diary

    def write(self, change: Change) -> Change:
        """Apply *change*, and note it on one line if a row of it came into being or changed its state."""
        written = super().write(change)
        pairs = [(write.before, write.after) for write in change.writes if isinstance(write.after, Job | Shard)]
        if any(not isinstance(before, Job | Shard) or before.state is not after.state for before, after in pairs):
            self.diary.note("ledger", ", ".join(f"{_name(after)} {after.state}" for _, after in pairs))
        return written


class _Storage(MemoryStorage):
    diary: Diary

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        """Write one object, and note it."""
        super().put(key, content, content_type)
        if not key.endswith("/status.json"):
            self.diary.note("bucket", key)


class _Wakeups(MemoryWakeups):
    diary: Diary

    def submit(self, job: str, shard: int | None = None) -> None:
        """Send a wake-up message, and note it."""
        super().submit(job, shard)
        self.diary.note("message", f"to submit: {_place(shard)}")

    def complete(self, job: str, shard: int | None = None) -> None:
        """Send a wake-up message, and note it."""
        super().complete(job, shard)
        self.diary.note("message", f"to complete: {_place(shard)}")


class _Notifications(MemoryNotifications):
    diary: Diary

    def publish(self, notification: Notification) -> None:
        """Publish a notification, and note it."""
        super().publish(notification)
        self.diary.note("topic", notification.attributes["event"])


@dataclass
class DiaryWorld(World):
    """A world whose ledger, buckets, queues, topic and provider write into one diary."""

    behaviour: Behaviour = UNHURRIED

    def __post_init__(self) -> None:
        """Begin with empty buckets, an empty table and an empty diary."""
        super().__post_init__()
        self.diary = Diary()
        self.ledger = _Ledger(self.diary, self.log)
        self.storage, self.wakeups, self.notifications = _Storage(clock=self.clock), _Wakeups(), _Notifications()
        self.storage.diary = self.wakeups.diary = self.notifications.diary = self.diary
        self.tap.twists.append(self._noted)

    def _noted(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        self.diary.note("provider", f"{request.method} {request.url.path}")
        return response

    def written(self) -> str:
        """Return what became durable since this was asked last, a line each."""
        lines, self.diary.lines = self.diary.lines, []
        return "\n".join(lines)

    def rows(self, job: str) -> str:
        """Return the rows of *job* and the quota of its models, a line each."""
        quotas = [quota for (_, model), quota in sorted(self.ledger.quotas.items()) if model]
        lines = [self._job_line(self.job(job)), *map(self._shard_line, self.shards(job)), *map(_quota_line, quotas)]
        return "\n".join(lines)

    def _job_line(self, job: Job) -> str:
        items = f"{job.items} items: {job.succeeded} succeeded, {job.failed} failed"
        shards = f"{job.shards_done} of {job.shards} shards done"
        return f"job      {job.state:10} {items}; {shards}; {self._due(job.due_at)}"

    def _shard_line(self, shard: Shard) -> str:
        tries = f"{shard.items} items, attempt {shard.attempt.number}, create call {shard.attempt.try_number}"
        batch = "has a batch" if shard.attempt.batch else "no batch"
        return f"shard {shard.number}  {shard.state:10} {tries}; {batch}; {self._due(shard.due_at)}"

    def _due(self, due_at: int | None) -> str:
        if due_at is None:
            return "never due"
        minutes = -(-(due_at - self.clock.time) // _MINUTE)
        return f"due in {minutes} min" if minutes > 0 else "due now"


def _quota_line(quota: Quota) -> str:
    state = "taken by the provider" if quota.taken else "reserved" if quota.used else "free"
    return f"quota    {quota.model}: {state}"


def _name(row: Job | Shard) -> str:
    return "job" if isinstance(row, Job) else f"shard {row.number}"


def _place(shard: int | None) -> str:
    return "the job" if shard is None else f"shard {shard}"
