"""Lets a client in the same process talk to a simulator: a transport for httpx2, which the OpenAI SDK uses.

Rule: what a socket would do to an answer, this does: the same exceptions, after the same time on the simulator's clock.
"""

from collections.abc import Iterable, Iterator

import httpx2

from openai_batch_simulator.app import Simulator
from openai_batch_simulator.messages import Carriage, Request, Response

# A client without a time-out waits for so long; then something on the way forgets the connection.
HUNG_SECONDS_MAX = 7 * 24 * 3600.0


def transport(simulator: Simulator) -> httpx2.BaseTransport:
    """Return a transport whose every request *simulator* answers, whatever the host.

    `openai.OpenAI(base_url="http://simulator/v1", http_client=httpx2.Client(transport=transport(simulator)))`
    """
    return _Transport(simulator)


class _Transport(httpx2.BaseTransport):
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        body = request.stream
        assert isinstance(body, Iterable), "a synchronous client sends synchronous bodies"  # noqa: S101 - httpx2's promise
        asked = Request(
            method=request.method,
            path=request.url.path,
            query=dict(request.url.params),
            headers=dict(request.headers.items()),
            body=body,
        )
        return self._deliver(self._simulator.handle(asked), request)

    def _deliver(self, response: Response, request: httpx2.Request) -> httpx2.Response:
        """Do to *response* what its delivery says."""
        carriage, amount = response.delivery.carriage, response.delivery.amount
        if carriage is Carriage.DROPPED:
            raise httpx2.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        if carriage is Carriage.HUNG:
            self._wait(HUNG_SECONDS_MAX, request)
            raise httpx2.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        if carriage is Carriage.DELAYED:
            self._wait(amount, request)
        if carriage is Carriage.DRIPPED:
            # Each byte comes within the read time-out, so the client waits to the end.
            self._simulator.clock.sleep(amount)
        promised = response.length_bytes
        body = response.body if carriage is not Carriage.CUT else _cut(response.body, int(amount), promised, request)
        headers = {**response.headers, "content-length": str(promised)}
        return httpx2.Response(response.status, headers=headers, stream=_Body(body), request=request)

    def _wait(self, seconds: float, request: httpx2.Request) -> None:
        read_seconds = request.extensions.get("timeout", {}).get("read")
        if read_seconds is not None and read_seconds < seconds:
            self._simulator.clock.sleep(read_seconds)
            raise httpx2.ReadTimeout("The read operation timed out", request=request)
        self._simulator.clock.sleep(seconds)


class _Body(httpx2.SyncByteStream):
    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


def _cut(pieces: Iterable[bytes], size_bytes: int, promised: int, request: httpx2.Request) -> Iterator[bytes]:
    """Yield the first *size_bytes*, then fail as a closed connection does."""
    left = size_bytes
    for piece in pieces:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            break
    problem = f"received {size_bytes} bytes, expected {promised}"
    raise httpx2.RemoteProtocolError(
        f"peer closed connection without sending complete message body ({problem})", request=request
    )
