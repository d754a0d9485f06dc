"""Many small puts through the real client, into a store that is slow, busy, or gone."""

from collections import Counter
from collections.abc import Iterator
from threading import Event, Thread, Timer
from time import monotonic

import pytest
from fakes.wire_store import ANSWER_SECONDS_MAX, BUCKET, ENVIRONMENT, WireStore, wire_store
from obstore.exceptions import PermissionDeniedError

from batchdrop.edge.aws import s3 as adapter
from batchdrop.edge.aws.s3 import MADE_OBJECTS_MAX, SMALL_PUTS_IN_FLIGHT, S3Storage, open_bucket

SETTLED_SECONDS = 0.3  # after which all other puts have ended


@pytest.fixture
def store() -> Iterator[WireStore]:
    """A store of its own for each test."""
    with wire_store() as served:
        yield served


@pytest.fixture
def storage(store: WireStore, monkeypatch: pytest.MonkeyPatch) -> S3Storage:
    """The adapter on it."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    bucket = open_bucket(BUCKET, store.url)
    return S3Storage(bucket, bucket, BUCKET)


def objects(count: int) -> dict[str, bytes]:
    """Return so many objects."""
    return {f"items/{number}.json": b"%d" % number for number in range(count)}


def test_a_store_that_asks_to_slow_down_is_asked_again(store: WireStore, storage: S3Storage) -> None:
    """A third of the puts is refused once; every object arrives and nobody hears of it."""
    wanted = objects(150)
    store.refused = frozenset(list(wanted)[::3])

    count = storage.put_many(wanted.items())

    assert count == 150
    assert store.kept == wanted
    assert store.asked.total() == 150 + 50


@pytest.mark.parametrize(
    ("bytes_max", "least", "most"), [(1 << 20, MADE_OBJECTS_MAX // 2, MADE_OBJECTS_MAX), (10, 1, 6), (0, 0, 1)]
)
def test_some_objects_are_ready_when_a_put_ends(
    store: WireStore, storage: S3Storage, monkeypatch: pytest.MonkeyPatch, bytes_max: int, least: int, most: int
) -> None:
    """Nobody waits for the next to be made; how many are held meanwhile is bounded, by their bytes too."""
    monkeypatch.setattr(adapter, "MADE_BYTES_MAX", bytes_max)
    store.holds_all = True
    wanted, given = objects(3 * MADE_OBJECTS_MAX + SMALL_PUTS_IN_FLIGHT), Counter[str]()

    def made() -> Iterator[tuple[str, bytes]]:
        for one in wanted.items():
            given[one[0]] += 1
            yield one

    putting = Thread(target=lambda: storage.put_many(made()))
    putting.start()
    deadline = monotonic() + ANSWER_SECONDS_MAX
    while monotonic() < deadline and min(given.total() - least, store.asked.total()) < SMALL_PUTS_IN_FLIGHT:
        putting.join(0.01)
    putting.join(SETTLED_SECONDS)  # time to make more than may be held
    ready = given.total() - store.asked.total()
    store.answer.set()
    putting.join()

    assert least <= ready <= most
    assert store.kept == wanted


def test_puts_run_ahead_of_one_that_is_slow_and_not_for_ever(
    store: WireStore, storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes the objects knows by that which of them the store has taken."""
    ahead_max, given, reached = SMALL_PUTS_IN_FLIGHT + 36, Counter[str](), Event()
    monkeypatch.setattr(adapter, "PUTS_AHEAD_MAX", ahead_max)
    wanted = objects(3 * ahead_max)
    store.held = "items/10.json"

    def made() -> Iterator[tuple[str, bytes]]:
        for key, content in wanted.items():
            given[key] += 1
            if given.total() == 11 + ahead_max:
                reached.set()
            yield key, content

    putting = Thread(target=lambda: storage.put_many(made()))
    putting.start()
    ran_ahead = reached.wait(ANSWER_SECONDS_MAX)
    putting.join(SETTLED_SECONDS)
    given_meanwhile = given.total()
    store.answer.set()
    putting.join()

    assert ran_ahead
    assert given_meanwhile == 11 + ahead_max
    assert store.kept == wanted


def test_nobody_waits_for_a_put_that_failed(
    store: WireStore, storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even those that were as far ahead of it as they may be; what they had begun is there."""
    monkeypatch.setattr(adapter, "PUTS_AHEAD_MAX", SMALL_PUTS_IN_FLIGHT)
    store.held, store.held_status = "items/0.json", 403
    wanted = objects(3 * SMALL_PUTS_IN_FLIGHT)

    def made() -> Iterator[tuple[str, bytes]]:
        for number, one in enumerate(wanted.items()):
            if number == SMALL_PUTS_IN_FLIGHT:
                Timer(SETTLED_SECONDS, store.answer.set).start()
            yield one

    with pytest.raises(PermissionDeniedError):
        storage.put_many(made())

    assert store.kept == dict(list(wanted.items())[1 : SMALL_PUTS_IN_FLIGHT + 1])
