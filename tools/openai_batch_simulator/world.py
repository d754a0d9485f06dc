"""Everything that one simulated account consists of.

Rule: two worlds share nothing, so that any number of them live in one process.
"""

from collections import deque
from dataclasses import dataclass, field

from openai_batch_simulator.agenda import Agenda
from openai_batch_simulator.answers import Responder
from openai_batch_simulator.batches import Batch
from openai_batch_simulator.behaviour import Behaviour
from openai_batch_simulator.blobs import Blobs
from openai_batch_simulator.chance import Chance, Identifiers
from openai_batch_simulator.clock import Clock
from openai_batch_simulator.faults import Faults
from openai_batch_simulator.files import Files
from openai_batch_simulator.ledger import Ledger
from openai_batch_simulator.lifecycle import Lifecycle
from openai_batch_simulator.values import Refusal


@dataclass(slots=True)
class Allowance:
    """How many calls of a kind are allowed in a sliding time."""

    calls_max: int
    seconds: float
    _times: deque[float] = field(default_factory=deque)

    def spend(self, now: float, what: str) -> None:
        """Count one call. Raises Refusal (429) where it is one too many."""
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        if len(self._times) >= self.calls_max:
            message = f"Rate limit reached for {what}: {self.calls_max} in {self.seconds:g} seconds."
            wait_seconds = self._times[0] + self.seconds - now
            headers = {"retry-after": f"{wait_seconds:.0f}"}
            raise Refusal(429, message, kind="requests", code="rate_limit_exceeded", headers=headers)
        self._times.append(now)


@dataclass(slots=True, kw_only=True)
class World:
    """One account: what the calls read and change."""

    clock: Clock
    seed: int
    behaviour: Behaviour
    responder: Responder
    faults: Faults = field(init=False)
    identifiers: Identifiers = field(init=False)
    order: Chance = field(init=False)
    creates: Allowance = field(init=False)
    lifecycle: Lifecycle = field(init=False)
    agenda: Agenda = field(default_factory=Agenda)
    blobs: Blobs = field(default_factory=Blobs)
    files: Files = field(default_factory=Files)
    batches: dict[str, Batch] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    uploads: dict[str, Allowance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.faults = Faults(self.seed)
        self.identifiers = Identifiers(self.seed)
        self.order = Chance(self.seed, "order")
        self.creates = Allowance(self.behaviour.creates_per_hour, 3600)
        self.lifecycle = Lifecycle(
            behaviour=self.behaviour,
            faults=self.faults,
            responder=self.responder,
            agenda=self.agenda,
            files=self.files,
            blobs=self.blobs,
            ledger=self.ledger,
            identifiers=self.identifiers,
            seed=self.seed,
        )

    def uploads_of(self, key: str) -> Allowance:
        """Return the allowance of uploads of one key."""
        if key not in self.uploads:
            self.uploads[key] = Allowance(self.behaviour.uploads_per_minute, 60)
        return self.uploads[key]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and when."""

    key: str
    project: str
    now: float
