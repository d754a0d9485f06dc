"""A disk that is full while a batch's requests are written: bounded tries, one notification, an end in words."""

import json
import tempfile
from collections.abc import Callable
from typing import BinaryIO, cast

import pytest
from fakes.tasks import THREE_TIMES_YES
from fakes.world import World

from batchdrop.core.model.errors import DiskFull
from batchdrop.core.model.job import JobState
from batchdrop.core.model.limits import HOUR, MINUTE
from batchdrop.core.submission.refusing import DISK_FULL
from batchdrop.flow.submission.disk import full_disk_told


class Disk:
    """The disk of the submit function; counts what was begun on it."""

    def __init__(self) -> None:
        self.is_full = True
        self.begun = 0
        self._open: Callable[..., BinaryIO] = tempfile.TemporaryFile

    def open(self, **options: int) -> BinaryIO:
        """Return a new file; what is written to one on a full disk is refused when it is flushed, as by a real one."""
        self.begun += 1
        return cast(BinaryIO, open("/dev/full", "w+b")) if self.is_full else self._open(**options)  # noqa: PTH123


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A full disk."""
    made = Disk()
    monkeypatch.setattr(tempfile, "TemporaryFile", made.open)
    return made


def told(world: World) -> list[dict[str, str]]:
    """The reasons that people were told of."""
    return [
        json.loads(notification.json)["reason"]
        for notification in world.notifications.published
        if "waiting" in notification.json
    ]


def test_a_full_disk_is_tried_thrice_then_hourly_then_ends_in_words(disk: Disk) -> None:
    """Nothing loops in silence: one notification within ten minutes, and after a day the items fail unsent and unpaid."""
    world = World()
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    by_hour = []

    for _ in range(26):
        before = disk.begun
        for _ in range(60):
            world.tick(MINUTE)
        by_hour.append(disk.begun - before)

    ended = world.job(job)
    failures = {
        (item["error"]["code"], item["error"]["message"])
        for item in map(json.loads, world.result(job, "outcomes.jsonl").splitlines())
    }
    assert by_hour[0] <= 3
    assert max(by_hour[1:]) <= 1
    assert [reason["code"] for reason in told(world)] == ["disk_full"]
    assert "EphemeralStorage" in told(world)[0]["message"]
    assert (ended.state, ended.failed) == (JobState.ENDED, 3)
    assert failures == {("disk_full", DISK_FULL.message)}
    assert world.tap.counts["POST /v1/files"] == 0


def test_what_waits_for_the_disk_goes_on_when_there_is_space(disk: Disk) -> None:
    """It says so meanwhile, and no attempt is used."""
    world = World()
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    while not told(world):
        world.tick(MINUTE)
    waiting = json.loads(world.result(job, "status.json"))["waiting"]["for"]
    disk.is_full = False

    ended = world.run(job, seconds=HOUR)

    outcomes = [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]
    assert (waiting, ended.event) == ("disk", "completed")
    assert [outcome["attempts"] for outcome in outcomes] == [1, 1, 1]


def test_a_broken_disk_is_no_full_one() -> None:
    """What else a disk says goes to whoever retries the invocation."""
    with pytest.raises(OSError, match="broken") as broken, full_disk_told():
        raise OSError(5, "broken")

    assert not isinstance(broken.value, DiskFull)
