"""How well quota is used that nobody told us about: `python benchmarks/quota.py` prints the figures, each with its goal.

Rule: production flows, the real adapter and the simulator on one virtual clock, a tick a minute. A token stands for forty, in the
account, in the drops and in the first shard alike, so that 80 M tokens take seconds; nothing that is learned depends on the unit.
The oracle knows the limit at each moment and keeps the queue full as long as anything waits.
"""

import json
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.world import World
from simulation.invariants import calls_allowed
from simulation.journals import Finding, JournalLedger
from table import Row, at_least, at_most, print_rows

from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import MINUTE, Limits
from batchdrop.core.model.shard import Shard, ShardState
from openai_batch_simulator.account.batches import Status
from openai_batch_simulator.account.behaviour import Behaviour
from openai_batch_simulator.account.quota import Quota

SCALE: Final = 40
LIMIT_TOKENS: Final = 2_000_000 // SCALE
HUGE_TOKENS: Final = 80_000_000 // SCALE
SMALL_JOBS: Final = 10
SMALL_TOKENS: Final = (2_000 // SCALE, 40_000 // SCALE)
LINE_TOKENS: Final = 400  # as the queue counts: a shard of an eighth of the quota has fifteen such lines
UNCOUNTED_SHARE: Final = 10  # of a line, what the queue counts and usage does not: what is learned is a ninth off
SENTENCE: Final = "The parcel came two days late, but the shop wrote to me before I asked, and that I liked. "
MODEL: Final = "gpt-4.1-mini"
RUN_SECONDS: Final = 20 * MINUTE
TURN_SECONDS: Final = RUN_SECONDS + 2 * MINUTE  # validated, run, and seen by a tick
MIDWAY_SECONDS: Final = HUGE_TOKENS * RUN_SECONDS // LIMIT_TOKENS // 2
MINUTES_MAX: Final = 12_000
SEEDS: Final = (1, 2)

UTILISATION_MIN: Final = 0.85
REFUSED_SHARE_MAX: Final = 0.05
DELAY_MAX: Final = 1.2


@dataclass(frozen=True, slots=True)
class Story:
    """A run: whether refusals state the limit, whether the limit is pinned, and what happens midway."""

    name: str
    states_limit: bool = True
    pinned: int = 0
    cut_to: float = 1.0  # from the middle on
    foreign: float = 0.0  # share of the account that somebody else fills from the middle on
    utilisation_min: float | None = UTILISATION_MIN


STORIES: Final = (
    Story("pinned", pinned=LIMIT_TOKENS),
    Story("stated"),
    Story("not stated", states_limit=False, utilisation_min=None),
    Story("stated, cut to a quarter midway", cut_to=0.25),
    Story("not stated, cut to a quarter midway", states_limit=False, cut_to=0.25, utilisation_min=None),
    Story("stated, another user takes half midway", foreign=0.5),
    Story("not stated, another user takes half midway", states_limit=False, foreign=0.5, utilisation_min=None),
)


@dataclass(slots=True)
class Measured:
    """What one run came to."""

    quota_minutes: float = 0.0  # tokens that could have been enqueued, minute by minute, while something waited
    used_minutes: float = 0.0
    hours: float = 0.0
    creates: int = 0
    refused: int = 0
    delays: list[float] = field(
        default_factory=list
    )  # of the small jobs: how long beyond a turn, by how long it takes alone

    @property
    def utilisation(self) -> float:
        """The share of the quota that was used while something waited for it."""
        return self.used_minutes / self.quota_minutes

    @property
    def refused_share(self) -> float:
        """How many of the creates were refused for want of quota."""
        return self.refused / self.creates


class SilentQuota(Quota):
    """A queue that does not say how long it is."""

    def message(self, model: str, limit: int) -> str:
        """Return the provider's words without the figure."""
        del limit
        return f"Enqueued token limit reached for {model} in organization org-1. Please try again later."


def requests(tokens: int, name: str) -> bytes:
    """Return ready-made requests of so many *tokens* of the queue, one at least; no other name has the same."""
    size = min(LINE_TOKENS, tokens)
    lines = (_request(4 * size, f"{name} {number} ") for number in range(max(1, tokens // LINE_TOKENS)))
    return b"\n".join(lines)


def _request(size_bytes: int, start: str) -> bytes:
    """Return a body of about *size_bytes*; the simulator answers it in a word, and quickly, for its instruction."""
    instruction = {"role": "system", "content": "Answer with yes or no."}
    prompt = {"role": "user", "content": start}
    body = {"model": MODEL, "user": "", "messages": [instruction, prompt]}
    padding = max(0, size_bytes - len(json.dumps(body)))
    body["user"] = "u" * max(0, size_bytes // UNCOUNTED_SHARE - (size_bytes - padding))
    prompt["content"] += (SENTENCE * (padding // len(SENTENCE) + 1))[: padding - len(body["user"])]
    return json.dumps(body).encode()


class Run:
    """One story on a world of its own, whose table is watched."""

    def __init__(self, story: Story, seed: int) -> None:
        self.story, self.measured = story, Measured()
        self.findings: list[Finding] = []
        self.queue = {MODEL: LIMIT_TOKENS}
        behaviour = Behaviour(
            validate_seconds=20, run_seconds=RUN_SECONDS, finalize_seconds=10, enqueued_tokens=self.queue
        )
        limits = Limits(first_shard_tokens=50_000 // SCALE, enqueued_tokens_per_model=story.pinned)
        self.world = World(behaviour=behaviour, limits=limits, seed=seed)
        self.world.ledger = JournalLedger(self.world.log, self._report, lambda: limits)
        if not story.states_limit:
            self.world.simulator.account.lifecycle.quota = SilentQuota(behaviour)
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.ticks = 0
        self._statuses: list[Status] = []
        self._looked_at = 0

    def _report(self, invariant: int, text: str) -> None:
        self.findings.append(Finding(invariant, text))

    def play(self) -> Measured:
        """Return what came of a huge job and ten small ones at random times. Raises SystemExit where an invariant broke."""
        world, start = self.world, self.world.clock.time
        huge = world.drop("inbox/huge.jsonl", requests(HUGE_TOKENS, "huge"))
        drops = sorted(self.chance.randrange(MINUTE, 2 * MIDWAY_SECONDS) for _ in range(SMALL_JOBS))
        small: dict[str, int] = {}
        for _ in range(MINUTES_MAX):
            is_new = False
            passed = world.clock.time - start
            self._change(passed)
            while drops and drops[0] <= passed:
                drops.pop(0)
                name = f"small-{len(small)}"
                job = world.drop(f"inbox/{name}.jsonl", requests(self.chance.randint(*SMALL_TOKENS), name))
                small[job], is_new = world.clock.time, True
            self.pass_a_minute(is_new=is_new)
            self._sample(huge)
            if not drops and self.is_at_rest():
                break
        self._count(huge, small, start)
        self._judge()
        return self.measured

    def _change(self, passed: int) -> None:
        if passed < MIDWAY_SECONDS or self.queue[MODEL] != LIMIT_TOKENS:
            return
        self.queue[MODEL] = int(LIMIT_TOKENS * self.story.cut_to)
        if self.story.foreign and not self.world.simulator.faults.switches:
            self.world.simulator.faults.switch("foreign_tokens", value=LIMIT_TOKENS * self.story.foreign)

    def pass_a_minute(self, *, is_new: bool = False) -> None:
        """Let a minute pass, and tick unless there is nothing that a tick could find or do."""
        self.world.advance(MINUTE)
        if self._has_happened() or is_new:
            self.ticks += 1
            done = self.world.tick(0)
            # What a tick began, the next one goes on with.
            self._looked_at = 0 if done.moved or done.admitted or done.wakeups else self.world.clock.time

    def _has_happened(self) -> bool:
        """Whether anything moved at the provider, or any time came, since a tick last looked and found nothing to do."""
        statuses = [batch.status for batch in self.world.simulator.account.batches.values()]
        ledger, now = self.world.ledger, self.world.clock.time
        times = [row.due_at or 0 for row in ledger.rows.values() if isinstance(row, Job | Shard) and not _runs(row)]
        times += [quota.quota_estimate.cool_down_until for quota in ledger.quotas.values()]
        has_moved, self._statuses = statuses != self._statuses, statuses
        return has_moved or not self._looked_at or any(self._looked_at < at <= now for at in times)

    def is_at_rest(self) -> bool:
        """Whether every job has ended."""
        return all(row.state is JobState.ENDED for row in self.world.ledger.rows.values() if isinstance(row, Job))

    def _sample(self, huge: str) -> None:
        """Look at the queue, as long as lines wait to be cut from the huge job; what a cut left over it counts as full."""
        if self.world.job(huge).is_cut:
            return
        lifecycle = self.world.simulator.account.lifecycle
        foreign = sum(switch.value for switch in lifecycle.faults.switches if switch.fault == "foreign_tokens")
        free = self.queue[MODEL] - foreign
        self.measured.quota_minutes += free
        self.measured.used_minutes += min(free, lifecycle.quota.tokens[MODEL])

    def _count(self, huge: str, small: dict[str, int], start: int) -> None:
        world, measured = self.world, self.measured
        moves = [fields for _, event, fields in world.log.lines if event == "shard.moved"]
        measured.creates = world.tap.creates
        measured.refused = sum(fields["cause"] == "NoQuota" for fields in moves)
        measured.hours = (world.job(huge).ended_at - start) / 3600
        for job, dropped_at in small.items():
            taken = world.job(job).ended_at - dropped_at
            measured.delays.append(max(0, taken - TURN_SECONDS) / alone_seconds())

    def _judge(self) -> None:
        """Hold the run against what must hold in every run; 10, 11 and 13 were looked at with each write of the table."""
        world, rows = self.world, self.world.ledger.rows.values()
        for row in rows:
            if isinstance(row, Job) and (row.state, row.event) != (JobState.ENDED, "completed"):
                self._report(14, f"{row.key} is {row.state}, {row.event}")
        for quota in world.ledger.quotas.values():
            if quota.used or quota.taken:
                self._report(10, f"{quota.used} tokens of {quota.model!r} are used at rest")
        calls, shards = world.tap.counts.total(), sum(isinstance(row, Shard) for row in rows)
        if calls > calls_allowed(shards, self.ticks):
            self._report(22, f"{calls} calls for {shards} shards in {self.ticks} ticks")
        for item, batches in world.charged_twice().items():
            self._report(1, f"{item} was paid in {batches}")
        if self.findings:
            raise SystemExit("\n".join([self.story.name, *map(str, self.findings)]))


def _runs(row: Job | Shard) -> bool:
    """Whether *row* waits for the provider, who is looked at himself, or for quota, which comes when something else moves."""
    return row.state in (ShardState.RUNNING, JobState.RUNNING)


_alone: list[int] = []


def alone_seconds() -> int:
    """Return how long the smallest of the small jobs takes on an empty account."""
    if not _alone:
        run = Run(Story("alone"), seed=0)
        job = run.world.drop("inbox/small.jsonl", requests(SMALL_TOKENS[0], "alone"))
        begun = run.world.clock.time
        while not run.is_at_rest():
            run.pass_a_minute()
        _alone.append(run.world.job(job).ended_at - begun)
    return _alone[0]


def played(run: tuple[Story, int]) -> Measured:
    """Return what came of a story with a seed."""
    story, seed = run
    return Run(story, seed).play()


def rows_of(story: Story, runs: Sequence[Measured]) -> Iterator[Row]:
    """Yield what the runs of *story* came to: the middle of what was used, the worst of the rest."""
    shares = [run.utilisation for run in runs]
    used, name = statistics.median(shares), f"quota, {story.name}"
    detail = f"{min(shares):.1%} to {max(shares):.1%}; the huge job took {max(run.hours for run in runs):.1f} h"
    title = f"{name}: used"
    yield (
        Row(title, "", used, "%", detail)
        if story.utilisation_min is None
        else at_least(title, used, story.utilisation_min, "%", detail)
    )
    refused = max(run.refused_share for run in runs)
    detail = ", ".join(f"{run.refused} of {run.creates}" for run in runs)
    yield at_most(f"{name}: creates refused", refused, REFUSED_SHARE_MAX, "%", detail)
    yield at_most(
        f"{name}: slowest small job",
        max(max(run.delays) for run in runs),
        DELAY_MAX,
        "of its time alone",
    )


def measure(seeds: Sequence[int] = SEEDS) -> list[Row]:
    """Return all figures, as many runs at a time as there are processors."""
    runs = [(story, seed) for story in STORIES for seed in seeds]
    with ProcessPoolExecutor() as processes:
        measured = list(processes.map(played, runs))
    return [
        row
        for number, story in enumerate(STORIES)
        for row in rows_of(story, measured[number * len(seeds) : (number + 1) * len(seeds)])
    ]


if __name__ == "__main__":
    sys.exit(print_rows(measure(tuple(map(int, sys.argv[1:])) or SEEDS)))
