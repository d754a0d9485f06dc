"""A job that would cost more than it may is held before anything is sent, and goes on, or ends, as a person says.

The flows are the production code and the adapter is the real one; the simulator's ledger says what was paid.
"""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from fakes.world import World

from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.model.shard import ShardState
from batchdrop.flow import poll
from openai_batch_simulator.account.behaviour import CALM

TASK = """
endpoint: /v1/chat/completions
body:
  model: MODEL
  max_tokens: 100
  messages: [{role: user, content: "Rate: {{ review }}"}]
"""
ROWS = b"review\n" + b"".join(b"review %d\n" % number for number in range(1, 11))
# Ten answers of 100 tokens at 0.8 dollars a million in a batch, and some input.
QUOTE_USD = (0.0008, 0.0009)


def world_with(cap_usd: float | None = None, *, model: str = "gpt-4.1-mini", limits: Limits | None = None) -> World:
    """A world whose one task may cost so much, and whose batches take an hour."""
    world = World(limits=limits or Limits(), behaviour=replace(CALM, run_seconds=HOUR))
    cap = "" if cap_usd is None else f"max_cost_usd: {cap_usd:f}\n"
    world.storage.put_task("sentiment", (TASK.replace("MODEL", model) + cap).encode())
    return world


def drop(world: World) -> str:
    """Drop ten reviews."""
    return world.drop("inbox/sentiment/reviews.csv", ROWS)


def status(world: World, job: str) -> Any:  # noqa: ANN401  # JSON
    """The job's status.json."""
    return json.loads(world.result(job, "status.json"))


def notifications(world: World) -> list[dict[str, Any]]:
    """What was published."""
    return [json.loads(notification.json) for notification in world.notifications.published]


def ids(world: World) -> list[str]:
    """The ids of what was published, without the job."""
    return [notification["id"].partition("/")[2] for notification in notifications(world)]


def test_without_a_cap_the_quote_is_told_and_nobody_is_asked() -> None:
    """The status has the quote as soon as the job is planned, and what was spent when it is done."""
    world = world_with()
    job = drop(world)
    planned = status(world, job)["cost"]

    world.run(job)

    spent = status(world, job)["cost"]["spent_usd"]
    assert QUOTE_USD[0] < planned["quote"]["usd"] < QUOTE_USD[1]
    assert (planned["quote"]["output_tokens"], planned["allowed_usd"], planned["holds"]) == (1_000, None, 0)
    assert 0 < spent < planned["quote"]["usd"]
    assert ids(world) == ["completed"]


def test_a_job_within_its_cap_goes_on() -> None:
    """Its money is reserved while it is at the provider, and spent by real usage when it is back."""
    world = world_with(0.01)
    job = drop(world)
    sent = world.job(job)

    ended = world.run(job)

    assert sent.money.reserved >= QUOTE_USD[0] * 1e6
    assert (ended.money.reserved, ended.money.spent > 0) == (0, True)
    assert ids(world) == ["completed"]


def test_a_job_above_its_cap_is_held_before_anything_is_sent() -> None:
    """One notification says the quote, however many ticks pass; the provider hears of nothing."""
    world = world_with(0.0001)
    job = drop(world)

    for _ in range(100):
        world.tick(HOUR)

    held, shown = world.job(job), status(world, job)
    (notification,) = notifications(world)
    assert (held.state, world.shards(job), world.tap.counts["POST /v1/files"], world.tap.creates) == (
        JobState.HELD,
        [],
        0,
        0,
    )
    assert (notification["id"], notification["reason"]["code"]) == (f"{job}/held/1", "above_cap")
    assert QUOTE_USD[0] < notification["quote"]["usd"] < QUOTE_USD[1]
    assert (shown["state"], shown["waiting"]["for"], shown["cost"]["allowed_usd"]) == ("HELD", "approval", 0.0001)
    assert world.log.events.count("hold.told") == 1


@pytest.mark.parametrize(
    ("of_task", "of_stack", "is_held"), [(0.01, 100, True), (0.0001, 10_000, True), (0.01, 10_000, False)]
)
def test_the_smaller_cap_counts(of_task: float, of_stack: int, is_held: bool) -> None:  # noqa: FBT001  # a column
    """A task cannot raise what the deployment allows, nor the other way round."""
    world = world_with(of_task, limits=Limits(max_cost_microdollars=of_stack))

    job = drop(world)

    assert (world.job(job).state is JobState.HELD) == is_held


def test_what_is_approved_of_goes_on_at_once() -> None:
    """Within the same invocation; and it may cost half as much again as the notification said."""
    world = world_with(0.0001)
    job = drop(world)
    world.tick()
    held = world.job(job)

    world.ask(job, "approve")

    approved = world.job(job)
    assert held.hold
    assert (approved.state, world.tap.creates) == (JobState.RUNNING, 1)
    assert approved.money.approved * 2 == held.hold.quote.microdollars * 3
    assert world.run(job).event == "completed"
    assert ids(world) == ["held/1", "completed"]


def test_a_word_that_comes_twice_approves_once() -> None:
    """Copies of an event change nothing, before and after."""
    world = world_with(0.0001)
    job = drop(world)

    for _ in range(3):
        world.ask(job, "approve")

    assert (world.tap.creates, world.job(job).hold and world.job(job).hold.number) == (1, 1)  # type: ignore[union-attr]  # asked
    assert world.log.events.count("job.approved") == 1


def test_nobody_approves_of_what_is_not_held() -> None:
    """A word for a job that runs is no approval of a hold to come."""
    world = world_with(0.01)
    job = drop(world)
    before = world.job(job)

    world.ask(job, "approve")

    assert world.job(job) == before
    assert "control.ignored" in world.log.events


def test_a_held_job_that_is_cancelled_spends_nothing() -> None:
    """And its records can be dropped again."""
    world = world_with(0.0001)
    job = drop(world)

    world.ask(job, "cancel")

    ended = world.run(job)
    assert (ended.event, ended.failed, world.tap.creates) == ("cancelled", 10, 0)
    assert world.result(job, "failures.csv") == ROWS


@pytest.mark.parametrize("words", [("cancel", "approve"), ("approve", "cancel")])
def test_cancel_beats_approve(words: tuple[str, str]) -> None:
    """Whichever comes first: nothing more is sent after the cancellation, and it ends as cancelled."""
    world = world_with(0.0001, limits=Limits(enqueued_tokens_per_model=10))
    job = drop(world)

    for word in words:
        world.ask(job, word)
    creates = world.tap.creates

    assert world.run(job, seconds=10 * MINUTE).event == "cancelled"
    assert world.tap.creates == creates <= 1


def test_a_hold_ends_by_itself_after_a_week() -> None:
    """Not a tick before; the final notification says why, and there is only one."""
    world = world_with(0.0001)
    job = drop(world)
    world.tick()
    hold = world.job(job).hold
    assert hold
    world.tick(hold.since + 7 * DAY - world.clock.time - 1)
    before = world.job(job).state

    ended = world.run(job)

    final = notifications(world)[-1]
    assert (before, ended.event, world.tap.creates) == (JobState.HELD, "cancelled", 0)
    assert (final["id"], final["reason"]["code"]) == (f"{job}/cancelled", "hold_expired")
    assert "within 7 days" in final["reason"]["message"]
    assert ids(world) == ["held/1", "cancelled"]


def test_an_approval_at_the_last_moment_counts() -> None:
    """Whoever ends the hold reads the row again: a list may still show what was approved of as held."""
    world = world_with(0.0001)
    job = drop(world)
    world.tick()
    world.ledger.freeze_index()
    world.advance(7 * DAY)
    world.ask(job, "approve")

    poll.tick(world.ports(), world.limits)

    world.ledger.thaw_index()
    assert world.job(job).cancelled_at == 0
    assert world.run(job).event == "completed"


@pytest.mark.parametrize("is_capped", [True, False])
def test_a_model_without_a_price_is_held_where_there_is_a_cap(is_capped: bool) -> None:  # noqa: FBT001  # a column
    """Unknown is not nothing; without a cap it is shown as unknown and sent."""
    world = world_with(1.0 if is_capped else None, model="a-model-of-tomorrow")

    job = drop(world)

    world.tick()
    quote = status(world, job)["cost"]["quote"]
    assert (quote["usd"], quote["unpriced_models"]) == (None, ["a-model-of-tomorrow"])
    assert (world.job(job).state is JobState.HELD) == is_capped
    assert [notification["reason"]["code"] for notification in notifications(world)] == ["price_unknown"] * is_capped


def test_an_unknown_price_can_be_approved_of() -> None:
    """Then it is sent uncounted, and no shard of it is held again."""
    world = world_with(1.0, model="a-model-of-tomorrow", limits=Limits(chunk_lines_max=5, shard_requests_max=5))
    job = drop(world)

    world.ask(job, "approve")

    assert world.run(job).event == "completed"
    assert (world.tap.creates, world.job(job).money.spent) == (2, 0)


def test_no_file_says_that_what_is_unknown_costs_nothing() -> None:
    """Null in the status, the summary and the notifications; unknown in the mail and the report; empty in the CSV."""
    world = world_with(1.0, model="a-model-of-tomorrow")
    job = drop(world)
    held = status(world, job)["cost"]
    world.ask(job, "approve")
    world.run(job)

    keys, document = Keys(job, world.job(job).key), status(world, job)
    summary = json.loads(world.storage.objects[keys.summary])["receipt"]

    assert (held["quote"]["usd"], held["spent_usd"]) == (None, 0.0)  # nothing was sent by then
    assert (document["cost"]["spent_usd"], document["cost"]["reserved_usd"]) == (None, None)
    sums = ("list_dollars", "discount_dollars", "total_dollars")
    assert [summary[name] for name in sums] == [None] * 3
    told = [(json.loads(notification.json), notification.text) for notification in world.notifications.published]
    assert [receipt["total_dollars"] for notification, _ in told if (receipt := notification["receipt"])] == [None]
    assert not re.findall(r"\$0|0\.00", "".join(text for _, text in told))
    report = world.storage.objects[keys.report].decode()
    assert "unknown" in report
    assert "$0" not in report


def test_the_cap_holds_again_where_requests_are_dearer_than_expected() -> None:
    """What some shards came to counts, and what they teach of the others: these wait for somebody to approve."""
    # Estimated at a tenth of what the provider will count.
    limits = Limits(chunk_lines_max=2, shard_requests_max=2, enqueued_tokens_per_model=2, bytes_per_token=400)
    world = world_with(limits=limits)
    task = TASK.replace("MODEL", "gpt-4.1-mini").replace("max_tokens: 100", "max_tokens: 1")
    world.storage.put_task("sentiment", (task + "max_cost_usd: 0.000012\n").encode())
    job = drop(world)
    planned = world.job(job)

    for _ in range(9):
        world.tick(HOUR)
    held = world.job(job)

    world.ask(job, "approve")
    assert planned.money.quote
    assert held.hold
    assert (planned.state, held.state, held.money.reserved) == (JobState.RUNNING, JobState.HELD, 0)
    assert 0 < held.succeeded < 10
    assert planned.money.quote.microdollars < 12 < held.hold.quote.microdollars
    assert held.money.spent <= 12
    assert world.run(job, seconds=20 * MINUTE).event == "completed"
    assert ids(world) == ["held/1", "completed"]


def hold_midway(world: World) -> str:
    """A job that is held while its first shard is at the provider: the stack's cap was lowered meanwhile."""
    job = drop(world)
    world.limits = replace(world.limits, max_cost_microdollars=world.job(job).money.reserved + 1)
    for _ in range(3):
        world.tick()
    assert world.job(job).state is JobState.HELD
    return job


TWO_SHARDS = Limits(
    chunk_lines_max=5, shard_requests_max=5, enqueued_tokens_per_model=1_000_000, admissions_per_tick_max=1
)


def test_what_is_at_the_provider_goes_on_while_the_rest_is_held() -> None:
    """Its answers are delivered; the rest waits for somebody, and goes on when they approve."""
    world = world_with(1.0, limits=TWO_SHARDS)
    job = hold_midway(world)
    for _ in range(3):
        world.tick(HOUR)
    answered = world.job(job)

    world.ask(job, "approve")

    assert (answered.state, answered.succeeded, answered.money.reserved) == (JobState.HELD, 5, 0)
    assert world.run(job).event == "completed"
    assert world.job(job).succeeded == 10
    assert ids(world) == ["held/1", "completed"]


def test_what_is_at_the_provider_is_stopped_with_a_held_job() -> None:
    """Cancelled in the middle, it keeps what it paid for, and the rest can be dropped again."""
    world = world_with(1.0, limits=TWO_SHARDS)
    job = hold_midway(world)

    world.ask(job, "cancel")

    ended = world.run(job)
    outcomes = [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]
    assert (ended.event, len(outcomes), ended.money.reserved) == ("cancelled", 10, 0)
    assert world.charged_twice() == {}
    assert {shard.state for shard in world.shards(job)} == {ShardState.DONE}


def test_items_that_are_sent_again_need_money_again() -> None:
    """A second attempt above the cap is held, and approved of, as a first one is."""
    world = world_with(1.0)
    world.simulator.faults.switch("line_server_error", value=0.999, times=1)
    job = drop(world)
    world.tick(MINUTE)
    world.limits = replace(world.limits, max_cost_microdollars=1)
    for _ in range(6):
        world.tick(30 * MINUTE)
    held = world.job(job)

    world.ask(job, "approve")

    assert (held.state, held.shards, world.shard(job).attempt.number) == (JobState.HELD, 1, 2)
    assert world.run(job).event == "completed"
    assert ids(world) == ["held/1", "completed"]
