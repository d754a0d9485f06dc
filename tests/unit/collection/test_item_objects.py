"""Putting the objects of many items, and going on where it stopped."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice

import pytest
from fakes.answered import chat_job, success
from fakes.memory import MemoryStorage

from batchdrop.flow.collection import item_objects
from batchdrop.flow.collection.item_objects import STEP_OBJECTS_MAX, put_in_steps

KEY = "internal/j/objects.json"
AHEAD = 5  # objects in flight


class SlowDown(Exception):
    """What a store says that is asked too much."""


class FailingStorage(MemoryStorage):
    """Takes so many item objects and no more, and each as late as the port allows."""

    left = 10**9

    def put_many(self, objects: Iterable[tuple[str, bytes]]) -> int:
        """Put objects as long as it goes; what is in flight when it fails is lost."""
        in_flight = deque[tuple[str, bytes]]()
        for one in objects:
            if not self.left and one[0] != KEY:
                raise SlowDown
            self.left -= one[0] != KEY
            in_flight.append(one)
            if one[0] == KEY:
                self.put(*in_flight.pop())
            elif len(in_flight) > AHEAD:
                self.put(*in_flight.popleft())
        return super().put_many(in_flight)


def objects(count: int, changed: int = -1) -> Iterator[tuple[str, bytes]]:
    """Yield item objects, one of them with another content."""
    for number in range(count):
        yield f"results/items/{number}.json", b"other" if number == changed else b"%d" % number


def runs(objects: Iterator[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """Yield *objects* two at a time."""
    while run := list(islice(objects, 2)):
        yield run


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> FailingStorage:
    """A store, and steps of ten, known to be put five objects later."""
    monkeypatch.setattr(item_objects, "STEP_OBJECTS_MAX", 10)
    monkeypatch.setattr(item_objects, "PUTS_AHEAD_MAX", AHEAD)
    return FailingStorage()


def put(storage: FailingStorage, count: int, changed: int = -1) -> int:
    """Put objects and return how many the store took."""
    before = storage.left
    put_in_steps(storage, KEY, runs(objects(count, changed)))
    return before - storage.left


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 25, 30])
def test_every_object_is_put_once(storage: FailingStorage, count: int) -> None:
    """Wherever the last step ends."""
    taken = put(storage, count)

    assert taken == count
    assert {key: storage.objects[key] for key, _ in objects(count)} == dict(objects(count))


@pytest.mark.parametrize(("taken", "left"), [(0, 35), (9, 35), (19, 35), (20, 25), (29, 25), (30, 15), (35, 5)])
def test_a_repeat_goes_on_behind_the_last_step_that_was_put(storage: FailingStorage, taken: int, left: int) -> None:
    """After a failure of the store, and after a crash that comes later than all of it."""
    storage.left = taken
    with pytest.raises(SlowDown) if taken < 35 else nullcontext():
        put(storage, 35)
    storage.left = 1_000

    again, third = put(storage, 35), put(storage, 35)

    assert again == left
    assert third == 5
    assert {key: storage.objects[key] for key, _ in objects(35)} == dict(objects(35))


def test_no_step_is_remembered_before_the_store_took_all_of_it(storage: FailingStorage) -> None:
    """Wherever the store fails, in the first run and in those that go on."""
    for taken in (3, 14, 26, 7, 38):
        storage.left = taken
        with pytest.raises(SlowDown):
            put(storage, 70)
        remembered = len(json.loads(storage.objects.get(KEY, b"[]")))

        assert all(key in storage.objects for key, _ in objects(remembered * 10))

    assert remembered == 3


def test_what_is_derived_differently_is_put(storage: FailingStorage) -> None:
    """Answers that came late change objects of a step that was put: that step is put again, and no other whole one."""
    put(storage, 35)

    taken = put(storage, 35, changed=12)

    assert taken == 10 + 5
    assert storage.objects["results/items/12.json"] == b"other"
    assert put(storage, 35, changed=12) == 5


def test_large_objects_end_a_step_early(storage: FailingStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a repeat holds in memory is bounded by bytes, too."""
    monkeypatch.setattr(item_objects, "STEP_BYTES_MAX", 4)
    put(storage, 9)

    taken = put(storage, 9)

    assert taken == 1


def test_a_harvest_that_is_repeated_puts_no_whole_step_again() -> None:
    """Of a large shard only the objects behind its last whole step are written twice."""
    items = STEP_OBJECTS_MAX + 20
    job = chat_job(items)
    shard, output = job.shard(), b"".join(map(success, range(1, items + 1)))
    job.harvest(shard, output)
    first, puts = dict(job.storage.objects), job.storage.puts

    job.harvest(shard, output)

    assert job.storage.objects == first
    assert job.storage.puts - puts < 40
