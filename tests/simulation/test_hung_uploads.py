"""A provider whose uploads are never answered, two workers a queue: what is dropped is planned all the same."""

from dataclasses import dataclass, field
from random import Random

import pytest
from simulation.gate import Exact, Fault
from simulation.installation import Installation
from simulation.stories import Scenario, bodies
from simulation.timing import Timing

from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import HOUR, MINUTE

FIRST = "http-POST-files:0"
FIRST_CREATE = "http-POST-batches:0"
WORKERS = 2  # template.yaml: MaximumConcurrency
PLANNED_SECONDS_MAX = 60
STORY = Scenario(name="hung uploads", happenings=(), calm_after_seconds=90 * HOUR)


def planned_after(here: Installation, uploads: dict[Upload, float]) -> dict[Upload, float]:
    """Return how long after its drop each of *uploads* was planned, as far as it is."""
    planned = {job.id for job in here.jobs() if job.state is not JobState.PLANNING}
    now = here.tasks.time.passed_seconds
    return {upload: now - at for upload, at in uploads.items() if upload.job_id in planned}


@dataclass
class Drops:
    """An installation with two workers, and how long each drop waited until it was planned."""

    here: Installation
    dropped: dict[Upload, float] = field(default_factory=dict)
    waited: dict[Upload, float] = field(default_factory=dict)

    def drop(self, count: int) -> None:
        """Drop some files at once."""
        for _ in range(count):
            number = len(self.dropped)
            upload = self.here.drop(f"inbox/{number}.jsonl", bodies(2, f"{number}-"))
            self.dropped[upload] = self.here.tasks.time.passed_seconds

    def run_for(self, seconds: int) -> None:
        """Let time pass, and note what was planned."""
        for _ in range(seconds):
            self.here.run_for(1)
            self.waited = planned_after(self.here, self.dropped) | self.waited

    @property
    def uploads(self) -> int:
        """How many uploads were begun."""
        return sum(call.name == "http POST files" for call in self.here.gate.calls)


def with_workers(plan: Exact) -> Drops:
    """Return an installation whose calls take as long as real ones."""
    turns = Random(11)  # noqa: S311 - interleavings, no secret
    here = Installation(STORY, plan, Timing(call=0.01), random=turns, workers=WORKERS, paced_until=3 * HOUR)
    return Drops(here)


@pytest.mark.parametrize("together", [1, 30])
def test_a_drop_is_planned_within_a_minute(together: int) -> None:
    """However many came with it; once one upload hung the others wait for it, so that they hold up no worker."""
    drops = with_workers(Exact({FIRST: Fault.HANG}, lasts=True))

    for _ in range(15):
        drops.drop(together)
        drops.run_for(2 * MINUTE)

    assert len(drops.waited) == len(drops.dropped)
    assert max(drops.waited.values()) <= PLANNED_SECONDS_MAX
    assert 5 <= drops.uploads <= 30
    assert not drops.here.simulator.account.batches
    assert not drops.here.findings


def test_a_drop_is_planned_soon_while_creates_hang() -> None:
    """A create has a minute for its answer, and no less: two workers have it once, and then one of them."""
    drops = with_workers(Exact({FIRST_CREATE: Fault.HANG}, lasts=True))

    for _ in range(15):
        drops.drop(30)
        drops.run_for(2 * MINUTE)

    assert len(drops.waited) == len(drops.dropped)
    assert max(drops.waited.values()) <= PLANNED_SECONDS_MAX + 15
    assert 5 <= sum(call.name == "http POST batches" for call in drops.here.gate.calls) <= 40
    assert not drops.here.simulator.account.batches
    assert not drops.here.findings


def test_what_waited_is_sent_once_uploads_are_answered() -> None:
    """The one that asks for all is followed by the others, within minutes."""
    plan = Exact({FIRST: Fault.HANG}, lasts=True)
    drops = with_workers(plan)
    drops.drop(30)
    drops.run_for(20 * MINUTE)
    drops.here.gate.is_calm = True
    drops.run_for(12 * MINUTE)

    jobs = list(drops.here.jobs())
    assert len(jobs) == 30
    assert {job.event for job in jobs} == {"completed"}
    assert not drops.here.findings
