"""Holds everything that one simulated account consists of.

Rule: two accounts share nothing, so any number of them live in one process. Between two calls of `advance` nothing happens.
"""

from dataclasses import dataclass, field

from openai_batch_simulator.account.batches import Batch
from openai_batch_simulator.account.behaviour import Behaviour
from openai_batch_simulator.account.files import Files
from openai_batch_simulator.account.lifecycle import Lifecycle
from openai_batch_simulator.account.rate_limit import RateLimit
from openai_batch_simulator.answers.responder import Responder
from openai_batch_simulator.blobs import Blobs
from openai_batch_simulator.clock import Clock
from openai_batch_simulator.draws import Draws, Identifiers
from openai_batch_simulator.faults.switches import Faults
from openai_batch_simulator.ledger import Ledger
from openai_batch_simulator.schedule import Schedule


@dataclass(slots=True, kw_only=True)
class Account:
    """One account: what the calls read and change."""

    clock: Clock
    seed: int
    behaviour: Behaviour
    responder: Responder
    faults: Faults = field(init=False)
    identifiers: Identifiers = field(init=False)
    order: Draws = field(init=False)
    creates: RateLimit = field(init=False)
    lifecycle: Lifecycle = field(init=False)
    schedule: Schedule = field(default_factory=Schedule)
    blobs: Blobs = field(default_factory=Blobs)
    files: Files = field(default_factory=Files)
    batches: dict[str, Batch] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    uploads: dict[str, RateLimit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.faults = Faults(self.seed)
        self.identifiers = Identifiers(self.seed)
        self.order = Draws(self.seed, "order")
        self.creates = RateLimit(self.behaviour.creates_per_hour, 3600)
        self.lifecycle = Lifecycle(
            behaviour=self.behaviour,
            faults=self.faults,
            responder=self.responder,
            schedule=self.schedule,
            files=self.files,
            blobs=self.blobs,
            ledger=self.ledger,
            identifiers=self.identifiers,
            seed=self.seed,
        )

    def advance(self) -> None:
        """Let everything happen that is due by now."""
        while self.advance_once():
            pass

    def advance_once(self) -> bool:
        """Let one thing happen that is due by now, and return whether there was one."""
        return self.schedule.run_next(self.clock.now())

    def uploads_of(self, key: str) -> RateLimit:
        """Return the rate limit for uploads of one key."""
        if key not in self.uploads:
            self.uploads[key] = RateLimit(self.behaviour.uploads_per_minute, 60)
        return self.uploads[key]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and when."""

    key: str
    project: str
    now: float
