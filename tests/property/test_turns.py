"""Jobs take turns: whoever waits is let in fairly, whatever ends when, and however much one of them drops."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import cast

from fakes.memory import FakeClock, MemoryLedger, MemoryLog, MemoryNotifications, MemoryStorage, MemoryWakeups
from fakes.prices import TablePrices
from fakes.world import BASE_URL
from hypothesis import given, settings
from hypothesis import strategies as st

from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.job import Group, Job, JobState, PlanCursor
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import MINUTE, Limits
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.planning.plan import Chunk, PlanPage, encode_page
from batchdrop.core.submission.shard_events import NoQuota
from batchdrop.core.submission.shard_lifecycle import advance
from batchdrop.flow.admission.admit import admit
from batchdrop.flow.ports import Ports, Providers
from batchdrop.flow.unit_of_work import Work, begin

SHARD_TOKENS = 100
LINES = 10  # of a shard


@dataclass
class NoProvider:
    """A place to send to, which nobody does here."""

    base_url: str = BASE_URL


@dataclass
class Account:
    """Jobs that wait, and shards that end when a test says so."""

    quota_shards: int
    clock: FakeClock = field(default_factory=FakeClock)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    storage: MemoryStorage = field(default_factory=MemoryStorage)
    served: list[tuple[str, str]] = field(default_factory=list)  # job and model, in order

    def work(self) -> Work:
        """What an invocation is given; each shard fills an equal part of the quota."""
        ports = Ports(
            clock=self.clock, ledger=self.ledger, wakeups=MemoryWakeups(), storage=self.storage,
            providers=cast(Providers, NoProvider()), notifications=MemoryNotifications(), prices=TablePrices(), log=MemoryLog(),
            inbox_bucket="inbox", results_bucket="results", writer="w",
        )  # fmt: skip
        limits = Limits(
            enqueued_tokens_per_model=self.quota_shards * SHARD_TOKENS,
            first_shard_tokens=SHARD_TOKENS,
            shard_requests_max=LINES,
        )
        return begin(ports, limits)

    def drop(self, name: str, shards: dict[str, int]) -> None:
        """A job with lines for so many shards of each model, as planning leaves it."""
        groups = tuple(Group("/v1/responses", model, count, LINES * count) for model, count in shards.items())
        job = Job(
            id=name, bucket="inbox", key=f"inbox/{name}.jsonl", version="1", created_at=self.clock.now(), groups=groups,
            state=JobState.RUNNING, plan=PlanCursor(0, 0, 1), due_at=self.clock.now(),
        )  # fmt: skip
        chunks = [
            Chunk(index, number, LINES, 1, SHARD_TOKENS, 0, 1, 1, 0)
            for index, group in enumerate(groups)
            for number in range(group.chunks)
        ]
        page = PlanPage(job.plan, groups, tuple(chunks), 0, 0, is_last=True)
        self.storage.put(Keys(job.id, job.key).plan_page(0), encode_page(page))
        self.ledger.write(Change((Write(None, job),)))

    def tick(self) -> None:
        """Let a minute pass and let in what there is quota for."""
        self.clock.advance(MINUTE)
        rows = list(self.ledger.active())
        jobs = [row for row in rows if isinstance(row, Job) and not row.is_cut]
        shards = [row for row in rows if isinstance(row, Shard)]
        waiting = [shard for shard in shards if shard.state is ShardState.WAITING and _is_due(shard, self.clock.now())]
        work = self.work()
        admitted = admit(work, list(map(work.open, jobs)), waiting, 100, shards)
        self.served += [(shard.job, shard.model) for shard in admitted.shards]

    def running(self) -> list[Shard]:
        """The shards that hold quota."""
        return [row for row in self.ledger.rows.values() if isinstance(row, Shard) and row.quota_tokens]

    def refuse(self, job: str) -> None:
        """The provider refuses what *job* sent, although others are in."""
        for shard in self.running():
            if shard.job == job:
                sent = replace(shard, state=ShardState.RUNNING)
                after = advance(sent, NoQuota(shard.attempt.ticket, is_idle=False), self.work().now())
                self.ledger.write(Change((Write(shard, after),)))
                self.served.append(("refused", shard.model))

    def end(self, shard: Shard) -> None:
        """The batch of *shard* ends."""
        after = replace(shard, state=ShardState.DONE, quota_tokens=0, due_at=None)
        self.ledger.write(Change((Write(shard, after),)))


def _is_due(shard: Shard, now: int) -> bool:
    return (shard.due_at or 0) <= now


@settings(deadline=None, max_examples=40)
@given(
    quota_shards=st.integers(1, 6),
    ticks_before=st.integers(0, 6),
    ends=st.lists(st.integers(0, 5), min_size=30, max_size=30),
    models=st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True),
)
def test_a_huge_job_delays_a_small_one_by_one_shard(
    quota_shards: int, ticks_before: int, ends: list[int], models: list[str]
) -> None:
    """Of each model at most one shard of a thousand goes before the one of a job that came later, whatever ends when."""
    account, order = Account(quota_shards), iter(ends)
    account.drop("huge", dict.fromkeys("abc", 1_000))

    def tick() -> None:
        account.tick()
        for shard in sorted(account.running(), key=lambda shard: shard.number)[: next(order)]:
            account.end(shard)

    for _ in range(ticks_before):
        tick()
    account.drop("small", dict.fromkeys(models, 1))
    served_before = len(account.served)
    for _ in range(20):
        tick()

    for model in models:
        turns = [job for job, served in account.served[served_before:] if served == model]
        before = turns[: turns.index("small")] if "small" in turns else turns
        assert len(before) <= 1


@settings(deadline=None, max_examples=40)
@given(quota_shards=st.integers(1, 6), refusals=st.integers(1, 5), models=st.sampled_from(["a", "ab"]))
def test_who_is_refused_keeps_its_place(quota_shards: int, refusals: int, models: str) -> None:
    """However often: each time at most one shard of a huge job goes before it again, also where all that was in has ended."""
    account = Account(quota_shards)
    account.drop("huge", dict.fromkeys("ab", 1_000))
    account.tick()
    account.drop("small", dict.fromkeys(models, 1))

    for _ in range(2 * refusals + 2):
        account.tick()
        account.refuse("small")
        for shard in account.running():
            account.end(shard)

    for model in models:
        turns = [job for job, served in account.served if served == model]
        refused = [number for number, job in enumerate(turns) if job == "refused"]
        assert len(refused) >= refusals
        for number in refused[:-1]:
            assert "small" in turns[number + 1 : number + 3]


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 20), min_size=2, max_size=5), quota_shards=st.integers(1, 8))
def test_jobs_that_wait_hold_alike(sizes: list[int], quota_shards: int) -> None:
    """Of quota that comes free at once, none that still waits got two shards more than another; and all are done in the end."""
    account, names = Account(quota_shards), [f"job-{number}" for number in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        account.drop(name, {"a": size})

    for _ in range(sum(sizes)):
        account.tick()
        held = Counter(shard.job for shard in account.running())
        waiting = [name for name in names if not cast(Job, account.ledger.job(name)).is_cut]
        assert not waiting or max(held.values()) - min(held[name] for name in waiting) <= 1
        for shard in account.running():
            account.end(shard)

    assert Counter(job for job, _ in account.served) == dict(zip(names, sizes, strict=True))


def test_nobody_starves_a_huge_job() -> None:
    """A small drop each minute takes its turn and no more: the huge one goes on beside them."""
    account = Account(1)
    account.drop("huge", {"a": 100})

    for minute in range(20):
        account.drop(f"small-{minute:02}", {"a": 1})
        account.tick()
        for shard in account.running():
            account.end(shard)

    assert [job for job, _ in account.served].count("huge") >= 1
    assert len(account.served) == 20
