"""The way to the provider: the real adapter's requests, counted and at risk, to the simulator in the same process.

Rule: a request that is struck leaves the simulator as the real network would leave the provider: not asked, asked and not
heard, or asked later.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx2
from simulation.gate import EFFECT, READ, Fault

from batchdrop.core.model.limits import Limits
from batchdrop.edge.openai.provider import OpenAIProvider

if TYPE_CHECKING:
    from simulation.installation import Installation

BASE_URL = "http://simulator.invalid/v1"
KEYS = ("sk-canary-first", "sk-canary-rotated", "sk-canary-foreign")
CUT_AFTER_BYTES = 100.0
STATUSES = {
    Fault.TURNED_AWAY: 429, Fault.REFUSED: 401, Fault.BROKEN: 500, Fault.DENIED: 400, Fault.NOT_FOUND: 404,
    Fault.NOT_ALLOWED: 405, Fault.GONE: 410, Fault.TOO_LARGE: 413, Fault.UNPROCESSABLE: 422,
}  # fmt: skip
_ANSWERS = (*STATUSES, Fault.HANG, Fault.UNREACHABLE)
# install.job.shard.attempt.try, in the name of a file or in the metadata of a batch.
_TICKET = re.compile(rb"([0-9a-f-]{36}\.[0-9a-f]{20}\.\d+\.\d+\.\d+)")
_ONE = {"files": "file", "batches": "batch"}
# A call without a time-out of its own would wait for ever: longer than any function lives.
_FOREVER_SECONDS = 3_600.0


class Wire(httpx2.BaseTransport):
    """Carries requests of whichever installation is being simulated: building the SDK's client costs more than using it."""

    def __init__(self) -> None:
        self.installation: Installation | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the simulator's answer, unless a fault strikes."""
        here = self.installation
        assert here is not None
        name, operation = _operation(request)
        faults: tuple[Fault, ...] = (*(READ if request.method == "GET" else EFFECT), *_ANSWERS)
        odd: dict[Fault, Callable[[], httpx2.Response]] = {
            fault: partial(_switched, here, request, "refused", operation, status) for fault, status in STATUSES.items()
        }
        odd |= {Fault.HANG: partial(_hung, here, request), Fault.UNREACHABLE: partial(_unreached, request)}
        later: Callable[[], object] | None = None
        if name == "GET batches":
            faults = (*faults, Fault.STALE)
            odd[Fault.STALE] = partial(_switched, here, request, "list_lags", None, here.timing.fence_wait / 2)
        elif name == "GET content":
            faults = (*faults, Fault.PARTIAL)
            odd[Fault.PARTIAL] = partial(_switched, here, request, "content_cut", operation, CUT_AFTER_BYTES)
        elif request.method != "GET":
            later = partial(here.inner_wire.handle_request, _kept(request))
        here.notification_request(name, request)
        return here.gate.call(
            f"http {name}", partial(here.answer, request), faults, odd=odd, later=later,
            failure=lambda: httpx2.ReadTimeout("The read operation timed out", request=request), thing=_thing(request),
        )  # fmt: skip


def _thing(request: httpx2.Request) -> str:
    """Return what *request* is about: the attempt of a shard whose file or batch is made, or what the address names."""
    if request.method == "POST":
        ticket = _TICKET.search(request.read())
        return request.url.path if ticket is None else ticket[1].rpartition(b".")[0].decode()
    return request.url.path


def _switched(
    here: "Installation", request: httpx2.Request, fault: str, operation: str | None, value: float
) -> httpx2.Response:
    """Return the answer under one of the simulator's own faults."""
    switch = here.simulator.faults.switch(fault, operation=operation, value=value, times=1)
    here.simulator.faults.switches.insert(0, here.simulator.faults.switches.pop())
    try:
        return here.inner_wire.handle_request(request)
    finally:
        here.simulator.faults.switches.remove(switch)


def _hung(here: "Installation", request: httpx2.Request) -> httpx2.Response:
    """Wait for as long as the client does, and leave the provider as it was."""
    seconds = request.extensions.get("timeout", {}).get("read")
    here.gate.wait(_FOREVER_SECONDS if seconds is None else seconds)
    raise httpx2.ReadTimeout("The read operation timed out", request=request)


def _unreached(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("[Errno 111] Connection refused", request=request)


def _kept(request: httpx2.Request) -> httpx2.Request:
    """Return *request* with its body in memory: what it was read from is gone by the time that a late call arrives."""
    return httpx2.Request(request.method, request.url, headers=request.headers, content=request.read())


def _operation(request: httpx2.Request) -> tuple[str, str]:
    """Return what is asked, for people and as the simulator names it."""
    parts = request.url.path.removeprefix("/v1/").split("/")
    if len(parts) == 3:
        return ("GET content", "files.content") if parts[2] == "content" else ("POST cancel", "batches.cancel")
    if len(parts) == 2:
        verb = {"GET": "retrieve", "DELETE": "delete"}[request.method]
        return f"{request.method} {_ONE[parts[0]]}", f"{parts[0]}.{verb}"
    return f"{request.method} {parts[0]}", f"{parts[0]}.{'list' if request.method == 'GET' else 'create'}"


@cache
def shared_wire() -> Wire:
    """Return the one wire of this process."""
    return Wire()


@cache
def adapters() -> dict[str, OpenAIProvider]:
    """Return the real adapter of each key, over the shared wire."""
    limits = Limits()
    return {
        key: OpenAIProvider(
            key, BASE_URL, f"print-of-{key}", create_timeout_seconds=limits.create_timeout_seconds,
            on_refused=lambda: None, transport=shared_wire(),
        )
        for key in KEYS
    }  # fmt: skip


# The SDK takes the same few addresses apart four times a request, which was a seventh of all the simulation's time.
_remembered_urlparse = lru_cache(maxsize=10_000)(httpx2._urlparse.urlparse)  # noqa: SLF001 - it is pure


@contextmanager
def _no_deadline(_seconds: float) -> Iterator[None]:
    """Real seconds do not matter here, and alarms of tasks that take turns would ring for one another."""
    yield


@contextmanager
def virtual_waits(installation: "Installation") -> Iterator[None]:
    """Let the SDK sleep between its tries on the virtual clock, and calls end by the simulation's time alone."""

    def sleep(*_args: object, **_options: object) -> None:
        installation.tasks.time.advance(1.0)

    with (
        patch("openai._base_client.SyncAPIClient._sleep_for_retry", sleep),
        patch("httpx2._urls.urlparse", _remembered_urlparse),
        patch("batchdrop.edge.openai.provider.deadline", _no_deadline),
    ):
        yield
