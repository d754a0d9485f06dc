"""Keeps what will happen, and runs it when it is due.

Rule: events happen in the order of their times, each at its own time, however late it is run.
"""

import heapq
import itertools
from collections.abc import Callable

# An event receives the time at which it was due.
type Event = Callable[[float], None]


class Schedule:
    """Events by time; events of one time keep the order in which they were added."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, Event]] = []
        self._order = itertools.count()

    def add(self, due: float, event: Event) -> None:
        """Let *event* happen at *due*."""
        heapq.heappush(self._events, (due, next(self._order), event))

    def run_next(self, now: float) -> bool:
        """Run the earliest event that is due by *now*, and return whether there was one."""
        if not self._events or self._events[0][0] > now:
            return False
        due, _, event = heapq.heappop(self._events)
        event(due)
        return True
