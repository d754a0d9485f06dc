"""A provider that does not answer: what is said of it, to whom, when, and how often it is asked meanwhile."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from fakes.shards import changed
from fakes.world import World

from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from batchdrop.core.model.reasons import Outage, Reason, Refusal, WaitingFor
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.operations.metrics import counted
from batchdrop.core.submission.common_waits import Cause, after_cause, concerns, outage_of
from batchdrop.core.submission.shard_waits import shard_wait
from batchdrop_cli.doctor.finding import Finding
from batchdrop_cli.doctor.standstill import hang_of
from openai_batch_simulator.account.behaviour import CALM

LIMITS = Limits()
LINE = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say %d."}]}\n'


def lines(count: int, first: int = 0) -> bytes:
    """Return so many requests."""
    return b"".join(LINE % number for number in range(first, first + count))


def waiting(world: World, job: str) -> Any:  # noqa: ANN401  # JSON
    """Return what the job's status says that it waits for."""
    return json.loads(world.result(job, "status.json"))["waiting"]


def told(world: World) -> list[dict[str, Any]]:
    """Return what was published."""
    return [json.loads(notification.json) for notification in world.notifications.published]


def outages(world: World) -> int:
    """Return the metric of the last tick."""
    fields = [fields for _, event, fields in world.log.lines if event == "tick.done"][-1]
    return {metric.name: value for metric, value in counted("tick.done", fields).items()}.get("ProviderOutage", 0)


def busiest(world: World, minutes: int) -> Counter[str]:
    """Let so many minutes pass, and return how often each call was made in the busiest of them, ids left out."""
    most = Counter[str]()
    for _ in range(minutes):
        world.tap.counts.clear()
        world.tick()
        kinds = Counter[str]()
        for call, count in world.tap.counts.items():
            verb, path = call.split(" ")
            parts = path.removeprefix("/v1/").split("/")
            kinds[f"{verb} {parts[0]}{'/ID' * (len(parts) > 1)}{'/' + parts[2] if len(parts) > 2 else ''}"] += count
        most |= kinds
    return most


@pytest.fixture
def world() -> World:
    """A world whose batches take half an hour."""
    return World(behaviour=replace(CALM, run_seconds=30 * MINUTE))


def test_an_outage_is_said_after_a_quarter_of_an_hour_and_once(world: World) -> None:
    """To all jobs in one notification, in each status, by an alarm's metric; when it is over everything continues."""
    jobs = [world.drop(f"inbox/{number}.jsonl", lines(3, first=3 * number)) for number in range(5)]
    fault = world.simulator.faults.switch("refused", operation="*", value=503, message="The engine is overloaded.")
    for _ in range(14):
        world.tick()
    early = (told(world), outages(world), waiting(world, jobs[0]))
    for _ in range(6):
        world.tick()
    later = world.drop("inbox/later.jsonl", lines(3, first=90))
    for _ in range(3):
        world.tick(HOUR)
    (notification,), statuses = told(world), [waiting(world, job) for job in [*jobs, later]]
    is_outage = outages(world)
    world.simulator.faults.switches.remove(fault)
    for job in [*jobs, later]:
        world.run(job)

    assert early == ([], 0, None)
    assert (notification["id"], notification["jobs"], notification["job"]) == ("install/provider/1", 5, None)
    assert "The engine is overloaded." in notification["reason"]["message"]
    assert {status["for"] for status in statuses} == {"provider"}
    assert {status["reason"]["code"] for status in statuses} == {"provider_unavailable"}
    assert (is_outage, outages(world)) == (1, 0)
    assert {world.job(job).event for job in [*jobs, later]} == {"completed"}
    assert [notification["event"] for notification in told(world)[1:]] == ["completed"] * 6
    assert waiting(world, jobs[0]) is None
    assert not world.charged_twice()


def test_nothing_is_asked_more_than_ten_times_a_minute(world: World) -> None:
    """However many batches there are to be sent, looked at and collected: each call, and all tries of the SDK counted."""
    for number in range(40):
        world.drop(f"inbox/{number}.jsonl", lines(1, first=number))
    world.advance(40 * MINUTE)
    world.tick(0)
    for number in range(40, 60):
        upload = world.storage.drop(f"inbox/{number}.jsonl", lines(1, first=number))
        world.wakeups.drops.append(upload)
    world.simulator.faults.switch("refused", operation="*", value=500)
    world.tick()
    world.tick()

    most = busiest(world, 90)

    assert most
    assert max(most.values()) <= 10, most


@pytest.mark.parametrize(
    ("fault", "operation", "value"),
    [
        ("refused", "files.create", 503),
        ("refused", "files.content", 500),
        ("rate_limited", "batches.create", 60),
        ("refused", "batches.retrieve", 502),
    ],
)
def test_one_call_that_is_never_answered_holds_up_its_own_jobs(
    world: World, fault: str, operation: str, value: float
) -> None:
    """They say that they wait for the provider, and one notification says how many do; the others go on."""
    good = world.drop("inbox/good.jsonl", lines(3))
    switch = None
    if operation not in {"files.content", "batches.retrieve"}:
        switch = world.simulator.faults.switch(fault, operation=operation, value=value)
    bad = world.drop("inbox/bad.jsonl", lines(3, first=10))
    if switch is None:
        world.run(good)
        switch = world.simulator.faults.switch(fault, operation=operation, value=value)
        bad = world.drop("inbox/worse.jsonl", lines(3, first=20))
    for _ in range(80):
        world.tick()
    said, notifications = (
        waiting(world, bad),
        [notification for notification in told(world) if notification["event"] == "waiting"],
    )
    world.simulator.faults.switches.remove(switch)

    assert said["for"] == "provider"
    assert [(notification["id"], notification["jobs"]) for notification in notifications][:1] == [
        ("install/provider/1", notifications[0]["jobs"])
    ]
    assert len(notifications) == 1
    assert world.job(good).event == "completed"
    assert world.run(bad).event == "completed"
    assert not world.charged_twice()


def test_a_list_that_fails_alone_is_no_outage(world: World) -> None:
    """Everything goes on without it."""
    world.simulator.faults.switch("refused", operation="batches.list", value=500)
    job = world.drop("inbox/three.jsonl", lines(3))
    for _ in range(25):
        world.tick()

    assert (told(world), waiting(world, job), outages(world)) == ([], None, 0)


def test_a_create_whose_answer_is_lost_is_what_the_job_waits_for(world: World) -> None:
    """Its status says so, within the hour and until it is settled."""
    world.simulator.faults.switch("refused", operation="batches.create", value=500)
    job = world.drop("inbox/three.jsonl", lines(3))
    for _ in range(60):
        world.tick()
    said = waiting(world, job)
    while world.shard(job).state is not ShardState.PARKED:
        world.tick(5 * MINUTE)
    parked = waiting(world, job)
    world.simulator.faults.clear()

    assert (said["for"], said["reason"]["code"]) == ("create", "create_uncertain")
    assert (parked["for"], parked["reason"]["code"]) == ("create", "create_parked")
    assert world.run(job, seconds=5 * MINUTE).event == "completed"
    assert waiting(world, job) is None


def test_a_batch_and_answers_that_are_not_shown_are_what_the_job_waits_for(world: World) -> None:
    """With the provider's words."""
    world.simulator.faults.switch("batch_gone", value=60, times=1)
    gone = world.drop("inbox/gone.jsonl", lines(3))
    for _ in range(20):
        world.tick()
    world.simulator.faults.switch("refused", operation="files.content", value=404, message="No such File object.")
    late = world.drop("inbox/late.jsonl", lines(3, first=10))
    for _ in range(40):
        world.tick()

    assert (waiting(world, gone)["for"], waiting(world, gone)["reason"]["code"]) == ("batch", "batch_not_shown")
    assert (waiting(world, late)["for"], waiting(world, late)["reason"]["code"]) == ("answers", "answers_not_shown")
    assert "No such File object." in waiting(world, late)["reason"]["message"]


JOB = Job(id="j", bucket="b", key="inbox/k", version="v", created_at=1, state=JobState.RUNNING)
SHARD = Shard(job="j", number=0, account="a", endpoint="e", model="m", group=0, state=ShardState.HARVESTING)
NOW = 10_000
OLD = Outage(NOW - 15 * MINUTE, "503", NOW)


@pytest.mark.parametrize(
    ("whole", "single", "is_for_all"),
    [
        (None, None, None),
        (Outage(NOW - 15 * MINUTE + 1, "503"), None, None),
        (Outage(NOW - 15 * MINUTE, "503"), None, True),
        (None, OLD, False),
        (None, replace(OLD, last_at=NOW - 1), None),  # it failed twice, a quarter of an hour less a second apart
        (Outage(NOW - 15 * MINUTE, "503"), OLD, True),
    ],
)
def test_an_outage_is_a_quarter_of_an_hour(
    whole: Outage | None, single: Outage | None, *, is_for_all: bool | None
) -> None:
    """Of all calls, or of those for a shard: from the first that failed to the last."""
    cause = outage_of(whole, [SHARD, replace(SHARD, unanswered=single)], NOW, LIMITS)

    assert (cause and cause.is_for_all) == is_for_all


def test_what_fails_for_some_concerns_these_alone() -> None:
    """Until nothing is answered any more: then the same wait concerns all; statuses are written again, no notification."""
    reason = Reason("provider_unavailable", "x")
    some, everything = Cause(WaitingFor.PROVIDER, reason, is_for_all=False), Cause(WaitingFor.PROVIDER, reason)
    held_up = replace(SHARD, unanswered=OLD)

    begun = after_cause(Install(id="i", started_at=1), some, 1, NOW, LIMITS)
    grown = after_cause(replace(begun, statuses_after=None), everything, 7, NOW, LIMITS)

    assert [concerns(some, JOB, shards) for shards in ([SHARD], [SHARD, held_up])] == [False, True]
    assert concerns(everything, JOB, [SHARD])
    assert begun.wait is not None
    assert grown.wait == replace(begun.wait, is_for_all=True)
    assert grown.statuses_after == ""
    assert {WaitingFor.KEY, WaitingFor.ACCOUNT, WaitingFor.PROVIDER} >= {begun.wait.waits_for}


def test_uploads_that_hang_are_said_at_once_and_told_after_a_quarter_of_an_hour(world: World) -> None:
    """In the status of the first, and of those that wait for it; by doctor; in one notification; all go on when it is over."""
    fault = world.simulator.faults.switch("hung", operation="files.create")
    first = world.drop("inbox/first.jsonl", lines(3))
    second = world.drop("inbox/second.jsonl", lines(3, first=10))
    early, seen = [waiting(world, job) for job in (first, second)], doctor_of_hang(world)
    for _ in range(4):
        world.tick()
    third, before = world.drop("inbox/third.jsonl", lines(3, first=20)), told(world)
    said, uploads = waiting(world, third), world.tap.counts["POST /v1/files"]
    for _ in range(15):
        world.tick()
    jobs = (first, second, third)
    (notification,), statuses = told(world), [waiting(world, job) for job in jobs]
    is_outage = outages(world)
    world.simulator.faults.switches.remove(fault)
    for job in jobs:
        world.run(job)

    assert [(wait["for"], wait["reason"]["code"]) for wait in early] == [
        ("provider", "upload_unanswered"), ("provider", "provider_unavailable"),
    ]  # fmt: skip
    assert "uploads are not answered" in seen.seen
    assert seen.advice
    assert said["for"] == "provider"
    assert before == []
    assert uploads <= 6
    assert (notification["id"], notification["jobs"], is_outage) == ("install/provider/1", 3, 1)
    assert "has not answered any upload" in notification["reason"]["message"]
    assert {wait["for"] for wait in statuses} == {"provider"}
    assert [waiting(world, job) for job in jobs] == [None] * 3
    assert doctor_of_hang(world).advice == ""
    assert not world.charged_twice()


def test_downloads_that_hang_hold_up_few_workers() -> None:
    """Twenty batches end at once: after the first download that hangs one at a time asks for all, and then all are collected."""
    world = World(behaviour=replace(CALM, run_seconds=10 * MINUTE))
    jobs = [world.drop(f"inbox/{number}.jsonl", lines(1, first=number)) for number in range(20)]
    fault = world.simulator.faults.switch("hung", operation="files.content")
    world.tick(15 * MINUTE)
    first = sum(path.endswith("/content") for path in world.tap.counts.elements())
    for _ in range(20):
        world.tick()
    fetched = sum(path.endswith("/content") for path in world.tap.counts.elements())
    statuses = [waiting(world, job) for job in jobs]
    world.simulator.faults.switches.remove(fault)
    for job in jobs:
        world.run(job)

    assert 1 <= first <= 4
    assert fetched <= 2 * 21  # two tries of the SDK a minute
    assert {status["for"] for status in statuses if status} == {"provider"}
    assert {notification["id"] for notification in told(world) if notification["job"] is None} == {"install/provider/1"}
    assert {world.job(job).event for job in jobs} == {"completed"}
    assert world.ledger.install().fetch_hang is None  # type: ignore[union-attr]  # it is there
    assert not world.charged_twice()


def doctor_of_hang(world: World) -> Finding:
    """Return what doctor finds of uploads."""
    install = world.ledger.install()
    assert install is not None
    return hang_of(install.hang)


@pytest.mark.parametrize("status", [404, 405])
def test_a_create_that_is_refused_is_said_after_the_first_answer(world: World, status: int) -> None:
    """Before anybody is told: in the status that the drop itself writes, with its words; and ten minutes later."""
    world.simulator.faults.switch("refused", operation="batches.create", value=status, message="No route.")
    job = world.drop("inbox/first.jsonl", lines(3))
    waits = [waiting(world, job)]
    for _ in range(10):
        world.tick()
        waits.append(waiting(world, job))

    assert all(waits), waits
    assert {wait["for"] for wait in waits} == {"refused"}
    assert all("No route." in wait["reason"]["message"] for wait in waits)
    assert [notification["event"] for notification in told(world)] == ["waiting"]


@pytest.mark.parametrize(
    ("shard", "waits_for"),
    [
        (changed(SHARD, state=ShardState.PARKED, parked_at=5), WaitingFor.CREATE),
        (changed(SHARD, state=ShardState.RESERVED, unanswered=Outage(5, "x")), WaitingFor.PROVIDER),
        (changed(SHARD, state=ShardState.WAITING, refusal=Refusal(Reason("x", "y"), 1, since=5)), WaitingFor.REFUSED),
        (changed(SHARD, state=ShardState.FENCING, first_intent_at=5), WaitingFor.CREATE),
        (changed(SHARD, state=ShardState.RESERVED, uncertain=1, first_intent_at=5), WaitingFor.CREATE),
        (changed(SHARD, state=ShardState.CREATING, first_intent_at=5), None),
        (changed(SHARD, state=ShardState.RUNNING, uncertain=1, first_intent_at=5, batch="b"), None),
        (changed(SHARD, state=ShardState.RUNNING, batch="b", gone=Outage(5, "404")), WaitingFor.BATCH),
        (changed(SHARD, batch="b", gone=Outage(5, "404")), WaitingFor.ANSWERS),
        (SHARD, None),
    ],
)
def test_what_a_shard_waits_for(shard: Shard, waits_for: str | None) -> None:
    """The one that has waited longest is said."""
    wait = shard_wait([SHARD, shard, changed(SHARD, gone=Outage(6, "404"))] if waits_for else [shard])

    assert (wait and (wait.waits_for, wait.since)) == (waits_for and (waits_for, 5))
