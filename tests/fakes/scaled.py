"""A world whose outside is sinks: one drop of any size from its event to its notification, each invocation timed.

Rule: the production flows run. The table is made as it is read, results are counted and thrown away, the provider answers an hour
later on the virtual clock, and what it does itself is left out of the account. Waiting is modelled: so many seconds a request.
"""

import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from fakes.memory import FakeClock
from fakes.metered import MeteredLedger, MeteredNotifications, MeteredWakeups
from fakes.sink import SinkProvider
from fakes.spool import SpoolStorage, Table
from fakes.world import World

from batchdrop.core.model.job import ItemAccess, Job, JobState
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import MINUTE, Limits
from batchdrop.flow import complete, poll, submit

LIMITS: Final = Limits(enqueued_tokens_per_model=2_000_000_000)  # the largest tier: quota is another benchmark's
TIMEOUT_SECONDS: Final = 900.0
# Waiting, on the way to another machine of the region, and to the provider: seconds a request, bytes a second.
S3_SECONDS: Final = 0.022
LEDGER_SECONDS: Final = 0.005
PROVIDER_SECONDS: Final = 0.050
PROVIDER_BYTES_PER_SECOND: Final = 50_000_000
TICKS_MAX: Final = 2_000
TASK: Final = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  temperature: 0
  messages:
    - {role: system, content: "Answer with positive, negative or neutral."}
    - {role: user, content: "{{ review }}"}
id: review_id
"""


@dataclass
class Invocations:
    """What the functions did, by their names: invocations, CPU and waiting."""

    count: Counter[str] = field(default_factory=Counter)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    waited_seconds: dict[str, float] = field(default_factory=dict)
    longest_seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)


@dataclass
class TimedClock(FakeClock):
    """A clock whose invocation grows shorter by what was worked and waited."""

    began: float = 0.0
    waited: float = 0.0
    busy: Callable[[], float] = lambda: 0.0

    def worked_seconds(self) -> float:
        """Return the CPU of this invocation, without the provider's."""
        return time.process_time() - self.busy() - self.began

    def begin(self) -> None:
        """Begin an invocation."""
        self.began = time.process_time() - self.busy()
        self.waited = 0.0

    def remaining_seconds(self) -> float:
        """Return what is left of the time-out."""
        return TIMEOUT_SECONDS - self.worked_seconds() - self.waited


class Scaled:
    """One installation, and a table of *items* in its inbox."""

    def __init__(
        self, folder: Path, items: int, access: ItemAccess = ItemAccess.OBJECTS, limits: Limits = LIMITS
    ) -> None:
        self.limits = limits
        self.world = World(limits=limits)
        self.clock = TimedClock()
        self.provider = SinkProvider(self.clock)
        self.clock.busy = lambda: self.provider.busy_seconds
        self.invocations = Invocations()
        self.storage = SpoolStorage(folder, waits=self._wait_for_storage, put_at=self.clock.now())
        self.counts = self.storage.counts
        self.upload = Upload(self.storage.inbox_bucket, "inbox/reviews/million.csv", "version-1")
        self.storage.uploads[self.upload.key] = Table(items)
        self.storage.tasks["reviews"] = TASK + f"items: {access}\n".encode()
        world: Any = self.world  # its ports are replaced by others of the same kind
        world.clock, world.storage, world.providers = self.clock, self.storage, self.provider
        self.queues = world.wakeups
        world.ledger = MeteredLedger(world.ledger, self.counts)
        world.wakeups = MeteredWakeups(world.wakeups, self.counts)
        world.notifications = MeteredNotifications(world.notifications, self.counts)

    def _wait_for_storage(self, requests: float) -> None:
        self.clock.waited += requests * S3_SECONDS

    def invoke(self, function: str, work: Callable[[], object]) -> None:
        """Run one invocation, and note what it took."""
        self.clock.begin()
        calls, moved, ledger = self.provider.calls, self.provider.transferred_bytes, self.counts["ledger calls"]
        work()
        waited = self.clock.waited + (self.counts["ledger calls"] - ledger) * LEDGER_SECONDS
        waited += (self.provider.calls - calls) * PROVIDER_SECONDS
        waited += (self.provider.transferred_bytes - moved) / PROVIDER_BYTES_PER_SECOND
        noted, cpu = self.invocations, self.clock.worked_seconds()
        noted.count[function] += 1
        noted.cpu_seconds[function] = noted.cpu_seconds.get(function, 0) + cpu
        noted.waited_seconds[function] = noted.waited_seconds.get(function, 0) + waited
        noted.longest_seconds[function] = max(noted.longest_seconds.get(function, 0), cpu + waited)
        noted.peak_mb[function] = peak_mb()

    def run(self) -> int:
        """Drop, and tick until the notification is out; return the minutes that passed."""
        world = self.world
        self.invoke("poll", lambda: poll.tick(world.ports(), self.limits))
        self.invoke("submit", lambda: submit.handle_upload(world.ports(), self.limits, self.upload))
        for minute in range(TICKS_MAX):
            if self.job().state is JobState.ENDED:
                return minute
            self.clock.time += MINUTE
            self.invoke("poll", lambda: poll.tick(world.ports(), self.limits))
            self._deliver()
        raise AssertionError(f"the job did not end: {world.log.lines[-5:]}")

    def job(self) -> Job:
        """Return the job of the drop."""
        return self.world.job(self.upload.job_id)

    def _deliver(self) -> None:
        world, queues = self.world, self.queues
        submits, queues.submits = queues.submits, []
        completes, queues.completes = queues.completes, []
        for wakeup in submits:
            self.invoke("submit", partial(submit.handle_wakeup, world.ports(), self.limits, *wakeup))
        for wakeup in completes:
            self.invoke("complete", partial(complete.handle_wakeup, world.ports(), self.limits, *wakeup))


def peak_mb() -> float:
    """Return the most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
