"""The choke point: every effect on the outside world passes `Gate.call`, which counts it and may strike it with a fault.

Rule: a crash is no Exception, and whatever a crashed task still tries has no effect: a dead process runs no `finally`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Protocol

from simulation.tasks import Tasks


class Crash(BaseException):
    """The process died in the middle of a step. Nothing may catch this."""


class Unavailable(Exception):
    """A service of AWS did not do the call, or did it and its reply was lost: the caller cannot tell."""


class Fault(StrEnum):
    """What may happen to one call."""

    CRASH_BEFORE = "crash_before"
    CRASH_AFTER = "crash_after"
    ERROR_BEFORE = "error_before"  # not applied
    ERROR_AFTER = "error_after"  # applied, but the caller sees an error
    LATE = "late"  # the caller sees a time-out, the server applies it later
    SLOW_BEFORE = "slow_before"  # the task sleeps across ticks and wakes up
    SLOW_AFTER = "slow_after"
    STALE = "stale"  # an index or a list misses the newest
    PARTIAL = "partial"  # a download is cut
    DUPLICATE = "duplicate"  # a message comes again
    TURNED_AWAY = "turned_away"  # 429
    REFUSED = "refused"  # 401
    BROKEN = "broken"  # 500
    HANG = "hang"  # never answered: the caller waits for as long as it waits
    UNREACHABLE = "unreachable"  # the connection is refused: nothing was sent
    # Definite refusals, each by its status: repeating the call does not change them.
    DENIED = "denied"  # 400
    NOT_FOUND = "404"
    NOT_ALLOWED = "405"
    GONE = "410"
    TOO_LARGE = "413"
    UNPROCESSABLE = "422"


READ = (Fault.ERROR_BEFORE, Fault.SLOW_BEFORE)
EFFECT = (
    Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.LATE, Fault.SLOW_BEFORE,
    Fault.SLOW_AFTER,
)  # fmt: skip
# The cause of each of these passes by itself only when the one who broke it repairs it: they may last.
DEFINITE = frozenset(
    {Fault.DENIED, Fault.NOT_FOUND, Fault.NOT_ALLOWED, Fault.GONE, Fault.TOO_LARGE, Fault.UNPROCESSABLE}
)
LASTING = frozenset(
    {
        Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.BROKEN, Fault.REFUSED, Fault.TURNED_AWAY, Fault.HANG, Fault.UNREACHABLE,
        *DEFINITE,
    }
)  # fmt: skip
# One definite refusal stands for the others where every fault is tried at every call; `refusals` tries each of them.
BY_NAME_ONLY = DEFINITE - {Fault.DENIED}


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the gate saw it. *faults* are those that could have struck it.

    Its *place* names it for a replay: its name, and how many of that name came before.
    """

    place: str
    name: str
    task: str
    faults: tuple[Fault, ...]
    at: float = 0.0  # seconds since the simulation began
    thing: str = ""  # what a call of the provider is about: a second one about it is a repeat


def usual(call: Call) -> tuple[Fault, ...]:
    """Return the faults of *call* that are tried at every call."""
    return tuple(fault for fault in call.faults if fault not in BY_NAME_ONLY)


class Plan(Protocol):
    """Decides which calls are struck."""

    def fault(self, call: Call) -> Fault | None:
        """Return the fault that strikes *call*, or None."""

    @property
    def is_spent(self) -> bool:
        """Whether nothing will be struck any more."""


@dataclass(slots=True)
class Exact:
    """Strikes calls by their places. A lasting fault strikes every later call of the same name too, until it is over."""

    faults: Mapping[str, Fault]
    lasts: bool = False
    struck: int = 0
    _lasting: str = ""

    def fault(self, call: Call) -> Fault | None:
        """Return what was planned for *call*."""
        found = self.faults.get(call.place)
        if found is None and call.name == self._lasting:
            return next(fault for fault in self.faults.values() if fault in LASTING)
        if found is None or found not in call.faults:
            return None
        self.struck += 1
        if self.lasts and found in LASTING:
            self._lasting = call.name
        return found

    @property
    def is_spent(self) -> bool:
        """Whether every planned fault has struck and none lasts."""
        return self.struck >= len(self.faults) and not self._lasting


@dataclass(slots=True)
class Storm:
    """Strikes calls at random: each with chance *rate*, *count_max* in all."""

    random: Random
    rate: float
    count_max: int
    struck: int = 0

    def fault(self, call: Call) -> Fault | None:
        """Return a fault that *call* can suffer, now and then."""
        # What a create costs is what all this is about: it is struck more often than the rest.
        rate = self.rate * (4 if call.name == "http POST batches" else 1)
        if self.is_spent or self.random.random() >= rate:
            return None
        self.struck += 1
        return self.random.choice(usual(call))

    @property
    def is_spent(self) -> bool:
        """Whether the storm is over."""
        return self.struck >= self.count_max


class Gate:
    """Counts calls and applies faults, while it is not calm. In the liveness phase it is."""

    def __init__(
        self, tasks: Tasks, plan: Plan, *, call_seconds: float, late_seconds: float, sleep_seconds: float
    ) -> None:
        self._tasks, self.plan = tasks, plan
        self._call_seconds, self._late_seconds, self._sleep_seconds = call_seconds, late_seconds, sleep_seconds
        self.calls: list[Call] = []
        self._seen: Counter[str] = Counter()
        self.struck: list[tuple[Call, Fault]] = []
        self.is_calm = False

    def strike(self, plan: Plan) -> None:
        """Strike by *plan* from now on."""
        self.plan, self.is_calm = plan, False

    def call[R](
        self,
        name: str,
        perform: Callable[[], R],
        faults: tuple[Fault, ...] = READ,
        *,
        failure: Callable[[], Exception] | None = None,
        odd: Mapping[Fault, Callable[[], R]] | None = None,
        later: Callable[[], object] | None = None,
        thing: str = "",
    ) -> R:
        """Return what *perform* does, or let a fault strike.

        *odd* performs in the manner of a fault; *failure* makes the error that the caller sees; *later* is what a late call
        does, where that is not *perform* itself. What the world does between two tasks is no call.
        """
        task = self._tasks.current
        if task is None:
            return perform()
        if task.is_dead:
            raise Crash
        place = f"{name.replace(' ', '-')}:{self._seen[name]}"
        call = Call(place, name, task.name, faults, self._tasks.time.passed_seconds, thing)
        self._seen[name] += 1
        self.calls.append(call)
        self._tasks.time.advance(self._call_seconds)
        self._tasks.take_turns()
        self._check_life()
        fault = None if self.is_calm else self.plan.fault(call)
        if fault is None:
            return perform()
        self.struck.append((call, fault))
        if odd and fault in odd:
            return odd[fault]()
        return self._strike(fault, perform, failure or (lambda: Unavailable(name)), later or perform)

    def _strike[R](
        self, fault: Fault, perform: Callable[[], R], failure: Callable[[], Exception], later: Callable[[], object]
    ) -> R:
        if fault is Fault.CRASH_BEFORE:
            self._die()
        if fault is Fault.ERROR_BEFORE:
            raise failure()
        if fault is Fault.LATE:
            self._tasks.time.note(self._late_seconds, later)
            raise failure()
        if fault is Fault.SLOW_BEFORE:
            self._sleep()
        result = perform()
        if fault is Fault.CRASH_AFTER:
            self._die()
        if fault is Fault.ERROR_AFTER:
            raise failure()
        if fault is Fault.SLOW_AFTER:
            self._sleep()
        return result

    def _sleep(self) -> None:
        self.wait(self._sleep_seconds)

    def wait(self, seconds: float) -> None:
        """Let the running task wait; the platform ends it if its own time is over first."""
        self._tasks.sleep(seconds)
        self._check_life()

    def _check_life(self) -> None:
        """The platform ends a function whose time is over."""
        task = self._tasks.current
        if task is not None and (task.is_dead or self._tasks.time.now() >= task.ends_at):
            self._die()

    def _die(self) -> None:
        task = self._tasks.current
        assert task is not None
        task.is_dead = True
        raise Crash
