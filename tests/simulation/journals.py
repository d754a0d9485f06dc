"""The fakes that keep a journal: what was written when, for the judges to look at.

Rule: a journal only watches. What it finds wrong is noted as a finding and changes nothing.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fakes.memory import FakeClock, MemoryLedger, MemoryLog, MemoryNotifications, MemoryStorage

from batchdrop.core.admission.budget import allowed_microdollars
from batchdrop.core.model.change import Change, DayMove
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.quota import WHOLE_ACCOUNT, Quota
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.flow.ports import Notification

J, S = JobState, ShardState

# Written down here once more, apart from the tables of the code: a table that lost or gained an edge is noticed.
SHARD_EDGES: Final = {
    S.WAITING: {S.RESERVED, S.HARVESTING},
    S.RESERVED: {S.UPLOADED, S.RUNNING, S.WAITING, S.HARVESTING},
    S.UPLOADED: {S.RESERVED, S.CREATING, S.RUNNING, S.HARVESTING},
    S.CREATING: {S.RUNNING, S.HARVESTING, S.UPLOADED, S.RESERVED, S.PARKED, S.WAITING, S.FENCING},
    S.FENCING: {S.RUNNING, S.RESERVED, S.PARKED, S.HARVESTING},
    S.PARKED: {S.RUNNING, S.RESERVED, S.HARVESTING, S.FENCING},
    S.RUNNING: {S.RESERVED, S.PARKED, S.WAITING, S.HARVESTING},
    S.HARVESTING: {S.DONE, S.WAITING},
    S.DONE: set(),
}
JOB_EDGES: Final = {
    J.PLANNING: {J.HELD, J.RUNNING, J.FINISHING, J.NOTIFYING},
    J.HELD: {J.RUNNING, J.FINISHING},
    J.RUNNING: {J.HELD, J.FINISHING},
    J.FINISHING: {J.NOTIFYING},
    J.NOTIFYING: {J.ENDED},
    J.ENDED: {J.PLANNING},  # a person retries what was rejected
}
_RESULT = re.compile(
    r"results/.+/(?P<job>[0-9a-f]{20})/"
    r"(status\.json|summary\.json|report\.html|outcomes\.(jsonl|index)|(results|failures)\.\w+(\.gz)?|items/[^/]+\.json)"
)
_INTERNAL = re.compile(r"internal/(?P<job>[0-9a-f]{20})/(task\.yaml|upload|(chunks|plan|refused|shards)/.+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """An invariant (its number in the list of the README) that did not hold, and how."""

    invariant: int
    text: str

    def __str__(self) -> str:
        return f"invariant {self.invariant}: {self.text}"


@dataclass(frozen=True, slots=True)
class Put:
    """An object as it was written."""

    key: str
    digest: str
    writer: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a person could read, and when: a notification, or a job's `status.json`.

    *job* is empty where the whole installation is meant; *waits_for* where nothing is waited for.
    """

    at: float
    job: str
    event: str  # a notification's; empty for a status
    waits_for: str
    identity: str = ""  # of a notification


type Report = Callable[[int, str], None]


class JournalLedger(MemoryLedger):
    """The table; each write is held against the invariants about it."""

    def __init__(self, log: MemoryLog, report: Report, limits: Callable[[], Limits]) -> None:
        super().__init__(log)
        self._report, self._limits = report, limits
        self.writes = 0
        self.watch: Callable[[Change], None] = lambda _change: None
        self.intents: set[str] = set()  # tickets that were CREATING
        self.tickets: set[str] = set()

    def write(self, change: Change) -> Change:
        """Apply *change* and look at what it did."""
        held_before = {place: quota.used for place, quota in self.quotas.items()}
        found = {id(write): self._found(write.after) for write in change.writes}
        done = super().write(change)
        self.writes += 1
        for write in change.writes:
            self._check_row(found[id(write)], write.after)
        self._check_quotas(change, held_before)
        self._check_money(change)
        self._check_day(change.day)
        self.watch(done)
        return done

    def _found(self, row: object) -> Job | Shard | None:
        if isinstance(row, Job):
            return self.job(row.id)
        return self.shard(row.job, row.number) if isinstance(row, Shard) else None

    def _check_row(self, before: Job | Shard | None, after: object) -> None:
        match before, after:
            case Job(state=old), Job(state=new) if old is not new and new not in JOB_EDGES[old]:
                self._report(12, f"a job went from {old} to {new}")
            case Shard(state=old), Shard(state=new) if old is not new and new not in SHARD_EDGES[old]:
                self._report(12, f"a shard went from {old} to {new}")
            case Job(state=J.ENDED, retries=old), Job(retries=new) if old == new:
                self._report(12, "an ended job was written again")
        if isinstance(after, Job | Shard) and (after.due_at is None) != (after.state in (S.DONE, J.ENDED)):
            self._report(13, f"a row in {after.state} is due at {after.due_at}")
        if isinstance(after, Shard):
            self.note_tickets(after)

    def note_tickets(self, shard: Shard) -> None:
        """Remember which creates the table has ever owned up to."""
        self.tickets.update(shard.attempt.tickets)
        if shard.state is S.CREATING:
            self.intents.add(shard.attempt.ticket)

    def _check_quotas(self, change: Change, before: dict[tuple[str, str], int]) -> None:
        held: Counter[tuple[str, str]] = Counter()
        for row in self.rows.values():
            if isinstance(row, Shard):
                held[row.account, row.model] += row.quota_tokens
                held[row.account, WHOLE_ACCOUNT] += row.quota_inputs
        for place, quota in self.quotas.items():
            if quota.used != held[place] or quota.used < 0:
                self._report(10, f"{quota.used} tokens are used, {held[place]} are held")
            self._check_limit(change, quota, before.get(place, 0))

    def _check_money(self, change: Change) -> None:
        """10 and 11 of money: a job's reserved sum is what its shards hold, and no shard is let in beyond what it may cost."""
        for job in (write.after for write in change.writes if isinstance(write.after, Job)):
            held = sum(shard.reserved_microdollars for shard in self.shards(job.id))
            if job.money.reserved != held:
                self._report(10, f"{job.money.reserved} microdollars are reserved, {held} are held")
            allowed = allowed_microdollars(job, self._limits())
            is_admission = any(isinstance(w.after, Shard) and w.after.state is S.RESERVED for w in change.writes)
            if is_admission and allowed is not None and held + job.money.spent > allowed:
                self._report(11, f"{held} microdollars were reserved, {allowed} are allowed")

    def _check_day(self, move: DayMove | None) -> None:
        """11 of a day's money: nothing is let in beyond it, and it is never negative."""
        if move is None:
            return
        counted, limit = self.days[move.day], self._limits().daily_cost_microdollars_max
        if counted < 0 or (move.microdollars > 0 and move.limit is not None and counted > limit):
            self._report(11, f"{counted} microdollars are counted on {move.day}, {limit} are allowed")

    def _check_limit(self, change: Change, quota: Quota, before: int) -> None:
        limit = self._limit(quota)
        # A batch that is found takes its quota whether there is any or not: it runs already.
        is_admission = any(isinstance(w.after, Shard) and w.after.state is S.RESERVED for w in change.writes)
        if is_admission and quota.used > before > 0 and quota.used > limit:
            self._report(11, f"{quota.used} tokens were reserved over the limit of {limit}")

    def _limit(self, quota: Quota) -> int:
        limits = self._limits()
        if quota.model == WHOLE_ACCOUNT:
            return limits.quota_embedding_inputs
        return limits.enqueued_tokens_per_model or quota.quota_estimate.limit or limits.first_shard_tokens


class JournalStorage(MemoryStorage):
    """Both buckets; puts are remembered, and held against the invariants about keys and order."""

    def __init__(self, clock: FakeClock, report: Report, who: Callable[[], str], passed: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self._report, self._who, self._passed = report, who, passed
        self.journal: list[Put] = []
        self.told: list[Told] = []

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        """Write one object and look at it."""
        before = self.objects.get(key)
        found = _RESULT.fullmatch(key) or _INTERNAL.fullmatch(key)
        if found is None:
            self._report(19, f"{key} is no key of ours")
        super().put(key, content, content_type)
        self.journal.append(Put(key, hashlib.sha256(content).hexdigest(), self._who()))
        if key.endswith("/status.json"):
            status = json.loads(content)
            self.told.append(Told(self._passed(), status["job"], "", (status["waiting"] or {}).get("for", "")))
        folder = key.partition("/items/")[0].rpartition("/")[0] if "/items/" not in key else key.partition("/items/")[0]
        is_result = key.startswith("results/") and not key.endswith("/status.json")
        if is_result and f"{folder}/summary.json" in self.objects and before != content and before is not None:
            self._report(7, f"{key} changed after the summary was written")
        if (
            is_result
            and before is None
            and not key.endswith("/summary.json")
            and f"{folder}/summary.json" in self.objects
        ):
            self._report(7, f"{key} was written after the summary")


class JournalNotifications(MemoryNotifications):
    """The topic; each copy remembers whether the summary was there."""

    def __init__(self, storage: MemoryStorage, ledger: MemoryLedger, passed: Callable[[], float]) -> None:
        super().__init__()
        self._storage, self._ledger, self._passed = storage, ledger, passed
        self.before_summary: list[Notification] = []
        self.told: list[Told] = []

    def publish(self, notification: Notification) -> None:
        """Publish and look whether it was time."""
        super().publish(notification)
        said = json.loads(notification.json)
        reason = (said["reason"] or {}).get("code", "") if said["event"] == "waiting" else ""
        self.told.append(Told(self._passed(), said["job"] or "", said["event"], reason, said["id"]))
        if said["job"] is None:
            return  # about the whole installation
        job = self._ledger.job(said["job"])
        if job is None or Keys(job.id, job.key).summary not in self._storage.objects:
            self.before_summary.append(notification)
