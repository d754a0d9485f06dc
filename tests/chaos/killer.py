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
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final

from batchdrop_cli.local.deployment import RUNTIME

# How long a process lives in the mean, as a multiple of the longest that an invocation took lately: about one in four of the
# longest invocations is struck, and most work gets done, however slow or busy the machine is.
LIFETIME_INVOCATIONS: Final = 3
# Where a function finished nothing for so many times its own length, kills become rarer: nothing would move any more.
_PATIENCE_INVOCATIONS: Final = 5
_TAIL_BYTES: Final = 30_000  # of a log: the last few dozen invocations
FUNCTIONS: Final = ("submit", "poll", "complete")

type Processes = list[tuple[int, str]]  # id, and the function's name


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one function works: the longest of its last invocations, and when the last one ended; 0 before the first."""

    longest_seconds: float
    ended_at: float
    is_begun_since: bool  # something was begun after that, and has not ended or never will

    def seconds(self, now: float) -> float:
        """Return how long an invocation is to be thought of as taking."""
        waited = (now - self.ended_at) / _PATIENCE_INVOCATIONS if self.is_begun_since and self.ended_at else 0.0
        return max(self.longest_seconds, waited)


class Killer:
    """Kills a process of one of the functions whose logs lie in *logs*, again and again, on a thread of its own."""

    def __init__(self, logs: Path, random: Random, first_round_seconds: float) -> None:
        self.killed: Counter[str] = Counter()
        self._logs, self._random, self._first_round_seconds = logs, random, first_round_seconds
        self._stopping = threading.Event()

    def run(self) -> None:
        """Kill until stopped."""
        while not self._stopping.wait(self._random.expovariate(1 / self._seconds_between_kills())):
            found = function_processes(self._logs)
            if found:
                self._kill(*self._random.choice(found))

    def stop(self) -> None:
        """Kill no more."""
        self._stopping.set()

    def _seconds_between_kills(self) -> float:
        paces = [pace_in(log) for log in self._logs.glob("*.log") if log.stem in FUNCTIONS]
        longest = max([self._first_round_seconds, *(pace.seconds(time.time()) for pace in paces)])
        return LIFETIME_INVOCATIONS * longest / max(len(function_processes(self._logs)), 1)

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


def pace_in(log: Path) -> Pace:
    """Return how fast the function works that writes *log*, by the platform's lines in the end of it."""
    with log.open("rb") as lines:
        lines.seek(max(log.stat().st_size - _TAIL_BYTES, 0))
        tail = lines.read().splitlines()
    longest, ended_at, is_begun_since = 0.0, 0.0, False
    for line in tail:
        if b'"platform.start"' in line:
            is_begun_since = True
        elif line.startswith(b"{") and b'"platform.report"' in line and line.endswith(b"}"):
            report = json.loads(line)
            longest = max(longest, report["record"]["metrics"]["durationMs"] / 1000)
            ended_at, is_begun_since = datetime.fromisoformat(report["time"]).timestamp(), False
    return Pace(longest, ended_at, is_begun_since)


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
