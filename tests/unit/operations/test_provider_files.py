"""Nothing of ours stays behind at the provider, and nothing that is not ours or still of use is deleted."""

import io
import re
from dataclasses import replace

import httpx2
import pytest
from fakes.world import World

from batchdrop.core.model.limits import DAY, HOUR, Limits
from batchdrop.core.model.shard import ShardState
from batchdrop.flow import complete, poll
from openai_batch_simulator.account.behaviour import CALM

LIMITS = Limits()
DROP = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say %d."}]}\n'
TEN = b"".join(DROP % number for number in range(10))


@pytest.fixture
def world() -> World:
    """A world whose provider is calm."""
    return World()


def stored(world: World) -> set[str]:
    """The files, of any purpose, that the provider keeps for us."""
    request = httpx2.Request("GET", "http://x/v1/files", headers={"authorization": "Bearer sk-test"})
    listed = httpx2.Client(transport=world.tap).send(request).json()["data"]
    return {file["id"] for file in listed}


def undeletable(request: httpx2.Request) -> httpx2.Response | None:
    """Refuse every deletion."""
    is_deletion = request.method == "DELETE"
    return httpx2.Response(500, json={"error": {}}, headers={"x-should-retry": "false"}) if is_deletion else None


def days(world: World, count: int) -> None:
    """Tick for some days, an hour apart."""
    for _ in range(count * 24):
        world.tick(HOUR)


@pytest.mark.parametrize("fault", [None, "line_server_error", "expires", "line_refused"])
def test_an_ended_job_leaves_no_file(world: World, fault: str | None) -> None:
    """Neither input nor output of any attempt; whatever became of the items."""
    if fault:
        world.simulator.faults.switch(fault, value=0.5, times=1)

    job = world.drop("inbox/ten.jsonl", TEN)
    world.run(job, seconds=HOUR)

    assert stored(world) == set()


def test_what_cannot_be_deleted_delays_nobody(world: World) -> None:
    """The job ends as ever, its input is swept when deleting works again, and its output expires by itself."""
    world.tap.answers.append(undeletable)
    job = world.drop("inbox/ten.jsonl", TEN)
    ended = world.run(job)
    left, file = stored(world), world.shard(job).attempt.file.id
    world.tap.answers.clear()

    days(world, 2)

    assert ended.event == "completed"
    assert file in left
    assert file not in stored(world)


def test_an_input_file_that_nobody_was_told_of_is_swept(world: World) -> None:
    """The upload was answered with a broken connection: it was sent again, and the first is of no use."""
    world.simulator.faults.switch("dropped_after", operation="files.create", times=1)
    job = world.drop("inbox/ten.jsonl", TEN)
    world.run(job)
    before = stored(world)

    days(world, 2)

    assert (len(before), stored(world)) == (1, set())
    assert world.tap.creates == 1


def test_what_is_not_ours_is_left_alone(world: World) -> None:
    """Another stack in the project, or a person with a file of any name."""
    job = world.drop("inbox/ten.jsonl", TEN)
    world.run(job)
    provider = world.providers.open()
    names = ["mine.jsonl", f"another-install.{job}.0.1.1.jsonl", f"{job}.0.1.1.jsonl"]
    kept = [provider.upload_input(name, io.BytesIO(TEN), 20 * DAY) for name in names]

    days(world, 4)

    assert set(kept) == stored(world)


def test_a_file_that_a_shard_refers_to_is_kept(world: World) -> None:
    """The account has no money for three days; then the same file is sent."""
    first = world.drop("inbox/first.jsonl", DROP % 99)
    world.run(first)
    refusal = httpx2.Response(429, json={"error": {"code": "insufficient_quota"}}, headers={"x-should-retry": "false"})
    is_create = ("POST", "/v1/batches")
    world.tap.answers.append(lambda sent: refusal if (sent.method, sent.url.path) == is_create else None)
    job = world.drop("inbox/ten.jsonl", TEN)
    file = world.shard(job).attempt.file.id

    days(world, 3)
    world.tap.answers.clear()
    assert world.shard(job).attempt.file.id == file
    assert file in stored(world)
    world.run(job)

    assert world.tap.counts["POST /v1/files"] == 2


def test_a_sweep_is_bounded_and_goes_on() -> None:
    """Some deletions a tick, until there is nothing left; then not again for hours."""
    world = World(limits=Limits(file_sweep_deletions_max=2))
    job = world.drop("inbox/ten.jsonl", TEN)
    world.run(job)
    provider, ticket = world.providers.open(), world.shard(job).attempt.ticket
    for _ in range(5):
        provider.upload_input(f"{ticket}.jsonl", io.BytesIO(TEN), 20 * DAY)
    world.advance(2 * DAY)

    left = []
    for _ in range(4):
        world.tick()
        left.append(len(stored(world)))
    lists = world.tap.counts["GET /v1/files"]
    world.tick()

    assert left == [3, 1, 0, 0]
    assert world.tap.counts["GET /v1/files"] == lists


@pytest.mark.parametrize("created_at", ["0", "-1", "null", "1800000000000", "9" * 5_000])
def test_a_file_whose_time_cannot_be_read_is_kept(world: World, created_at: str) -> None:
    """It may be new: the input of a create that is about to be made."""
    job = world.drop("inbox/ten.jsonl", TEN)
    world.run(job)
    file = world.providers.open().upload_input(f"{world.shard(job).attempt.ticket}.jsonl", io.BytesIO(TEN), 20 * DAY)

    def odd_times(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if (request.method, request.url.path) != ("GET", "/v1/files"):
            return response
        content = re.sub(rb'"created_at": ?\d+', f'"created_at":{created_at}'.encode(), response.read())
        return httpx2.Response(200, content=content)

    world.tap.twists.append(odd_times)
    days(world, 3)
    world.tap.twists.clear()

    assert world.tap.counts["GET /v1/files"] >= 1
    assert file in stored(world)


def test_before_the_first_batch_nothing_is_swept(world: World) -> None:
    """An installation that was never used does not ask the provider."""
    days(world, 2)

    assert not world.tap.counts


def test_a_key_of_another_project_deletes_nothing() -> None:
    """It may not even try: its 404 would mean nothing."""
    world = World(behaviour=replace(CALM, projects={"sk-test": "p", "sk-other": "q"}))
    job = world.drop("inbox/ten.jsonl", TEN)
    world.providers.key = "sk-other"
    world.run(job, seconds=HOUR, ticks_max=400)

    assert not [call for call in world.tap.counts if call.startswith("DELETE")]


def test_a_worker_that_wakes_up_after_the_harvest_changes_nothing() -> None:
    """It finds no file, because another one harvested and deleted it; the attempt that runs by now is not given up."""
    world = World(behaviour=replace(CALM, run_seconds=HOUR))
    world.simulator.faults.switch("line_server_error", value=3, times=1)
    job = world.drop("inbox/ten.jsonl", TEN)
    while world.shard(job).state is not ShardState.HARVESTING:
        world.advance(HOUR)
        poll.tick(world.ports(), world.limits)
    slept: list[httpx2.Request] = []

    def sleep(request: httpx2.Request) -> httpx2.Response | None:
        if request.url.path.endswith("/content") and not slept:
            slept.append(request)
            world.advance(world.limits.worker_timeout_seconds + 1)
            world.deliver()
            complete.handle_wakeup(world.ports(), world.limits, job, 0)
            while world.shard(job).state is not ShardState.RUNNING:
                world.tick()
        return None

    world.tap.answers.append(sleep)
    complete.handle_wakeup(world.ports(), world.limits, job, 0)
    running = world.shard(job)
    ended = world.run(job, seconds=HOUR)

    assert (running.state, running.attempt.number, running.reason) == (ShardState.RUNNING, 2, None)
    assert (ended.event, ended.succeeded, world.charged_twice()) == ("completed", 10, {})
