"""Invocations as tasks that take turns, on one virtual time.

Rule: ordinary synchronous code runs in a greenlet; it hands over control at calls of the gate and nowhere else, so that a
seed replays every interleaving.
"""

import heapq
import itertools
from collections.abc import Callable
from random import Random

from greenlet import greenlet  # type: ignore[import-untyped]  # it ships no stubs, and those beside it lag behind

from batchdrop.core.model.errors import BatchdropError
from openai_batch_simulator.clock import VirtualClock
from openai_batch_simulator.messages import Refusal

START_SECONDS = 1_800_000_000


class Time(VirtualClock):
    """The one clock; calls that are late happen when their time comes."""

    def __init__(self) -> None:
        super().__init__(float(START_SECONDS))
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    @property
    def passed_seconds(self) -> float:
        """How long the simulation runs."""
        return self.now() - START_SECONDS

    def note(self, seconds: float, act: Callable[[], object]) -> None:
        """Let *act* happen in *seconds*."""
        heapq.heappush(self._later, (self.now() + seconds, next(self._order), act))

    def next_late(self) -> float | None:
        """Return when the next late call happens."""
        return self._later[0][0] if self._later else None

    def run_late(self) -> None:
        """Let every late call happen that is due; nobody hears what it says."""
        while self._later and self._later[0][0] <= self.now():
            _, _, act = heapq.heappop(self._later)
            try:
                act()
            except (BatchdropError, Refusal, OSError, ValueError):
                continue


class Task:
    """One invocation of one function."""

    def __init__(self, name: str, work: Callable[[], object], ends_at: float) -> None:
        self.name = name
        self.ends_at = ends_at
        self.wakes_at = 0.0
        self.is_dead = False
        self.error: BaseException | None = None
        self.greenlet = greenlet(lambda: self._run(work))

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the platform's place: it takes whatever ends a function
            self.error = error

    @property
    def is_over(self) -> bool:
        """Whether it ended, one way or another."""
        return bool(self.greenlet.dead)


class Tasks:
    """All tasks under way. *random* makes them take turns at the gate; without it each runs until it ends or sleeps."""

    def __init__(self, random: Random | None) -> None:
        self.time = Time()
        self.current: Task | None = None
        self.running: list[Task] = []
        self._random = random

    def start(self, task: Task) -> None:
        """Let *task* begin at its next turn."""
        self.running.append(task)

    def take_turns(self) -> None:
        """Hand over control, now and then."""
        if self._random is not None and self._random.random() < 0.5:
            self._switch()

    def sleep(self, seconds: float) -> None:
        """Hand over control until *seconds* have passed."""
        assert self.current is not None
        self.current.wakes_at = self.time.now() + seconds
        self._switch()

    def _switch(self) -> None:
        assert self.current is not None
        parent = self.current.greenlet.parent
        assert parent is not None
        parent.switch()

    def run_one(self) -> Task | None:
        """Let one task that is awake take its turn, and return it; None where all sleep."""
        awake = [task for task in self.running if task.wakes_at <= self.time.now()]
        if not awake:
            return None
        task = self._random.choice(awake) if self._random else awake[0]
        self.current = task
        try:
            task.greenlet.switch()
        finally:
            self.current = None
        if task.is_over:
            self.running.remove(task)
        return task

    def kill_all(self) -> None:
        """End every task where it stands, as a redeploy or a power cut does."""
        for task in self.running:
            task.is_dead, task.wakes_at = True, 0.0
