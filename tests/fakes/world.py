"""Batchdrop and its provider in one process, on one clock: memory ports, the production flows, the simulator on the wire.

Rule: only what lies outside of the process is played. The adapter to the provider is the real one, over a transport that
counts what is posted.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx2
from fakes.memory import FakeClock, MemoryLedger, MemoryLog, MemoryNotifications, MemoryStorage, MemoryWakeups
from fakes.prices import TablePrices

from batchdrop.core.model.api_key import read_key
from batchdrop.core.model.dialects import OPENAI, Dialects
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.shard import Shard
from batchdrop.edge.openai.provider import OpenAIProvider
from batchdrop.flow import commands as control
from batchdrop.flow import complete, poll, submit
from batchdrop.flow.ports import Ports, Provider
from openai_batch_simulator.account.behaviour import CALM, Behaviour
from openai_batch_simulator.account.dialects import DIALECTS as SIMULATED
from openai_batch_simulator.app import Simulator
from openai_batch_simulator.clock import VirtualClock
from openai_batch_simulator.http.transport import transport

BASE_URL = "http://simulator.invalid/v1"
RESULTS_BUCKET = "results"

type Answer = Callable[[httpx2.Request], httpx2.Response | None]
type Twist = Callable[[httpx2.Request, httpx2.Response], httpx2.Response]


class WireTap(httpx2.BaseTransport):
    """Counts requests by method and path, and lets a test answer some of them, or change what the simulator answered."""

    def __init__(self, inner: httpx2.BaseTransport) -> None:
        self._inner = inner
        self.counts: Counter[str] = Counter()
        self.answers: list[Answer] = []
        self.twists: list[Twist] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return a test's answer, or else the simulator's, twisted."""
        self.counts[f"{request.method} {request.url.path}"] += 1
        for answer in self.answers:
            response = answer(request)
            if response is not None:
                return response
        response = self._inner.handle_request(request)
        for twist in self.twists:
            response = twist(request, response)
        return response

    @property
    def creates(self) -> int:
        """How many create calls went over the wire."""
        return self.counts["POST /v1/batches"]


@dataclass
class WorldProviders:
    """Opens the real adapter with the key that the test has set."""

    tap: WireTap
    limits: Limits
    key: str | None = "sk-test"
    base_url: str = BASE_URL
    dialects: Dialects = field(default_factory=lambda: Dialects(BASE_URL, OPENAI.name))  # what the simulator speaks
    _opened: dict[tuple[str, str], Provider] = field(default_factory=dict)

    def open(self) -> Provider:
        """Return the provider as key and base URL are now; building a client takes a while, so each pair has one."""
        place = (read_key(self.key or ""), self.base_url)
        if place not in self._opened:
            self._opened[place] = self._provider(*place)
        return self._opened[place]

    def _provider(self, key: str, base_url: str) -> Provider:
        return OpenAIProvider(
            key, base_url, f"print-of-{key[:20]}", create_timeout_seconds=self.limits.create_timeout_seconds,
            on_refused=lambda: None, dialect=self.dialects.of(base_url), transport=self.tap,
        )  # fmt: skip


@dataclass
class World:
    """One installation and one provider."""

    behaviour: Behaviour = CALM
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    dialect: str = OPENAI.name

    def __post_init__(self) -> None:
        """Begin with empty buckets and an empty table."""
        self.clock = FakeClock()
        self.provider_clock = VirtualClock(float(self.clock.time))
        behaviour = replace(self.behaviour, dialect=SIMULATED[self.dialect])
        self.simulator = Simulator(self.provider_clock, seed=self.seed, behaviour=behaviour)
        self.tap = WireTap(transport(self.simulator))
        self.providers = WorldProviders(self.tap, self.limits, dialects=Dialects(BASE_URL, self.dialect))
        self.log = MemoryLog()
        self.ledger = MemoryLedger(self.log)
        self.storage = MemoryStorage(clock=self.clock)
        self.wakeups = MemoryWakeups()
        self.notifications = MemoryNotifications()
        self.prices = TablePrices()
        self._invocations = 0

    def ports(self) -> Ports:
        """Return what a new invocation is given."""
        self._invocations += 1
        return Ports(
            clock=self.clock, ledger=self.ledger, wakeups=self.wakeups, storage=self.storage, providers=self.providers,
            notifications=self.notifications, prices=self.prices, log=self.log, inbox_bucket=self.storage.inbox_bucket,
            results_bucket=RESULTS_BUCKET,
            writer=f"invocation-{self._invocations}",
        )  # fmt: skip

    def drop(self, key: str, content: bytes) -> str:
        """Put a file into the inbox, deliver its event, and return the job."""
        upload = self.storage.drop(key, content)
        submit.handle_upload(self.ports(), self.limits, upload)
        return upload.job_id

    def ask(self, job: str, word: str) -> None:
        """Deliver the event of `control/<job>/<word>`."""
        control.handle_command(self.ports(), self.limits, job, word)

    def advance(self, seconds: int) -> None:
        """Let time pass for both sides; what the provider's clock passed by itself (a slow answer) is caught up with."""
        self.clock.time = max(self.clock.time, int(self.provider_clock.now())) + seconds
        self.provider_clock.advance(self.clock.time - self.provider_clock.now())

    def tick(self, seconds: int = 60) -> poll.Tick:
        """Let time pass, poll once, and deliver the wake-up messages that this gave."""
        self.advance(seconds)
        done = poll.tick(self.ports(), self.limits)
        self.deliver()
        return done

    def deliver(self) -> None:
        """Deliver every wake-up message once."""
        submits, self.wakeups.submits = self.wakeups.submits, []
        completes, self.wakeups.completes = self.wakeups.completes, []
        drops, self.wakeups.drops = self.wakeups.drops, []
        tells, self.wakeups.tells = self.wakeups.tells, 0
        for upload in drops:
            submit.handle_upload(self.ports(), self.limits, upload)
        for job, shard in submits:
            submit.handle_wakeup(self.ports(), self.limits, job, shard)
        for job, shard in completes:
            complete.handle_wakeup(self.ports(), self.limits, job, shard)
        for _ in range(tells):
            complete.tell(self.ports(), self.limits)

    def run(self, job: str, *, ticks_max: int = 200, seconds: int = 60) -> Job:
        """Tick until *job* has ended, and return its row."""
        for _ in range(ticks_max):
            row = self.job(job)
            if row.state is JobState.ENDED:
                return row
            self.tick(seconds)
        raise AssertionError(f"{self.job(job)} has not ended; shards: {self.shards(job)}; log: {self.log.lines[-20:]}")

    def job(self, job: str) -> Job:
        """Return the job's row."""
        row = self.ledger.job(job)
        assert row is not None
        return row

    def shards(self, job: str) -> list[Shard]:
        """Return the job's shards."""
        return list(self.ledger.shards(job))

    def shard(self, job: str, number: int = 0) -> Shard:
        """Return one shard."""
        return self.shards(job)[number]

    def result(self, job: str, name: str) -> bytes:
        """Return one file of the job's results."""
        return self.storage.objects[f"{Keys(job, self.job(job).key).results}{name}"]

    def charged_twice(self) -> dict[tuple[str, str], list[str]]:
        """Return what the provider was paid for more than once: the judge of the promise."""
        return self.simulator.ledger.charged_more_than_once()
