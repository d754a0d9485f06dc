"""Two installations with one key in one project: each sees the other's batches and files, and touches none of them."""

import pytest
from fakes.world import WireTap, World, WorldProviders

from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import DAY, HOUR
from batchdrop.core.model.shard import Shard
from openai_batch_simulator.http.transport import transport

LINE = b'{"messages": [{"role": "user", "content": "Name a ferry."}], "model": "gpt-4.1-mini"}\n'


@pytest.fixture
def neighbours() -> tuple[World, World]:
    """Two installations, each with its own table, buckets and way to the one provider, on one clock."""
    first, second = World(), World()
    second.clock, second.provider_clock, second.simulator = first.clock, first.provider_clock, first.simulator
    second.storage.clock = first.clock
    second.tap = WireTap(transport(first.simulator))
    second.providers = WorldProviders(second.tap, second.limits)
    return first, second


def installs(world: World) -> set[str]:
    """Return the installations that the world's shards name in their tickets."""
    return {
        ticket.partition(".")[0]
        for row in world.ledger.rows.values()
        if isinstance(row, Shard)
        for ticket in row.attempt.tickets
    }


def removals(world: World) -> set[str]:
    """Return the paths that the world cancelled or deleted."""
    return {
        path
        for method, _, path in (asked.partition(" ") for asked in world.tap.counts)
        if method == "DELETE" or path.endswith("/cancel")
    }


def test_a_neighbour_s_batches_and_files_are_left_alone(neighbours: tuple[World, World]) -> None:
    """While one sleeps on an uncertain create, the other sweeps lists and files for days; each ends with what is its own."""
    sleeper, awake = neighbours
    sleeper.simulator.faults.switch("dropped_after", value=None, times=1)
    asleep = sleeper.drop("inbox/a.jsonl", LINE)
    busy = awake.drop("inbox/a.jsonl", LINE * 2)
    foreign = sleeper.shard(asleep).attempt.file.id

    awake.run(busy)
    for _ in range(0, 5 * DAY, HOUR):
        awake.tick(HOUR)
    alone = removals(awake)
    sleeper.run(asleep)

    assert {row.id for row in awake.ledger.rows.values() if isinstance(row, Job)} == {busy}
    assert len(installs(sleeper) | installs(awake)) == 2
    assert not [path for path in alone if foreign in path]
    assert alone
    assert {world.job(job).state for world, job in ((sleeper, asleep), (awake, busy))} == {JobState.ENDED}
    assert (sleeper.job(asleep).succeeded, awake.job(busy).succeeded) == (1, 2)
    assert (sleeper.tap.creates, awake.tap.creates) == (1, 1)


def test_the_same_file_in_two_installations_is_two_jobs_and_paid_for_each(neighbours: tuple[World, World]) -> None:
    """Neither takes the other's answers for its own: a ticket names its installation."""
    first, second = neighbours
    jobs = [(world, world.drop("inbox/same.jsonl", LINE)) for world in neighbours]

    ended = [world.run(job) for world, job in jobs]

    assert [job.succeeded for job in ended] == [1, 1]
    assert not installs(first) & installs(second)
    assert first.shard(jobs[0][1]).batches != second.shard(jobs[1][1]).batches
