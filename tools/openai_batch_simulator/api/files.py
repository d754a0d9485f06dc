"""The calls about files.

Rule: a call looks at what was given, changes the account, and returns what the API returns; it knows no faults of transport.
"""

from openai_batch_simulator.account.account import Account, Caller
from openai_batch_simulator.account.behaviour import DAY_SECONDS
from openai_batch_simulator.account.dialects import Dialect, list_as, list_query
from openai_batch_simulator.account.files import File, check_upload, expiry_seconds
from openai_batch_simulator.api.multipart import MultipartForm, read_form
from openai_batch_simulator.api.paging import page_of, read_limit, refuse_unknown
from openai_batch_simulator.faults.calls import refusal_of
from openai_batch_simulator.messages import Refusal, Request, Response, json_response

# `openai/types/file_list_params.py` of the Python SDK 3.54.0, read 2026-11-22.
LIST_LIMIT_MAX = 10_000
BATCH_EXPIRY_SECONDS = 30 * DAY_SECONDS
_LIST_PARAMETERS = frozenset({"after", "limit", "order", "purpose"})
_FORM_REQUIRED = frozenset({"file", "purpose"})
_FORM_PARAMETERS = _FORM_REQUIRED | {"expires_after[anchor]", "expires_after[seconds]"}


def create(account: Account, caller: Caller, request: Request, _id: str) -> Response:
    """Take an upload; its lines are not looked at."""
    account.uploads_of(caller.key).spend(caller.now, "uploads")
    form = read_form(request.headers.get("content-type", ""), request.body, account.blobs.new)
    dialect = account.behaviour.dialect
    refuse_unknown({**form.fields, **form.files}, _form_parameters(dialect))
    required = ("file", "purpose", "file_name") if dialect.needs_file_name else ("file", "purpose")
    for name in required:
        if name not in form.files and name not in form.fields:
            raise Refusal(400, f"'{name}' is a required property", param=name)
    filename, content = form.files["file"]
    purpose = form.fields["purpose"]
    if dialect.purpose is not None and purpose != dialect.purpose:
        raise Refusal(400, f"'{purpose}' is not '{dialect.purpose}' - 'purpose'", param="purpose")
    purpose = "batch" if dialect.purpose else purpose
    check_upload(filename, purpose, content.size_bytes, account.behaviour)
    _refuse_large(account, content.size_bytes)
    lifetime_seconds = _lifetime_seconds(form, purpose, dialect)
    file = File(
        id=account.identifiers.file(),
        project=caller.project,
        filename=filename if dialect.keeps_file_names else "modified_file.jsonl",
        purpose=purpose,
        content=content,
        created_at=caller.now,
        expires_at=None if lifetime_seconds is None else caller.now + lifetime_seconds,
        visible_at=caller.now + (account.faults.strike("file_unseen") or 0.0),
        processed_at=caller.now + dialect.process_seconds,
    )
    pending = account.faults.first_striking(["file_unprocessed"])
    if pending is not None:
        file.processed_at, file.refused_until_then = caller.now + pending.value, pending.message
    account.files.add(file)
    return json_response(200, _shown(account, file, caller.now))


def _refuse_large(account: Account, size_bytes: int) -> None:
    """Raise Refusal where a gateway in front of the API takes no file of this size."""
    for switch in account.faults.on("file_too_large"):
        if size_bytes > switch.value and account.faults.strikes(switch):
            raise refusal_of(switch.status or 413, switch)


def _form_parameters(dialect: Dialect) -> frozenset[str]:
    """Return the fields that an upload may have."""
    named = frozenset({"file_name"}) if dialect.needs_file_name else frozenset()
    return (_FORM_PARAMETERS if dialect.expiry or dialect.ignores_expiry else _FORM_REQUIRED) | named


def _lifetime_seconds(form: MultipartForm, purpose: str, dialect: Dialect) -> int | None:
    if dialect.expiry is None:
        return BATCH_EXPIRY_SECONDS
    anchor, seconds = (form.fields.get(f"expires_after[{name}]") for name in ("anchor", "seconds"))
    if anchor is None and seconds is None:
        return BATCH_EXPIRY_SECONDS if purpose == "batch" else None
    given = int(seconds) if seconds and seconds.isdecimal() else seconds
    return expiry_seconds(anchor, given, "expires_after", dialect.expiry)


def retrieve(account: Account, caller: Caller, _request: Request, file_id: str) -> Response:
    """Return one file's object."""
    return json_response(200, _shown(account, account.files.get(file_id, caller.project, caller.now), caller.now))


def list_page(account: Account, caller: Caller, request: Request, _id: str) -> Response:
    """Return a page of the files, newest first unless asked otherwise."""
    dialect = account.behaviour.dialect
    purpose = request.query.get("purpose")
    if purpose == dialect.purpose:
        purpose = purpose and "batch"
    query = {name: value for name, value in request.query.items() if name != "purpose"}
    query = dict(list_query(dialect, query))
    refuse_unknown(query, _LIST_PARAMETERS)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise Refusal(400, "Invalid 'order': expected 'asc' or 'desc'.", param="order")
    limit_max = min(LIST_LIMIT_MAX, dialect.files_page_max)
    limit = read_limit(query, limit_max, limit_max)
    seen = [file for file in account.files.seen_by(caller.project, caller.now) if purpose in (None, file.purpose)]
    if order == "desc":
        seen.reverse()
    page = page_of(seen, query.get("after"), limit)
    return json_response(
        200, list_as(dialect, page.describe([_shown(account, file, caller.now) for file in page.items]))
    )


def delete(account: Account, caller: Caller, _request: Request, file_id: str) -> Response:
    """Delete a file; batches that name it and did not read it yet will not find it."""
    file = account.files.get(file_id, caller.project, caller.now)
    file.deleted_at = caller.now
    is_ignored = account.faults.strike("deletion_ignored") is not None
    if account.behaviour.dialect.deletion_stops_create and not is_ignored:
        file.usable_until = caller.now + (account.faults.strike("deletion_delayed") or 0.0)
    if not account.behaviour.dialect.tells_deleted:
        return json_response(200, file.describe(caller.now))
    return json_response(200, {"id": file.id, "object": "file", "deleted": True})


def _shown(account: Account, file: File, now: float) -> dict[str, object]:
    """Return the File object as this kind of server shows it."""
    dialect, described = account.behaviour.dialect, file.describe(now)
    if dialect.purpose and file.purpose == "batch":
        described["purpose"] = dialect.purpose
    return {name: value for name, value in described.items() if not (dialect.leaves_out_null and value is None)}


def content(account: Account, caller: Caller, _request: Request, file_id: str) -> Response:
    """Return the bytes of a file as a stream."""
    blob = account.files.get(file_id, caller.project, caller.now).content
    headers = {"content-type": "application/octet-stream"}
    return Response(status=200, headers=headers, body=blob.chunks(), length_bytes=blob.size_bytes)
