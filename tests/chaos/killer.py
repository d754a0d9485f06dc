"""Kills function processes, at random moments, as a machine that fails would: SIGKILL, nothing said before.

Rule: only processes that run a function of this run's stack, known by the log that they write to. Chance is the caller's.
"""

import os
import re
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from batchdrop_cli.local.deployment import RUNTIME

# Seconds between two kills, as a multiple of how long this machine takes to start a function and let it do one round. Some
# four processes share the kills, so that much is struck and most work gets done, however slow or busy the machine is.
ROUNDS_MEAN: Final = 1.5

type Processes = list[tuple[int, str]]  # id, and the function's name


class Killer:
    """Kills a process of one of the functions whose logs lie in *logs*, again and again, on a thread of its own."""

    def __init__(self, logs: Path, random: Random, seconds_mean: float) -> None:
        self.killed: Counter[str] = Counter()
        self._logs, self._random, self._seconds_mean = logs, random, seconds_mean
        self._stopping = threading.Event()

    def run(self) -> None:
        """Kill until stopped."""
        while not self._stopping.wait(self._random.expovariate(1 / self._seconds_mean)):
            found = function_processes(self._logs)
            if found:
                self._kill(*self._random.choice(found))

    def stop(self) -> None:
        """Kill no more."""
        self._stopping.set()

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
