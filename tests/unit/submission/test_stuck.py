"""Batches that outlive their window: cancelled once, harvested, and only what did not run is sent again."""

from dataclasses import replace

import httpx2
import pytest
from fakes.shards import changed, new_shard
from fakes.world import World

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.dialects import AZURE, OPENAI, TOGETHER
from batchdrop.core.model.limits import DAY, HOUR, Limits
from batchdrop.core.model.shard import ShardState
from batchdrop.core.submission.batch_signals import is_stuck
from openai_batch_simulator.account.behaviour import CALM

LIMITS = Limits()
LINE = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say %d."}]}\n'
DROP = b"".join(LINE % number for number in range(10))


def cancels(world: World) -> int:
    """How many cancel calls went over the wire."""
    return sum(count for call, count in world.tap.counts.items() if call.endswith("/cancel"))


def batches(world: World) -> set[str]:
    """The batches that were asked to stop."""
    return {call.split("/")[-2] for call in world.tap.counts if call.endswith("/cancel")}


def test_a_batch_that_stays_in_finalizing_is_cancelled_and_harvested() -> None:
    """Everything ran: every answer is delivered, and nothing is sent again."""
    world = World()
    world.simulator.faults.switch("stuck_in_finalizing", value=7 * DAY, times=1)
    job = world.drop("inbox/ten.jsonl", DROP)
    dropped_at, batch = world.clock.now(), world.shard(job).attempt.batch

    ended = world.run(job, seconds=HOUR // 2)

    assert (ended.event, ended.succeeded, world.tap.creates) == ("completed", 10, 1)
    assert (cancels(world), batches(world)) == (1, {batch})
    assert DAY + LIMITS.stuck_seconds <= world.clock.now() - dropped_at <= DAY + LIMITS.stuck_seconds + 2 * HOUR


def test_a_batch_that_never_expires_is_cancelled_and_its_rest_is_sent_again() -> None:
    """Paid answers are kept; no item is paid twice."""
    world = World(behaviour=replace(CALM, run_seconds=60 * HOUR))
    world.simulator.faults.switch("expiry_late", value=30 * DAY, times=1)
    job = world.drop("inbox/ten.jsonl", DROP)
    world.tick(DAY)
    world.tick(LIMITS.stuck_seconds - HOUR)
    assert cancels(world) == 0

    while world.shard(job).attempt.number == 1:
        world.tick(HOUR // 2)

    assert (cancels(world), world.shard(job).batches[0]) == (1, *batches(world))
    ended = world.run(job, seconds=HOUR)
    paid = sum(1 for _ in world.simulator.ledger.charges())
    assert (ended.succeeded, world.charged_twice(), cancels(world)) == (paid, {}, 1)


@pytest.mark.parametrize("status", [409, 400, 404])
def test_a_cancel_that_is_refused_changes_nothing(status: int) -> None:
    """The batch had ended meanwhile, or cannot be found: it is looked at again, and asked once in six hours."""
    world = World()
    world.simulator.faults.switch("stuck_in_finalizing", value=2 * DAY, times=1)

    def refuse(request: httpx2.Request) -> httpx2.Response | None:
        return httpx2.Response(status, json={"error": {}}) if request.url.path.endswith("/cancel") else None

    world.tap.answers.append(refuse)
    job = world.drop("inbox/ten.jsonl", DROP)
    ended = world.run(job, seconds=HOUR // 2)

    assert (ended.event, world.tap.creates) == ("completed", 1)
    assert 1 <= cancels(world) <= 2 * DAY // LIMITS.stuck_seconds


ENDED = ["completed", "expired", "cancelled", "failed", "cancelling"]
SHARD = new_shard(
    job="j", number=0, account="a", endpoint="e", model="m", group=0, state=ShardState.RUNNING, intent_at=1_000
)


@pytest.mark.parametrize(
    ("created_at", "expires_at", "stuck_at"),
    [
        (5_000, 9_000, 9_000 + LIMITS.stuck_seconds),
        (5_000, 0, 5_000 + DAY + LIMITS.stuck_seconds),
        (0, 0, 1_000 + DAY + LIMITS.stuck_seconds),
        (5_000, 4_000, 5_000 + DAY + LIMITS.stuck_seconds),
        (0, 900, 1_000 + DAY + LIMITS.stuck_seconds),
    ],
)
@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "never_heard_of"])
def test_stuck_is_said_by_the_providers_time_stamps(
    status: str, created_at: int, expires_at: int, stuck_at: int
) -> None:
    """Our own clock serves only where the provider names no time; an end before the beginning is none."""
    batch = Batch(id="b", status=status, created_at=created_at, expires_at=expires_at)

    assert not is_stuck(SHARD, batch, stuck_at - 1, LIMITS, OPENAI)
    assert is_stuck(SHARD, batch, stuck_at, LIMITS, OPENAI)


@pytest.mark.parametrize("status", ENDED)
def test_what_has_ended_or_is_about_to_is_not_stuck(status: str) -> None:
    """However old it is."""
    assert not is_stuck(SHARD, Batch(id="b", status=status, created_at=1), 10**9, LIMITS, OPENAI)


def test_a_stuck_batch_is_not_asked_all_the_time() -> None:
    """Once in so many hours, should a cancel go unheard."""
    batch = Batch(id="b", status="finalizing", created_at=1)
    asked = changed(SHARD, cancel_asked_at=10**9)

    assert not is_stuck(asked, batch, 10**9 + LIMITS.stuck_seconds - 1, LIMITS, OPENAI)
    assert is_stuck(asked, batch, 10**9 + LIMITS.stuck_seconds, LIMITS, OPENAI)


def test_a_batch_runs_on_where_windows_do_not_expire() -> None:
    """Azure's jobs that take longer go on until they are cancelled: cancelling one for us would throw work away."""
    batch = Batch(id="b", status="in_progress", created_at=1, expires_at=DAY)

    assert not is_stuck(SHARD, batch, 10**9, LIMITS, AZURE)


def test_a_batch_is_given_the_time_that_its_provider_asks_for() -> None:
    """Together's may run for 72 hours before anything is wrong with it."""
    batch = Batch(id="b", status="in_progress", created_at=1, expires_at=DAY)

    assert not is_stuck(SHARD, batch, 3 * DAY - 1, LIMITS, TOGETHER)
    assert is_stuck(SHARD, batch, 3 * DAY, LIMITS, TOGETHER)


def test_nothing_is_cancelled_where_windows_do_not_expire() -> None:
    """On the wire: a batch of two days, at a server whose batches do not expire, is waited for and collected."""
    world = World(replace(CALM, run_seconds=2 * DAY, window_seconds=9 * DAY), dialect="litellm")
    job = world.drop("inbox/ten.jsonl", DROP)

    assert world.run(job, seconds=HOUR).succeeded == 10

    assert (cancels(world), world.tap.creates) == (0, 1)
