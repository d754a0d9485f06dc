"""Where the simulator reads the time.

Rule: nothing else in this package asks the operating system for the time or for a pause.
"""

import time
from typing import Protocol, override


class Clock(Protocol):
    """Seconds since 1970, and ways to let them pass."""

    def now(self) -> float:
        """Return the seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Return when *seconds* have passed on this clock."""

    def advance(self, seconds: float) -> None:
        """Move this clock forward by *seconds* at once."""


class VirtualClock(Clock):
    """A clock that moves only when it is moved: a day passes in no time."""

    def __init__(self, start_seconds: float = 1_795_305_600.0) -> None:
        self._now = start_seconds

    @override
    def now(self) -> float:
        return self._now

    @override
    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    @override
    def advance(self, seconds: float) -> None:
        assert seconds >= 0, f"time does not run backwards: {seconds}"  # noqa: S101 - a caller's defect, never input
        self._now += seconds


class WallClock(Clock):
    """The time of day, which may be moved forward, so that a day's wait can be shown in a minute."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    @override
    def now(self) -> float:
        return time.time() + self._ahead_seconds

    @override
    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @override
    def advance(self, seconds: float) -> None:
        self._ahead_seconds += seconds
