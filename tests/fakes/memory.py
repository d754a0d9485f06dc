"""The ports kept in memory: what tests and simulations give to the flows.

Rule: a fake is at least as strict as the real thing. The contract suite runs the same tests on both.
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO
from uuid import UUID

from batchdrop.core.model.change import Change, DayMove, QuotaWrite, Row, Write
from batchdrop.core.model.errors import BrokenState, Conflict, NotYet, UploadRejected, UploadWithheld
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import INBOX_PREFIX, TASK_ENDINGS, TASKS_PREFIX, Upload, named_task, task_keys
from batchdrop.core.model.quota import Quota
from batchdrop.core.model.row import SCHEMA
from batchdrop.core.model.shard import Shard
from batchdrop.core.operations.missed_uploads import InboxPage, ListedUpload
from batchdrop.edge.aws.object_keys import checked_key, is_key_usable
from batchdrop.edge.aws.row_format import (
    INSTALL_KEY,
    QuotaKey,
    QuotaMove,
    RowKey,
    check_change,
    is_as_read,
    job_key,
    next_revision,
    quota_moves,
    quota_writes,
    row_key,
    shard_key,
)
from batchdrop.edge.aws.s3 import ReadMismatch
from batchdrop.edge.aws.sns import check_notification
from batchdrop.edge.aws.telemetry import FIELDS
from batchdrop.flow.ports import Notification

TASK_NAMES_MAX = 100


class MemoryLog:
    """Keeps what was logged, for tests to look at; `lines` also serves the search for canaries."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        """Record what was decided."""
        self._keep("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Record what an operator may want to see."""
        self._keep("warning", event, fields)

    def _keep(self, level: str, event: str, fields: dict[str, object]) -> None:
        assert fields.keys() <= FIELDS, f"{event}: {sorted(fields.keys() - FIELDS)} would be dropped from the log"
        self.lines.append((level, event, fields))

    @property
    def events(self) -> list[str]:
        """The names of the events, in order."""
        return [event for _, event, _ in self.lines]


@dataclass
class FakeClock:
    """Time stands still until a test moves it; ids count upwards."""

    time: int = 1_800_000_000
    remaining: float = 900.0
    pauses: list[int] = field(default_factory=list)
    ids: Iterator[str] | None = None  # given ids come first
    _made: int = 0

    def now(self) -> int:
        """Return the time that the test set."""
        return self.time

    def remaining_seconds(self) -> float:
        """Return what the test left of the invocation."""
        return self.remaining

    def pause(self, attempt: int) -> None:
        """Remember that somebody waited; no time passes."""
        self.pauses.append(attempt)

    def advance(self, seconds: int) -> None:
        """Let time pass; the invocation grows no shorter."""
        self.time += seconds

    def new_id(self) -> str:
        """Return the next id."""
        given = next(self.ids, None) if self.ids is not None else None
        self._made += given is None
        return given or str(UUID(int=self._made, version=4))


class MemoryLedger:
    """The table as two dicts. `freeze_index` makes the index lag, as the real one may."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        self.log = log or MemoryLog()
        self.rows: dict[RowKey, Row] = {}
        self.quotas: dict[QuotaKey, Quota] = {}
        self.days: Counter[str] = Counter()  # microdollars
        self._frozen: dict[RowKey, Row] | None = None

    def freeze_index(self) -> None:
        """Let `active` show the rows as they are now, whatever is written later."""
        self._frozen = dict(self.rows)

    def thaw_index(self) -> None:
        """Let `active` show the rows as they are."""
        self._frozen = None

    def job(self, job: str) -> Job | None:
        """Return the job's row."""
        row = self._read(job_key(job))
        assert row is None or isinstance(row, Job)
        return row

    def shard(self, job: str, number: int) -> Shard | None:
        """Return the shard's row."""
        row = self._read(shard_key(job, number))
        assert row is None or isinstance(row, Shard)
        return row

    def shards(self, job: str) -> Iterator[Shard]:
        """Yield the job's shards in the order of their numbers."""
        partition = job_key(job)[0]
        for key in sorted(key for key, row in self.rows.items() if isinstance(row, Shard) and key[0] == partition):
            row = self._read(key)
            assert isinstance(row, Shard)
            yield row

    def active(self) -> Iterator[Job | Shard]:
        """Yield every row that has a due time, by due time, as the index last saw them."""
        seen = self.rows if self._frozen is None else self._frozen
        due = [
            (row.due_at, key, row)
            for key, row in seen.items()
            if isinstance(row, Job | Shard) and row.due_at is not None
        ]
        for _, key, row in sorted(due, key=lambda entry: entry[:2]):
            if row.schema > SCHEMA:
                self.log.warning("ledger.row_skipped", row="/".join(key))
            else:
                yield row

    def install_and_active(self) -> tuple[Install | None, list[Job | Shard]]:
        """Return the installation's row as the index last saw it, and what `active` yields."""
        install = (self.rows if self._frozen is None else self._frozen).get(INSTALL_KEY)
        assert install is None or isinstance(install, Install)
        return install, list(self.active())

    def install(self) -> Install | None:
        """Return the installation's row."""
        row = self._read(INSTALL_KEY)
        assert row is None or isinstance(row, Install)
        return row

    def quota(self, account: str, model: str) -> Quota:
        """Return the quota row of *model*; an empty one where there is none."""
        return self.quotas.get((account, model), Quota(account, model))

    def day_microdollars(self, day: str) -> int:
        """Return how much is counted on *day*."""
        return self.days[day]

    def write(self, change: Change) -> Change:
        """Apply *change* whole and return it with the revisions that were written."""
        check_change(change)
        wanted = replace(change, writes=tuple(_revised(write) for write in change.writes))
        read = [(write.after, write.before) for write in change.writes] + [(row, row) for row in change.unchanged]
        if not all(is_as_read(self.rows.get(row_key(row)), before) for row, before in read):
            if all(self.rows.get(row_key(write.after)) == write.after for write in wanted.writes):
                return wanted  # this very write, whose reply was lost
            raise Conflict(f"a row changed: {[row_key(write.after) for write in change.writes]}")
        quotas = self._quotas_after(change)
        self._check_day(change.day)
        self.rows |= {row_key(write.after): write.after for write in wanted.writes}
        self.quotas |= quotas
        if change.day:
            self.days[change.day.day] += change.day.microdollars
        return wanted

    def _check_day(self, move: DayMove | None) -> None:
        if move and move.limit is not None and move.microdollars > 0:
            counted = self.days[move.day] + move.microdollars
            if counted > move.limit:
                raise Conflict(f"{counted:,} microdollars on {move.day}")

    def _read(self, key: RowKey) -> Row | None:
        row = self.rows.get(key)
        if row is not None and row.schema > SCHEMA:
            raise BrokenState(f"{key} has schema {row.schema}; this release knows {SCHEMA}")
        return row

    def _quotas_after(self, change: Change) -> dict[QuotaKey, Quota]:
        """Return the quota rows that *change* leaves behind."""
        moves, writes = quota_moves(change), quota_writes(change)
        return {
            key: self._quota_after(self.quota(*key), moves.get(key, QuotaMove(0, 0)), writes.get(key))
            for key in moves.keys() | writes.keys()
        }

    @staticmethod
    def _quota_after(quota: Quota, move: QuotaMove, write: QuotaWrite | None) -> Quota:
        used = quota.used + move.used
        if used < 0:
            raise BrokenState(f"the quota of {quota.model} is released twice")
        after = replace(quota, used=used, taken=quota.taken + move.taken)
        if write is None:
            return after
        if write.before.revision != quota.revision:
            raise Conflict(f"more was learned of {quota.model}")
        if move.used > 0 and quota.used and write.limit is not None and used > write.limit:
            raise Conflict(f"no quota for {move.used:,} of {quota.model}")
        return replace(after, quota_estimate=write.quota_estimate, revision=next_revision(write))


def _revised(write: Write) -> Write:
    revision = 1 if write.before is None else write.before.revision + 1
    return replace(write, after=replace(write.after, revision=revision))


class MemoryStorage:
    """Both buckets as dicts. The inbox keeps versions; `drop` and `put_task` are what a person does."""

    def __init__(self, inbox_bucket: str = "inbox", clock: FakeClock | None = None) -> None:
        self.inbox_bucket = inbox_bucket
        self.clock = clock or FakeClock()
        self.uploads: dict[tuple[str, str], tuple[bytes, int]] = {}
        self.tasks: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.content_types: dict[str, str] = {}
        self.unreadable: set[tuple[str, str]] = set()
        self.withheld: set[tuple[str, str]] = set()  # S3 refuses them for now
        self.puts = 0
        self.inbox_page_keys = 1_000

    def drop(self, key: str, content: bytes, *, version: str = "") -> Upload:
        """Put *content* into the inbox as a new version and return the upload."""
        upload = Upload(self.inbox_bucket, key, version or f"version-{len(self.uploads) + 1}")
        self.uploads[upload.key, upload.version] = (content, self.clock.now())
        return upload

    def put_task(self, name: str, content: bytes) -> None:
        """Write a task file; a name without an ending gets `.yaml`."""
        self.tasks[name if name.endswith(TASK_ENDINGS) else f"{name}.yaml"] = content

    def open_upload(self, upload: Upload, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open this version for reading from byte *start*."""
        content, _ = self._upload(upload)
        if not 0 <= start <= len(content):
            raise ValueError(f"byte {start:,} is outside of {upload.key}")
        return io.BytesIO(content[start:])

    def upload_size_bytes(self, upload: Upload) -> int:
        """Return the size of this version."""
        return len(self._upload(upload)[0])

    def upload_modified_at(self, upload: Upload) -> int:
        """Return when this version was put."""
        return self._upload(upload)[1]

    def _upload(self, upload: Upload) -> tuple[bytes, int]:
        if upload.bucket != self.inbox_bucket:
            raise ValueError(f"{upload.bucket} is not the inbox bucket")
        place = (upload.key, upload.version)
        if not is_key_usable(upload.key) or place not in self.uploads or place in self.unreadable:
            raise UploadRejected("unreadable", f"{upload.key} cannot be read")
        if place in self.withheld:
            raise UploadWithheld("unreadable", "S3 refused to give the object: access was denied (AccessDenied).")
        return self.uploads[place]

    def list_inbox(self, after: str, version: str = "") -> InboxPage:
        """Return the current versions below `inbox/` that follow the key *after*; its *version* is the current one."""
        assert bool(after) == bool(version) or not version, "a version is nothing without its key"
        current = {key: (version, put_at) for (key, version), (_, put_at) in self.uploads.items()}
        keys = sorted((key for key in current if key.startswith(INBOX_PREFIX) and key > after), key=str.encode)
        shown = keys[: self.inbox_page_keys]
        listed = [ListedUpload(Upload(self.inbox_bucket, key, current[key][0]), current[key][1]) for key in shown]
        if len(keys) == len(shown):
            return InboxPage(tuple(listed), "")
        return InboxPage(tuple(listed), shown[-1], current[shown[-1]][0])

    def task(self, name: str) -> bytes | None:
        """Return the task file's content, or None where there is none."""
        keys = [checked_key(key).removeprefix(TASKS_PREFIX) for key in task_keys(name)]
        return next((self.tasks[key] for key in keys if key in self.tasks), None)

    def task_names(self) -> list[str] | None:
        """Return the names of the tasks that exist."""
        parts = [part for key in self.tasks for part in key.split("/")]
        if any(part in ("", ".", "..") or min(part) < " " for part in parts):
            return None
        return sorted({named_task(key) or "" for key in self.tasks})[:TASK_NAMES_MAX]

    def read(self, key: str) -> bytes | None:
        """Return the object in the results bucket whole, or None where there is none."""
        return self.objects.get(checked_key(key))

    def open(self, key: str, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open an object of the results bucket."""
        content = self.read(key)
        if content is None:
            raise NotYet(f"{key} is not there")
        return io.BytesIO(content[start:])

    def size_bytes(self, key: str) -> int | None:
        """Return the size of an object of the results bucket, or None where there is none."""
        content = self.read(key)
        return None if content is None else len(content)

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        """Write one object of the results bucket."""
        self.objects[checked_key(key)] = bytes(content)
        self.content_types[key] = content_type
        self.puts += 1

    def put_many(self, objects: Iterable[tuple[str, bytes]]) -> int:
        """Write many small objects and return how many."""
        count = 0
        for key, content in objects:
            self.put(key, content)
            count += 1
        return count

    @contextmanager
    def open_ranges(self, key: str) -> Iterator["MemoryRanges"]:
        """Open an object of the results bucket for reading parts of it."""
        with self.open(key) as opened:
            yield MemoryRanges(self, key, opened.read())

    @contextmanager
    def writer(self, key: str, content_type: str = "application/x-ndjson") -> Iterator[io.BytesIO]:
        """Write one object piece by piece; it appears when all went well, or not at all."""
        checked_key(key)
        pieces = io.BytesIO()
        yield pieces
        self.put(key, pieces.getvalue(), content_type)


@dataclass(frozen=True)
class MemoryRanges:
    """Parts of an object as it was when it was opened; refused once it is another one, as S3 refuses a foreign entity tag."""

    storage: MemoryStorage
    key: str
    content: bytes

    def read(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes at each place."""
        if self.storage.read(self.key) != self.content:
            raise ReadMismatch(f"{self.key} was replaced")
        assert all(0 <= start < start + size_bytes <= len(self.content) for start, size_bytes in places), places
        return [self.content[start : start + size_bytes] for start, size_bytes in places]


class MemoryWakeups:
    """Keeps the wake-up messages: pairs of job and shard."""

    def __init__(self) -> None:
        self.submits: list[tuple[str, int | None]] = []
        self.completes: list[tuple[str, int | None]] = []
        self.tells = 0
        self.drops: list[Upload] = []
        self.others = 0  # messages of the submissions queue that are not ours

    def submit(self, job: str, shard: int | None = None) -> None:
        """Ask a submit function to look."""
        self.submits.append((job, shard))

    def complete(self, job: str, shard: int | None = None) -> None:
        """Ask a complete function to look."""
        self.completes.append((job, shard))

    def tell(self) -> None:
        """Ask a complete function to send what the installation owes."""
        self.tells += 1

    def drop(self, upload: Upload) -> None:
        """Tell a submit function of an upload."""
        self.drops.append(upload)

    def count_submissions(self) -> int:
        """Return how many messages wait for a submit function."""
        return len(self.submits) + len(self.drops) + self.others


class MemoryNotifications:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.published: list[Notification] = []

    def publish(self, notification: Notification) -> None:
        """Publish what SNS would take."""
        check_notification(notification)
        self.published.append(notification)
