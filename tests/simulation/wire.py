"""The way to the provider: the real adapter's requests, counted and at risk, to the simulator in the same process.

Rule: a request that is struck leaves the simulator as the real network would leave the provider: not asked, asked and not
heard, or asked later.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx2
from simulation.gate import EFFECT, READ, Fault

from batchdrop.core.limits import Limits
from batchdrop.edge.provider import OpenAIProvider

if TYPE_CHECKING:
    from simulation.installation import Installation

BASE_URL = "http://simulator.invalid/v1"
KEYS = ("sk-canary-first", "sk-canary-rotated", "sk-canary-foreign")
CUT_AFTER_BYTES = 100.0
_ANSWERS = (Fault.TURNED_AWAY, Fault.REFUSED, Fault.BROKEN)
_STATUSES = {Fault.TURNED_AWAY: 429, Fault.REFUSED: 401, Fault.BROKEN: 500}


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
            fault: partial(_switched, here, request, "refused", operation, status)
            for fault, status in _STATUSES.items()
        }
        later: Callable[[], object] | None = None
        if name == "GET batches":
            faults = (*faults, Fault.STALE)
            odd[Fault.STALE] = partial(_switched, here, request, "list_lags", None, here.timing.fence_wait / 2)
        elif name == "GET content":
            faults = (*faults, Fault.PARTIAL)
            odd[Fault.PARTIAL] = partial(_switched, here, request, "content_cut", operation, CUT_AFTER_BYTES)
        elif request.method != "GET":
            later = partial(here.inner_wire.handle_request, _kept(request))
        here.notice_request(name, request)
        return here.gate.call(
            f"http {name}", partial(here.answer, request), faults, odd=odd, later=later,
            failure=lambda: httpx2.ReadTimeout("The read operation timed out", request=request),
        )  # fmt: skip


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
        return f"{request.method} {parts[0].removesuffix('es').removesuffix('s')}", f"{parts[0]}.{verb}"
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
        patch("batchdrop.edge.provider.deadline", _no_deadline),
    ):
        yield
