"""The ports behind the gate: memory kept by the fakes, each call counted and at risk.

Rule: a reading call may fail or be slow; a call with an effect may also be cut off before or after it, or happen late.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO
from uuid import UUID

from fakes.memory import MemoryLedger, MemoryNotifications, MemoryRanges, MemoryStorage
from simulation.gate import EFFECT, READ, Fault, Gate
from simulation.queues import Queue
from simulation.tasks import Tasks

from batchdrop.core.model.api_key import read_key
from batchdrop.core.model.change import Change
from batchdrop.core.model.dialects import Dialects
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.quota import Quota
from batchdrop.core.model.shard import Shard
from batchdrop.core.operations.missed_uploads import InboxPage
from batchdrop.flow.ports import Notification, ObjectWriter, Provider


class TaskClock:
    """The time of one invocation, which ends."""

    def __init__(self, tasks: Tasks, ends_at: float, ids: Iterator[int]) -> None:
        self._tasks, self._ends_at, self._ids = tasks, ends_at, ids

    def now(self) -> int:
        """Return whole seconds since 1970."""
        return int(self._tasks.time.now())

    def remaining_seconds(self) -> float:
        """Return how long this invocation may still run."""
        return max(0.0, self._ends_at - self._tasks.time.now())

    def pause(self, attempt: int) -> None:
        """Let others have their turn."""
        self._tasks.sleep(0.1 * (attempt + 1))

    def new_id(self) -> str:
        """Return the next id."""
        return str(UUID(int=next(self._ids), version=4))


class GatedLedger:
    """The table."""

    def __init__(self, gate: Gate, inner: MemoryLedger) -> None:
        self._gate, self._inner = gate, inner

    def job(self, job: str) -> Job | None:
        """Return the job's row."""
        return self._gate.call("ledger.job", lambda: self._inner.job(job))

    def shard(self, job: str, number: int) -> Shard | None:
        """Return the shard's row."""
        return self._gate.call("ledger.shard", lambda: self._inner.shard(job, number))

    def shards(self, job: str) -> Iterator[Shard]:
        """Yield the job's shards."""
        yield from self._gate.call("ledger.shards", lambda: list(self._inner.shards(job)))

    def active(self) -> Iterator[Job | Shard]:
        """Yield what is due; a stale index shows what the last look saw."""
        yield from self.install_and_active()[1]

    def install_and_active(self) -> tuple[Install | None, list[Job | Shard]]:
        """Return what the index shows."""
        return self._gate.call(
            "ledger.active", self._fresh, (*READ, Fault.STALE), odd={Fault.STALE: self._inner.install_and_active}
        )

    def _fresh(self) -> tuple[Install | None, list[Job | Shard]]:
        self._inner.thaw_index()
        found = self._inner.install_and_active()
        self._inner.freeze_index()
        return found

    def install(self) -> Install | None:
        """Return the installation's row."""
        return self._gate.call("ledger.install", self._inner.install)

    def quota(self, account: str, model: str) -> Quota:
        """Return a model's quota."""
        return self._gate.call("ledger.quota", lambda: self._inner.quota(account, model))

    def day_microdollars(self, day: str) -> int:
        """Return a day's money."""
        return self._gate.call("ledger.day_microdollars", lambda: self._inner.day_microdollars(day))

    def write(self, change: Change) -> Change:
        """Apply *change* whole."""
        return self._gate.call("ledger.write", lambda: self._inner.write(change), EFFECT)


class GatedStorage:
    """Both buckets."""

    def __init__(self, gate: Gate, inner: MemoryStorage) -> None:
        self._gate, self._inner = gate, inner

    def open_upload(self, upload: Upload, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open this version."""
        return self._gate.call("storage.open_upload", lambda: self._inner.open_upload(upload, start))

    def upload_size_bytes(self, upload: Upload) -> int:
        """Return the size of this version."""
        return self._gate.call("storage.upload_size", lambda: self._inner.upload_size_bytes(upload))

    def upload_modified_at(self, upload: Upload) -> int:
        """Return when this version was put."""
        return self._gate.call("storage.upload_modified", lambda: self._inner.upload_modified_at(upload))

    def list_inbox(self, after: str, version: str = "") -> InboxPage:
        """Return a page of the inbox."""
        return self._gate.call("storage.list_inbox", lambda: self._inner.list_inbox(after, version))

    def task(self, name: str) -> bytes | None:
        """Return a task."""
        return self._gate.call("storage.task", lambda: self._inner.task(name))

    def task_names(self) -> list[str] | None:
        """Return the names of the tasks."""
        return self._gate.call("storage.task_names", self._inner.task_names)

    def read(self, key: str) -> bytes | None:
        """Return an object whole."""
        return self._gate.call("storage.read", lambda: self._inner.read(key))

    def open(self, key: str, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open an object."""
        return self._gate.call("storage.open", lambda: self._inner.open(key, start))

    def size_bytes(self, key: str) -> int | None:
        """Return an object's size."""
        return self._gate.call("storage.size", lambda: self._inner.size_bytes(key))

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        """Write one object."""
        self._put("storage.put", key, bytes(content), content_type)

    def put_many(self, objects: Iterable[tuple[str, bytes]]) -> int:
        """Write many objects; each is a call of its own."""
        count = 0
        for key, content in objects:
            self._put("storage.put_many", key, content, "application/json")
            count += 1
        return count

    @contextmanager
    def open_ranges(self, key: str) -> Iterator["GatedRanges"]:
        """Open an object for reading parts of it."""
        with self._gate.call("storage.open_ranges", lambda: self._inner.open_ranges(key)) as ranges:
            yield GatedRanges(self._gate, ranges)

    @contextmanager
    def writer(self, key: str, content_type: str = "application/x-ndjson") -> Iterator[ObjectWriter]:
        """Write one object piece by piece; it appears when all went well."""
        pieces = BytesIO()
        yield pieces
        self._put("storage.writer", key, pieces.getvalue(), content_type)

    def _put(self, name: str, key: str, content: bytes, content_type: str) -> None:
        self._gate.call(name, lambda: self._inner.put(key, content, content_type), EFFECT)


@dataclass(frozen=True)
class GatedRanges:
    """Parts of an object."""

    gate: Gate
    inner: MemoryRanges

    def read(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes at each place."""
        return self.gate.call("storage.ranges", lambda: self.inner.read(places))


class GatedWakeups:
    """Both queues."""

    def __init__(self, gate: Gate, submissions: Queue, completions: Queue) -> None:
        self._gate, self._submissions, self._completions = gate, submissions, completions

    def submit(self, job: str, shard: int | None = None) -> None:
        """Ask a submit function to look."""
        self._send(self._submissions, job, shard)

    def complete(self, job: str, shard: int | None = None) -> None:
        """Ask a complete function to look."""
        self._send(self._completions, job, shard)

    def tell(self) -> None:
        """Ask a complete function to send what the installation owes."""
        self._post(self._completions, {"tell": "installation"})

    def drop(self, upload: Upload) -> None:
        """Tell a submit function of an upload."""
        named = {"bucket": upload.bucket, "key": upload.key, "version": upload.version}
        self._post(self._submissions, {"drop": named})

    def count_submissions(self) -> int:
        """Return how many messages wait for a submit function."""
        return self._gate.call("wakeups.count", self._submissions.count_visible)

    def _send(self, queue: Queue, job: str, shard: int | None) -> None:
        self._post(queue, {"job": job, "shard": shard})

    def _post(self, queue: Queue, message: Mapping[str, object]) -> None:
        body = json.dumps(message)

        def twice() -> None:
            queue.send(body)
            queue.send(body)

        self._gate.call(
            "wakeups.send", lambda: queue.send(body), (*EFFECT, Fault.DUPLICATE), odd={Fault.DUPLICATE: twice}
        )


class GatedNotifications:
    """The topic."""

    def __init__(self, gate: Gate, inner: MemoryNotifications) -> None:
        self._gate, self._inner = gate, inner

    def publish(self, notification: Notification) -> None:
        """Publish."""
        self._gate.call("notifications.publish", lambda: self._inner.publish(notification), EFFECT)


class GatedProviders:
    """The secret, and the adapter that its key opens; a task keeps what it read for a minute, or until it is refused."""

    def __init__(
        self, gate: Gate, key: Callable[[], str | None], adapters: Mapping[str, Provider], base_url: str
    ) -> None:
        self._gate, self._key, self._adapters = gate, key, adapters
        self.base_url = base_url
        self.dialects = Dialects(base_url, "openai")  # what the simulator speaks
        self._opened: Provider | None = None

    def open(self) -> Provider:
        """Return the provider."""
        if self._opened is None:
            key = read_key(self._gate.call("secret.read", self._key) or "")
            self._opened = self._adapters[key]
        return self._opened
