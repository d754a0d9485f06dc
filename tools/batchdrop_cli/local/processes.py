"""Child processes that end when the local stack does.

Rule: a child sees only the environment that it is given. The host's keys, regions and certificate files would change
what it does. No key is ever in a command, which every user of the machine may read; what a child writes is its owner's
alone.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from batchdrop_cli.local.private import OTHERS_NOTHING

GUARD = Path(__file__).with_name("guard.py")

STOP_SECONDS = 8.0  # the guard's own patience, and as much again
LOOK_SECONDS = 0.02  # between two looks at whether a child is ready: the emulator takes 0.5 s
LOG_TAIL_BYTES = 2_000  # of a failed child's log, shown with the error


class ChildFailed(Exception):
    """A child process ended, or was not ready in time. The person who started the stack should read the log it names."""


@dataclass(frozen=True, slots=True)
class Child:
    """One command under its guard, in a process group of its own."""

    name: str
    log: Path
    guard: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> Self:
        """Start *command*; what it prints is added to *log*."""
        with log.open("ab") as output:
            guard = subprocess.Popen(  # noqa: S603  # commands are ours
                [sys.executable, "-I", "-S", str(GUARD), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                umask=OTHERS_NOTHING,
            )
        return cls(name, log, guard)

    def wait_until_ready(self, is_ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Return once *is_ready*; it is asked again and again.

        Raises ChildFailed if the child ended, or the time is over.
        """
        deadline = monotonic() + timeout_seconds
        while not is_ready():
            if self.guard.poll() is not None:
                raise ChildFailed(
                    f"{self.name} ended while starting. Its log, {self.log}, ends with:\n{self.log_tail()}"
                )
            if monotonic() > deadline:
                raise ChildFailed(f"{self.name} was not ready within {timeout_seconds:g} s. Its log: {self.log}")
            sleep(LOOK_SECONDS)

    def log_tail(self) -> str:
        """Return the end of what the child printed."""
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def stop(self) -> None:
        """End the child and everything that it started. May be repeated."""
        if self.guard.stdin is not None:
            self.guard.stdin.close()
        try:
            self.guard.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.guard.pid, signal.SIGKILL)
            self.guard.wait()
