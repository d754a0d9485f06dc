"""What kills its function again and again is counted, and ends with words."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import BinaryIO

import pytest
from fakes.tasks import ASK
from fakes.world import World

from batchdrop.core.delivery.job_lifecycle import begun, given_up
from batchdrop.core.model.job import Job, JobState, StalledAttempts
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import MINUTE, Limits
from batchdrop_cli.doctor.checks import attempts_of


class Killed(BaseException):
    """The platform ends the function: nothing catches it, and nothing more is written."""


@pytest.fixture
def world() -> Iterator[World]:
    """A world with one task."""
    world = World()
    world.storage.put_task("t", ASK)
    yield world
    assert not world.charged_twice()


def killed(world: World, method: str, matches: Callable[[str], bool]) -> list[str]:
    """Let the storage's *method* end the process where it is asked for a key that *matches*; return the list of those."""
    asked: list[str] = []
    original = getattr(world.storage, method)

    def asked_for(key: object, *others: object, **named: object) -> object:
        name = getattr(key, "key", key)
        if isinstance(name, str) and matches(name):
            asked.append(name)
            raise Killed
        return original(key, *others, **named)

    setattr(world.storage, method, asked_for)
    return asked


def driven(world: World, job: str, *, ticks: int) -> Job:
    """Tick for *ticks* times a quarter of an hour, whatever dies."""
    for _ in range(ticks):
        with suppress(Killed):
            world.tick(16 * MINUTE)
        for waiting in (world.wakeups.submits, world.wakeups.completes):
            waiting.clear()  # the message of a killed function is not deleted, but comes much later
    return world.job(job)


def test_planning_that_kills_its_function_is_rejected(world: World) -> None:
    """After five attempts there is a notification that says so, nothing was sent, and a neighbour is not held up."""
    upload = "inbox/t/bad.csv"
    asked = killed(world, "open_upload", lambda key: key == upload)
    with suppress(Killed):
        world.drop(upload, b"a\n1\n")
    job = next(iter(world.ledger.active())).id  # type: ignore[union-attr]  # the only row
    good = world.drop("inbox/t/good.csv", b"a\n1\n")

    ended = driven(world, job, ticks=12)

    assert (ended.state, ended.event) == (JobState.ENDED, "rejected")
    assert ended.reason is not None
    assert ended.reason.code == "could_not_be_planned"
    assert "5 attempts in a row" in ended.reason.message
    assert len(asked) == 6  # the first one got as far as to pin the task
    assert world.run(good).event == "completed"
    notifications = [
        json.loads(notification.json)
        for notification in world.notifications.published
        if notification.attributes["job"] == job
    ]
    assert [notification["event"] for notification in notifications] == ["rejected"]
    assert world.tap.creates == 1


def test_a_rejected_one_may_be_retried(world: World) -> None:
    """Where what killed it was put right, a person starts it again."""
    upload = "inbox/t/bad.csv"
    killed(world, "open_upload", lambda key: key == upload)
    with suppress(Killed):
        world.drop(upload, b"a\n1\n")
    job = next(iter(world.ledger.active())).id  # type: ignore[union-attr]  # the only row
    driven(world, job, ticks=12)
    del world.storage.open_upload

    world.ask(job, "retry")

    assert world.run(job).event == "completed"


def test_finishing_that_kills_its_function_ends_as_failed(world: World) -> None:
    """The answers are kept, and a notification says where."""
    job = world.drop("inbox/t/a.csv", b"a\n1\n2\n")
    asked = killed(world, "writer", lambda key: key.endswith("/results.csv"))

    ended = driven(world, job, ticks=20)

    assert (ended.state, ended.event) == (JobState.ENDED, "failed")
    assert ended.reason is not None
    assert ended.reason.code == "could_not_be_finished"
    assert f"internal/{job}/" in ended.reason.message
    assert len(asked) == 5
    assert any(key.startswith(f"internal/{job}/") for key in world.storage.objects)
    assert world.notifications.published[-1].attributes["event"] == "failed"


def test_a_checkpoint_sets_the_count_back(world: World) -> None:
    """A long plan takes many attempts, each of which may die after a page."""
    world.limits = replace(world.limits, plan_checkpoint_bytes=10)
    content = b"a\n" + b"some words\n" * 30
    deaths = iter(range(1_000))
    original = world.storage.put

    def put(key: str, content: bytes, content_type: str = "application/json") -> None:
        original(key, content, content_type)
        if "/plan/" in key and next(deaths) % 3 == 2:
            raise Killed

    world.storage.put = put  # type: ignore[method-assign]  # a process that dies at each third page
    with suppress(Killed):
        world.drop("inbox/t/long.csv", content)
    job = next(iter(world.ledger.active())).id  # type: ignore[union-attr]  # the only row

    ended = driven(world, job, ticks=60)

    assert next(deaths) > 3 * (world.limits.stalled_attempts_max + 1)
    assert (ended.event, ended.items) == ("completed", 30)


@pytest.mark.parametrize(
    ("error", "event"), [(OSError("no way to S3"), "completed"), (TypeError("a defect"), "rejected")]
)
def test_an_outage_is_not_counted_and_a_defect_is(world: World, error: Exception, event: str) -> None:
    """What stands behind a port comes back; what our own code raises it raises again."""
    original, calls = world.storage.open_upload, iter(range(1_000))

    def open_upload(upload: Upload, start: int = 0) -> AbstractContextManager[BinaryIO]:
        if next(calls) < 8:
            raise error
        return original(upload, start)

    world.storage.open_upload = open_upload  # type: ignore[method-assign]  # fails for two hours
    with suppress(type(error)):
        world.drop("inbox/t/a.csv", b"a\n1\n")
    job = next(iter(world.ledger.active())).id  # type: ignore[union-attr]  # the only row
    for _ in range(12):
        with suppress(type(error)):
            world.tick(16 * MINUTE)

    assert world.run(job).event == event


def test_attempts_that_follow_at_once_count_as_one() -> None:
    """A message that comes again a minute after an error does not use up the attempts of a short outage."""
    job, limits = Job(id="j", bucket="b", key="k", version="v", created_at=1), Limits()

    for minute in range(60):
        job = begun(job, 1_000_000 + minute * MINUTE, limits)

    assert job.stalled.attempts == 6
    assert given_up(job, limits)
    assert not given_up(replace(job, stalled=StalledAttempts(5)), limits)
    assert not given_up(replace(job, state=JobState.NOTIFYING), limits)


def test_a_cancelled_job_whose_upload_is_gone_ends(world: World) -> None:
    """Its items are told without their records."""
    world.limits = replace(world.limits, enqueued_tokens_per_model=1)
    job = world.drop("inbox/t/a.csv", b"a\n" + b"1\n" * 20)
    world.ask(job, "cancel")
    world.storage.uploads.clear()

    ended = world.run(job)

    assert ended.event == "cancelled"
    assert world.result(job, "summary.json")


def test_doctor_shows_it_from_the_second_attempt_on() -> None:
    """One attempt that ended without a checkpoint may be chance; the jobs that were tried most often come first."""
    jobs = [
        Job(id=f"j{count}", bucket="b", key="k", version="v", created_at=1, stalled=StalledAttempts(count))
        for count in range(6)
    ]

    assert not attempts_of(jobs[:2]).advice
    assert (
        "j5 (planning, attempt 5), j4 (planning, attempt 4), j3 (planning, attempt 3) and 1 more"
        in attempts_of(jobs).seen
    )
