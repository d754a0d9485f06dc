"""What is asked for in vain ends: a batch that is gone or never ends, answers that are refused; and nothing is sent twice."""

import json
from dataclasses import replace

import httpx2
import pytest
from fakes.shards import changed, new_shard
from fakes.world import World

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.dialects import OPENAI, TOGETHER
from batchdrop.core.model.job import Job
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.model.shard import ShardState
from batchdrop.core.submission.batch_signals import is_hopeless
from openai_batch_simulator.account.behaviour import CALM

LIMITS = Limits()
LINE = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say %d."}]}\n'
DROP = b"".join(LINE % number for number in range(10))


def codes(world: World, job: str) -> list[str]:
    """Return why items of the job failed, each reason once."""
    outcomes = [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]
    return sorted({outcome["error"]["code"] for outcome in outcomes if outcome["error"]})


def asked(world: World, suffix: str) -> int:
    """Return how many calls ended in *suffix*."""
    return sum(count for call, count in world.tap.counts.items() if call.endswith(suffix))


def assert_not_sent_again(world: World, ended: Job) -> None:
    """One batch was made, and its receipt says that it may have been paid for."""
    assert world.tap.creates == 1
    assert not world.charged_twice()
    summary = json.loads(world.result(ended.id, "summary.json"))
    assert summary["receipt"]["unknown"]
    assert summary["shards"][0]["batches"]


def test_a_batch_that_is_gone_fails_after_a_day() -> None:
    """It is looked for once an hour; it may have run, so nothing is sent again and the receipt is not complete."""
    world = World(behaviour=replace(CALM, run_seconds=HOUR))
    world.simulator.faults.switch("batch_gone", value=60, times=1)
    job = world.drop("inbox/ten.jsonl", DROP)
    batch, dropped_at = world.shard(job).attempt.batch, world.clock.now()

    ended = world.run(job, seconds=10 * MINUTE, ticks_max=400)

    assert (ended.event, ended.failed, codes(world, job)) == ("completed_with_failures", 10, ["batch_gone"])
    assert DAY <= world.clock.now() - dropped_at <= DAY + 3 * HOUR
    assert asked(world, f"/batches/{batch}") <= 30
    assert_not_sent_again(world, ended)
    assert batch in world.result(job, "outcomes.jsonl").decode()


def test_a_batch_that_is_shown_again_is_collected() -> None:
    """Within the day: and the next time that it is gone the day begins anew."""
    world = World(behaviour=replace(CALM, run_seconds=DAY - HOUR))
    job = world.drop("inbox/ten.jsonl", DROP)
    batch = world.shard(job).attempt.batch
    world.tap.answers.append(lambda request: world_404(request, batch))
    for _ in range(10):
        world.tick(HOUR)
    gone = world.shard(job).attempt.gone
    world.tap.answers.clear()
    world.tick(HOUR)
    shown = world.shard(job).attempt.gone

    assert gone
    assert shown is None
    assert world.run(job, seconds=HOUR).event == "completed"


def world_404(request: httpx2.Request, batch: str) -> httpx2.Response | None:
    """Answer as if *batch* were nowhere."""
    if request.url.path.endswith(f"/batches/{batch}"):
        return httpx2.Response(404, json={"error": {"message": "No batch found.", "code": None}})
    is_list = request.method == "GET" and request.url.path == "/v1/batches"
    return httpx2.Response(200, json={"object": "list", "data": [], "has_more": False}) if is_list else None


def test_a_batch_that_never_ends_is_given_up_after_two_days() -> None:
    """It is asked to stop a few times; what it answered is collected, the rest fails and is not sent again."""
    world = World()
    world.simulator.faults.switch("never_ends", value=0.5, times=1)
    world.simulator.faults.switch("cancel_ignored")
    job = world.drop("inbox/ten.jsonl", DROP)
    dropped_at = world.clock.now()

    ended = world.run(job, seconds=HOUR // 2, ticks_max=400)

    took = world.clock.now() - dropped_at
    assert (ended.event, ended.succeeded, ended.failed) == ("completed_with_failures", 5, 5)
    assert codes(world, job) == ["batch_stuck"]
    assert DAY + LIMITS.hopeless_seconds <= took <= DAY + LIMITS.hopeless_seconds + 8 * HOUR
    assert asked(world, "/cancel") <= took // HOUR
    assert_not_sent_again(world, ended)


def test_a_cancelled_job_whose_batch_never_ends_is_given_up_too() -> None:
    """A person asked for it: the batch is asked to stop at most once an hour, and the job ends."""
    world = World()
    world.simulator.faults.switch("never_ends", value=0.0, times=1)
    world.simulator.faults.switch("cancel_ignored")
    job = world.drop("inbox/ten.jsonl", DROP)
    world.ask(job, "cancel")
    cancels = []
    for _ in range(80):
        before = asked(world, "/cancel")
        world.tick(HOUR)
        cancels.append(asked(world, "/cancel") - before)

    assert max(cancels) == 1
    assert world.job(job).event == "cancelled"
    assert world.tap.creates == 1


@pytest.mark.parametrize("status", [400, 404, 410, 422])
@pytest.mark.parametrize("operation", ["files.content", "batches.retrieve"])
def test_answers_that_are_refused_for_a_day_are_gone(status: int, operation: str) -> None:
    """The download, or the look at the batch that has ended: asked every ten minutes, not every minute for ever."""
    world = World()
    world.simulator.faults.switch("refused", operation=operation, value=status, message="It is gone.")
    job = world.drop("inbox/ten.jsonl", DROP)

    ended = world.run(job, seconds=2 * MINUTE, ticks_max=1_000)

    suffix = "/content" if operation == "files.content" else world.shard(job).batches[-1]
    assert (ended.event, codes(world, job)) == ("completed_with_failures", ["answers_gone"])
    assert asked(world, suffix) <= DAY // LIMITS.answers_retry_seconds + 2
    assert_not_sent_again(world, ended)


SHARD = new_shard(
    job="j", number=0, account="a", endpoint="e", model="m", group=0, state=ShardState.RUNNING, intent_at=1_000,
    cancel_asked_at=5,
)  # fmt: skip
RUNNING = Batch(id="b", status="in_progress", created_at=1_000, expires_at=DAY)
DUE = DAY + LIMITS.hopeless_seconds


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling", "never_heard_of"])
def test_a_batch_is_hopeless_two_days_after_its_end_was_due(status: str) -> None:
    """Whatever it says that it does, and only if a cancel had an hour to be obeyed."""
    batch = replace(RUNNING, status=status)

    assert not is_hopeless(SHARD, batch, DUE - 1, LIMITS, OPENAI)
    assert is_hopeless(SHARD, batch, DUE, LIMITS, OPENAI)
    assert not is_hopeless(changed(SHARD, cancel_asked_at=0), batch, DUE, LIMITS, OPENAI)
    assert not is_hopeless(changed(SHARD, cancel_asked_at=DUE - HOUR + 1), batch, DUE, LIMITS, OPENAI)
    assert not is_hopeless(SHARD, batch, DUE, LIMITS, TOGETHER)  # where batches may run longer


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled", "failed"])
def test_what_has_ended_is_collected_as_ever(status: str) -> None:
    """However late."""
    assert not is_hopeless(SHARD, replace(RUNNING, status=status), 10**9, LIMITS, OPENAI)
