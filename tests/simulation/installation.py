"""One installation of Batchdrop and its provider, whole, in one process and on one virtual time.

Rule: the flows, the table of states and the adapter to the provider are the production code. The platform is played: its
queues, its schedule, its clock, and how it ends functions.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import httpx2
from fakes.memory import FakeClock, MemoryLog
from fakes.prices import TablePrices
from simulation.gate import Crash, Exact, Gate, Plan, Unavailable
from simulation.journals import Finding, JournalLedger, JournalNotifications, JournalStorage
from simulation.ports import GatedLedger, GatedNotifications, GatedProviders, GatedStorage, GatedWakeups, TaskClock
from simulation.queues import Message, Queue
from simulation.tasks import START_SECONDS, Task, Tasks
from simulation.timing import Timing
from simulation.wire import BASE_URL, KEYS, adapters, shared_wire, virtual_waits

from batchdrop.core.model.errors import BatchdropError, BrokenState, IllegalTransition
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import HOUR, Limits
from batchdrop.edge.aws.messages import Control, Drop, Tell, Wakeup, read_messages
from batchdrop.flow import commands as control
from batchdrop.flow import complete, poll, submit
from batchdrop.flow.ports import Ports
from batchdrop.flow.submission import restore
from batchdrop.flow.unit_of_work import begin
from openai_batch_simulator.account.batches import TERMINAL
from openai_batch_simulator.account.behaviour import CALM
from openai_batch_simulator.app import Simulator
from openai_batch_simulator.http.transport import transport

if TYPE_CHECKING:
    from simulation.stories import Scenario

RESULTS_BUCKET = "results"
STRIDE_SECONDS_MAX = HOUR
# A week of waiting for a provider that never says, an outage, the redelivery of every message: then something is wrong.
RUN_SECONDS_MAX = 24 * 24 * HOUR
TURNS_MAX = 60_000
POLL_SECONDS_MAX = 120  # template.yaml: the time-out of poll


class _SharedTime(FakeClock):
    """The inbox stamps its versions with the simulation's time."""

    def __init__(self, tasks: Tasks) -> None:
        super().__init__()
        self._tasks = tasks

    def now(self) -> int:
        """Return whole seconds since 1970."""
        return int(self._tasks.time.now())


@dataclass
class Installation:
    """A world in which *scenario* happens and *plan* strikes. With *random*, tasks take turns."""

    scenario: "Scenario"
    plan: Plan = field(default_factory=lambda: Exact({}))
    timing: Timing = field(default_factory=Timing)
    random: Random | None = None
    pollers: int = 1
    seed: int = 0
    turns_max: int = TURNS_MAX
    stops_at: frozenset[int] = frozenset()  # what is known to break: once it is seen, the rest would tell nothing
    paced_until: float = 0  # ticks come as the schedule sends them, however little happens; later ever less often
    workers: int | None = None  # of each queue; None for as many as there are messages
    is_watched: bool = False  # what is refused stays refused: `refusals` watches, and lifts it in the end

    def __post_init__(self) -> None:
        """Begin with empty buckets and an empty table."""
        self.findings: list[Finding] = []
        self.tasks = Tasks(self.random)
        timing = self.timing
        self.gate = Gate(
            self.tasks, self.plan, call_seconds=timing.call, late_seconds=timing.late, sleep_seconds=timing.sleep
        )
        self.limits = replace(
            Limits(),
            grace_seconds=timing.grace,
            fence_wait_seconds=timing.fence_wait,
            file_visible_seconds_max=timing.file_visible,
            **self.scenario.limits,
        )
        self.projects = {KEYS[0]: "ours", KEYS[1]: "ours", KEYS[2]: "foreign"}
        self.key: str | None = KEYS[0]
        self.outages: list[tuple[float, float]] = []
        pace = {
            "validate_seconds": timing.reading, "run_seconds": timing.running,
            "input_checked_at_create": timing.is_input_checked, "projects": self.projects,
        }  # fmt: skip
        behaviour = replace(CALM, **{**pace, **self.scenario.behaviour})
        self.simulator = Simulator(self.tasks.time, seed=self.seed, behaviour=behaviour)
        self._set_pace()
        self.inner_wire = transport(self.simulator)
        self.log = MemoryLog()
        self.ledger = JournalLedger(self.log, self.report, lambda: self.limits)

        def passed() -> float:
            return self.tasks.time.passed_seconds

        self.storage = JournalStorage(_SharedTime(self.tasks), self.report, self._who, passed)
        self.notifications = JournalNotifications(self.storage, self.ledger, passed)
        self.submissions = Queue("submissions", self.tasks.time.now)
        self.completions = Queue("completions", self.tasks.time.now)
        self.uploads: list[Upload] = []
        self.retries: Counter[str] = Counter()  # how often a person started a rejected job again
        self.ticks = 0
        self.tick_seconds_max = 0.0  # how long the longest of them took
        self.is_off = False
        self._last_drop_at = 0.0
        self._numbers = itertools.count(1)
        self._next_tick = self.tasks.time.now() + timing.tick
        self._stride = timing.tick
        self._writes_seen = 0
        if self.scenario.is_installed:
            begin(self._ports("deployment", self.tasks.time.now()), self.limits)
        self._happenings = list(self.scenario.in_order)

    def _set_pace(self) -> None:
        timing, faults = self.timing, self.simulator.faults
        paces = {
            "list_lags": timing.list_lag, "deletion_delayed": timing.deletion_delay,
            "output_ids_late": timing.output_lag, "file_unseen": timing.file_unseen,
        }  # fmt: skip
        for fault, value in paces.items():
            if value:
                faults.switch(fault, value=value)

    def report(self, invariant: int, text: str) -> None:
        """Note that something which must hold did not."""
        self.findings.append(Finding(invariant, f"{text} (after {self.tasks.time.passed_seconds:.0f} s)"))

    def _who(self) -> str:
        return self.tasks.current.name if self.tasks.current else "-"

    # ------------------------------------------------------------------ what people and the platform do

    def drop(self, key: str, content: bytes) -> Upload:
        """Put a file into the inbox; the event comes by the queue."""
        upload = self.storage.drop(key, content)
        self.uploads.append(upload)
        self._last_drop_at = self.tasks.time.passed_seconds
        self.announce(upload)
        return upload

    def drop_silently(self, key: str, content: bytes) -> Upload:
        """Put a file into the inbox whose event never comes."""
        upload = self.storage.drop(key, content)
        self.uploads.append(upload)
        return upload

    def ask(self, upload: Upload, word: str) -> None:
        """Put an empty object `control/<job>/<word>` into the inbox."""
        self.retries[upload.job_id] += word == "retry"
        self.announce(Upload(upload.bucket, f"control/{upload.job_id}/{word}", "version-of-a-word"))

    def announce(self, upload: Upload) -> None:
        """Send the event of *upload* (again)."""
        entity = {"key": quote_plus(upload.key, safe="/"), "versionId": upload.version}
        record = {
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": upload.bucket}, "object": entity},
        }  # fmt: skip
        self.submissions.send(json.dumps({"Records": [record]}))

    def empty_table(self) -> None:
        """Lose every row, as a table that was deleted and made anew has."""
        self.ledger.rows.clear()
        self.ledger.quotas.clear()

    def back_up(self) -> None:
        """Keep the table as it is now."""
        self._backup = (dict(self.ledger.rows), dict(self.ledger.quotas))

    def switch_off(self) -> None:
        """Disable the schedule and the mappings of both queues; what runs is ended."""
        self.tasks.kill_all()
        self.is_off = True

    def restore_backup(self) -> None:
        """Put the table back as it was kept."""
        self.ledger.rows, self.ledger.quotas = dict(self._backup[0]), dict(self._backup[1])

    def recover(self) -> None:
        """Hold the table against the provider, and switch everything on again where that could be done to its end."""

        def work(ports: Ports) -> None:
            restore.recover_all(ports, self.limits)
            self.is_off = False

        if self.is_off:
            self._start("recover", work)

    def redeploy(self, **limits: int) -> None:
        """Replace the functions: what runs is ended, what lies in the table stays."""
        self.tasks.kill_all()
        self.limits = replace(self.limits, **limits)

    def revoke(self, key: str) -> None:
        """Let *key* open nothing any more."""
        del self.projects[key]

    def restore(self, key: str, project: str = "ours") -> None:
        """Let *key* open its project again."""
        self.projects[key] = project

    # ------------------------------------------------------------------ the provider's side

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Return the simulator's answer, or none during an outage."""
        now = self.tasks.time.passed_seconds
        if any(start <= now < end for start, end in self.outages):
            return httpx2.Response(503, json={"error": {"message": "down"}}, request=request)
        return self.inner_wire.handle_request(request)

    def notification_request(self, name: str, request: httpx2.Request) -> None:
        """Hold a request that costs something against the ledger, at the moment when it is made."""
        if name == "POST batches":
            ticket = json.loads(request.read())["metadata"]["ticket"]
            if ticket not in self.ledger.intents:
                self.report(17, f"{ticket} was created without an intent")
        if name == "POST files":
            ticket = request.read().partition(b'filename="')[2].partition(b'.jsonl"')[0].decode()
            if ticket not in self.ledger.tickets:
                self.report(17, f"a file was uploaded for {ticket}, which no shard bears")

    # ------------------------------------------------------------------ the run

    def run_for(self, seconds: float) -> None:
        """Let time pass, and happen what happens meanwhile."""
        self._run(self.tasks.time.passed_seconds + seconds)

    def run(self) -> None:
        """Let everything happen until nothing is left to happen, or for weeks; then end what still runs."""
        self._run(None)
        self.tasks.kill_all()
        while self.tasks.run_one():
            pass

    def _run(self, until: float | None) -> None:
        ends_at = self._ends_at if until is None else until
        shared_wire().installation = self
        with virtual_waits(self):
            for _ in range(self.turns_max):
                # What keeps every moment busy must not keep the clock from being looked at.
                is_late = until is not None and self.tasks.time.passed_seconds > until
                if self.has_stopped or is_late:
                    return
                self._begin_due()
                task = self.tasks.run_one()
                if task is not None:
                    self._check_end(task)
                    continue
                if (until is None and self.is_over()) or self.tasks.time.passed_seconds > ends_at:
                    return
                self._let_time_pass(START_SECONDS + ends_at + 1)
        self.report(22, f"{self.turns_max} turns were not enough")

    def _check_end(self, task: Task) -> None:
        """A function may fail for what the world did to it, never for what its own code did not expect."""
        if task.is_over and task.name.startswith("poll-"):
            took_seconds = self.tasks.time.now() - task.ends_at + POLL_SECONDS_MAX
            self.tick_seconds_max = max(self.tick_seconds_max, took_seconds)
        error = task.error if task.is_over else None
        is_crash_caught = task.is_over and task.is_dead and not isinstance(error, Crash)
        is_expected = error is None or isinstance(error, Crash | Unavailable | BatchdropError)
        if is_crash_caught or not is_expected or isinstance(error, BrokenState | IllegalTransition):
            self.report(14, f"{task.name} ended with {error!r}")

    @property
    def happened(self) -> int:
        """How many of the story's happenings are over."""
        return len(self.scenario.happenings) - len(self._happenings)

    @property
    def has_stopped(self) -> bool:
        """Whether what was looked for was found."""
        return any(finding.invariant in self.stops_at for finding in self.findings)

    @property
    def _ends_at(self) -> float:
        """When waiting is over: so long after the last thing that a person did."""
        return self._last_drop_at + RUN_SECONDS_MAX

    def is_over(self) -> bool:
        """Whether nothing more can happen."""
        if self._happenings or self.tasks.running or self.submissions.messages or self.completions.messages:
            return False
        if self.tasks.time.next_late() is not None:
            return False
        jobs = [row for row in self.ledger.rows.values() if isinstance(row, Job)]
        is_quiet = all(job.state is JobState.ENDED for job in jobs) and len(jobs) >= len(set(self.uploads))
        batches = self.simulator.account.batches.values()
        return is_quiet and all(batch.status in TERMINAL or batch.is_endless for batch in batches)

    def _begin_due(self) -> None:
        time = self.tasks.time
        time.run_late()
        while self._happenings and self._happenings[0].at <= time.passed_seconds:
            self._happenings.pop(0).act(self)
        is_time = time.passed_seconds > self.scenario.calm_after_seconds and not self.is_watched
        if self.gate.plan.is_spent or is_time:
            self.gate.is_calm = True
        if self.is_off:
            return
        for queue, take in ((self.submissions, self._take_submission), (self.completions, self._take_completion)):
            while self._is_free(queue) and (message := queue.receive()) is not None:
                self._start(queue.name, partial(self._work, queue, message, take))
        if self._next_tick <= time.now():
            self.ticks += 1
            for _ in range(self.pollers):
                self._start("poll", lambda ports: poll.tick(ports, self.limits))
            self._set_stride()
            self._next_tick = time.now() + self._stride

    def _is_free(self, queue: Queue) -> bool:
        """Whether *queue* has a worker that nothing holds up."""
        busy = sum(task.name.startswith(f"{queue.name}-") for task in self.tasks.running)
        return self.workers is None or busy < self.workers

    def _set_stride(self) -> None:
        """Tick as the schedule does while something happens; while nothing does, ever less often, as nobody would notice."""
        is_paced = self.tasks.time.passed_seconds < self.paced_until
        has_moved = is_paced or self.ledger.writes != self._writes_seen or bool(self.tasks.running[self.pollers :])
        self._writes_seen = self.ledger.writes
        self._stride = self.timing.tick if has_moved else min(self._stride * 2, STRIDE_SECONDS_MAX)

    def _let_time_pass(self, at_most: float) -> None:
        now = self.tasks.time.now()
        moments = [at_most, *(task.wakes_at for task in self.tasks.running)]
        moments += [START_SECONDS + happening.at for happening in self._happenings]
        if not self.is_off:
            queues = (queue for queue in (self.submissions, self.completions) if self._is_free(queue))
            visible = (queue.next_visible() for queue in queues)
            moments += [self._next_tick, *filter(None, visible)]
        moments += filter(None, [self.tasks.time.next_late()])
        self.tasks.time.advance(max(0.001, min(moments) - now))

    # ------------------------------------------------------------------ functions

    def _start(self, name: str, work: Callable[[Ports], object]) -> None:
        number = next(self._numbers)
        ends_at = self.tasks.time.now() + (POLL_SECONDS_MAX if name == "poll" else self.limits.worker_timeout_seconds)
        ports = self._ports(f"{name}-{number}", ends_at)
        self.tasks.start(Task(f"{name}-{number}", partial(work, ports), ends_at))

    def _ports(self, writer: str, ends_at: float) -> Ports:
        gate = self.gate
        return Ports(
            clock=TaskClock(self.tasks, ends_at, self._numbers),
            ledger=GatedLedger(gate, self.ledger),
            wakeups=GatedWakeups(gate, self.submissions, self.completions),
            storage=GatedStorage(gate, self.storage),
            providers=GatedProviders(gate, lambda: self.key, adapters(), BASE_URL),
            notifications=GatedNotifications(gate, self.notifications),
            prices=TablePrices(),
            log=self.log, inbox_bucket=self.storage.inbox_bucket, results_bucket=RESULTS_BUCKET, writer=writer,
        )  # fmt: skip

    def _work(self, queue: Queue, message: Message, take: Callable[[Ports, str], None], ports: Ports) -> None:
        try:
            take(ports, message.body)
        except Exception:
            queue.hand_back(message)
            raise
        queue.delete(message)

    def _take_submission(self, ports: Ports, body: str) -> None:
        for arrival in read_messages({"Records": [{"body": body}]}, ports):
            match arrival:
                case Drop(upload):
                    submit.handle_upload(ports, self.limits, upload)
                case Wakeup(job, shard):
                    submit.handle_wakeup(ports, self.limits, job, shard)
                case Control(job, word):
                    control.handle_command(ports, self.limits, job, word)

    def _take_completion(self, ports: Ports, body: str) -> None:
        for arrival in read_messages({"Records": [{"body": body}]}, ports):
            if isinstance(arrival, Tell):
                complete.tell(ports, self.limits)
                continue
            assert isinstance(arrival, Wakeup), "only wake-up messages go to this queue"
            complete.handle_wakeup(ports, self.limits, arrival.job, arrival.shard)

    @property
    def began_at(self) -> int:
        """When the simulation began, in seconds since 1970."""
        return START_SECONDS

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """Yield the outcome of every item, as a person finds it."""
        for key, content in self.storage.objects.items():
            if key.endswith("/outcomes.jsonl"):
                yield from map(json.loads, content.splitlines())

    def jobs(self) -> Iterator[Job]:
        """Yield every job."""
        return (row for row in self.ledger.rows.values() if isinstance(row, Job))
