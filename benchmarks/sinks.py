"""Stores on loopback that stand for S3, each a process of its own, so that what they cost is in nobody's account.

Rule: a sink does as little as it can. `keeping` answers the few calls that planning makes; `swallowing` takes small objects as
they come and answers each after a set latency, however many wait. `providing` takes files and gives one of a set size.
Run as a script it is the sink, and prints its port: `python benchmarks/sinks.py swallowing MILLISECONDS`, `keeping FILE` or
`providing BYTES`.
"""

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Any

import boto3
from botocore.config import Config

from batchdrop.edge.aws.s3 import S3Storage, open_bucket

_KEPT_BYTES_MAX = 100_000
_RECEIVED_BYTES = 1 << 16
_CONNECTIONS_MAX = 256  # that wait to be accepted
_TAKEN = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'


class Keeping(BaseHTTPRequestHandler):
    """The few calls of S3 that planning makes; one file is the upload, small objects are kept, large ones forgotten."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    upload = Path()
    kept: dict[str, bytes] = {}  # noqa: RUF012 - one store a process, shared by its connections

    def do_HEAD(self) -> None:
        """Answer with the object's size."""
        self._answer(200, self._size(), {})

    def do_GET(self) -> None:
        """Answer with the object or a range of it."""
        size, start, end = self._size(), 0, self._size()
        if wanted := self.headers.get("Range"):
            first, last = (int(bound) for bound in wanted.removeprefix("bytes=").split("-"))
            start, end = first, min(last + 1, size)
            self._answer(206, end - start, {"Content-Range": f"bytes {start}-{end - 1}/{size}"})
        else:
            self._answer(200, size, {})
        if self._key in self.kept:
            self.wfile.write(self.kept[self._key][start:end])
            self.wfile.flush()
        else:
            with self.upload.open("rb") as source:
                while start < end:
                    start += os.sendfile(self.connection.fileno(), source.fileno(), start, end - start)

    def do_PUT(self) -> None:
        """Take an object."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if len(content) < _KEPT_BYTES_MAX:
            self.kept[self._key] = content
        self._answer(200, 0, {})

    @property
    def _key(self) -> str:
        return self.path.partition("?")[0]

    def _size(self) -> int:
        return len(self.kept[self._key]) if self._key in self.kept else self.upload.stat().st_size

    def _answer(self, status: int, size_bytes: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        common = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT", "Content-Length": str(size_bytes)}
        for name, value in (common | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Providing(BaseHTTPRequestHandler):
    """The two calls that move a provider's files; nothing of what comes is kept."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    size_bytes = 0

    def do_POST(self) -> None:
        """Take a file."""
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, _RECEIVED_BYTES)))
        self._answer(b'{"id":"file-1","object":"file"}')

    def do_GET(self) -> None:
        """Give the file's content."""
        self.send_response(200)
        self.send_header("Content-Length", str(self.size_bytes))
        self.end_headers()
        piece, left = bytes(_RECEIVED_BYTES), self.size_bytes
        while left:
            left -= self.wfile.write(piece[:left])
        self.wfile.flush()

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Swallowing:
    """One connection that puts small objects, the next when the last one is answered."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._head = b""  # as far as it came
        self._missing_bytes = 0  # of the content

    def receive(self) -> bool | None:
        """Take what came and return whether that ends a request; None where it ends the connection."""
        received = self._connection.recv(_RECEIVED_BYTES)
        if not received:
            return None
        if self._missing_bytes:
            self._missing_bytes -= len(received)
            return not self._missing_bytes
        self._head += received
        head, blank, content = self._head.partition(b"\r\n\r\n")
        return bool(blank) and self._begins_content(head.lower(), len(content))

    def _begins_content(self, head: bytes, content_bytes: int) -> bool:
        length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        self._head, self._missing_bytes = b"", int(length or 0) - content_bytes
        if not content_bytes and b"\r\nexpect: 100-continue" in head:
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return not self._missing_bytes

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def answer(self) -> None:
        """Say that the object was taken, to whom is still there."""
        with suppress(OSError):
            self._connection.sendall(_TAKEN)


def swallow(latency_seconds: float) -> None:
    """Serve until the process is ended.

    One queue of answers, because each is due as long after its request; asyncio with a timer for each costs a half more.
    """
    due: deque[tuple[float, Swallowing]] = deque()
    with socket.create_server(("127.0.0.1", 0), backlog=_CONNECTIONS_MAX) as listener, DefaultSelector() as ready:
        ready.register(listener, EVENT_READ)
        print(listener.getsockname()[1], flush=True)
        while True:
            for key, _ in ready.select(due[0][0] - monotonic() if due else None):
                if key.data is None:
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ready.register(connection, EVENT_READ, Swallowing(connection))
                elif (is_whole := key.data.receive()) is None:
                    ready.unregister(key.fileobj)
                    key.data.close()
                elif is_whole:
                    due.append((monotonic() + latency_seconds, key.data))
            while due and due[0][0] <= monotonic():
                due.popleft()[1].answer()


def keep(upload: Path) -> None:
    """Serve until the process is ended; whatever is not kept is *upload*."""
    Keeping.upload = upload
    _serve(Keeping)


def provide(size_bytes: int) -> None:
    """Serve until the process is ended; each file has *size_bytes*."""
    Providing.size_bytes = size_bytes
    _serve(Providing)


def _serve(handler: type[BaseHTTPRequestHandler]) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def sink(*arguments: str) -> Iterator[str]:
    """Run a sink and yield its address."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-central-1"}
    command = [sys.executable, str(Path(__file__)), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - this very file
        try:
            assert server.stdout is not None  # noqa: S101 - it was asked for
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


def storage_at(endpoint: str) -> S3Storage:
    """Return our own adapter on a sink."""
    return S3Storage(open_bucket("inbox", endpoint), open_bucket("results", endpoint), "inbox")


def boto3_at(endpoint: str, connections: int = 10) -> Any:  # noqa: ANN401 - boto3 makes its clients' types at run time
    """Return a peer's client on a sink."""
    settings = Config(s3={"addressing_style": "path"}, max_pool_connections=connections)
    return boto3.client("s3", endpoint_url=endpoint, region_name="eu-central-1", config=settings)


if __name__ == "__main__":
    if sys.argv[1] == "swallowing":
        swallow(float(sys.argv[2]) / 1_000)
    elif sys.argv[1] == "providing":
        provide(int(sys.argv[2]))
    else:
        keep(Path(sys.argv[2]))
