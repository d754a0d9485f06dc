"""What a fault does to one call: before it is done, or to its answer.

Rule: a fault either keeps the call from being done, or leaves it done; which of the two is fixed per name, because
that difference decides whether a repeated create is paid twice.
"""

from collections.abc import Callable, Mapping

from openai_batch_simulator.faults.switches import Switch
from openai_batch_simulator.messages import JSON, Carriage, Delivery, Form, Refusal, Request, Response, bytes_response

GARBAGE = b"<html><body>The simulator was configured to answer with this.</body></html>"
GARBAGE_STATUS = 200

# Statuses, their types and codes as the SDK's error classes know them (`openai/_exceptions.py`, 3.54.0, read 2026-11-22).
_KINDS: Mapping[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    429: ("requests", "rate_limit_exceeded"),
}


def refusal_of(status: int, switch: Switch | None = None, *, headers: Mapping[str, str] | None = None) -> Refusal:
    """Return the refusal with *status* that a fault answers, in the words of its *switch* where that has any."""
    kind, code = _KINDS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))  # noqa: PLR2004 - HTTP's own border
    message, form = f"The simulator was configured to answer {status}.", Form.ERROR
    if switch is not None:
        code, message = switch.code or code, switch.message or message
        form = Form(switch.form or Form.ERROR)
    return Refusal(status, message, kind=kind, code=code, headers=headers, form=form)


def _refuse(switch: Switch) -> Refusal:
    return refusal_of(int(switch.value), switch)


def _limit_rate(switch: Switch) -> Refusal:
    return refusal_of(429, headers={"retry-after": f"{switch.value:g}"})


def _forbid_retry(_switch: Switch) -> Refusal:
    return refusal_of(429, headers={"x-should-retry": "false"})


def _exhaust_quota(switch: Switch) -> Refusal:
    message = "You exceeded your current quota, please check your plan and billing details."
    code = switch.code or "insufficient_quota"
    return Refusal(429, switch.message or message, kind=code, code=code)


def _fill_queue(switch: Switch) -> Refusal:
    return Refusal(400, switch.message or "Enqueued token limit reached.", code="token_limit_exceeded")


def _break_content(_switch: Switch) -> Refusal:
    return refusal_of(502)


# Not done, and answered with an error.
REFUSALS: Mapping[str, Callable[[Switch], Refusal]] = {
    "refused": _refuse,
    "rate_limited": _limit_rate,
    "retry_forbidden": _forbid_retry,
    "quota_exhausted": _exhaust_quota,
    "queue_full_at_create": _fill_queue,
    "content_unavailable": _break_content,
}

# Not done now, and not answered.
LOSSES = ("dropped_before", "accepted_late", "hung")


def _drop(response: Response, _switch: Switch, _request: Request) -> Response:
    return _delivered(response, Carriage.DROPPED, 0.0)


def _delay(response: Response, switch: Switch, _request: Request) -> Response:
    return _delivered(response, Carriage.DELAYED, switch.value)


def _drip(response: Response, switch: Switch, _request: Request) -> Response:
    return _delivered(response, Carriage.DRIPPED, switch.value)


def _cut(response: Response, switch: Switch, _request: Request) -> Response:
    return _delivered(response, Carriage.CUT, min(switch.value, response.length_bytes - 1))


def _redirect(_response: Response, _switch: Switch, request: Request) -> Response:
    return bytes_response(307, b"", JSON, {"location": request.path})


def _fail(_response: Response, switch: Switch, _request: Request) -> Response:
    raise refusal_of(int(switch.value), switch)


def _garble(_response: Response, _switch: Switch, _request: Request) -> Response:
    return bytes_response(GARBAGE_STATUS, GARBAGE, "text/html")


# Done, and then.
SPOILERS: Mapping[str, Callable[[Response, Switch, Request], Response]] = {
    "dropped_after": _drop,
    "delayed": _delay,
    "dripped": _drip,
    "content_cut": _cut,
    "redirected": _redirect,
    "failed_after": _fail,
    "garbled": _garble,
}


def lost(switch: Switch) -> Response:
    """Return the answer that never arrives: the connection closes, or stays open for ever."""
    carriage = Carriage.HUNG if switch.fault == "hung" else Carriage.DROPPED
    return _delivered(bytes_response(500, b"", JSON), carriage, 0.0)


def _delivered(response: Response, carriage: Carriage, amount: float) -> Response:
    return Response(
        status=response.status,
        headers=response.headers,
        body=response.body,
        length_bytes=response.length_bytes,
        delivery=Delivery(carriage, amount),
    )
