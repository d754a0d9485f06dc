"""What all jobs may cost on one day: what does not fit waits for another, by itself, and nothing is let in beyond it.

The flows are the production code and the adapter is the real one.
"""

import json
from dataclasses import replace
from typing import Any

import pytest
from fakes.world import World
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.admission.budget import affordable, day_of
from batchdrop.core.model.change import Change, DayMove, Write
from batchdrop.core.model.errors import Conflict
from batchdrop.core.model.job import Job, JobMoney, JobState
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.model.reasons import Reason, Wait
from batchdrop_cli.doctor.standstill import waits_of
from openai_batch_simulator.account.behaviour import CALM

TASK = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  max_tokens: 1000
  messages: [{role: user, content: "Rate: {{ review }}"}]
"""
# Expected of one item: 1,000 tokens at 0.8 dollars a million, and some input.
ITEM = 800
# Half an hour before midnight.
EVENING = 1_800_057_600 - 30 * MINUTE


def world_with(items_a_day: float, run_seconds: float = MINUTE, **limits: Any) -> World:  # noqa: ANN401  # limits by name
    """A world in the evening whose jobs may cost what so many items do in a day, and whose batches take so long."""
    small = {
        "chunk_lines_max": 5,
        "shard_requests_max": 5,
        "daily_cost_microdollars_max": int(items_a_day * 1.02 * ITEM),
    }
    world = World(limits=Limits(**small | limits), behaviour=replace(CALM, run_seconds=run_seconds))
    world.advance(EVENING - world.clock.time)
    world.storage.put_task("sentiment", TASK)
    return world


def drop(world: World, items: int = 10, name: str = "a") -> str:
    """Drop some reviews."""
    rows = b"".join(b"review %d\n" % number for number in range(items))
    return world.drop(f"inbox/sentiment/{name}.csv", b"review\n" + rows)


def sent(world: World, job: str) -> int:
    """How many items of *job* have been let in."""
    return sum(group.cut_lines for group in world.job(job).groups)


def ids(world: World) -> list[str]:
    """The ids of what was published, without the job or the installation."""
    return [json.loads(notification.json)["id"].partition("/")[2] for notification in world.notifications.published]


@given(amount=st.integers(1, 10**6), price=st.integers(1, 10**9), limit=st.integers(1, 10**9), share=st.floats(-0.2, 1))
def test_what_is_affordable_costs_no_more_than_is_left(amount: int, price: int, limit: int, share: float) -> None:
    """And it is everything where that fits; of a fresh day something is, unless a single piece is dearer than a day."""
    left = int(limit * share)

    part = affordable(amount, price, left, limit)

    assert 0 <= part <= amount
    assert part * price <= max(0, left) * amount
    assert (part == amount) == (price <= left)
    if left == limit and price * 51 <= limit * 49 * amount:
        assert part > 0


def test_what_does_not_fit_waits_for_the_next_day() -> None:
    """It says so, with one notification, and goes on by itself after midnight, however the answers turned out."""
    world = world_with(5, run_seconds=HOUR)
    job = drop(world)
    for _ in range(28):
        world.tick()
    evening, status = sent(world, job), json.loads(world.result(job, "status.json"))

    ended = world.run(job)

    assert (evening, status["state"], status["waiting"]["for"]) == (5, "RUNNING", "daily cap")
    assert status["waiting"]["since"] <= "2027-01-15T23:32:00Z"
    assert (ended.event, ended.succeeded) == ("completed", 10)
    assert world.clock.time >= EVENING + 30 * MINUTE
    assert ids(world) == ["daily_cap/1", "completed"]
    assert status["waiting"]["reason"]["code"] == "daily_cap"


def test_the_notification_says_what_is_used_up() -> None:
    """It names the cap, the parameter and how many jobs wait, and does not tell anybody to put something right."""
    world = world_with(5)
    drop(world)
    for _ in range(3):
        world.tick()

    (notification,) = world.notifications.published

    assert json.loads(notification.json)["reason"]["code"] == "daily_cap"
    assert json.loads(notification.json)["jobs"] == 1
    assert notification.text.startswith("1 job waits for another day")
    assert "US dollars on one day" in notification.text
    assert "put right" not in notification.text
    assert "DailyCostUsdMax" in notification.text


def waits(world: World, jobs: list[str]) -> list[dict[str, Any]]:
    """What the statuses of *jobs* say that they wait for."""
    return [json.loads(world.result(job, "status.json"))["waiting"] for job in jobs]


def test_many_jobs_wait_with_one_notification_a_day() -> None:
    """It says how many there are; each status says why; whoever comes later is not told of; the next day is another."""
    world = world_with(1, run_seconds=2 * HOUR)
    drop(world, 1, "first")
    world.providers.key = None
    jobs = [drop(world, 1, f"early-{number}") for number in range(20)]
    world.providers.key = "sk-test"
    world.tick()
    late = [drop(world, 1, f"late-{number}") for number in range(3)]
    for _ in range(20):
        world.tick()
    evening, statuses = ids(world), waits(world, [*jobs, *late])
    (count,) = (json.loads(notification.json)["jobs"] for notification in world.notifications.published)
    for _ in range(60):
        world.tick()

    assert (evening, count) == (["daily_cap/1"], 20)
    assert {(status["for"], status["reason"]["code"]) for status in statuses} == {("daily cap", "daily_cap")}
    assert ids(world) == ["daily_cap/1", "daily_cap/2"]


def test_many_jobs_that_begin_to_wait_at_once_cost_a_tick_its_bound() -> None:
    """More statuses than a tick may write are written by the next ones."""
    world = world_with(1, run_seconds=HOUR, statuses_per_tick_max=6)
    drop(world, 1, "first")
    world.providers.key = None
    jobs = [drop(world, 1, f"early-{number}") for number in range(20)]
    for _ in range(5):
        world.tick()
    world.providers.key = "sk-test"
    puts, written = world.storage.put, list[int]()

    def put(key: str, content: bytes, content_type: str = "application/json") -> None:
        written[-1] += key.endswith("status.json")
        puts(key, content, content_type)

    world.storage.put = put  # type: ignore[method-assign]  # counted
    for _ in range(6):
        written.append(0)
        world.tick()

    assert max(written) <= 6
    assert {status["for"] for status in waits(world, jobs)} == {"daily cap"}


@pytest.mark.parametrize(("is_told", "told"), [(True, []), (False, ["daily_cap/1"])])
def test_a_job_of_an_older_release_is_not_told_of_twice(*, is_told: bool, told: list[str]) -> None:
    """What it owes is told once, with all others; what was told is told."""
    world = world_with(5, run_seconds=HOUR)
    job = drop(world)
    old = Wait(Reason("daily_cap", "All jobs together may cost 0.0005 US dollars on one day."), is_told=is_told)
    row = world.job(job)
    world.ledger.write(Change((Write(row, replace(row, waits=(old,))),)))

    for _ in range(10):
        world.tick()

    assert world.job(job).waiting.cause == "daily cap"
    assert ids(world) == told


def test_a_job_for_which_the_next_day_has_money_but_no_quota_waits_for_quota() -> None:
    """Its status says what is true on that day."""
    world = world_with(10, run_seconds=DAY / 2)
    first, second = drop(world, 10, "a"), drop(world, 5, "b")
    for _ in range(3):
        world.tick()
    evening = waits(world, [second])
    world.limits = replace(world.limits, enqueued_tokens_per_model=world.shards(first)[0].quota_tokens)
    world.tick(HOUR)
    world.tick()

    assert [wait["for"] for wait in evening] == ["daily cap"]
    assert [wait["for"] for wait in waits(world, [second])] == ["room"]


def test_a_notification_that_was_not_sent_is_sent_later() -> None:
    """The worker that was asked died: another is asked, unless nobody waits any more."""
    world = world_with(5, run_seconds=HOUR)
    drop(world)
    world.tick()
    world.wakeups.tells = 0
    untold = [ids(world)]
    world.notifications.published.clear()

    install = world.ledger.install()
    assert install is not None
    assert install.day_wait is not None
    forgotten = replace(install, day_wait=replace(install.day_wait, is_told=False))
    world.ledger.write(Change((Write(install, forgotten),)))
    for _ in range(20):
        world.tick()

    assert untold == [["daily_cap/1"]]
    assert ids(world) == ["daily_cap/1"]


def test_doctor_says_that_jobs_wait_for_another_day() -> None:
    """And what lets them go on."""
    world = world_with(5)
    drop(world)
    world.tick()

    found = waits_of(world.ledger.install(), list(world.ledger.active()))

    assert "1 job waits for another day's money" in found.seen
    assert "DailyCostUsdMax" in found.advice


def test_jobs_share_a_day() -> None:
    """The second one waits for what the first one took, and gives way to nobody on the next day."""
    world = world_with(10)
    first, second = drop(world, 10, "a"), drop(world, 5, "b")
    world.tick()
    evening = sent(world, first), sent(world, second)

    world.run(second)

    assert evening == (10, 0)
    assert world.job(first).event == world.job(second).event == "completed"


def test_what_a_whole_day_cannot_pay_is_let_in_in_parts() -> None:
    """A day at a time, as much as the day has; nothing is sent twice."""
    world = world_with(2, chunk_lines_max=100, shard_requests_max=100)
    job = drop(world, 4)
    evening = sent(world, job)

    # Answers are shorter than expected, so that a day is never full.
    ended = world.run(job, seconds=HOUR)

    assert 0 < evening <= 2
    assert (ended.event, ended.succeeded) == ("completed", 4)
    assert world.charged_twice() == {}


def test_an_item_that_is_dearer_than_a_day_waits_for_a_person() -> None:
    """It is neither sent nor lost: its notification says what to raise, and cancelling ends it."""
    world = world_with(0.5)
    job = drop(world, 1)
    for _ in range(5):
        world.tick(DAY)
    waiting = world.job(job)

    world.ask(job, "cancel")

    assert (waiting.state, waiting.waiting.cause, world.tap.creates) == (JobState.RUNNING, "daily cap", 0)
    assert world.run(job).event == "cancelled"


def test_a_day_counts_what_was_paid_once_that_is_known() -> None:
    """Short answers give their day back what was reserved for long ones."""
    world = world_with(5)
    job = drop(world, 5)
    day = day_of(world.clock.time)
    reserved = world.ledger.day_microdollars(day)

    ended = world.run(job)

    assert reserved == 5 * ITEM + world.job(job).groups[0].tokens // 5
    assert world.ledger.day_microdollars(day) == ended.money.spent < reserved


def test_a_day_that_is_over_is_left_alone() -> None:
    """What is harvested after midnight changes neither day."""
    world = world_with(5)
    world.advance(29 * MINUTE)
    job = drop(world, 5)
    yesterday = day_of(world.clock.time)
    reserved = world.ledger.day_microdollars(yesterday)

    world.run(job)

    today = day_of(world.clock.time)
    assert yesterday != today
    assert (world.ledger.day_microdollars(yesterday), world.ledger.day_microdollars(today)) == (reserved, 0)


def test_two_admitters_race_for_the_last_dollar() -> None:
    """The one that comes second finds that the money is gone, whatever it read before, and nothing of it is written."""
    world = world_with(5)
    job, day = drop(world, 5), day_of(world.clock.time)
    rows, counted = dict(world.ledger.rows), world.ledger.day_microdollars(day)
    late = Job(id="f" * 20, bucket="b", key="k", version="v", created_at=1)
    move = DayMove(day, ITEM, world.clock.time, world.limits.daily_cost_microdollars_max)

    with pytest.raises(Conflict):
        world.ledger.write(Change((Write(None, late),), day=move))

    assert (world.ledger.rows, world.ledger.day_microdollars(day)) == (rows, counted)
    assert world.job(job).state is JobState.RUNNING


def test_two_admitters_race_for_the_last_dollar_of_a_job() -> None:
    """A lease apart, both read the job before either wrote: one shard is let in, and the other conflicts."""
    world = World(limits=Limits(chunk_lines_max=5, shard_requests_max=5, max_cost_microdollars=10_000))
    world.storage.put_task("sentiment", TASK)
    world.providers.key = None
    job = drop(world, 10)
    read = world.job(job)
    world.providers.key = "sk-test"
    world.tick()

    with pytest.raises(Conflict):
        world.ledger.write(Change((Write(read, replace(read, money=JobMoney(reserved=1))),)))

    assert world.job(job).money.reserved == sum(shard.reserved_microdollars for shard in world.shards(job))


def test_an_unknown_price_is_held_where_days_are_counted() -> None:
    """What cannot be counted is no part of a day's money; approved of, it goes uncounted."""
    world = world_with(5)
    world.storage.put_task("sentiment", TASK.replace(b"gpt-4.1-mini", b"a-model-of-tomorrow"))
    job = drop(world, 5)
    held = world.job(job).state

    world.ask(job, "approve")

    assert held is JobState.HELD
    assert world.run(job).event == "completed"
    assert not world.ledger.days.total()


def test_approving_does_not_lift_the_daily_cap() -> None:
    """It is the deployment's, and protects all jobs from one."""
    world = world_with(5)
    world.storage.put_task("sentiment", TASK + b"max_cost_usd: 0.001\n")
    job = drop(world, 10)

    world.ask(job, "approve")

    assert (world.job(job).state, sent(world, job)) == (JobState.RUNNING, 5)
    assert world.run(job).event == "completed"


def test_a_retry_counts_on_its_own_day() -> None:
    """Items that are sent again are let in anew: where the day is full they wait."""
    world = world_with(5)
    world.simulator.faults.switch("line_server_error", value=0.999, times=1)
    job = drop(world, 5)
    world.limits = replace(world.limits, daily_cost_microdollars_max=1)
    for _ in range(20):
        world.tick()
    waiting, attempts = world.job(job), [shard.attempt.number for shard in world.shards(job)]
    world.limits = replace(world.limits, daily_cost_microdollars_max=10 * ITEM)

    ended = world.run(job)

    assert (waiting.waiting.cause, attempts) == ("daily cap", [2])
    assert (ended.event, ended.succeeded) == ("completed", 5)
