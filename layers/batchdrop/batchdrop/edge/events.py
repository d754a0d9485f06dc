"""What arrives at a function: bodies of SQS messages become drops and hints.

Rule: nothing that arrives can raise. What is not for us, or not understood, becomes `Ignored` with a reason for the log;
an object without a version becomes a drop that says so, because a person waits for it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import unquote_plus

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from batchdrop.core.jobs import CONTROL_PREFIX, Upload
from batchdrop.flow.ports import Ports

# S3 calls the version of an object that was put while versioning was off "null"
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html, 2026-11-22).
UNVERSIONED = frozenset({"", "null"})
# A message of SQS holds 1 MiB (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html,
# 2026-11-22), an S3 event one record: more than these are nobody's we know.
RECORDS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Drop:
    """An object was put into the inbox. `upload.version` is empty where the bucket keeps no versions."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Hint:
    """Look at a job, or at one shard of it."""

    job: str
    shard: int | None


@dataclass(frozen=True, slots=True)
class Control:
    """A person asks something of a job, such as `cancel`; whether the word is one is for the flow to say."""

    job: str
    word: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do; *reason* is one of a few fixed texts, fit for the log."""

    reason: str


type Arrival = Drop | Hint | Control | Ignored

_CONTROL_KEY = re.compile(r"control/([0-9a-f]{20})/([a-z]{1,20})")


class _Message(BaseModel):
    message_id: Annotated[str, Field(alias="messageId")] = ""
    body: str


class _Messages(BaseModel):
    messages: Annotated[list[_Message], Field(alias="Records")]


class _Bucket(BaseModel):
    name: str


class _S3Object(BaseModel):
    key: str
    version: Annotated[str, Field(alias="versionId")] = ""


class _S3(BaseModel):
    bucket: _Bucket
    object: _S3Object


class _S3Record(BaseModel):
    event_source: Annotated[Literal["aws:s3"], Field(alias="eventSource")]
    event_name: Annotated[str, Field(alias="eventName")]
    s3: _S3


class _S3Event(BaseModel):
    records: Annotated[list[dict[str, Any]], Field(alias="Records", max_length=RECORDS_MAX)]


class _TestEvent(BaseModel):
    event: Annotated[Literal["s3:TestEvent"], Field(alias="Event")]


class _BridgedObject(BaseModel):
    key: str
    version: Annotated[str, Field(alias="version-id")] = ""


class _BridgedDetail(BaseModel):
    bucket: _Bucket
    object: _BridgedObject


class _BridgedEvent(BaseModel):
    source: Literal["aws.s3"]
    detail_type: Annotated[str, Field(alias="detail-type")]
    detail: _BridgedDetail


class _NamedUpload(BaseModel):
    bucket: str
    key: str
    version: str = ""


class _MissedDrop(BaseModel):
    """What the reconciler says of a drop whose event never came. Its key is as it is."""

    drop: _NamedUpload


class _Hint(BaseModel):
    job: Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]
    shard: Annotated[int, Field(ge=0)] | None = None


_BODY: TypeAdapter[_S3Event | _TestEvent | _BridgedEvent | _MissedDrop | _Hint] = TypeAdapter(
    _S3Event | _TestEvent | _BridgedEvent | _MissedDrop | _Hint
)


def read_messages(event: Mapping[str, Any], ports: Ports) -> Iterator[Drop | Hint | Control]:
    """Yield what the SQS event of one invocation asks for; the rest is logged and left."""
    try:
        messages = _Messages.model_validate(event).messages
    except ValidationError:
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
        event = _BODY.validate_json(body)
    except ValidationError:
        return [Ignored("not understood")]
    match event:
        case _S3Event():
            return [_read_record(record, inbox_bucket) for record in event.records] or [Ignored("no records")]
        case _BridgedEvent():
            return [_read_bridged(event, inbox_bucket)]
        case _MissedDrop():
            return [_drop(event.drop.bucket, event.drop.key, event.drop.version, inbox_bucket)]
        case _Hint():
            return [Hint(event.job, event.shard)]
        case _TestEvent():
            return [Ignored("test event")]


def _read_record(raw: dict[str, Any], inbox_bucket: str) -> Arrival:
    """Return one record of S3's own notification: its key is form-encoded and is decoded here, once."""
    try:
        record = _S3Record.model_validate(raw)
    except ValidationError:
        return Ignored("not understood")
    if not record.event_name.startswith("ObjectCreated:"):
        return Ignored("no creation")
    try:
        key = unquote_plus(record.s3.object.key, errors="strict")
    except UnicodeDecodeError:
        return Ignored("key is not UTF-8")
    return _created(record.s3.bucket.name, key, record.s3.object.version, inbox_bucket)


def _read_bridged(event: _BridgedEvent, inbox_bucket: str) -> Arrival:
    """Return what EventBridge tells of S3: there the key is as it is."""
    if event.detail_type != "Object Created":
        return Ignored("no creation")
    return _created(event.detail.bucket.name, event.detail.object.key, event.detail.object.version, inbox_bucket)


def _created(bucket: str, key: str, version: str, inbox_bucket: str) -> Arrival:
    """Return what a new object means: a word to a job, or else a drop. A control object's content is not looked at."""
    if bucket == inbox_bucket and key.startswith(CONTROL_PREFIX):
        found = _CONTROL_KEY.fullmatch(key)
        return Control(found[1], found[2]) if found else Ignored("no control word")
    return _drop(bucket, key, version, inbox_bucket)


def _drop(bucket: str, key: str, version: str, inbox_bucket: str) -> Arrival:
    if bucket != inbox_bucket:
        return Ignored("foreign bucket")
    return Drop(Upload(bucket, key, "" if version in UNVERSIONED else version))
