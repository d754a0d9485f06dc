"""Ports that count what AWS would put on the bill: each request by its kind, and DynamoDB's units by the size of rows.

Rule: what is counted is what the edge sends for the same call of a port: a transaction's rows cost twice, a row in the index is
written once more, and an index is read for half the price.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

from batchdrop.core.model.change import Change, Row
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.quota import Quota
from batchdrop.core.model.shard import Shard
from batchdrop.edge.aws.dynamodb import _attributes
from batchdrop.edge.aws.row_format import quota_moves, quota_writes
from batchdrop.flow.ports import Ledger, Notification, Notifications, Wakeups

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html (2026-11-22)
READ_UNIT_BYTES = 4_096
WRITE_UNIT_BYTES = 1_024
INDEX_KEY = "due_pk"

type Counts = Counter[str]


def size_bytes(row: Row) -> int:
    """Return the size of *row* in the table: names and values."""
    return sum(len(name) + len(next(iter(value.values())).encode()) for name, value in _attributes(row).items())


@dataclass
class MeteredLedger:
    """A table whose every read and write is counted in DynamoDB's units, as `ledger reads` and `ledger writes`."""

    inner: Ledger
    counts: Counts = field(default_factory=Counter)

    def job(self, job: str) -> Job | None:
        """Return the job's row."""
        return self._noted(self.inner.job(job))

    def shard(self, job: str, number: int) -> Shard | None:
        """Return the shard's row."""
        return self._noted(self.inner.shard(job, number))

    def install(self) -> Install | None:
        """Return the installation's row."""
        return self._noted(self.inner.install())

    def quota(self, account: str, model: str) -> Quota:
        """Return the quota row of *model*."""
        self._count_read(0)
        return self.inner.quota(account, model)

    def shards(self, job: str) -> Iterator[Shard]:
        """Yield the job's shards."""
        found = list(self.inner.shards(job))
        self._count_read(sum(map(size_bytes, found)))
        yield from found

    def active(self) -> Iterator[Job | Shard]:
        """Yield what is due."""
        yield from self.install_and_active()[1]

    def install_and_active(self) -> tuple[Install | None, list[Job | Shard]]:
        """Return what the index shows."""
        install, rows = self.inner.install_and_active()
        found: list[Row] = [*rows, *([install] if install else [])]
        self._count_read(sum(map(size_bytes, found)), share=0.5)
        return install, rows

    def write(self, change: Change) -> Change:
        """Apply *change* whole."""
        quotas = {*quota_moves(change), *quota_writes(change)}
        parts = len(change.writes) + len(quotas) + len(change.unchanged)
        factor = 1 if parts == 1 else 2
        self.counts["ledger calls"] += 1
        for write in change.writes:
            units = ceil(size_bytes(write.after) / WRITE_UNIT_BYTES)
            was_indexed = write.before is not None and INDEX_KEY in _attributes(write.before)
            is_indexed = was_indexed or INDEX_KEY in _attributes(write.after)
            self.counts["ledger writes"] += units * factor + units * is_indexed
        self.counts["ledger writes"] += factor * (len(quotas) + len(change.unchanged))
        return self.inner.write(change)

    def _noted[R: Job | Shard | Install](self, row: R | None) -> R | None:
        self._count_read(size_bytes(row) if row else 0)
        return row

    def _count_read(self, read_bytes: int, share: float = 1) -> None:
        self.counts["ledger calls"] += 1
        self.counts["ledger half reads"] += int(2 * share * max(1, ceil(read_bytes / READ_UNIT_BYTES)))


@dataclass
class MeteredWakeups:
    """Queues that count what is sent."""

    inner: Wakeups
    counts: Counts

    def submit(self, job: str, shard: int | None = None) -> None:
        """Ask a submit function to look."""
        self.counts["messages"] += 1
        self.inner.submit(job, shard)

    def complete(self, job: str, shard: int | None = None) -> None:
        """Ask a complete function to look."""
        self.counts["messages"] += 1
        self.inner.complete(job, shard)

    def tell(self) -> None:
        """Ask a complete function to send what the installation owes."""
        self.counts["messages"] += 1
        self.inner.tell()

    def drop(self, upload: Upload) -> None:
        """Tell a submit function of an upload."""
        self.counts["messages"] += 1
        self.inner.drop(upload)

    def count_submissions(self) -> int:
        """Return how many messages wait for a submit function."""
        self.counts["looks"] += 1
        return self.inner.count_submissions()


@dataclass
class MeteredNotifications:
    """A topic that counts what is published."""

    inner: Notifications
    counts: Counts

    def publish(self, notification: Notification) -> None:
        """Publish."""
        self.counts["notifications"] += 1
        self.inner.publish(notification)
