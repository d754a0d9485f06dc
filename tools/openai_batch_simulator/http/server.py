"""Serves a simulator over HTTP on the loopback interface.

Rule: never on another interface, and never to a page: what a browser sends for one, or sends to another name that leads
here, is refused, and what reads or changes the account needs a token. Calls and events take turns under one lock; a body is
received before the lock is taken and sent after it is given back, so that a slow client delays no other.
"""

import hmac
import secrets
import socket
import socketserver
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from openai_batch_simulator import control
from openai_batch_simulator.account.behaviour import MEBIBYTE
from openai_batch_simulator.app import Simulator
from openai_batch_simulator.blobs import DiskFullError, told_of_full_disk
from openai_batch_simulator.messages import Carriage, Refusal, Request, Response, json_response

HOST = "127.0.0.1"
# Not a header that a page may send without asking first, and the answer would be no.
TOKEN_HEADER = "x-simulator-token"  # noqa: S105  # its name
# How late an event may be noticed: small beside the shortest step of the calm profile.
TICK_SECONDS = 0.02
# Long enough for a waiting thread to take the lock.
TURN_SECONDS = 0.0005
PIECE_BYTES = 1 << 16
MEMORY_BYTES_MAX = 1 << 20
# How late a client that gave up on a call without an answer is noticed.
HOLD_SECONDS = 0.2
# The largest file of the API and a form around it.
BODY_BYTES_MAX = 513 * MEBIBYTE


class SimulatorServer:
    """A simulator behind a port, from `with` to the end of its block. Port 0 picks a free one.

    *control_token* is what a control call must bear in TOKEN_HEADER; without one it is made at random.
    """

    def __init__(self, simulator: Simulator, port: int = 0, *, control_token: str = "") -> None:
        self.control_token = control_token or secrets.token_hex(16)
        self._simulator = simulator
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.failure = ""  # why the server stopped on its own, where that is known
        self._http = _Http((HOST, port), _Handler)
        self._http.owner = self
        self._threads = [
            threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": TICK_SECONDS}, daemon=True),
            threading.Thread(target=self._tick, daemon=True),
        ]

    @property
    def url(self) -> str:
        """Return the base URL for a client."""
        return f"http://{HOST}:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Let `wait` return, and every pause end."""
        self._stopping.set()

    def wait(self) -> None:
        """Return when `stop` was called, or when the ticking thread failed: without it nothing ever happens."""
        self._stopping.wait()

    def check_sender(self, path: str, headers: Mapping[str, str]) -> None:
        """Raise Refusal for what a page sent, or was sent to another name, or lacks the token of a control call."""
        port = self._http.server_address[1]
        if "origin" in headers or headers.get("host", "").lower() not in {f"{HOST}:{port}", f"localhost:{port}"}:
            raise Refusal(403, f"Only programs that ask {HOST}:{port} are answered, no page of a browser.")
        given = headers.get(TOKEN_HEADER, "").encode("latin-1", "replace")
        if path.startswith(control.PREFIX) and not hmac.compare_digest(given, self.control_token.encode()):
            raise Refusal(403, f"A control call needs the simulator's token, in the header {TOKEN_HEADER}.")

    def respond(self, request: Request) -> Response:
        """Answer as things are; events are the ticking thread's. Raises ConnectionAbortedError once stopped."""
        if self._stopping.is_set():
            raise ConnectionAbortedError("the simulator has stopped")
        with self._lock:
            return self._simulator.respond(request)

    def pause(self, seconds: float) -> None:
        """Return after *seconds*, or at once when the server stops."""
        self._stopping.wait(seconds)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def _tick(self) -> None:
        try:
            while not self._stopping.is_set():
                with self._lock:
                    is_behind = self._advance_for(TICK_SECONDS)
                # A moment without the lock lets calls in between the steps of a large batch.
                self._stopping.wait(TURN_SECONDS if is_behind else TICK_SECONDS)
        except DiskFullError as error:
            self.failure = str(error)  # what a batch has run is charged by now, and cannot be written
        finally:
            self.stop()

    def _advance_for(self, seconds: float) -> bool:
        """Let things happen that are due, for so long, and return whether there may be more."""
        end = time.monotonic() + seconds
        while self._simulator.advance_once():
            if time.monotonic() >= end:
                return True
        return False


class _Http(ThreadingHTTPServer):
    owner: SimulatorServer
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without asking for the name of the host, which takes seconds where there is no name server."""
        socketserver.TCPServer.server_bind(self)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: _Http
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        try:
            self._send(self._answer())
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve  # noqa: N815 - the names that the base class calls

    def _answer(self) -> Response:
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            self.server.owner.check_sender(path, headers)
            # Nothing refers to the received body once the answer is there, so leaving the block may remove it.
            with tempfile.SpooledTemporaryFile(MEMORY_BYTES_MAX) as received:
                for piece in self._receive():
                    with told_of_full_disk():
                        received.write(piece)
                received.seek(0)
                request = Request(
                    method=self.command,
                    path=path,
                    query=dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)),
                    headers=headers,
                    body=iter(lambda: received.read(PIECE_BYTES), b""),
                )
                return self.server.owner.respond(request)
        except Refusal as refusal:
            # What is left of the body is not read, so the connection cannot be used again.
            self.close_connection = True
            return json_response(refusal.status, refusal.envelope)

    def _receive(self) -> Iterator[bytes]:
        """Yield the body as it arrives. Raises Refusal where it is too long or of unknown length."""
        size_bytes = 0
        for piece in self._receive_chunked() if "transfer-encoding" in self.headers else self._receive_counted():
            size_bytes += len(piece)
            if size_bytes > BODY_BYTES_MAX:
                raise Refusal(413, f"The body exceeds {BODY_BYTES_MAX} bytes.")
            yield piece

    def _receive_counted(self) -> Iterator[bytes]:
        text = self.headers.get("content-length", "0")
        if not text.isdecimal():
            raise Refusal(400, "Invalid content-length.")
        left = int(text)
        while left > 0:
            piece = self.rfile.read(min(left, PIECE_BYTES))
            if not piece:
                raise ConnectionAbortedError("the client left before its request was complete")
            left -= len(piece)
            yield piece

    def _receive_chunked(self) -> Iterator[bytes]:
        while True:
            try:
                size_bytes = int(self.rfile.readline(PIECE_BYTES).split(b";")[0], 16)
            except ValueError:
                raise Refusal(400, "Invalid chunked body.") from None
            if size_bytes > BODY_BYTES_MAX:
                raise Refusal(413, f"The body exceeds {BODY_BYTES_MAX} bytes.")
            piece = self.rfile.read(size_bytes)
            self.rfile.readline(PIECE_BYTES)
            if size_bytes == 0:
                return
            yield piece

    def _send(self, response: Response) -> None:
        carriage, amount = response.delivery.carriage, response.delivery.amount
        if carriage is Carriage.DROPPED:
            self.close_connection = True
            return
        if carriage is Carriage.HUNG:
            self.close_connection = True
            self._hold()
            return
        if carriage is Carriage.DELAYED:
            self.server.owner.pause(amount)
        head = self._head(response)
        if carriage is Carriage.DRIPPED:
            self._drip(head + b"".join(response.body), amount)
        elif carriage is Carriage.CUT:
            self.close_connection = True
            self._write(head, _first(response.body, int(amount)))
        else:
            self._write(head, response.body)

    def _hold(self) -> None:
        """Return when the client closes the connection, or the server stops."""
        self.connection.settimeout(HOLD_SECONDS)
        while not self.server.owner.is_stopping:
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    return
                self.server.owner.pause(HOLD_SECONDS)  # it sent more instead of waiting
            except TimeoutError:
                continue

    def _head(self, response: Response) -> bytes:
        reason = HTTPStatus(response.status).phrase if response.status in HTTPStatus else "Simulated"
        headers = {**response.headers, "content-length": str(response.length_bytes)}
        if self.close_connection:
            headers["connection"] = "close"
        lines = [f"HTTP/1.1 {response.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def _write(self, head: bytes, body: Iterable[bytes]) -> None:
        """Send *head* together with the first piece of *body*, so that a short answer is one packet."""
        pending = head
        for piece in body:
            self.wfile.write(pending + piece)
            pending = b""
        if pending:
            self.wfile.write(pending)

    def _drip(self, text: bytes, seconds: float) -> None:
        for position in range(len(text)):
            self.wfile.write(text[position : position + 1])
            self.server.owner.pause(seconds / len(text))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet: the ledger tells what happened."""


def _first(pieces: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    """Yield the first *size_bytes* of *pieces*."""
    left = size_bytes
    for piece in pieces:
        if left <= 0:
            return
        yield piece[:left]
        left -= len(piece)
