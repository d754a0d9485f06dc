"""The control endpoint: what a test or a person reads and sets while the simulator runs.

Rule: it is the only place where a client may learn what really happened.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from openai_batch_simulator.faults import FAULTS, UnknownSwitchError
from openai_batch_simulator.values import UNREADABLE, Refusal, Request, Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from openai_batch_simulator.application import Simulator

PREFIX = "/_simulator/"


class _FaultAsked(msgspec.Struct, forbid_unknown_fields=True):
    fault: str
    operation: str | None = None
    value: float | None = None
    status: int | None = None
    code: str | None = None
    message: str | None = None
    form: str | None = None
    model: str | None = None
    times: int | None = None
    skip: int = 0
    rate: float = 1.0


class _TimeAsked(msgspec.Struct, forbid_unknown_fields=True):
    advance_seconds: float


def respond(simulator: Simulator, request: Request) -> Response:
    """Answer a request below `PREFIX`."""
    call = _CALLS.get((request.method, request.path.removeprefix(PREFIX)), _refuse_unknown)
    try:
        return json_response(200, call(simulator, request))
    except Refusal as refusal:
        return json_response(refusal.status, refusal.envelope)


def _refuse_unknown(_simulator: Simulator, request: Request) -> object:
    known = ", ".join(f"{method} {PREFIX}{name}" for method, name in _CALLS)
    raise Refusal(404, f"There is no {request.method} {request.path}; there are: {known}.")


def describe_ledger(simulator: Simulator, *, with_lines: bool) -> dict[str, object]:
    """Return the ledger as JSON values; with its lines it is as long as what ran."""
    world = simulator.world
    ledger = simulator.ledger
    accounts = ledger.accounts.values()
    described: dict[str, object] = {
        "simulated": True,
        "now": world.clock.now(),
        "calls": dict(ledger.calls),
        "files": [
            {**file.describe(world.clock.now()), "project": file.project, "deleted_at": file.deleted_at}
            for file in world.files.by_id.values()
        ],
        "batches": [
            {
                **batch.describe(world.clock.now()),
                "project": batch.project,
                "lines_charged": ledger.accounts[batch.id].charged if batch.id in ledger.accounts else 0,
            }
            for batch in world.batches.values()
        ],
        "lines_ran": sum(len(account.lines) for account in accounts),
        "lines_charged": sum(account.charged for account in accounts),
        "charged_more_than_once": [
            {"custom_id": custom_id, "body_digest": digest, "batch_ids": batch_ids}
            for (custom_id, digest), batch_ids in ledger.charged_more_than_once().items()
        ],
    }
    if with_lines:
        described["lines"] = [dataclasses.asdict(charge) for charge in ledger.charges()]
    return described


def _read_ledger(simulator: Simulator, request: Request) -> object:
    return describe_ledger(simulator, with_lines=request.query.get("lines", "true") != "false")


def _list_faults(simulator: Simulator, _request: Request) -> object:
    known = {name: dataclasses.asdict(fault) for name, fault in FAULTS.items()}
    return {"switches": [switch.describe() for switch in simulator.faults.switches], "faults": known}


def _switch_fault(simulator: Simulator, request: Request) -> object:
    asked = _read(request, _FaultAsked)
    try:
        return simulator.faults.switch(**msgspec.structs.asdict(asked)).describe()
    except UnknownSwitchError as error:
        raise Refusal(400, str(error)) from error


def _clear_faults(simulator: Simulator, _request: Request) -> object:
    simulator.faults.clear()
    return {"switches": []}


def _read_clock(simulator: Simulator, _request: Request) -> object:
    return {"now": simulator.clock.now()}


def _advance_clock(simulator: Simulator, request: Request) -> object:
    seconds = _read(request, _TimeAsked).advance_seconds
    if seconds < 0:
        raise Refusal(400, "Time does not run backwards.", param="advance_seconds")
    simulator.clock.advance(seconds)
    simulator.advance()
    return {"now": simulator.clock.now()}


_CALLS: Mapping[tuple[str, str], Callable[[Simulator, Request], object]] = {
    ("GET", "ledger"): _read_ledger,
    ("GET", "faults"): _list_faults,
    ("POST", "faults"): _switch_fault,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "clock"): _read_clock,
    ("POST", "clock"): _advance_clock,
}


def calls() -> Iterable[tuple[str, str]]:
    """Return the method and the name, below `PREFIX`, of every call there is."""
    return _CALLS.keys()


def _read[Asked: msgspec.Struct](request: Request, kind: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(b"".join(request.body), type=kind)
    except UNREADABLE as error:
        raise Refusal(400, f"Invalid control request: {error}.") from error
