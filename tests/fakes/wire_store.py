"""A results bucket on the wire that is slow, busy or gone where a test says so.

Rule: it takes objects whole, and a test looks at what it keeps; it gives nothing back.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

ANSWER_SECONDS_MAX = 30
BUCKET = "results"
# What its clients need to know besides its address.
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass
class WireStore:
    """What the other side of the wire keeps and how it answers."""

    url: str
    kept: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)  # puts
    refused: frozenset[str] = frozenset()  # keys whose first put is refused
    held: str = ""  # the key whose put is answered when `answer` is set
    held_status: int = 200
    holds_all: bool = False  # every put is answered then
    answer: Event = field(default_factory=Event)


class _Answering(BaseHTTPRequestHandler):
    """One connection to `store`."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    store: WireStore

    def do_PUT(self) -> None:
        """Keep the object, or refuse it once, or let it wait."""
        store, key = self.store, self._key
        content = self.rfile.read(int(self.headers["Content-Length"]))
        store.asked[key] += 1
        if store.asked[key] == 1 and key in store.refused:
            self._answer(503, _SLOW_DOWN)
            return
        if key == store.held or store.holds_all:
            store.answer.wait(ANSWER_SECONDS_MAX)
        status = store.held_status if key == store.held else 200
        if status == 200:
            store.kept[key] = content
        self._answer(status, b"")

    @property
    def _key(self) -> str:
        return self.path.partition(f"/{BUCKET}/")[2]

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


@contextmanager
def wire_store() -> Iterator[WireStore]:
    """Serve an empty store."""
    handler: type[_Answering] = type("_AnsweringHere", (_Answering,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        handler.store = WireStore(f"http://127.0.0.1:{server.server_port}")
        thread.start()
        yield handler.store
        handler.store.answer.set()
        server.shutdown()
        thread.join()
