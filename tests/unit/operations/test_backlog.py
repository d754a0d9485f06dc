"""What a tick reports of the work that it finds."""

from dataclasses import replace

import pytest
from fakes.memory import MemoryLog
from fakes.shards import changed
from fakes.world import World

from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import HOUR
from batchdrop.core.model.row import Lease
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.operations.backlog import Backlog, backlog
from batchdrop.core.operations.metrics import counted

NOW = 1_800_000_000
JOB = Job(id="j", bucket="b", key="inbox/k", version="v", created_at=NOW - HOUR, due_at=NOW - 30)
SHARD = Shard(job="j", number=0, account="a", endpoint="/v1/embeddings", model="m", group=0, due_at=NOW - 90)
LINE = b'{"messages": [{"role": "user", "content": "Name a ferry."}], "model": "gpt-4.1-mini"}\n'


def figures(log: MemoryLog) -> dict[str, int]:
    """Return the metrics of the last tick by their names."""
    fields = [fields for _, event, fields in log.lines if event == "tick.done"][-1]
    return {metric.name: value for metric, value in counted("tick.done", fields).items()}


@pytest.mark.parametrize("state", [ShardState.RESERVED, ShardState.UPLOADED, ShardState.HARVESTING])
def test_what_a_worker_should_have_is_due(state: ShardState) -> None:
    """Rows that wait for a worker count, and the first of them says how late the system is."""
    rows: list[Job | Shard] = [JOB, replace(SHARD, state=state)]

    assert backlog(rows, NOW, is_open=True) == Backlog(due=2, oldest_due_seconds=90)


@pytest.mark.parametrize("state", [ShardState.WAITING, ShardState.RUNNING, ShardState.PARKED, ShardState.DONE])
def test_what_waits_for_the_provider_is_not_late(state: ShardState) -> None:
    """A batch may take a day and quota may come late; neither is anybody's to do."""
    shard = changed(SHARD, state=state, first_intent_at=NOW - 60)

    assert backlog([shard], NOW, is_open=True) == Backlog()


@pytest.mark.parametrize("changes", [{"due_at": NOW + 1}, {"due_at": None}, {"lease": Lease("worker", NOW + 1)}])
def test_what_is_not_due_or_has_a_worker_is_not_late(changes: dict[str, object]) -> None:
    """Only what is due now and nobody works on counts."""
    job = replace(JOB, state=JobState.FINISHING, **changes)  # type: ignore[arg-type]  # fields of Job

    assert backlog([job], NOW, is_open=True) == Backlog()


@pytest.mark.parametrize("state", [ShardState.CREATING, ShardState.FENCING, ShardState.PARKED])
@pytest.mark.parametrize(("age_seconds", "uncertain"), [(HOUR, 0), (HOUR + 1, 1)])
def test_a_create_is_reported_once_it_is_uncertain_for_an_hour(
    state: ShardState, age_seconds: int, uncertain: int
) -> None:
    """The protocol settles a lost answer in 35 minutes; an hour means that it does not get there."""
    shard = changed(SHARD, state=state, first_intent_at=NOW - age_seconds)

    assert backlog([shard], NOW, is_open=True).uncertain == uncertain


def test_a_shard_out_of_the_key_s_reach_is_held() -> None:
    """A key of another project holds work as much as one that is refused."""
    shard = replace(SHARD, state=ShardState.RUNNING, unreachable_at=NOW - 5)

    assert backlog([shard], NOW, is_open=True).is_held


def test_an_idle_tick_reports_itself() -> None:
    """The heartbeat needs no work."""
    world = World()

    world.tick()

    assert figures(world.log) == {"Ticks": 1}


def test_work_without_a_key_is_held_and_not_late() -> None:
    """Nobody is told that workers are slow when there is no key; the key is what is reported."""
    world = World()
    world.providers.key = None
    world.drop("inbox/a.jsonl", LINE)

    for _ in range(40):
        world.tick()

    assert figures(world.log) == {"Ticks": 1, "ActiveRows": 1, "CircuitOpen": 1}


def test_a_finished_job_reports_its_items_and_tokens() -> None:
    """What a job did is counted once, with what the provider charged for."""
    world = World()
    job = world.drop("inbox/a.jsonl", LINE * 3)

    ended = world.run(job)

    totals = {
        m.name: v for _, event, f in world.log.lines if event == "job.merged" for m, v in counted(event, f).items()
    }
    assert (totals["ItemsSucceeded"], ended.succeeded) == (3, 3)
    assert totals["InputTokens"] > 0
    assert totals["OutputTokens"] > 0


def test_a_held_job_is_counted_and_not_late() -> None:
    """Whoever has to approve of it sees it on the dashboard; no worker can do anything for it."""
    held = replace(JOB, state=JobState.HELD)

    assert backlog([held, JOB], NOW, is_open=True) == Backlog(due=1, oldest_due_seconds=30, approvals=1)
