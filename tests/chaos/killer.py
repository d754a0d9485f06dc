"""Kills function processes, at random moments, as a machine that fails would: SIGKILL, nothing said before.

Rule: only processes that run a function of this run's stack, known by the log that they write to. Chance is the caller's.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final

from batchdrop_cli.local.deployment import RUNTIME

# Seconds between two kills, as a multiple of how long a round of poll takes here and now. Some six processes share the kills, so
# that much is struck and most work gets done, however slow or busy the machine is.
ROUNDS_MEAN: Final = 1.5
# Where no round was finished for so many times its own length, kills become rarer: nothing would move any more.
_PATIENCE_ROUNDS: Final = 5
_TAIL_BYTES: Final = 200_000  # of a log: many rounds

type Processes = list[tuple[int, str]]  # id, and the function's name


def seconds_between(round_seconds: float, since_round_seconds: float) -> float:
    """Return how long to wait between two kills, in the mean.

    *round_seconds* is how long the last round of poll took, *since_round_seconds* how long ago it ended.
    """
    return ROUNDS_MEAN * max(round_seconds, since_round_seconds / _PATIENCE_ROUNDS)


class Killer:
    """Kills a process of one of the functions whose logs lie in *logs*, again and again, on a thread of its own."""

    def __init__(self, logs: Path, random: Random, first_round_seconds: float) -> None:
        self.killed: Counter[str] = Counter()
        self._logs, self._random = logs, random
        self._first_round_seconds, self._began_at = first_round_seconds, time.time()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Kill until stopped."""
        while not self._stopping.wait(self._random.expovariate(1 / self._seconds_mean())):
            found = function_processes(self._logs)
            if found:
                self._kill(*self._random.choice(found))

    def stop(self) -> None:
        """Kill no more."""
        self._stopping.set()

    def _seconds_mean(self) -> float:
        ended_at, seconds = last_round_in(self._logs / "poll.log") or (self._began_at, self._first_round_seconds)
        return seconds_between(max(seconds, self._first_round_seconds), time.time() - ended_at)

    def _kill(self, process: int, function: str) -> None:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.killed[function] += 1


def function_processes(logs: Path) -> Processes:
    """Return the processes that run a function of the stack whose logs lie in *logs*."""
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,args="], capture_output=True, text=True, check=True)  # noqa: S607  # the system's own
    return list(processes_in(listing.stdout, logs))


def processes_in(listing: str, logs: Path) -> Iterator[tuple[int, str]]:
    """Yield the processes of *listing*, one a line, that run a function: an interpreter, the runtime, and a log in *logs*."""
    ours = re.compile(rf"\s*(\d+) \S+ -S -P {re.escape(str(RUNTIME))} {re.escape(str(logs))}/(\w+)\.log$")
    for line in listing.splitlines():
        found = ours.match(line)
        if found:
            yield int(found[1]), found[2]


def last_round_in(log: Path) -> tuple[float, float] | None:
    """Return when the last finished round in poll's *log* ended, and how many seconds it took; None before the first."""
    with log.open("rb") as lines:
        lines.seek(max(log.stat().st_size - _TAIL_BYTES, 0))
        reports = [line for line in lines.read().splitlines() if line.startswith(b"{") and b'"platform.report"' in line]
    if not reports:
        return None
    report = json.loads(reports[-1])
    ended_at = datetime.fromisoformat(report["time"]).timestamp()
    return ended_at, report["record"]["metrics"]["durationMs"] / 1000


@contextmanager
def killing(killer: Killer) -> Iterator[None]:
    """Let *killer* kill until left."""
    thread = threading.Thread(target=killer.run, name="killer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        killer.stop()
        thread.join()
