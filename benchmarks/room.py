"""How well room is used that nobody told us about: `python benchmarks/room.py` prints a table and says whether its limits hold.

Rule: production flows, the real adapter and the simulator on one virtual clock, a tick a minute. A token stands for forty, in the
account, in the drops and in the first shard alike, so that 80 M tokens take seconds; nothing that is learned depends on the unit.
The oracle knows the limit at each moment and keeps the queue full as long as anything waits.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.world import World

from batchdrop.core.ledger_rows import JobState
from batchdrop.core.limits import MINUTE, Limits
from openai_batch_simulator.behaviour import Behaviour
from openai_batch_simulator.room import Room

SCALE: Final = 40
LIMIT_TOKENS: Final = 2_000_000 // SCALE
HUGE_TOKENS: Final = 80_000_000 // SCALE
SMALL_JOBS: Final = 10
SMALL_TOKENS: Final = (2_000 // SCALE, 40_000 // SCALE)
LINE_TOKENS: Final = 200
BODY_BYTES: Final = 90  # around the prompt
SENTENCE: Final = "The parcel came two days late, but the shop wrote to me before I asked, and that I liked. "
MODEL: Final = "gpt-4.1-mini"
RUN_SECONDS: Final = 20 * MINUTE
TURN_SECONDS: Final = RUN_SECONDS + 2 * MINUTE  # validated, run, and seen by a tick
TICKS_MAX: Final = 12_000

UTILISATION_MIN: Final = 0.85
REFUSED_SHARE_MAX: Final = 0.05
DELAY_MAX: Final = 1.2


class SilentRoom(Room):
    """A queue that does not say how long it is."""

    def message(self, model: str, limit: int) -> str:
        """Return the provider's words without the figure."""
        del limit
        return f"Enqueued token limit reached for {model} in organization org-1. Please try again later."


@dataclass(slots=True)
class Measured:
    """What one run came to."""

    room_ticks: float = 0.0  # tokens that could have been enqueued, tick by tick, while something waited
    used_ticks: float = 0.0
    hours: float = 0.0
    creates: int = 0
    refused: int = 0
    delays: list[float] = field(
        default_factory=list
    )  # of the small jobs: how long beyond a turn, by how long it takes alone

    @property
    def utilisation(self) -> float:
        """The share of the room that was used while something waited for it."""
        return self.used_ticks / self.room_ticks

    @property
    def refused_share(self) -> float:
        """How many of the creates were refused for want of room."""
        return self.refused / self.creates


@dataclass(frozen=True, slots=True)
class Story:
    """A run: whether refusals state the limit, whether the limit is pinned, and what happens midway."""

    name: str
    states_limit: bool = True
    pinned: int = 0
    cut_to: float = 1.0  # from the middle on
    foreign: float = 0.0  # share of the account that somebody else fills from the middle on
    utilisation_min: float = 0.0


STORIES: Final = (
    Story("oracle of the same system: pinned", pinned=LIMIT_TOKENS),
    Story("limit stated", utilisation_min=UTILISATION_MIN),
    Story("limit not stated", states_limit=False),
    Story("limit stated, cut to a quarter midway", cut_to=0.25),
    Story("limit not stated, cut to a quarter midway", states_limit=False, cut_to=0.25),
    Story("limit stated, another user takes half midway", foreign=0.5),
    Story("limit not stated, another user takes half midway", states_limit=False, foreign=0.5),
)


def requests(tokens: int, name: str) -> bytes:
    """Return ready-made requests of *tokens* by their bytes, one at least; no other name has the same."""
    prompt = (SENTENCE * 20)[: 4 * min(LINE_TOKENS, tokens) - BODY_BYTES]
    lines = [
        json.dumps({"model": MODEL, "messages": [{"role": "user", "content": f"{name} {number} {prompt}"}]})
        for number in range(max(1, tokens // LINE_TOKENS))
    ]
    return "\n".join(lines).encode()


class Run:
    """One story on a world of its own."""

    def __init__(self, story: Story, seed: int) -> None:
        self.story, self.measured = story, Measured()
        self.queue = {MODEL: LIMIT_TOKENS}
        behaviour = Behaviour(
            validate_seconds=20, run_seconds=RUN_SECONDS, finalize_seconds=10, enqueued_tokens=self.queue
        )
        limits = Limits(first_shard_tokens=50_000 // SCALE, room_tokens_per_model=story.pinned)
        self.world = World(behaviour=behaviour, limits=limits, seed=seed)
        if not story.states_limit:
            self.world.simulator.world.lifecycle.room = SilentRoom(behaviour)
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.midway = HUGE_TOKENS * RUN_SECONDS // LIMIT_TOKENS // 2

    def play(self) -> Measured:
        """Return what came of a huge job and ten small ones at random times."""
        world, start = self.world, self.world.clock.time
        huge = world.drop("inbox/huge.jsonl", requests(HUGE_TOKENS, "huge"))
        drops = sorted(self.chance.randrange(MINUTE, 2 * self.midway) for _ in range(SMALL_JOBS))
        small: dict[str, tuple[int, int]] = {}
        for _ in range(TICKS_MAX):
            world.tick(MINUTE)
            passed = world.clock.time - start
            self._change(passed)
            while drops and drops[0] <= passed:
                drops.pop(0)
                tokens = self.chance.randint(*SMALL_TOKENS)
                job = world.drop(f"inbox/small-{len(small)}.jsonl", requests(tokens, f"small {len(small)}"))
                small[job] = (world.clock.time, tokens)
            self._sample(huge)
            if not drops and all(world.job(job).state is JobState.ENDED for job in (huge, *small)):
                break
        self._count(huge, start)
        for job, (dropped_at, tokens) in small.items():
            taken = world.job(job).ended_at - dropped_at
            self.measured.delays.append(max(0, taken - TURN_SECONDS) / alone_seconds(tokens))
        if world.charged_twice():
            raise SystemExit("something was paid twice: the figures mean nothing")
        return self.measured

    def _change(self, passed: int) -> None:
        if passed >= self.midway and self.queue[MODEL] == LIMIT_TOKENS:
            self.queue[MODEL] = int(LIMIT_TOKENS * self.story.cut_to)
            if self.story.foreign and not self.world.simulator.faults.switches:
                self.world.simulator.faults.switch("foreign_tokens", value=LIMIT_TOKENS * self.story.foreign)

    def _sample(self, huge: str) -> None:
        """Look at the queue, as long as lines wait to be cut from the huge job; what a cut left over it counts as full."""
        if self.world.job(huge).is_cut:
            return
        lifecycle = self.world.simulator.world.lifecycle
        foreign = sum(switch.value for switch in lifecycle.faults.switches if switch.fault == "foreign_tokens")
        free = self.queue[MODEL] - foreign
        self.measured.room_ticks += free
        self.measured.used_ticks += min(free, lifecycle.room.tokens[MODEL])

    def _count(self, huge: str, start: int) -> None:
        moves = [fields for _, event, fields in self.world.log.lines if event == "shard.moved"]
        self.measured.creates = self.world.tap.creates
        self.measured.refused = sum(fields["cause"] == "NoRoom" for fields in moves)
        self.measured.hours = (self.world.job(huge).ended_at - start) / 3600


_alone: dict[int, int] = {}


def alone_seconds(tokens: int) -> int:
    """Return how long a job takes on an empty account."""
    if tokens not in _alone:
        run = Run(Story("alone"), seed=0)
        job = run.world.drop("inbox/small.jsonl", requests(tokens, "alone"))
        begun = run.world.clock.time
        _alone[tokens] = run.world.run(job).ended_at - begun
    return _alone[tokens]


def verdict(story: Story, measured: Measured) -> bool:
    """Whether the run keeps the limits."""
    return (
        measured.utilisation >= story.utilisation_min
        and measured.refused_share <= REFUSED_SHARE_MAX
        and max(measured.delays) <= DELAY_MAX
    )


def played(story: Story) -> tuple[Measured, float]:
    """Return what came of *story*, and how many seconds it took to find out."""
    begun = time.perf_counter()
    return Run(story, seed=1).play(), time.perf_counter() - begun


def main(write: Callable[[str], object] = sys.stdout.write) -> int:
    """Print the table, as many stories at a time as there are processors; return 1 where a limit does not hold."""
    write(f"{'':<50} {'used':>6} {'hours':>6} {'creates':>8} {'refused':>8} {'slowest':>8} {'took':>6}\n")
    failed = False
    with ProcessPoolExecutor() as processes:
        for story, (measured, seconds) in zip(STORIES, processes.map(played, STORIES), strict=True):
            holds = verdict(story, measured)
            failed = failed or not holds
            write(
                f"{story.name:<50} {measured.utilisation:>6.1%} {measured.hours:>6.1f} {measured.creates:>8}"
                f" {measured.refused_share:>8.1%} {max(measured.delays):>8.2f} {seconds:>5.0f}s"
                f"{'' if holds else '  BROKEN'}\n"
            )
    return failed


if __name__ == "__main__":
    sys.exit(main())
