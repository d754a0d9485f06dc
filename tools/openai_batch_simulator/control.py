"""The control endpoint: what a test or a person reads and sets while the simulator runs.

Rule: it is the only place where a client may learn what really happened.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import msgspec

from openai_batch_simulator.account.account import Account
from openai_batch_simulator.faults.switches import FAULTS, UnknownSwitchError
from openai_batch_simulator.messages import UNREADABLE, Refusal, Request, Response, json_response

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


def respond(account: Account, request: Request) -> Response:
    """Answer a request below `PREFIX`."""
    call = _CALLS.get((request.method, request.path.removeprefix(PREFIX)), _refuse_unknown)
    try:
        return json_response(200, call(account, request))
    except Refusal as refusal:
        return json_response(refusal.status, refusal.envelope)


def _refuse_unknown(_account: Account, request: Request) -> object:
    known = ", ".join(f"{method} {PREFIX}{name}" for method, name in _CALLS)
    raise Refusal(404, f"There is no {request.method} {request.path}; there are: {known}.")


def describe_ledger(account: Account, *, with_lines: bool) -> dict[str, object]:
    """Return the ledger as JSON values; with its lines it is as long as what ran."""
    account.advance()
    ledger = account.ledger
    batches = ledger.by_batch.values()
    described: dict[str, object] = {
        "simulated": True,
        "now": account.clock.now(),
        "calls": dict(ledger.calls),
        "files": [
            {**file.describe(account.clock.now()), "project": file.project, "deleted_at": file.deleted_at}
            for file in account.files.by_id.values()
        ],
        "batches": [
            {
                **batch.describe(account.clock.now()),
                "project": batch.project,
                "lines_charged": ledger.by_batch[batch.id].charged if batch.id in ledger.by_batch else 0,
            }
            for batch in account.batches.values()
        ],
        "lines_ran": sum(len(batch.lines) for batch in batches),
        "lines_charged": sum(batch.charged for batch in batches),
        "charged_more_than_once": [
            {"custom_id": custom_id, "body_digest": digest, "batch_ids": batch_ids}
            for (custom_id, digest), batch_ids in ledger.charged_more_than_once().items()
        ],
    }
    if with_lines:
        described["lines"] = [dataclasses.asdict(charge) for charge in ledger.charges()]
    return described


def _read_ledger(account: Account, request: Request) -> object:
    return describe_ledger(account, with_lines=request.query.get("lines", "true") != "false")


def _list_faults(account: Account, _request: Request) -> object:
    known = {name: dataclasses.asdict(fault) for name, fault in FAULTS.items()}
    return {"switches": [switch.describe() for switch in account.faults.switches], "faults": known}


def _switch_fault(account: Account, request: Request) -> object:
    asked = _read(request, _FaultAsked)
    try:
        return account.faults.switch(**msgspec.structs.asdict(asked)).describe()
    except UnknownSwitchError as error:
        raise Refusal(400, str(error)) from error


def _clear_faults(account: Account, _request: Request) -> object:
    account.faults.clear()
    return {"switches": []}


def _read_clock(account: Account, _request: Request) -> object:
    return {"now": account.clock.now()}


def _advance_clock(account: Account, request: Request) -> object:
    seconds = _read(request, _TimeAsked).advance_seconds
    if seconds < 0:
        raise Refusal(400, "Time does not run backwards.", param="advance_seconds")
    account.clock.advance(seconds)
    account.advance()
    return {"now": account.clock.now()}


_CALLS: Mapping[tuple[str, str], Callable[[Account, Request], object]] = {
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
