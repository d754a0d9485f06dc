"""The way of a drop through the system, in memory: production flows, the real adapter, the simulator on the wire."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

import pytest
from fakes.tasks import RATE, REVIEWS_HEADER
from fakes.world import World

from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from batchdrop.core.model.shard import ShardState
from batchdrop.flow import complete, poll, submit
from batchdrop.flow.ports import Notification
from openai_batch_simulator.account.behaviour import CALM

S = ShardState


def rows(count: int) -> bytes:
    """A CSV of *count* reviews."""
    return REVIEWS_HEADER + b"".join(
        b'r%d,"Line one\nof review %d"\r\n' % (number, number) for number in range(1, count + 1)
    )


@pytest.fixture
def world() -> World:
    """A world with one task."""
    world = World()
    world.storage.put_task("sentiment", RATE)
    return world


def outcomes(world: World, job: str) -> list[dict[str, object]]:
    """The job's outcomes."""
    return [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]


def assert_conserved(world: World, job: str, items: int) -> None:
    """Each item has one outcome, in order; nothing is held, nothing is due, one notification went out."""
    found = outcomes(world, job)
    assert [outcome["row"] for outcome in found] == list(range(1, items + 1))
    assert all(quota.used == 0 for quota in world.ledger.quotas.values())
    assert not list(world.ledger.active())
    assert len({json.loads(notification.json)["id"] for notification in world.notifications.published}) == len(
        world.notifications.published
    )
    summary = json.loads(world.result(job, "summary.json"))
    assert summary["counts"]["items"] == items
    assert not world.charged_twice()


def test_a_drop_becomes_results_and_a_notification(world: World) -> None:
    """The whole path: items, the input's own format with answers, outcomes, summary, one notification."""
    job = world.drop("inbox/sentiment/2026/reviews.csv", rows(20))

    ended = world.run(job)

    assert (ended.event, ended.succeeded, world.tap.creates) == ("completed", 20, 1)
    assert_conserved(world, job, 20)
    results = world.result(job, "results.csv").decode()
    assert results.startswith("review_id,review,output,status,error\r\n")
    assert '"Line one\nof review 7"' in results
    item = json.loads(world.result(job, "items/r7.json"))
    assert item["record"] == {"review_id": "r7", "review": "Line one\nof review 7"}
    assert [notification.attributes["event"] for notification in world.notifications.published] == ["completed"]


def test_several_models_and_endpoints_are_sorted_into_their_own_batches(world: World) -> None:
    """Native lines may be mixed: each endpoint and model gets a batch, results keep the order and the user's ids."""
    lines = []
    for number in range(9):
        model = ("gpt-4.1-mini", "gpt-4.1", "text-embedding-3-small")[number % 3]
        url = "/v1/embeddings" if number % 3 == 2 else "/v1/chat/completions"
        text = {"input": "x"} if number % 3 == 2 else {"messages": [{"role": "user", "content": f"{number}"}]}
        lines.append({"custom_id": f"my/{number}", "method": "POST", "url": url, "body": {"model": model, **text}})

    job = world.drop("inbox/mixed.jsonl", "\n".join(map(json.dumps, lines)).encode())
    world.run(job)

    assert world.tap.creates == 3
    assert_conserved(world, job, 9)
    results = [json.loads(line) for line in world.result(job, "results.jsonl").splitlines()]
    assert [line["custom_id"] for line in results] == [f"my/{number}" for number in range(9)]
    assert all(line["response"]["status_code"] == 200 for line in results)
    assert "items/my%2F3.json" in {key.split(f"{job}/")[-1] for key in world.storage.objects}


def test_one_bad_record_fails_alone(world: World) -> None:
    """Bad lines and repeated ids fail, their neighbours go on, and the failures can be dropped again as they are."""
    content = REVIEWS_HEADER + b"r1,good\r\nr2\r\nr1,again\r\n,nobody\r\nr5,good\r\n"

    job = world.drop("inbox/sentiment/reviews.csv", content)
    ended = world.run(job)

    assert (ended.event, ended.succeeded, ended.failed) == ("completed_with_failures", 2, 3)
    assert_conserved(world, job, 5)
    assert world.result(job, "failures.csv") == REVIEWS_HEADER + b"r2\r\nr1,again\r\n,nobody\r\n"
    names = [outcome["name"] for outcome in outcomes(world, job)]
    assert names[2:4] == ["000000003~duplicate", "000000004~no-id"]


@pytest.mark.parametrize("content", [b"", REVIEWS_HEADER])
def test_an_empty_drop_is_a_job_of_no_items(world: World, content: bytes) -> None:
    """It completes, with a notification, without the provider."""
    job = world.drop("inbox/sentiment/empty.csv", content)

    ended = world.run(job)

    assert (ended.event, ended.items, dict(world.tap.counts)) == ("completed", 0, {})
    assert len(world.notifications.published) == 1


@pytest.mark.parametrize(
    ("key", "content", "code"),
    [
        ("inbox/sentiment/bad.csv", REVIEWS_HEADER + b"r1,caf\x81\r\n", "not_utf8"),
        ("inbox/reviews.csv", rows(2), "csv_without_task"),
        ("inbox/sentiment/reviews.xlsx", b"PK", "format"),
        ("inbox/none/reviews.csv", rows(2), "no_such_task"),
        ("inbox/" + "k" * 700 + ".jsonl", b"{}", "key_too_long"),
        ("inbox/sentiment/../../internal/x.csv", rows(2), "key_unusable"),
        ("inbox/sentiment//x.csv", rows(2), "key_unusable"),
        ("inbox/sentiment/\x07x.csv", rows(2), "key_unusable"),
        ("inbox/sentiment/good.csv/0123456789abcdef0123/results.csv", rows(2), "key_of_results"),
        ("inbox/sentiment/0123456789abcdef0123/x.csv", rows(2), "key_of_results"),
    ],
)
def test_what_cannot_be_used_is_rejected_with_one_notification(
    world: World, key: str, content: bytes, code: str
) -> None:
    """Nothing is sent, nothing is spent, nobody else is held up, and the notification says why."""
    job = world.drop(key, content)
    good = world.drop("inbox/sentiment/good.csv", rows(2))

    ended = world.run(job, seconds=20)
    world.run(good)

    assert ended.event == "rejected"
    assert ended.reason is not None
    assert code in ended.reason.code
    events = [notification.attributes["event"] for notification in world.notifications.published]
    assert sorted(events) == ["completed", "rejected"]
    assert world.tap.creates == 1
    assert all(
        key.startswith((Keys(job, world.job(job).key).results, "internal/", "results/sentiment/good"))
        for key in world.storage.objects
    )


def test_a_task_may_come_after_its_drop(world: World) -> None:
    """A sync has no order: a drop waits two minutes for its task."""
    job = world.drop("inbox/late/reviews.csv", rows(2))
    waiting = json.loads(world.result(job, "status.json"))["waiting"]
    world.tick(20)
    world.storage.put_task("late", RATE)

    ended = world.run(job, seconds=20)

    assert waiting["for"] == "task"
    assert ended.event == "completed"


def test_a_task_that_changes_midway_does_not_reach_the_job(world: World) -> None:
    """The job uses the task as it was when it began."""
    world.providers.key = None
    job = world.drop("inbox/sentiment/reviews.csv", rows(2))
    world.storage.put_task("sentiment", b"nonsense: [")
    world.providers.key = "sk-test"

    assert world.run(job).event == "completed"


def test_an_upload_without_a_version_is_rejected(world: World) -> None:
    """Every read names a version; without one an overwrite could change what is being read."""
    upload = replace(world.storage.drop("inbox/sentiment/reviews.csv", rows(2)), version="")

    submit.handle_upload(world.ports(), world.limits, upload)
    ended = world.run(upload.job_id)

    assert (ended.event, ended.reason.code if ended.reason else "") == ("rejected", "unversioned")


def test_an_old_drop_is_not_started_by_an_event(world: World) -> None:
    """A redrive over an emptied table pays nothing again; the person is told."""
    upload = world.storage.drop("inbox/sentiment/reviews.csv", rows(2))
    world.advance(8 * 24 * HOUR)

    submit.handle_upload(world.ports(), world.limits, upload)
    ended = world.run(upload.job_id)

    assert (ended.event, world.tap.creates) == ("rejected", 0)


@pytest.mark.parametrize(
    "key",
    ["inbox/sentiment/", "inbox/sentiment/.DS_Store", "inbox/._reviews.csv", "inbox/Thumbs.db", "tasks/sentiment.yaml"],
)
def test_what_nobody_meant_to_drop_is_ignored(world: World, key: str) -> None:
    """No job, no notification."""
    world.drop(key, b"")

    assert not world.ledger.rows


def test_a_large_drop_is_cut_into_shards_that_fit_the_quota() -> None:
    """Shards wait for quota, never hold more than there is, and the job ends whole."""
    limits = Limits(chunk_lines_max=5, enqueued_tokens_per_model=700, shard_requests_max=20)
    world = World(limits=limits, behaviour=replace(CALM, run_seconds=300))
    world.storage.put_task("sentiment", RATE)
    job = world.drop("inbox/sentiment/reviews.csv", rows(100))
    assert json.loads(world.result(job, "status.json"))["waiting"]["for"] == "room"

    while world.job(job).state is not JobState.ENDED:
        world.tick()
        assert all(quota.used <= 700 for quota in world.ledger.quotas.values())

    assert len(world.shards(job)) > 4
    assert_conserved(world, job, 100)


def test_jobs_take_turns() -> None:
    """A small drop does not wait for a huge one's end."""
    limits = Limits(chunk_lines_max=5, enqueued_tokens_per_model=500)
    world = World(limits=limits, behaviour=replace(CALM, run_seconds=300))
    world.storage.put_task("sentiment", RATE)
    huge = world.drop("inbox/sentiment/huge.csv", rows(300))
    small = world.drop("inbox/sentiment/small.csv", rows(3).replace(b"of review", b"of small"))

    world.run(small)

    assert world.job(huge).state is JobState.RUNNING
    world.run(huge, ticks_max=1000)
    assert_conserved(world, huge, 300)


def test_a_full_queue_at_the_provider_is_waited_for() -> None:
    """`token_limit_exceeded` uses no attempt: the quota is given back, the model cools, the shard goes again."""
    world = World()
    world.storage.put_task("sentiment", RATE)
    world.simulator.faults.switch("queue_full", times=1)
    job = world.drop("inbox/sentiment/reviews.csv", rows(1))
    world.tick()
    waiting = world.shard(job)
    assert (waiting.state, waiting.attempt.number, waiting.quota_tokens, waiting.attempt.refused_count) == (
        S.WAITING,
        1,
        0,
        1,
    )
    creates = world.tap.creates
    for _ in range(4):
        world.tick()
    assert world.tap.creates == creates

    world.run(job)

    assert_conserved(world, job, 1)


def test_a_shard_that_is_too_large_for_an_idle_queue_is_split() -> None:
    """Our quota says yes, the provider's says no: halves go until they fit, and every item is answered once."""
    world = World(behaviour=replace(CALM, enqueued_tokens_default=200))
    world.storage.put_task("sentiment", RATE)

    job = world.drop("inbox/sentiment/reviews.csv", rows(32))
    world.run(job, ticks_max=2000)

    assert len(world.shards(job)) > 1
    assert {outcome["attempts"] for outcome in outcomes(world, job)} == {1}
    assert_conserved(world, job, 32)


def failing_once(world: World, fault: str, value: float) -> None:
    """Break the lines of the first batch alone."""
    world.simulator.faults.switch(fault, value=value, times=1)


@pytest.mark.parametrize("fault", ["line_server_error", "line_rate_limited", "line_timeout", "lines_status_zero"])
def test_what_the_provider_reports_as_not_done_is_sent_again(world: World, fault: str) -> None:
    """The second attempt carries only those items, and nobody else's answer is paid again."""
    failing_once(world, fault, 3)

    job = world.drop("inbox/sentiment/reviews.csv", rows(10))
    ended = world.run(job)

    assert (ended.event, ended.succeeded, world.tap.creates) == ("completed", 10, 2)
    attempts = sorted(outcome["attempts"] for outcome in outcomes(world, job))  # type: ignore[type-var]  # all numbers
    assert attempts == [1] * 7 + [2] * 3


def test_a_shard_that_waits_for_its_next_attempt_says_so(world: World) -> None:
    """Not `room`, of which there may be enough: until the attempt is due, and not while it runs."""
    failing_once(world, "line_server_error", 3)
    job = world.drop("inbox/sentiment/reviews.csv", rows(10))
    seen: list[object] = []

    while world.job(job).event == "":
        world.tick(20)
        waiting = json.loads(world.result(job, "status.json"))["waiting"]
        seen.append(waiting and waiting["for"])

    assert [name for name, _ in groupby(seen)] == ["next attempt", None]
    assert seen.count("next attempt") >= 2


def test_attempts_are_capped(world: World) -> None:
    """What fails three times is failed, with the provider's reason."""
    world.simulator.faults.switch("line_server_error", value=0.999)

    job = world.drop("inbox/sentiment/reviews.csv", rows(4))
    ended = world.run(job)

    assert (ended.event, ended.failed, world.tap.creates) == ("completed_with_failures", 4, 3)
    assert_conserved(world, job, 4)


def test_an_expired_batch_keeps_its_paid_answers(world: World) -> None:
    """Only the rest is sent again."""
    world.simulator.faults.switch("expires", value=0.5, times=1)

    job = world.drop("inbox/sentiment/reviews.csv", rows(10))
    ended = world.run(job, seconds=HOUR)

    assert (ended.event, ended.succeeded, world.tap.creates) == ("completed", 10, 2)
    assert_conserved(world, job, 10)


def test_output_that_comes_late_is_waited_for(world: World) -> None:
    """`completed` with a count and no file yet is not the end."""
    world.simulator.faults.switch("output_ids_late", value=2 * HOUR, times=1)

    job = world.drop("inbox/sentiment/reviews.csv", rows(5))
    ended = world.run(job, seconds=5 * MINUTE)

    assert (ended.event, world.tap.creates) == ("completed", 1)
    assert_conserved(world, job, 5)


def test_answers_that_never_come_are_not_paid_again(world: World) -> None:
    """Lines in neither file of a completed batch fail after a day: they may have been paid for."""
    failing_once(world, "lines_missing", 2)

    job = world.drop("inbox/sentiment/reviews.csv", rows(5))
    ended = world.run(job, seconds=10 * MINUTE, ticks_max=400)

    assert (ended.succeeded, ended.failed, world.tap.creates) == (3, 2, 1)
    assert b'"answers_missing"' in world.result(job, "outcomes.jsonl")


@pytest.mark.parametrize(
    "fault",
    [
        "lines_doubled",
        "lines_blank",
        "lines_foreign",
        "lines_body_string",
        "final_newline_missing",
        "counts_null",
        "unknown_fields",
        "unknown_status",
        "list_reordered",
        "list_lags",
        "batch_unseen",
    ],
)
def test_odd_answers_are_read_tolerantly(world: World, fault: str) -> None:
    """Doubled, blank and foreign lines, strings for bodies, unknown words: every item ends as one success, paid once."""
    world.simulator.faults.switch(fault, times=1)

    job = world.drop("inbox/sentiment/reviews.csv", rows(5))
    ended = world.run(job)

    assert (ended.event, world.tap.creates) == ("completed", 1)
    assert_conserved(world, job, 5)


@pytest.mark.parametrize("fault", ["content_cut", "content_unavailable", "refused", "rate_limited", "dropped_before"])
def test_reads_that_fail_are_repeated(world: World, fault: str) -> None:
    """A broken download, list or look-up costs time, never an item."""
    operation = "files.content" if fault.startswith("content") else "batches.list"
    world.simulator.faults.switch(fault, operation=operation, times=2, value=503 if fault == "refused" else None)

    job = world.drop("inbox/sentiment/reviews.csv", rows(5))
    ended = world.run(job)

    assert (ended.event, world.tap.creates) == ("completed", 1)
    assert_conserved(world, job, 5)


def test_a_tick_with_nothing_to_do_asks_nobody(world: World) -> None:
    """It writes nothing after the first and calls no provider."""
    poll.tick(world.ports(), world.limits)
    rows = dict(world.ledger.rows)

    done = poll.tick(world.ports(), world.limits)

    assert (done.rows, dict(world.tap.counts), world.ledger.rows) == (0, {}, rows)


def test_a_lagging_index_costs_a_tick_and_nothing_else(world: World) -> None:
    """The index shows an older state: whatever is concluded from it meets the row as it is."""
    job = world.drop("inbox/sentiment/reviews.csv", rows(5))
    world.ledger.freeze_index()
    for _ in range(3):
        world.tick()
    world.ledger.thaw_index()

    world.run(job)

    assert world.tap.creates == 1
    assert_conserved(world, job, 5)


def wakeups_of(world: World) -> Iterator[tuple[str, int | None]]:
    """The wake-up messages that wait to be delivered."""
    yield from world.wakeups.submits
    yield from world.wakeups.completes


def test_two_pollers_send_one_wakeup(world: World) -> None:
    """The due time moves before the wake-up message is sent, on condition."""
    world.providers.key = None
    world.drop("inbox/sentiment/reviews.csv", rows(5))
    world.providers.key = "sk-test"
    world.advance(60)
    world.ledger.freeze_index()

    poll.tick(world.ports(), world.limits)
    first = list(wakeups_of(world))
    poll.tick(world.ports(), world.limits)

    assert len(first) == 1
    assert list(wakeups_of(world)) == first


def test_one_worker_notifies(world: World) -> None:
    """A wake-up message that comes while another worker merges and notifies stops quietly: one notification goes out."""
    job = world.drop("inbox/sentiment/reviews.csv", rows(5))
    publish = world.notifications.publish

    def publish_slowly(notification: Notification) -> None:
        complete.handle_wakeup(world.ports(), world.limits, job, None)
        publish(notification)

    world.notifications.publish = publish_slowly  # type: ignore[method-assign]  # a second worker comes in between
    world.run(job)

    assert len(world.notifications.published) == 1


def test_nothing_of_a_users_content_is_logged(world: World) -> None:
    """Neither a prompt, an answer, a record nor the key reaches a log or a notification."""
    canary = b"canary-in-the-record"
    world.providers.key = "sk-canary-key"
    job = world.drop("inbox/sentiment/reviews.csv", REVIEWS_HEADER + b"r1," + canary + b"\r\nr2\r\n")
    world.run(job)

    written = repr(world.log.lines) + repr(world.notifications.published)

    assert b"[simulated]" in world.result(job, "outcomes.jsonl")
    for word in (canary.decode(), "[simulated]", "sk-canary-key"):
        assert word not in written


def test_a_status_does_not_say_ended_while_the_notification_is_pending(world: World) -> None:
    """The topic is out of reach: whoever reads the status finds a job that has not ended, until the notification is out."""
    publish = world.notifications.publish

    def fail(notification: Notification) -> None:
        raise OSError(f"no topic for {notification.subject}")

    world.notifications.publish = fail  # type: ignore[method-assign]  # the topic is out of reach
    world.storage.put_task("sentiment", RATE)
    job = world.drop("inbox/sentiment/one.csv", REVIEWS_HEADER + b"1,good\r\n")
    with pytest.raises(OSError, match="no topic"):
        world.run(job)
    pending = json.loads(world.result(job, "status.json"))["state"]
    world.notifications.publish = publish  # type: ignore[method-assign]  # and back again

    world.run(job)

    assert pending != "ENDED"
    assert json.loads(world.result(job, "status.json"))["state"] == "ENDED"
