"""Many small puts through the real client, into a store that is slow, busy, or gone."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread, Timer

import pytest
from obstore.exceptions import PermissionDeniedError

from batchdrop.edge import storage as adapter
from batchdrop.edge.storage import SMALL_PUTS_IN_FLIGHT, S3Storage, open_bucket

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
ANSWER_SECONDS_MAX = 30
SETTLED_SECONDS = 0.3  # after which all other puts have ended


@dataclass
class Store:
    """What the other side of the wire keeps and how it answers."""

    storage: S3Storage
    kept: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    refused: frozenset[str] = frozenset()  # keys whose first put is refused
    held: str = ""  # the key whose put is answered when `answer` is set
    held_status: int = 200
    answer: Event = field(default_factory=Event)


class _Answering(BaseHTTPRequestHandler):
    """Puts objects into `store`."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    store: Store

    def do_PUT(self) -> None:
        """Keep the object, or refuse it once, or let it wait."""
        store, key = self.store, self.path.partition("/results/")[2]
        content = self.rfile.read(int(self.headers["Content-Length"]))
        store.asked[key] += 1
        if store.asked[key] == 1 and key in store.refused:
            self._answer(503, SLOW_DOWN)
            return
        if key == store.held:
            store.answer.wait(ANSWER_SECONDS_MAX)
        status = store.held_status if key == store.held else 200
        if status == 200:
            store.kept[key] = content
        self._answer(status, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", f"{len(body)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store of its own for each test."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    handler: type[_Answering] = type("_AnsweringHere", (_Answering,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        bucket = open_bucket("results", f"http://127.0.0.1:{server.server_port}")
        handler.store = Store(S3Storage(bucket, bucket, "results"))
        yield handler.store
        handler.store.answer.set()
        server.shutdown()
        thread.join()


def objects(count: int) -> dict[str, bytes]:
    """Return so many objects."""
    return {f"items/{number}.json": b"%d" % number for number in range(count)}


def test_a_store_that_asks_to_slow_down_is_asked_again(store: Store) -> None:
    """A third of the puts is refused once; every object arrives and nobody hears of it."""
    wanted = objects(150)
    store.refused = frozenset(list(wanted)[::3])

    count = store.storage.put_many(wanted.items())

    assert count == 150
    assert store.kept == wanted
    assert store.asked.total() == 150 + 50


def test_puts_run_ahead_of_one_that_is_slow_and_not_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
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

    putting = Thread(target=lambda: store.storage.put_many(made()))
    putting.start()
    ran_ahead = reached.wait(ANSWER_SECONDS_MAX)
    putting.join(SETTLED_SECONDS)
    given_meanwhile = given.total()
    store.answer.set()
    putting.join()

    assert ran_ahead
    assert given_meanwhile == 11 + ahead_max
    assert store.kept == wanted


def test_nobody_waits_for_a_put_that_failed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
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
        store.storage.put_many(made())

    assert store.kept == dict(list(wanted.items())[1 : SMALL_PUTS_IN_FLIGHT + 1])
