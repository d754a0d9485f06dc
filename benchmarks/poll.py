"""What a tick costs with a thousand running batches: `python benchmarks/poll.py [ROUNDS]`.

Rule: production flow and adapter, and a provider that takes 50 ms for each answer; the ledger is memory, and that an idle tick is
one query and this one too is a test's to count. Time is the clock's, because latency is what a tick waits for; CPU stands beside.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import httpx2
from fakes.running import RunningBatches
from table import Row, at_most, print_rows

ROUNDS: Final = 5
BATCHES: Final = 1_000
LATENCY_SECONDS: Final = 0.050
LISTS_MAX: Final = 11
PAGES_MAX: Final = 20
TICK_SECONDS_MAX: Final = 5.0
LIST: Final = "GET /v1/batches"


def slow(_request: httpx2.Request) -> None:
    """Take as long as a provider far away."""
    time.sleep(LATENCY_SECONDS)


def ticked(running: RunningBatches) -> tuple[float, float, int, int]:
    """Return what a tick took by the clock and of CPU, and how many lists and how many calls it made."""
    tap = running.world.tap
    tap.counts.clear()
    began, cpu = time.perf_counter(), time.process_time()
    running.world.tick()
    return time.perf_counter() - began, time.process_time() - cpu, tap.counts[LIST], tap.counts.total()


def measured(name: str, foreign: int, lists_max: int, rounds: int) -> Sequence[Row]:
    """Return the figures of ticks in which *foreign* batches of others are newer than ours."""
    running = RunningBatches(BATCHES, foreign)
    running.world.tap.answers.insert(0, slow)
    running.world.tick()
    ticks = [ticked(running) for _ in range(rounds)]
    seconds, cpu, lists, calls = ([tick[place] for tick in ticks] for place in range(4))
    return [
        at_most(f"poll, {name}: lists", max(lists), lists_max, "", f"{max(calls)} calls in all"),
        at_most(
            f"poll, {name}: a tick", median(seconds), TICK_SECONDS_MAX, "s", f"{median(cpu):.2f} s of it CPU"
        ),
    ]  # fmt: skip


def measure(rounds: int = ROUNDS) -> Sequence[Row]:
    """Return the figures of both lists."""
    return [
        *measured("1,000 running batches", 0, LISTS_MAX, rounds),
        *measured("behind 2,500 of others", 2_500, PAGES_MAX, rounds),
    ]


if __name__ == "__main__":
    sys.exit(print_rows(measure(*map(int, sys.argv[1:2]))))
