"""The calls about files.

Rule: a call looks at what was given, changes the world, and returns what the API returns; it knows no faults of transport.
"""

from openai_batch_simulator.behaviour import DAY_SECONDS
from openai_batch_simulator.call_faults import refusal_of
from openai_batch_simulator.files import File, check_upload, expiry_seconds
from openai_batch_simulator.multipart import Form, read_form
from openai_batch_simulator.paging import page_of, read_limit, refuse_unknown
from openai_batch_simulator.values import Refusal, Request, Response, json_response
from openai_batch_simulator.world import Caller, World

# `openai/types/file_list_params.py` of the Python SDK 3.54.0, read 2026-11-22.
LIST_LIMIT_MAX = 10_000
BATCH_EXPIRY_SECONDS = 30 * DAY_SECONDS
_LIST_PARAMETERS = frozenset({"after", "limit", "order", "purpose"})
_FORM_PARAMETERS = frozenset({"file", "purpose", "expires_after[anchor]", "expires_after[seconds]"})


def create(world: World, caller: Caller, request: Request, _id: str) -> Response:
    """Take an upload; its lines are not looked at."""
    world.uploads_of(caller.key).spend(caller.now, "uploads")
    form = read_form(request.headers.get("content-type", ""), request.body, world.blobs.new)
    refuse_unknown({**form.fields, **form.files}, _FORM_PARAMETERS)
    if "file" not in form.files or "purpose" not in form.fields:
        name = "file" if "file" not in form.files else "purpose"
        raise Refusal(400, f"'{name}' is a required property", param=name)
    filename, content = form.files["file"]
    purpose = form.fields["purpose"]
    check_upload(filename, purpose, content.size_bytes, world.behaviour)
    _refuse_large(world, content.size_bytes)
    lifetime_seconds = _lifetime_seconds(form, purpose)
    file = File(
        id=world.identifiers.file(),
        project=caller.project,
        filename=filename,
        purpose=purpose,
        content=content,
        created_at=caller.now,
        expires_at=None if lifetime_seconds is None else caller.now + lifetime_seconds,
        visible_at=caller.now + (world.faults.strike("file_unseen") or 0.0),
    )
    pending = world.faults.first_striking(["file_unprocessed"])
    if pending is not None:
        file.processed_at, file.refused_until_then = caller.now + pending.value, pending.message
    world.files.add(file)
    return json_response(200, file.describe(caller.now))


def _refuse_large(world: World, size_bytes: int) -> None:
    """Raise Refusal where a gateway in front of the API takes no file of this size."""
    for switch in world.faults.on("file_too_large"):
        if size_bytes > switch.value and world.faults.strikes(switch):
            raise refusal_of(switch.status or 413, switch)


def _lifetime_seconds(form: Form, purpose: str) -> int | None:
    anchor, seconds = (form.fields.get(f"expires_after[{name}]") for name in ("anchor", "seconds"))
    if anchor is None and seconds is None:
        return BATCH_EXPIRY_SECONDS if purpose == "batch" else None
    return expiry_seconds(anchor, int(seconds) if seconds and seconds.isdecimal() else seconds, "expires_after")


def retrieve(world: World, caller: Caller, _request: Request, file_id: str) -> Response:
    """Return one file's object."""
    return json_response(200, world.files.get(file_id, caller.project, caller.now).describe(caller.now))


def list_page(world: World, caller: Caller, request: Request, _id: str) -> Response:
    """Return a page of the files, newest first unless asked otherwise."""
    refuse_unknown(request.query, _LIST_PARAMETERS)
    order = request.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise Refusal(400, "Invalid 'order': expected 'asc' or 'desc'.", param="order")
    limit = read_limit(request.query, LIST_LIMIT_MAX, LIST_LIMIT_MAX)
    purpose = request.query.get("purpose")
    seen = [file for file in world.files.seen_by(caller.project, caller.now) if purpose in (None, file.purpose)]
    if order == "desc":
        seen.reverse()
    page = page_of(seen, request.query.get("after"), limit)
    return json_response(200, page.describe([file.describe(caller.now) for file in page.items]))


def delete(world: World, caller: Caller, _request: Request, file_id: str) -> Response:
    """Delete a file; batches that name it and did not read it yet will not find it."""
    file = world.files.get(file_id, caller.project, caller.now)
    file.deleted_at = caller.now
    if world.faults.strike("deletion_ignored") is None:
        file.usable_until = caller.now + (world.faults.strike("deletion_delayed") or 0.0)
    return json_response(200, {"id": file.id, "object": "file", "deleted": True})


def content(world: World, caller: Caller, _request: Request, file_id: str) -> Response:
    """Return the bytes of a file as a stream."""
    blob = world.files.get(file_id, caller.project, caller.now).content
    headers = {"content-type": "application/octet-stream"}
    return Response(status=200, headers=headers, body=blob.chunks(), length_bytes=blob.size_bytes)
