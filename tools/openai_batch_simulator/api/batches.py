"""The calls about batches.

Rule: a call looks at what was given, changes the account, and returns what the API returns; it knows no faults of transport.
"""

import math

import msgspec

from openai_batch_simulator.account.account import Account, Caller
from openai_batch_simulator.account.batches import TERMINAL, Batch, Happening, Status
from openai_batch_simulator.account.dialects import batch_as, list_as, list_query
from openai_batch_simulator.account.files import EXPIRY_SECONDS_MAX, expiry_seconds
from openai_batch_simulator.answers.asked import is_object
from openai_batch_simulator.answers.imitation import ENDPOINTS
from openai_batch_simulator.api.paging import page_of, read_limit, refuse_unknown
from openai_batch_simulator.messages import UNREADABLE, Refusal, Request, Response, json_response

# https://github.com/openai/openai-openapi, as of August 2026.
LIST_LIMIT_MAX, LIST_LIMIT_DEFAULT = 100, 20
METADATA_PAIRS_MAX, METADATA_KEY_MAX, METADATA_VALUE_MAX = 16, 64, 512
_CREATE_PARAMETERS = frozenset({"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"})
_LIST_PARAMETERS = frozenset({"after", "limit"})
# A body that is as long as its metadata may be, four bytes a character, is far below this.
BODY_BYTES_MAX = 1 << 18


def create(account: Account, caller: Caller, request: Request, _id: str) -> Response:
    """Accept a batch; what is wrong with its lines is found later."""
    asked = _read_object(request)
    dialect = account.behaviour.dialect
    refuse_unknown(asked, _CREATE_PARAMETERS if dialect.shows_metadata else _CREATE_PARAMETERS - {"metadata"})
    written = tuple(dialect.url(one) for one in ENDPOINTS if dialect.endpoints is None or one in dialect.endpoints)
    endpoint = dialect.endpoint(_choice(asked, "endpoint", written))
    _choice(asked, "completion_window", ("24h",))
    metadata = _read_metadata(asked.get("metadata"))
    output_expires_seconds = _read_output_expiry(asked.get("output_expires_after"))
    input_file_id = _read_input_file(account, caller, asked.get("input_file_id"))
    account.creates.spend(caller.now, "batch creations")
    batch = Batch(
        id=account.identifiers.batch(),
        project=caller.project,
        endpoint=endpoint,
        input_file_id=input_file_id,
        metadata=metadata,
        output_expires_seconds=output_expires_seconds,
        created_at=caller.now,
        expires_at=caller.now + account.behaviour.window_seconds,
        visible_at=caller.now + (account.faults.strike("batch_unseen") or 0.0),
        gone_at=_gone_at(account, caller.now),
    )
    account.batches[batch.id] = batch
    account.lifecycle.begin(batch)
    if dialect.batch_form == "job":
        return json_response(201, {"job": _describe(account, batch, caller.now), "warning": ""})
    return _shown(account, batch, caller.now)


def _gone_at(account: Account, now: float) -> float:
    seconds = account.faults.strike("batch_gone")
    return math.inf if seconds is None else now + seconds


def _read_object(request: Request) -> dict[str, object]:
    text = bytearray()
    for piece in request.body:
        text += piece
        if len(text) > BODY_BYTES_MAX:
            raise Refusal(413, f"The body exceeds {BODY_BYTES_MAX} bytes.")
    try:
        asked = msgspec.json.decode(text)
    except UNREADABLE:
        raise Refusal(400, "We could not parse the JSON body of your request.") from None
    if not is_object(asked):
        raise Refusal(400, "The body must be a JSON object.")
    return asked


def _choice(asked: dict[str, object], name: str, choices: tuple[str, ...]) -> str:
    value = asked.get(name)
    if value is None:
        raise Refusal(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if not isinstance(value, str) or value not in choices:
        supported = ", ".join(f"'{choice}'" for choice in choices)
        message = f"Invalid value: '{value}'. Supported values are: {supported}."
        raise Refusal(400, message, param=name, code="invalid_value")
    return value


def _read_metadata(given: object) -> dict[str, str] | None:
    if given is None:
        return None
    if not is_object(given) or len(given) > METADATA_PAIRS_MAX:
        raise Refusal(400, f"Invalid 'metadata': an object of at most {METADATA_PAIRS_MAX} pairs.", param="metadata")
    for key, value in given.items():
        if len(key) > METADATA_KEY_MAX or not isinstance(value, str) or len(value) > METADATA_VALUE_MAX:
            limits = f"keys of at most {METADATA_KEY_MAX}, and strings of at most {METADATA_VALUE_MAX} characters"
            raise Refusal(400, f"Invalid 'metadata': expected {limits}.", param=f"metadata.{key}"[:METADATA_KEY_MAX])
    return {key: str(value) for key, value in given.items()}


def _read_output_expiry(given: object) -> int:
    if given is None:
        return EXPIRY_SECONDS_MAX
    if not is_object(given):
        raise Refusal(400, "Invalid 'output_expires_after': expected an object.", param="output_expires_after")
    return expiry_seconds(given.get("anchor"), given.get("seconds"), "output_expires_after")


def _read_input_file(account: Account, caller: Caller, file_id: object) -> str:
    if not isinstance(file_id, str):
        message = "Missing required parameter: 'input_file_id'."
        raise Refusal(400, message, param="input_file_id", code="missing_required_parameter")
    if not account.behaviour.input_checked_at_create:
        return file_id
    file = account.files.by_id.get(file_id)
    is_found = file is not None and file.project == caller.project and file.visible_at <= caller.now
    if file is None or not is_found or not file.is_usable(caller.now):
        # The provider's words and its param, also for a file that was uploaded a moment ago
        # (https://github.com/bespokelabsai/curator/issues/116, read 2026-11-22).
        message = f"Cannot find file {file_id}, or project {caller.project} does not have access to it."
        raise Refusal(400, message, param="file_id")
    if file.purpose != "batch":
        message = f"File {file_id} has purpose '{file.purpose}', not 'batch'."
        raise Refusal(400, message, param="input_file_id", code="invalid_request")
    if not file.is_processed(caller.now):
        # Azure refuses it (https://github.com/openai/openai-dotnet/issues/312, read 2026-11-30); the words are ours.
        message = file.refused_until_then or f"File {file_id} is not processed yet: its status is 'pending'."
        raise Refusal(400, message, param="input_file_id")
    return file_id


def retrieve(account: Account, caller: Caller, _request: Request, batch_id: str) -> Response:
    """Return one batch."""
    return _shown(account, _find(account, caller, batch_id), caller.now)


def list_page(account: Account, caller: Caller, request: Request, _id: str) -> Response:
    """Return a page of the batches, newest first."""
    dialect = account.behaviour.dialect
    query = list_query(dialect, request.query)
    refuse_unknown(query, _LIST_PARAMETERS)
    default = LIST_LIMIT_DEFAULT if dialect.list_form != "array" else len(account.batches)
    limit = read_limit(query, default, max(default, LIST_LIMIT_MAX)) if default else 1
    newest_seen = caller.now - (account.faults.strike("list_lags") or 0.0)
    seen = [
        batch
        for batch in reversed(account.batches.values())
        if batch.project == caller.project and batch.created_at <= newest_seen and caller.now < batch.gone_at
    ]
    if account.faults.strike("list_reordered") is not None:
        # By identifier: no order in time, but the same on every page.
        seen.sort(key=lambda batch: batch.id)
    page = page_of(seen, query.get("after"), limit)
    return json_response(200, list_as(dialect, page.describe([_describe(account, b, caller.now) for b in page.items])))


def cancel(account: Account, caller: Caller, _request: Request, batch_id: str) -> Response:
    """Begin to cancel a batch; asked again meanwhile, nothing changes. Refused (409) where the batch has ended."""
    batch = _find(account, caller, batch_id)
    if batch.status in TERMINAL:
        # The status and the words are those of re-implementations; the provider's own are not documented.
        raise Refusal(409, f"Cannot cancel a batch with status '{batch.status.value}'.")
    if account.faults.strike("cancel_ignored") is not None:
        return json_response(200, _describe(account, batch, caller.now) | {"status": Status.CANCELLING.value})
    if batch.can(Happening.CANCEL_ASKED):
        account.lifecycle.cancel(batch, caller.now)
    return _shown(account, batch, caller.now)


def _find(account: Account, caller: Caller, batch_id: str) -> Batch:
    batch = account.batches.get(batch_id)
    is_there = batch is not None and batch.visible_at <= caller.now < batch.gone_at
    if batch is None or batch.project != caller.project or not is_there:
        raise Refusal(404, f"No batch found with id '{batch_id}'.")
    return batch


def _shown(account: Account, batch: Batch, now: float) -> Response:
    return json_response(200, _describe(account, batch, now))


def _describe(account: Account, batch: Batch, now: float) -> dict[str, object]:
    """Return the Batch object as the client sees it, which faults may distort."""
    described = batch_as(account.behaviour.dialect, batch.describe(now))
    if not account.faults.switches:
        return described
    if account.faults.strike("unknown_status") is not None:
        described["status"] = "simulated_unknown_status"
    if account.faults.strike("unknown_fields") is not None:
        described |= {"simulated_field": {"nested": [1, None]}, "simulated_at": int(now)}
    if account.faults.strike("counts_null") is not None:
        described["request_counts"] = None
    return described
