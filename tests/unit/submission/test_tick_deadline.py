"""A tick does not depend on any call of the provider: none takes its time, and what needs no provider comes first."""

import io
from dataclasses import dataclass, replace

import httpx2
import pytest
from fakes.memory import FakeClock
from fakes.world import World

from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.model.shard import ShardState
from batchdrop.flow import poll
from openai_batch_simulator.account.behaviour import CALM
from openai_batch_simulator.clock import VirtualClock

LIMITS = Limits()
POLL_SECONDS = 120  # template.yaml: the time-out of poll
LINE = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say %d."}]}\n'
LIST = "GET /v1/batches"


@dataclass
class PollClock(FakeClock):
    """The time of the provider and of an invocation of poll are one: a call that hangs takes time from both."""

    provider: VirtualClock | None = None
    began_at: float | None = None  # while poll runs; a worker has all the time it wants

    def now(self) -> int:
        """Return whole seconds since 1970."""
        return max(self.time, int(self.provider.now())) if self.provider else self.time

    def remaining_seconds(self) -> float:
        """Return how long poll may still run."""
        if self.provider is None or self.began_at is None:
            return self.remaining
        return POLL_SECONDS - (self.provider.now() - self.began_at)


@pytest.fixture
def world() -> World:
    """A world in which time passes while the provider is waited for."""
    world = World(behaviour=replace(CALM, run_seconds=HOUR))
    world.clock = PollClock(time=world.clock.time, provider=world.provider_clock)
    return world


def tick(world: World, seconds: int = MINUTE) -> float:
    """Let time pass, poll, and return how long that took; what is to be woken stays in the queues."""
    assert isinstance(world.clock, PollClock)
    world.advance(seconds)
    world.clock.began_at = began_at = world.provider_clock.now()
    poll.tick(world.ports(), world.limits)
    assert world.clock.remaining_seconds() > 0, "poll was killed"
    world.clock.began_at = None
    return world.provider_clock.now() - began_at


def lines(count: int, first: int = 0) -> bytes:
    """Return so many requests."""
    return b"".join(LINE % number for number in range(first, first + count))


@pytest.mark.parametrize("operation", ["batches.list", "*"])
def test_a_call_that_hangs_does_not_kill_the_tick(world: World, operation: str) -> None:
    """Neither the list alone nor all calls together take more than forty seconds, each is tried once, and merging goes on."""
    for number in range(5):
        world.drop(f"inbox/{number}.jsonl", lines(3, first=10 * number))
    now = world.clock.now()
    for name, state in {"a" * 20: JobState.FINISHING, "b" * 20: JobState.PLANNING}.items():
        row = Job(id=name, bucket="inbox", key="inbox/x.jsonl", version="v", created_at=now, state=state, due_at=now)
        world.ledger.write(Change((Write(None, row),)))
    world.simulator.faults.switch("hung", operation=operation)
    world.tap.counts.clear()

    took = tick(world)

    assert world.wakeups.completes == [("a" * 20, None)]
    assert world.wakeups.submits == [("b" * 20, None)]
    assert took <= LIMITS.tick_calls_seconds + 1
    assert world.tap.counts[LIST] == 1
    assert world.log.events[-1] == "tick.done"


def test_no_page_is_asked_for_after_the_deadline(world: World) -> None:
    """Each page comes, but late: what was listed by then counts, and the next tick begins anew."""
    world.limits = replace(LIMITS, list_pages_max=20)
    for number in range(30):
        world.drop(f"inbox/{number}.jsonl", lines(1, first=number))
    world.simulator.faults.switch("delayed", operation="batches.list", value=14.0)
    pages = [0]

    def small_pages(request: httpx2.Request) -> None:
        pages[0] += request.url.path == "/v1/batches" and request.method == "GET"
        if "limit" in request.url.params:
            request.url = request.url.copy_set_param("limit", "5")

    world.tap.answers.append(small_pages)

    took = tick(world)

    assert pages[0] == 3
    assert took <= LIMITS.tick_calls_seconds + LIMITS.tick_call_seconds


def test_a_sweep_of_files_keeps_to_the_time_for_calls(world: World) -> None:
    """Each page comes, but late: no other one is asked for after the deadline, which is no outage; the next tick goes on."""
    world.behaviour = CALM
    job = world.drop("inbox/a.jsonl", lines(1))
    world.run(job, seconds=HOUR)
    provider, ticket = world.providers.open(), world.shard(job).attempt.ticket
    for _ in range(20):
        provider.upload_input(f"{ticket}.jsonl", io.BytesIO(lines(1)), 20 * DAY)
    world.advance(2 * DAY)
    world.simulator.faults.switch("delayed", operation="files.list", value=10.0)
    world.tap.counts.clear()

    def small_pages(request: httpx2.Request) -> None:
        if "limit" in request.url.params:
            request.url = request.url.copy_set_param("limit", "2")

    world.tap.answers.append(small_pages)

    took = tick(world)

    assert world.tap.counts["GET /v1/files"] == 4
    assert took <= LIMITS.tick_calls_seconds + LIMITS.tick_call_seconds
    assert not {"file.swept", "provider.unavailable"} & set(world.log.events)
    world.simulator.faults.clear()
    tick(world)
    assert world.log.events.count("file.swept") == 20


def test_without_a_list_batches_are_looked_at_alone(world: World) -> None:
    """Each in turn, so many a tick; every job ends, and nothing is sent twice."""
    world.simulator.faults.switch("refused", operation="batches.list", value=405, message="Method Not Allowed")
    jobs = [world.drop(f"inbox/{number}.jsonl", lines(2, first=2 * number)) for number in range(60)]
    most = 0
    for _ in range(4):
        world.tap.counts.clear()
        world.tick()
        most = max(most, sum(count for call, count in world.tap.counts.items() if call.startswith("GET /v1/batches/")))
    ended = [world.run(job) for job in jobs]

    assert most == LIMITS.retrieves_per_tick_max == 50
    assert {job.event for job in ended} == {"completed"}
    assert not world.charged_twice()
    install = world.ledger.install()
    assert install is not None
    assert install.no_list is not None
    assert "405" in install.no_list.cause
    assert "list.failed" in world.log.events
    assert install.unanswered is None


@pytest.mark.parametrize("status", [400, 404, 405, 500, 501])
def test_a_batch_ends_soon_without_a_list(status: int) -> None:
    """Within a minute or two after it ended, and poll asks for each batch once a tick at most."""
    world = World(behaviour=replace(CALM, run_seconds=10 * MINUTE))
    world.simulator.faults.switch("refused", operation="batches.list", value=status)
    job = world.drop("inbox/three.jsonl", lines(3))
    batch = world.shard(job).attempt.batch
    asked = []
    for _ in range(14):
        before = world.tap.counts[f"GET /v1/batches/{batch}"]
        world.tick()
        asked.append(world.tap.counts[f"GET /v1/batches/{batch}"] - before)

    assert world.job(job).event == "completed"
    assert max(asked) <= 2  # poll, and complete
    assert world.tap.counts[LIST] <= 14


def test_an_uncertain_create_is_parked_without_a_list(world: World) -> None:
    """It is said, once; nothing is sent again. When there is a list the batch that was made is found."""
    world.simulator.faults.switch("refused", operation="batches.list", value=501)
    world.simulator.faults.switch("dropped_after", times=1)
    job = world.drop("inbox/three.jsonl", lines(3))
    for _ in range(24):
        world.tick(5 * MINUTE)
    parked = world.shard(job)
    told = [notification.json for notification in world.notifications.published]
    world.simulator.faults.clear()
    ended = world.run(job, seconds=5 * MINUTE)

    assert (parked.state, parked.attempt.is_unlisted, parked.quota_tokens) == (ShardState.PARKED, True, 0)
    assert len(told) == 1
    assert '"no_list"' in told[0]
    assert (ended.event, world.tap.creates, world.charged_twice()) == ("completed", 1, {})


def test_what_was_parked_for_want_of_a_list_is_fenced_once_there_is_one(world: World) -> None:
    """No batch was made: the file is deleted, the list looked at again, and then there is one new try."""
    world.simulator.faults.switch("refused", operation="batches.list", value=404)
    world.simulator.faults.switch("failed_after", operation="batches.create", times=1)
    world.simulator.faults.switch("refused", operation="batches.create", value=500, times=1)
    job = world.drop("inbox/three.jsonl", lines(3))
    while world.shard(job).state is not ShardState.PARKED:
        world.tick(5 * MINUTE)
    world.simulator.faults.clear()
    files = world.tap.counts["POST /v1/files"]
    ended = world.run(job, seconds=5 * MINUTE)

    assert (ended.event, world.charged_twice()) == ("completed", {})
    assert world.tap.counts["POST /v1/files"] == files + 1
    assert any(call.startswith("DELETE /v1/files/") for call in world.tap.counts)


def test_an_outage_is_no_missing_list(world: World) -> None:
    """While nothing is answered nobody can know whether there is a list: the create stays as it is until there is an answer."""
    world.simulator.faults.switch("dropped_after", times=1)
    job = world.drop("inbox/three.jsonl", lines(3))
    world.simulator.faults.switch("refused", operation="*", value=503)
    for _ in range(24):
        world.tick(5 * MINUTE)
    install, state = world.ledger.install(), world.shard(job).state
    world.simulator.faults.clear()
    ended = world.run(job, seconds=5 * MINUTE)

    assert install is not None
    assert install.unanswered is not None
    assert (install.no_list, state) == (None, ShardState.CREATING)
    assert (ended.event, world.tap.creates, world.charged_twice()) == ("completed", 1, {})


def test_without_a_list_a_week_ends_an_uncertain_create() -> None:
    """Its items fail by name, and are never sent again."""
    world = World()
    world.simulator.faults.switch("refused", operation="batches.list", value=400)
    world.simulator.faults.switch("refused", operation="batches.create", value=500)
    job = world.drop("inbox/three.jsonl", lines(3))

    ended = world.run(job, seconds=HOUR, ticks_max=8 * 24)

    assert (ended.event, ended.failed, world.tap.creates) == ("completed_with_failures", 3, 1)
    assert b'"submission_unknown"' in world.result(job, "outcomes.jsonl")
    assert world.clock.now() - ended.created_at >= DAY * 7
