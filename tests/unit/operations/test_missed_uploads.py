"""Drops whose event never came: found by listing the inbox, and only where nothing can have been paid for before."""

import itertools
from dataclasses import replace

import pytest
from fakes.memory import MemoryLedger, MemoryLog
from fakes.tasks import SAY_YES
from fakes.world import World

from batchdrop.core.model.install import Install, Round
from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.operations.missed_uploads import (
    ListedUpload,
    is_round_due,
    is_to_be_told,
    may_be_put_off,
    may_be_started,
)
from batchdrop.flow import poll, submit


@pytest.fixture
def world() -> World:
    """An installation that has been there for a day."""
    world = World()
    world.tick()
    world.advance(DAY)
    return world


def hours(world: World, count: int) -> None:
    """Tick for some hours, five minutes apart."""
    for _ in range(count * 12):
        world.tick(5 * MINUTE)


def forget(world: World) -> None:
    """Empty the table, buckets and provider as they are."""
    world.ledger = MemoryLedger(world.log)


def test_a_drop_whose_event_never_came_starts_within_the_hour(world: World) -> None:
    """It is found by the list, taken as its event would have been, and paid once."""
    world.tick()
    upload = world.storage.drop("inbox/lost.jsonl", SAY_YES)
    dropped_at = world.clock.now()

    while world.ledger.job(upload.job_id) is None:
        world.tick()

    assert world.clock.now() - dropped_at <= HOUR
    assert world.run(upload.job_id).event == "completed"
    assert (world.tap.creates, world.charged_twice()) == (1, {})


def test_a_drop_that_has_a_job_is_left_alone(world: World) -> None:
    """Round after round nothing is told of it, neither while it runs nor after its end."""
    job = world.drop("inbox/known.jsonl", SAY_YES)

    hours(world, 5)

    assert world.job(job).state is JobState.ENDED
    assert "drop.missed" not in world.log.events
    assert world.tap.creates == 1


def test_only_the_current_version_is_started(world: World) -> None:
    """What was overwritten before anybody heard of it is what its person replaced."""
    first = world.storage.drop("inbox/twice.jsonl", SAY_YES)
    second = world.storage.drop("inbox/twice.jsonl", SAY_YES)

    hours(world, 1)

    assert world.ledger.job(first.job_id) is None
    assert world.ledger.job(second.job_id) is not None


def test_an_emptied_table_over_a_full_bucket_spends_nothing(world: World) -> None:
    """Whatever lies in the inbox may have been paid for: none of it is started, and nobody gets a notification."""
    paid = world.drop("inbox/paid.jsonl", SAY_YES)
    world.run(paid)
    for number in range(30):
        world.storage.drop(f"inbox/{number}.jsonl", SAY_YES)
        world.advance(20)
    notifications = len(world.notifications.published)

    forget(world)
    hours(world, 24 * 9)

    assert (world.tap.creates, len(world.notifications.published)) == (1, notifications)
    assert not list(world.ledger.active())


def test_an_old_drop_is_not_started(world: World) -> None:
    """After a week without a tick only a person starts what lies there; it is not told of either."""
    world.storage.drop("inbox/old.jsonl", SAY_YES)
    world.advance(7 * DAY + HOUR)

    hours(world, 3)

    assert (world.tap.creates, world.notifications.published, world.wakeups.drops) == (0, [], [])


@pytest.mark.parametrize("key", ["inbox/folder/", "inbox/.DS_Store"])
def test_what_nobody_meant_to_drop_is_passed_over(world: World, key: str) -> None:
    """As an event for it would be."""
    world.storage.drop(key, b"")

    hours(world, 2)

    assert "drop.missed" not in world.log.events


def test_a_version_that_was_put_a_moment_ago_is_waited_for(world: World) -> None:
    """Its event is on the way."""
    world.storage.drop("inbox/fresh.jsonl", SAY_YES)

    poll.tick(world.ports(), world.limits)

    assert world.wakeups.drops == []


def test_a_round_goes_on_where_it_stopped() -> None:
    """A full inbox is walked some pages a tick; each drop is told once a round, and the next round begins in its time."""
    world = World(limits=Limits(inbox_pages_per_tick_max=2))
    world.storage.inbox_page_keys = 3
    world.tick()
    world.advance(DAY)
    uploads = [world.storage.drop(f"inbox/{number:02}.jsonl", SAY_YES) for number in range(20)]
    world.advance(10 * MINUTE)

    told: list[list[Upload]] = []
    for _ in range(6):
        poll.tick(world.ports(), world.limits)
        told.append(world.wakeups.drops)
        world.wakeups.drops = []

    assert [len(drops) for drops in told] == [6, 6, 6, 2, 0, 0]
    assert [upload for drops in told for upload in drops] == uploads


def test_two_pollers_start_a_missed_drop_once(world: World) -> None:
    """Both tell of it; one version is one job."""
    upload = world.storage.drop("inbox/lost.jsonl", SAY_YES)
    world.advance(HOUR)
    rows = dict(world.ledger.rows)
    poll.tick(world.ports(), world.limits)
    world.ledger.rows = rows
    poll.tick(world.ports(), world.limits)
    assert world.wakeups.drops == [upload, upload]

    world.deliver()
    world.run(upload.job_id)

    assert world.tap.creates == 1


def test_a_late_event_and_the_reconciler_make_one_job(world: World) -> None:
    """The event comes hours later after all."""
    upload = world.storage.drop("inbox/late.jsonl", SAY_YES)
    hours(world, 2)

    submit.handle_upload(world.ports(), world.limits, upload)
    world.run(upload.job_id)

    assert (world.tap.creates, len(world.notifications.published)) == (1, 1)


def test_an_unversioned_upload_without_an_event_is_told_of(world: World) -> None:
    """Its person gets the notification that says what to do."""
    upload = world.storage.drop("inbox/plain.jsonl", SAY_YES)
    content = world.storage.uploads.pop((upload.key, upload.version))
    world.storage.uploads[upload.key, ""] = content

    hours(world, 1)

    assert [notification.attributes["event"] for notification in world.notifications.published] == ["rejected"]


def test_nothing_is_read_of_an_upload(world: World) -> None:
    """The poller may list the inbox, not open it."""
    world.storage.unreadable.add(("inbox/lost.jsonl", world.storage.drop("inbox/lost.jsonl", SAY_YES).version))
    world.advance(HOUR)

    poll.tick(world.ports(), world.limits)

    assert len(world.wakeups.drops) == 1


def test_the_log_names_the_job_and_not_the_key(world: World) -> None:
    """A key is what a person wrote."""
    world.storage.drop("inbox/canary.jsonl", SAY_YES)

    hours(world, 1)

    log: MemoryLog = world.log
    assert "drop.missed" in log.events
    assert "canary" not in repr(log.lines)


def test_what_is_queued_is_not_taken_for_missed(world: World) -> None:
    """Many small files: their events wait in the queue, so nothing is told of them, and nothing is listed."""
    for number in range(200):
        world.storage.drop(f"inbox/{number}.jsonl", SAY_YES)
    world.wakeups.others = 200

    for _ in range(20 * 60):
        world.advance(MINUTE)
        poll.tick(world.ports(), world.limits)

    assert world.wakeups.drops == []
    assert "round.put_off" in world.log.events
    world.wakeups.others = 150
    poll.tick(world.ports(), world.limits)
    assert len(world.wakeups.drops) == 200


def test_a_queue_that_is_never_short_puts_a_round_off_for_a_day(world: World) -> None:
    """A drop whose event never came is found all the same, beside traffic that never ends."""
    upload = world.storage.drop("inbox/lost.jsonl", SAY_YES)
    dropped_at = world.clock.now()
    world.wakeups.others = 10_000

    while world.ledger.job(upload.job_id) is None:
        world.tick(5 * MINUTE)

    assert DAY <= world.clock.now() - dropped_at <= DAY + HOUR


def test_a_version_is_told_again_every_six_hours_at_most(world: World) -> None:
    """Where nobody takes what was told, a version is told a few times a day instead of 29 times."""
    uploads = [world.storage.drop(f"inbox/{number}.jsonl", SAY_YES) for number in range(3)]
    told: list[tuple[int, Upload]] = []
    for _ in range(24 * 12):
        world.advance(5 * MINUTE)
        poll.tick(world.ports(), world.limits)
        told += [(world.clock.now(), upload) for upload in world.wakeups.drops]
        world.wakeups.drops = []

    for upload in uploads:
        times = [at for at, each in told if each == upload]
        assert len(times) == 4
        assert all(later - earlier >= 6 * HOUR - 50 * MINUTE for earlier, later in itertools.pairwise(times))


def test_a_hundred_thousand_files_make_few_messages_beside_their_own() -> None:
    """At 1,800 an hour they wait for 55 hours. By the decisions alone, version by version: 29 rounds a day were 2 million."""
    limits, install = Limits(), Install(id="i", started_at=0)
    files, dropped_at, per_hour = 100_000, 10 * DAY, 1_800
    now, told, step = dropped_at, 0, Round(began_at=dropped_at - MINUTE)
    while (left := files - per_hour * (now - dropped_at) // HOUR) > 0:
        now += MINUTE
        install = replace(install, inbox_round=step)
        if not is_round_due(install, now, limits):
            continue
        if left > limits.queued_messages_max and may_be_put_off(step, now, limits):
            step = replace(step, put_off_at=step.put_off_at or now)
            continue
        step = Round(began_at=now, before=step.began_at)
        listed = ListedUpload(Upload("inbox", "inbox/x.jsonl", "v"), dropped_at)
        told += left * (may_be_started(listed, install, now, limits) and is_to_be_told(listed, step, limits))

    assert 0 < told < files
