"""Retrying: a person starts a rejected upload again, and nothing else is ever started by a word."""

import json

import pytest
from fakes.tasks import RATE, TWO_REVIEWS
from fakes.world import World

from batchdrop.core.model.job import JobState
from batchdrop.core.model.limits import DAY, MINUTE
from batchdrop.flow import submit


def notification_ids(world: World) -> list[str]:
    """The deduplication id of each notification, in order, without its job."""
    return [json.loads(notification.json)["id"].partition("/")[2] for notification in world.notifications.published]


def rejected(world: World, job: str, code: str) -> None:
    """Let the job come to its end, which must be this rejection."""
    ended = world.run(job, seconds=MINUTE)
    assert ended.reason is not None
    assert (ended.event, ended.reason.code) == ("rejected", code)


@pytest.mark.parametrize("task", [None, b"endpoint: ["])
def test_a_task_that_was_put_right_is_all_that_it_needs(task: bytes | None) -> None:
    """The upload is sent once, under a notification of its own; the rejection had its notification."""
    world = World()
    if task is not None:
        world.storage.put_task("sentiment", task)
    job = world.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    rejected(world, job, "no_such_task" if task is None else "task_invalid")
    world.storage.put_task("sentiment", RATE)

    world.ask(job, "retry")
    ended = world.run(job)

    assert (ended.event, ended.succeeded, world.tap.creates) == ("completed", 2, 1)
    assert notification_ids(world) == ["rejected", "completed/2"]
    assert (ended.expires_at, ended.reason) == (ended.ended_at + world.limits.ended_rows_kept_seconds, None)


def test_an_old_upload_is_started_by_a_person_alone() -> None:
    """An event, however often it comes, does not start what is older than a week; the word does."""
    world = World()
    world.storage.put_task("sentiment", RATE)
    upload = world.storage.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    world.advance(8 * DAY)
    submit.handle_upload(world.ports(), world.limits, upload)
    rejected(world, upload.job_id, "too_old")
    submit.handle_upload(world.ports(), world.limits, upload)
    assert world.job(upload.job_id).state is JobState.ENDED

    world.ask(upload.job_id, "retry")
    ended = world.run(upload.job_id)

    assert (ended.event, world.tap.creates) == ("completed", 1)


def test_an_upload_that_can_be_read_again_is_planned_on() -> None:
    """Somebody gave the permission back."""
    world = World()
    world.storage.put_task("sentiment", RATE)
    upload = world.storage.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    world.storage.unreadable.add((upload.key, upload.version))
    submit.handle_upload(world.ports(), world.limits, upload)
    rejected(world, upload.job_id, "unreadable")
    world.storage.unreadable.clear()

    world.ask(upload.job_id, "retry")

    assert world.run(upload.job_id).succeeded == 2


def test_a_task_that_is_missing_is_said_also_where_tasks_cannot_be_listed() -> None:
    """A key below tasks/ that no client can name hides the others, and rejects the drop in words all the same."""
    world = World()
    world.storage.tasks["../evil.yaml"] = b"x"
    job = world.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)

    rejected(world, job, "no_such_task")

    assert "cannot be listed" in world.notifications.published[0].text


def test_each_end_has_a_notification_of_its_own() -> None:
    """Whoever drops copies by their id still hears of the second and the third rejection."""
    world = World()
    job = world.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    rejected(world, job, "no_such_task")

    for _ in range(2):
        world.ask(job, "retry")
        rejected(world, job, "no_such_task")

    assert notification_ids(world) == ["rejected", "rejected/2", "rejected/3"]


def test_a_word_that_comes_twice_starts_it_once() -> None:
    """The second finds it under way."""
    world = World()
    job = world.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    rejected(world, job, "no_such_task")
    world.storage.put_task("sentiment", RATE)

    world.ask(job, "retry")
    world.ask(job, "retry")
    ended = world.run(job)
    world.ask(job, "retry")

    assert (ended.retries, world.tap.creates) == (1, 1)
    assert world.job(job) == ended


@pytest.mark.parametrize(
    ("content", "event"),
    [(TWO_REVIEWS, "completed"), (b"review_id,review\r\nr1,caf\x81\r\n", "rejected"), (b"", "completed")],
)
def test_what_ended_for_good_stays_so(content: bytes, event: str) -> None:
    """Neither what was answered nor a file that is wrong is started again; the log says what to do instead."""
    world = World()
    world.storage.put_task("sentiment", RATE)
    job = world.drop("inbox/sentiment/reviews.csv", content)
    ended = world.run(job)
    creates = world.tap.creates

    world.ask(job, "retry")
    world.tick()

    assert (ended.event, world.job(job), world.tap.creates) == (event, ended, creates)
    (reason,) = [fields["reason"] for _, name, fields in world.log.lines if name == "control.ignored"]
    assert "dropped again" in str(reason)


def test_a_retried_job_can_be_cancelled() -> None:
    """It is a job like any other."""
    world = World()
    job = world.drop("inbox/sentiment/reviews.csv", TWO_REVIEWS)
    rejected(world, job, "no_such_task")
    world.storage.put_task("sentiment", RATE)
    world.providers.key = None

    world.ask(job, "retry")
    world.ask(job, "cancel")

    assert world.run(job).event == "cancelled"
    assert notification_ids(world) == ["rejected", "cancelled/2"]
