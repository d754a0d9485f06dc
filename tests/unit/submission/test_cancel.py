"""Cancelling: nothing is sent after it was recorded, nothing that was paid is lost, and the job ends.

The flows are the production code and the adapter is the real one; the simulator's ledger says what was paid.
"""

import json
from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest
from fakes.shards import changed
from fakes.tasks import RATE, REVIEWS_HEADER
from fakes.world import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchdrop.core.delivery.job_lifecycle import JobCancelled, advance_job, may_be_cancelled
from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.job import JobState
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from batchdrop.core.model.shard import ShardState
from batchdrop.core.submission.shard_lifecycle import Now
from batchdrop.flow import commands as control
from openai_batch_simulator.account.behaviour import CALM

S = ShardState
CREATE = ("POST", "/v1/batches")
UPLOAD = ("POST", "/v1/files")
# Four batches of five items each, of which one has quota at a time.
NARROW = Limits(chunk_lines_max=5, enqueued_tokens_per_model=100, shard_requests_max=5)
LIMITS = Limits()

type Answer = Callable[[httpx2.Request], httpx2.Response | None]


def rows(count: int) -> bytes:
    """A CSV of *count* reviews."""
    return REVIEWS_HEADER + b"".join(b"r%d,review %d\r\n" % (number, number) for number in range(1, count + 1))


def world_of(limits: Limits | None = None, **behaviour: object) -> World:
    """A world with one task."""
    world = World(limits=limits or Limits(), behaviour=replace(CALM, **behaviour))  # type: ignore[arg-type]  # by name
    world.storage.put_task("sentiment", RATE)
    return world


def outcomes(world: World, job: str) -> list[dict[str, object]]:
    """The job's outcomes."""
    return [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]


def items_of(world: World, job: str) -> dict[str, object]:
    """Return what each object of an item holds, by its name."""
    prefix = f"results/{world.job(job).key.removeprefix('inbox/')}/{job}/items/"
    objects = world.storage.objects
    return {key[len(prefix) : -5]: json.loads(objects[key]) for key in objects if key.startswith(prefix)}


def assert_cancelled(world: World, job: str, items: int, failed_before: frozenset[str] = frozenset()) -> int:
    """The job ended whole: what was paid was delivered, the rest can be dropped again. Return how many succeeded.

    *failed_before*: codes of items that may have failed for good before anybody cancelled.
    """
    ended, found = world.job(job), outcomes(world, job)
    paid = sum(charge.charged for charge in world.simulator.ledger.charges())
    succeeded = [outcome for outcome in found if outcome["status"] == "succeeded"]
    failed = [outcome for outcome in found if outcome["status"] == "failed"]
    assert (ended.state, ended.event) == (JobState.ENDED, "cancelled")
    assert [outcome["row"] for outcome in found] == list(range(1, items + 1))
    assert (len(succeeded), len(failed)) == (paid, items - paid) == (ended.succeeded, ended.failed)
    assert {outcome["error"]["code"] for outcome in failed} <= {"cancelled", *failed_before}  # type: ignore[index]  # an object
    again = "".join(f"r{outcome['row']},review {outcome['row']}\r\n" for outcome in failed)
    assert not failed or world.result(job, "failures.csv") == REVIEWS_HEADER + again.encode()
    assert not world.charged_twice()
    assert not list(world.ledger.active())
    assert all(quota.used == 0 for quota in world.ledger.quotas.values())
    (notification,) = [
        notification for notification in world.notifications.published if notification.attributes["event"] != "waiting"
    ]
    assert json.loads(notification.json)["counts"] == {"items": items, "succeeded": paid, "failed": items - paid}
    return paid


def once(call: tuple[str, str], do: Callable[[], object]) -> Answer:
    """Do something the moment that a call arrives for the first time; the simulator answers it."""
    left = [do]

    def answer(request: httpx2.Request) -> None:
        if (request.method, request.url.path) == call and left:
            left.pop()()

    return answer


def test_before_anything_is_sent_it_costs_nothing() -> None:
    """A job that waits for its key is cancelled without the provider, and every record is there to be dropped again."""
    world = world_of()
    world.providers.key = None
    job = world.drop("inbox/sentiment/reviews.csv", rows(20))

    world.ask(job, "cancel")
    world.run(job)

    assert assert_cancelled(world, job, 20) == 0
    assert not world.tap.counts
    assert json.loads(world.result(job, "status.json"))["counts"]["sent"] == 0
    assert {outcome["name"] for outcome in outcomes(world, job)} == {f"r{row}" for row in range(1, 21)}


def invalid(count: int) -> bytes:
    """So many rows that no request can be made of: they have no id."""
    return b",no id\r\n" * count


@pytest.mark.parametrize("has_begun", [False, True])
def test_invalid_records_of_a_cancelled_job_count_as_never_sent(has_begun: bool) -> None:  # noqa: FBT001  a column of the table
    """Nor are they taken off what was sent: they failed while planning, and `sent` counts what a batch held."""
    world = world_of(NARROW, run_seconds=10 * MINUTE, requests_per_second=0.1)
    world.providers.key = "sk-test" if has_begun else None
    content = rows(20).replace(REVIEWS_HEADER, REVIEWS_HEADER + invalid(2)) + invalid(3)
    job = world.drop("inbox/sentiment/reviews.csv", content)

    world.ask(job, "cancel")
    world.run(job)

    counts = json.loads(world.result(job, "status.json"))["counts"]
    assert (counts["items"], counts["planned"], world.job(job).refused) == (25, 20, 5)
    assert counts["sent"] == sum(shard.items for shard in world.shards(job) if shard.batches) == (5 if has_begun else 0)
    assert counts["succeeded"] + counts["failed"] == 25


def test_a_batch_that_runs_is_stopped_and_its_answers_are_delivered() -> None:
    """What was answered by then is paid and delivered, and the notification says how much that is."""
    world = world_of(run_seconds=1000.0, requests_per_second=0.05)
    job = world.drop("inbox/sentiment/reviews.csv", rows(20))
    world.tick(200)

    world.ask(job, "cancel")
    world.run(job)

    paid = assert_cancelled(world, job, 20)
    assert 0 < paid < 20
    assert f"of these {paid} succeeded and {20 - paid} failed" in world.notifications.published[0].text
    assert (world.tap.creates, cancels(world)) == (1, 1)


def cancels(world: World) -> int:
    """How many cancel calls went over the wire."""
    return sum(count for call, count in world.tap.counts.items() if call.endswith("/cancel"))


@pytest.mark.parametrize("ticks", range(0, 33, 3))
def test_at_any_time_nothing_is_sent_afterwards(ticks: int) -> None:
    """However many of its batches have ended, run or wait for quota: no create follows, and nothing that was paid is lost."""
    world = world_of(NARROW, run_seconds=10 * MINUTE, requests_per_second=1 / 100)
    job = world.drop("inbox/sentiment/reviews.csv", rows(20))
    for _ in range(ticks):
        world.tick()
    creates = world.tap.creates

    world.ask(job, "cancel")
    world.run(job)

    assert world.tap.creates == creates
    assert_cancelled(world, job, 20)


def test_what_was_never_cut_costs_no_row_and_has_its_object() -> None:
    """Lines that no shard took fail in the merge: the ledger has one shard, the results an object for each item."""
    world = world_of(NARROW, run_seconds=10 * MINUTE, requests_per_second=0.1)
    job = world.drop("inbox/sentiment/reviews.csv", rows(20))

    world.ask(job, "cancel")
    world.run(job)

    assert_cancelled(world, job, 20)
    assert json.loads(world.result(job, "status.json"))["counts"]["sent"] == world.shards(job)[0].items
    assert len(world.shards(job)) == 1
    assert items_of(world, job) == {outcome["name"]: outcome for outcome in outcomes(world, job)}


def test_objects_of_what_was_never_cut_take_as_many_invocations_as_they_need() -> None:
    """Out of time, the row says how far they are; the next worker goes on behind it and writes none a second time."""
    world = world_of(NARROW, run_seconds=10 * MINUTE, requests_per_second=0.1)
    job = world.drop("inbox/sentiment/reviews.csv", rows(20))
    put, written = world.storage.put, []
    world.ask(job, "cancel")

    def put_slowly(key: str, content: bytes, content_type: str = "application/json") -> None:
        put(key, content, content_type)
        if "/items/" in key:
            written.append(key)
            world.clock.remaining = 900.0 if len(written) % 4 else 10.0

    world.storage.put = put_slowly  # type: ignore[method-assign]  # each fourth object is the last that there is time for
    for _ in range(20):
        world.clock.remaining = 900.0
        world.tick()

    assert items_of(world, job) == {outcome["name"]: outcome for outcome in outcomes(world, job)}
    assert len(written) == len(set(written)) == 20
    assert world.log.events.count("unsent.delivered") == 4


def held_job(world: World, count: int) -> str:
    """A job that is planned and goes on with the next tick."""
    world.providers.key = None
    job = world.drop("inbox/sentiment/reviews.csv", rows(count))
    world.providers.key = "sk-test"
    return job


def test_a_create_on_its_way_is_found_and_stopped() -> None:
    """The intent was written before: the batch that the call makes is adopted, and stopped at once."""
    world = world_of(run_seconds=HOUR)
    job = held_job(world, 5)
    world.tap.answers.append(once(CREATE, lambda: world.ask(job, "cancel")))

    world.tick()
    asked = cancels(world)
    world.run(job)

    assert (world.tap.creates, asked) == (1, 1)
    assert_cancelled(world, job, 5)


def test_an_upload_on_its_way_is_followed_by_nothing() -> None:
    """A worker that began before finds its shard gone."""
    world = world_of()
    job = held_job(world, 5)
    world.tap.answers.append(once(UPLOAD, lambda: world.ask(job, "cancel")))

    world.run(job)

    assert world.tap.creates == 0
    assert_cancelled(world, job, 5)


def record_alone(world: World, job: str) -> None:
    """Write what a worker writes first, and die."""
    row = world.job(job)
    world.ledger.write(Change((Write(row, advance_job(row, JobCancelled(), Now(world.clock.now(), "", LIMITS))),)))


@pytest.mark.parametrize("ticks", [0, 10])
def test_once_it_is_recorded_it_is_done(ticks: int) -> None:
    """The worker died behind the first write: the next tick stops what waits, and asks for what runs to be stopped."""
    world = world_of(NARROW, run_seconds=HOUR)
    job = held_job(world, 20)
    for _ in range(ticks):
        world.tick()
    creates = world.tap.creates

    record_alone(world, job)
    world.run(job, ticks_max=10)

    assert (world.tap.creates, cancels(world)) == (creates, min(ticks, 1))
    assert_cancelled(world, job, 20)


def test_the_intent_asks_the_job_s_row() -> None:
    """Even where nobody stopped the shard yet, an intent after the cancellation becomes the stop."""
    world = world_of()
    job = held_job(world, 5)

    world.tap.answers.append(once(UPLOAD, lambda: record_alone(world, job)))
    world.run(job)

    assert world.tap.creates == 0
    assert_cancelled(world, job, 5)


FAULTS = [
    None, ("dropped_before", None), ("dropped_after", None), ("accepted_late", 10 * MINUTE), ("accepted_late", 30 * MINUTE),
    ("failed_after", 503), ("queue_full", None), ("queue_full_at_create", None), ("rate_limited", None),
    ("internal_error", None), ("line_server_error", 2), ("output_ids_late", HOUR), ("cancel_slow", 20 * MINUTE),
    ("expires", 0.5), ("list_lags", 5 * MINUTE), ("batch_unseen", 5 * MINUTE),
]  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    faults=st.lists(st.sampled_from(FAULTS), max_size=2),
    times=st.integers(1, 7),
    ticks=st.integers(0, 40),
    tick_seconds=st.sampled_from([60, 600, HOUR]),
    run_seconds=st.sampled_from([2.0, 900.0, 2.0 * HOUR]),
)
def test_in_every_state_and_whatever_fails_nothing_is_sent_or_lost(
    faults: list[tuple[str, float | None] | None], times: int, ticks: int, tick_seconds: int, run_seconds: float
) -> None:
    """Uncertain creates, fences, parking, refusals, late files: the job ends with the answers that were paid."""
    world = world_of(NARROW, run_seconds=run_seconds)
    for fault in faults:
        if fault is not None:
            operation = "batches.create" if fault[0] in ("dropped_before", "rate_limited") else None
            world.simulator.faults.switch(fault[0], value=fault[1], times=times, operation=operation)
    job = world.drop("inbox/sentiment/reviews.csv", rows(12))
    for _ in range(ticks):
        if world.job(job).state in (JobState.PLANNING, JobState.RUNNING):
            world.tick(tick_seconds)
    row, creates, moved = world.job(job), world.tap.creates, len(world.log.events)

    world.ask(job, "cancel")
    ended = world.run(job, seconds=10 * MINUTE, ticks_max=1_500)

    if may_be_cancelled(row):
        assert world.tap.creates == creates
        assert_cancelled(world, job, 12, failed_before=frozenset({"internal_error", "server_error"}))
    else:
        assert ended.event != "cancelled"
        assert "control.ignored" in world.log.events[moved:]


def unavailable() -> httpx2.Response:
    """A failure of the provider; without the header the SDK would sleep between its own tries, in real time."""
    return httpx2.Response(503, json={"error": {"message": "no"}}, headers={"x-should-retry": "false"})


def test_a_parked_shard_is_looked_for_once_more() -> None:
    """Its fenced tries cannot run; one more list that shows nothing ends it, long before the week is over."""
    world = world_of()
    world.simulator.faults.switch("dropped_before", operation="batches.create", times=5)
    job = world.drop("inbox/sentiment/reviews.csv", rows(3))
    while world.shard(job).state is not S.PARKED:
        world.tick(5 * MINUTE)

    world.ask(job, "cancel")
    world.tap.answers.append(lambda request: unavailable() if request.method == "GET" else None)
    for _ in range(5):
        world.tick(30 * MINUTE)
    unseen = world.shard(job).state
    world.tap.answers.clear()
    world.run(job, ticks_max=5)

    assert unseen is S.PARKED
    assert world.tap.creates == 5
    assert_cancelled(world, job, 3)


def test_a_parked_shard_whose_batch_shows_up_is_delivered() -> None:
    """A batch that bears a ticket is adopted after the cancellation as before it: it may be paid."""
    world = world_of()
    world.simulator.faults.switch("dropped_after", times=1)
    world.simulator.faults.switch("list_lags", value=3 * HOUR)
    job = world.drop("inbox/sentiment/reviews.csv", rows(3))
    unfenced = changed(
        world.shard(job), state=S.PARKED, is_unfenced=True, quota_tokens=0, parked_at=world.clock.now(), revision=2
    )
    world.ledger.write(Change((Write(world.shard(job), replace(unfenced, revision=world.shard(job).revision)),)))

    world.ask(job, "cancel")
    world.run(job, seconds=10 * MINUTE)

    assert assert_cancelled(world, job, 3) == 3


def test_a_stop_that_was_not_heard_is_asked_for_again() -> None:
    """The provider fails for a while: poll repeats the question after two minutes, then four, then eight."""
    world = world_of(run_seconds=HOUR)
    job = world.drop("inbox/sentiment/reviews.csv", rows(3))
    refused = [3]

    def refuse(request: httpx2.Request) -> httpx2.Response | None:
        if not request.url.path.endswith("/cancel") or not refused[0]:
            return None
        refused[0] -= 1
        return unavailable()

    world.tap.answers.append(refuse)
    world.ask(job, "cancel")
    began = world.clock.now()
    world.run(job)

    assert cancels(world) == 4
    assert 7 * LIMITS.cancel_unheard_seconds <= world.clock.now() - began <= 10 * LIMITS.cancel_unheard_seconds
    assert_cancelled(world, job, 3)


def test_a_provider_that_cannot_be_asked_does_not_undo_the_word() -> None:
    """The key was rotated and nobody can prove it just now: the word is heard all the same, and the next ticks go on."""
    world = World(behaviour=replace(CALM, run_seconds=HOUR, projects={"sk-test": "p", "sk-new": "p"}))
    world.storage.put_task("sentiment", RATE)
    job = world.drop("inbox/sentiment/reviews.csv", rows(3))
    world.providers.key = "sk-new"
    world.tap.answers.append(lambda _: unavailable())

    world.ask(job, "cancel")
    world.tap.answers.clear()
    world.run(job, ticks_max=10)

    assert "cancel.left" in world.log.events
    assert cancels(world) == 1
    assert_cancelled(world, job, 3)


def test_a_batch_that_has_ended_meanwhile_is_no_failure() -> None:
    """The provider answers 409; what it finished is delivered, and the job is cancelled all the same."""
    world = world_of()
    job = world.drop("inbox/sentiment/reviews.csv", rows(3))
    world.advance(MINUTE)

    world.ask(job, "cancel")
    world.run(job)

    assert (assert_cancelled(world, job, 3), "cancel.failed" in world.log.events) == (3, False)


def test_while_it_is_planned_planning_stops() -> None:
    """Beyond the plan items have no names of their own yet: they are called by their rows, and none is missing."""
    world = world_of(replace(LIMITS, plan_checkpoint_bytes=100))
    put = world.storage.put
    jobs: list[str] = []

    def put_and_cancel(key: str, content: bytes, content_type: str = "application/json") -> None:
        put(key, content, content_type)
        if key.endswith("plan/000001.json") and not jobs:
            jobs.append(key.split("/")[1])
            world.ask(jobs[0], "cancel")

    world.storage.put = put_and_cancel  # type: ignore[method-assign]  # somebody is quicker than the plan
    job = world.drop("inbox/sentiment/reviews.csv", rows(100))
    planned = world.job(job).plan.row
    world.run(job)

    assert 0 < planned < 100
    assert assert_cancelled(world, job, 100) == 0
    names = [outcome["name"] for outcome in outcomes(world, job)]
    assert names[planned - 1 : planned + 1] == [f"r{planned}", f"{planned + 1:09d}~cancelled"]


def test_while_it_waits_for_its_task() -> None:
    """Nothing is known of the items but their number."""
    world = World()
    job = world.drop("inbox/sentiment/reviews.csv", rows(5))

    world.ask(job, "cancel")
    world.run(job)

    assert assert_cancelled(world, job, 5) == 0


def test_a_file_that_cannot_be_read_is_cancelled_too() -> None:
    """The upload is gone before its results are merged: the outcomes stand alone, and the summary says why."""
    world = world_of()
    world.providers.key = None
    job = world.drop("inbox/sentiment/reviews.csv", rows(5))
    world.storage.unreadable.add((world.job(job).key, world.job(job).version))

    world.ask(job, "cancel")
    ended = world.run(job)

    assert (ended.event, ended.failed) == ("cancelled", 5)
    assert json.loads(world.result(job, "summary.json"))["upload_unreadable"]["code"] == "unreadable"


def test_status_says_that_it_is_being_cancelled() -> None:
    """Whoever looks sees that the word was heard."""
    world = world_of(run_seconds=HOUR)
    job = world.drop("inbox/sentiment/reviews.csv", rows(5))

    world.ask(job, "cancel")

    assert json.loads(world.result(job, "status.json"))["waiting"]["for"] == "cancellation"


@pytest.mark.parametrize("state", ["cancelled before", "ended"])
def test_a_word_that_comes_late_or_twice_changes_nothing(state: str) -> None:
    """It is logged, and the ledger stays as it is."""
    world = world_of(run_seconds=HOUR)
    job = world.drop("inbox/sentiment/reviews.csv", rows(5))
    if state == "ended":
        world.run(job, seconds=HOUR)
    else:
        world.ask(job, "cancel")
    ledger = dict(world.ledger.rows)

    world.ask(job, "cancel")

    assert world.ledger.rows == ledger
    assert world.log.events[-1] == "control.ignored"


@pytest.mark.parametrize(("job", "word"), [("0" * 20, "cancel"), ("", "approve")])
def test_what_nobody_understands_is_logged(job: str, word: str) -> None:
    """An unknown job or word is nobody's: nothing fails, nothing changes."""
    world = world_of()
    known = world.drop("inbox/sentiment/reviews.csv", rows(5))
    ledger = dict(world.ledger.rows)

    control.handle_command(world.ports(), world.limits, job or known, word)

    assert world.ledger.rows == ledger
    assert world.log.events[-1] == "control.ignored"


def test_neighbours_go_on() -> None:
    """Cancelling one job touches no other, and its quota is free at once."""
    world = world_of(NARROW, run_seconds=2 * HOUR)
    first = world.drop("inbox/sentiment/first.csv", rows(10))
    second = world.drop("inbox/sentiment/second.csv", rows(10).replace(b"review ", b"other "))

    world.ask(first, "cancel")
    ended = world.run(second, seconds=10 * MINUTE)

    assert (ended.event, ended.succeeded, world.job(first).event) == ("completed", 10, "cancelled")
