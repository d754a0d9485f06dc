"""Which model a call is about: that of the batch, or of the first line of the input file, that it names.

Rule: this is looked at only where a fault strikes the calls about one model, and changes nothing.
"""

from dataclasses import replace

import msgspec

from openai_batch_simulator.account.account import Account
from openai_batch_simulator.messages import UNREADABLE, Request


class _Asked(msgspec.Struct):
    input_file_id: str = ""


class _CalledBody(msgspec.Struct):
    model: str | None = None


class _CalledLine(msgspec.Struct):
    body: _CalledBody


def buffered(request: Request) -> Request:
    """Return *request* with a body that can be read twice. For the short ones only."""
    return replace(request, body=(b"".join(request.body),))


def model_of(account: Account, operation: str, identifier: str, request: Request) -> str | None:
    """Return the model that a call is about, or None where it names nothing that has one."""
    if operation == "batches.create":
        return _model_of_file(account, _named_file(request))
    if operation.startswith("files."):
        return _model_of_file(account, identifier)
    batch = account.batches.get(identifier)
    return None if batch is None else _model_of_file(account, batch.input_file_id)


def _named_file(request: Request) -> str:
    try:
        return msgspec.json.decode(b"".join(request.body), type=_Asked).input_file_id
    except UNREADABLE:
        return ""


def _model_of_file(account: Account, file_id: str) -> str | None:
    file = account.files.by_id.get(file_id)
    if file is None:
        return None
    with file.content.open() as source:
        try:
            return msgspec.json.decode(source.readline(), type=_CalledLine).body.model
        except UNREADABLE:
            return None
