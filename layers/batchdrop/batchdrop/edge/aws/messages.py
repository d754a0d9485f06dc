"""Reads what arrives at a function: bodies of SQS messages become drops and wake-up messages.

Rule: nothing that arrives can raise. What is not for us, or not understood, becomes `Ignored` with a reason for the log;
an object without a version becomes a drop that says so, because a person waits for it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import unquote_plus

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from batchdrop.core.model.keys import CONTROL_PREFIX, Upload, named_version
from batchdrop.flow.ports import Ports

# A message of SQS holds 1 MiB (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html,
# 2026-11-22), an S3 event one record: no known sender puts more than this into one.
RECORDS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Drop:
    """An object was put into the inbox. `upload.version` is empty where the bucket keeps no versions."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Wakeup:
    """Look at a job, or at one shard of it."""

    job: str
    shard: int | None


@dataclass(frozen=True, slots=True)
class Tell:
    """Send the installation's pending notification."""


@dataclass(frozen=True, slots=True)
class Control:
    """A person asks something of a job, such as `cancel`; whether the word is one is for the flow to say."""

    job: str
    word: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do; *reason* is one of a few fixed texts, fit for the log."""

    reason: str


type Arrival = Drop | Wakeup | Tell | Control | Ignored

_CONTROL_KEY = re.compile(r"control/([0-9a-f]{20})/([a-z]{1,20})")


class _QueueMessage(Struct):
    body: str
    message_id: str = field(default="", name="messageId")


class _QueueMessages(Struct):
    messages: list[_QueueMessage] = field(name="Records")


class _Bucket(Struct):
    name: str


class _S3Object(Struct):
    key: str
    version: str = field(default="", name="versionId")


class _S3(Struct):
    bucket: _Bucket
    object: _S3Object


class _S3Record(Struct):
    source: Literal["aws:s3"] = field(name="eventSource")
    name: str = field(name="eventName")
    s3: _S3


class _BridgedObject(Struct):
    key: str
    version: str = field(default="", name="version-id")


class _BridgedDetail(Struct):
    bucket: _Bucket
    object: _BridgedObject


class _NamedUpload(Struct):
    bucket: str
    key: str
    version: str = ""


class _MessageBody(Struct):
    """Every shape that a body may have, told apart by which member is there.

    *records* is S3's own notification, *detail* what EventBridge tells of S3; *drop* is what the reconciler says of one whose
    event never came, its key as it is; *job* is a wake-up message; *tell* asks for a notification about the whole installation.
    """

    records: Annotated[list[Raw], Meta(max_length=RECORDS_MAX)] | UnsetType = field(default=UNSET, name="Records")
    test: Literal["s3:TestEvent"] | UnsetType = field(default=UNSET, name="Event")
    source: str = ""
    detail_type: str = field(default="", name="detail-type")
    detail: Raw | UnsetType = UNSET
    drop: _NamedUpload | UnsetType = UNSET
    job: Annotated[str, Meta(pattern=r"^[0-9a-f]{20}\Z")] | UnsetType = UNSET
    shard: Annotated[int, Meta(ge=0)] | None = None
    tell: Literal["installation"] | UnsetType = UNSET


_read_body = msgspec.json.Decoder(_MessageBody).decode
_read_s3_record = msgspec.json.Decoder(_S3Record).decode
_read_detail = msgspec.json.Decoder(_BridgedDetail).decode
# Malformed, of another shape, too deep, or text that no encoding has.
_NOT_UNDERSTOOD = (msgspec.MsgspecError, RecursionError, UnicodeError)


def read_messages(event: Mapping[str, Any], ports: Ports) -> Iterator[Drop | Wakeup | Tell | Control]:
    """Yield what the SQS event of one invocation asks for; the rest is logged and left."""
    try:
        messages = msgspec.convert(event, _QueueMessages).messages
    except _NOT_UNDERSTOOD:
        ports.log.warning("message.ignored", reason="no event of a queue")
        return
    for message in messages:
        for arrival in read_body(message.body, ports.inbox_bucket):
            if isinstance(arrival, Ignored):
                ports.log.warning("message.ignored", message_id=message.message_id, reason=arrival.reason)
            else:
                yield arrival


def read_body(body: str, inbox_bucket: str) -> list[Arrival]:
    """Return what the body of one SQS message says, one entry a record, in order."""
    try:
        event = _read_body(body)
        if event.detail is not UNSET and event.source == "aws.s3":
            return [_read_bridged(event.detail_type, _read_detail(event.detail), inbox_bucket)]
    except _NOT_UNDERSTOOD:
        return [Ignored("not understood")]
    if event.records is not UNSET:
        return [_read_record(record, inbox_bucket) for record in event.records] or [Ignored("no records")]
    if event.drop is not UNSET:
        return [_drop(event.drop.bucket, event.drop.key, event.drop.version, inbox_bucket)]
    if event.job is not UNSET:
        return [Wakeup(event.job, event.shard)]
    ignored = Ignored("not understood" if event.test is UNSET else "test event")
    return [ignored if event.tell is UNSET else Tell()]


def _read_record(raw: Raw, inbox_bucket: str) -> Arrival:
    """Return one record of S3's own notification: its key is form-encoded and is decoded here, once."""
    try:
        record = _read_s3_record(raw)
    except _NOT_UNDERSTOOD:
        return Ignored("not understood")
    if not record.name.startswith("ObjectCreated:"):
        return Ignored("no creation")
    try:
        key = unquote_plus(record.s3.object.key, errors="strict")
    except UnicodeDecodeError:
        return Ignored("key is not UTF-8")
    return _created(record.s3.bucket.name, key, record.s3.object.version, inbox_bucket)


def _read_bridged(detail_type: str, detail: _BridgedDetail, inbox_bucket: str) -> Arrival:
    """Return what EventBridge tells of S3: there the key is as it is."""
    if detail_type != "Object Created":
        return Ignored("no creation")
    return _created(detail.bucket.name, detail.object.key, detail.object.version, inbox_bucket)


def _created(bucket: str, key: str, version: str, inbox_bucket: str) -> Arrival:
    """Return what a new object means: a word to a job, or else a drop. A control object's content is not looked at."""
    if bucket == inbox_bucket and key.startswith(CONTROL_PREFIX):
        found = _CONTROL_KEY.fullmatch(key)
        return Control(found[1], found[2]) if found else Ignored("no control word")
    return _drop(bucket, key, version, inbox_bucket)


def _drop(bucket: str, key: str, version: str, inbox_bucket: str) -> Arrival:
    if bucket != inbox_bucket:
        return Ignored("foreign bucket")
    return Drop(Upload(bucket, key, named_version(version)))
