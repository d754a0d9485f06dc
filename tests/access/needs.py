"""What each permission of a function is for: the operation of a port that needs it.

Rule: an operation is done by the function's own adapters, or by what Lambda itself does in the role's name. It returns where
it was allowed and raises where it was not, and may be repeated.
"""

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import boto3
from access.permissions import Permission

from batchdrop.core.model.change import Change, QuotaWrite, Write
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.quota import Quota, QuotaEstimate
from batchdrop.edge.aws.redelivery import hide
from batchdrop.edge.openai.opening import SecretProviders
from batchdrop.flow.ports import Notification, Ports

LOG_STREAM = "there"
PART_BYTES = b"x" * (17 << 20)  # more than one part of a multipart upload


@dataclass(frozen=True, slots=True)
class Ground:
    """Where an operation is done: the ports under the role, the names of the stack, and an owner's look at the results."""

    ports: Ports
    outputs: dict[str, str]
    upload: Upload  # a drop that is there, as are `tasks/ask.yaml`, `internal/there` and `results/there`
    log_groups: dict[str, str]  # by function; each has a stream LOG_STREAM
    unfinished_uploads: Callable[[], int]


type Operation = Callable[[Ground], object]

LOST = Job(id="0" * 20, bucket="b", key="k", version="v", created_at=1)


def new_job() -> Job:
    """Return a job that the ledger does not know."""
    return Job(id=uuid.uuid4().hex[:20], bucket="b", key="k", version="v", created_at=1)


def write_row(ground: Ground) -> object:
    """Write a row of its own."""
    return ground.ports.ledger.write(Change((Write(None, new_job()),)))


def move_quota(ground: Ground) -> object:
    """Cool a model that nobody has asked for: an update of the row of its quota."""
    return ground.ports.ledger.write(
        Change((), (QuotaWrite(Quota("account", uuid.uuid4().hex), QuotaEstimate(cool_down_until=1)),))
    )


def check_row(ground: Ground) -> object:
    """Write a row on condition that another one is unchanged."""
    first = ground.ports.ledger.write(Change((Write(None, new_job()),))).writes[0].after
    return ground.ports.ledger.write(Change((Write(None, new_job()),), unchanged=(first,)))


def read_upload(ground: Ground) -> object:
    """Read the drop by its version."""
    with ground.ports.storage.open_upload(ground.upload) as stream:
        return stream.read()


def found(content: object) -> object:
    """Return *content*, which must be there."""
    assert content is not None
    return content


def interrupt() -> None:
    """Stop in the middle."""
    raise InterruptedError


def give_up(folder: str) -> Operation:
    """Return the operation that begins an object of several parts below *folder* and gives it up."""

    def give_up_writing(ground: Ground) -> None:
        before = ground.unfinished_uploads()
        with suppress(InterruptedError), ground.ports.storage.writer(f"{folder}/given-up") as writer:
            writer.write(PART_BYTES)
            interrupt()
        if ground.unfinished_uploads() > before:
            raise PermissionError("AccessDenied: the parts are left over")

    return give_up_writing


def receive(queue: str) -> Operation:
    """Return the call by which Lambda's poller receives."""
    return lambda ground: boto3.client("sqs").receive_message(QueueUrl=ground.outputs[f"{queue}Url"])


def count(queue: str) -> Operation:
    """Return the call by which Lambda's poller looks how much there is."""
    return lambda ground: boto3.client("sqs").get_queue_attributes(QueueUrl=ground.outputs[f"{queue}Url"])


def remove(queue: str) -> Operation:
    """Return the call by which Lambda's poller removes what was done; here a message that never was."""

    def delete(ground: Ground) -> None:
        queues = boto3.client("sqs")
        with suppress(queues.exceptions.ReceiptHandleIsInvalid):
            queues.delete_message(QueueUrl=ground.outputs[f"{queue}Url"], ReceiptHandle="none")

    return delete


def hand_back(queue: str) -> Operation:
    """Return the call by which a function lets a message come again soon; here one that never was."""

    def hide_it(ground: Ground) -> None:
        queues = boto3.client("sqs")
        with suppress(queues.exceptions.ReceiptHandleIsInvalid):
            hide(queues, ground.outputs[f"{queue}Url"], "none", 60)

    return hide_it


def names_below(prefix: str) -> Operation:
    """Return a listing of a folder of the results.

    Functions never list it: they read what may be missing, and S3 answers 403 instead of 404 to whoever may not list
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, 2026-11-22). The emulator says 404 to everybody.
    """
    return lambda ground: boto3.client("s3").list_objects_v2(Bucket=ground.outputs["ResultsBucket"], Prefix=prefix)


def read_key(ground: Ground) -> object:
    """Open the provider as a new process does, which has read no key yet."""
    secret, clock = ground.outputs["SecretArn"], ground.ports.clock
    providers = SecretProviders(
        lambda: boto3.client("secretsmanager"), secret, "http://127.0.0.1:9/v1", clock, create_timeout_seconds=60
    )
    return providers.open()


def open_log(function: str) -> Operation:
    """Return the call by which Lambda opens a stream of the function's log."""

    def open_stream(ground: Ground) -> object:
        return boto3.client("logs").create_log_stream(
            logGroupName=ground.log_groups[function], logStreamName=uuid.uuid4().hex
        )

    return open_stream


def write_log(function: str) -> Operation:
    """Return the call by which Lambda writes lines of the function's log, into a stream that is there."""

    def write_line(ground: Ground) -> object:
        line = {"timestamp": 1_790_000_000_000, "message": "x"}
        return boto3.client("logs").put_log_events(
            logGroupName=ground.log_groups[function], logStreamName=LOG_STREAM, logEvents=[line]
        )

    return write_line


INBOX, INTERNAL, RESULTS = "${Inbox.Arn}/inbox/*", "${Results.Arn}/internal/*", "${Results.Arn}/results/*"

OPERATIONS: dict[Permission, Operation] = {
    Permission("s3:GetObjectVersion", INBOX): read_upload,
    Permission("s3:ListBucketVersions", "Inbox.Arn", "inbox/*"): lambda ground: ground.ports.storage.list_inbox(""),
    Permission("s3:GetObject", "${Inbox.Arn}/tasks/*"): lambda ground: found(ground.ports.storage.task("ask")),
    Permission("s3:ListBucket", "Inbox.Arn", "tasks/*"): lambda ground: ground.ports.storage.task_names(),
    Permission("s3:GetObject", INTERNAL): lambda ground: found(ground.ports.storage.read("internal/there")),
    Permission("s3:PutObject", INTERNAL): lambda ground: ground.ports.storage.put("internal/put", b"{}"),
    Permission("s3:AbortMultipartUpload", INTERNAL): give_up("internal"),
    Permission("s3:ListBucket", "Results.Arn", "internal/*"): names_below("internal/"),
    Permission("s3:GetObject", RESULTS): lambda ground: found(ground.ports.storage.read("results/there")),
    Permission("s3:PutObject", RESULTS): lambda ground: ground.ports.storage.put("results/put", b"{}"),
    Permission("s3:AbortMultipartUpload", RESULTS): give_up("results"),
    Permission("s3:ListBucket", "Results.Arn", "results/*"): names_below("results/"),
    Permission("dynamodb:GetItem", "Table.Arn"): lambda ground: ground.ports.ledger.job(LOST.id),
    Permission("dynamodb:Query", "Table.Arn"): lambda ground: list(ground.ports.ledger.shards(LOST.id)),
    Permission("dynamodb:Query", "${Table.Arn}/index/due"): lambda ground: list(ground.ports.ledger.active()),
    Permission("dynamodb:PutItem", "Table.Arn"): write_row,
    Permission("dynamodb:UpdateItem", "Table.Arn"): move_quota,
    Permission("dynamodb:ConditionCheckItem", "Table.Arn"): check_row,
    Permission("secretsmanager:GetSecretValue", "Secret.Id"): read_key,
    Permission("sns:Publish", "Topic"): lambda ground: ground.ports.notifications.publish(
        Notification("subject", "text", "{}", {"event": "completed"})
    ),
    Permission("sqs:SendMessage", "SubmissionsQueue.Arn"): lambda ground: ground.ports.wakeups.submit(LOST.id),
    Permission("sqs:SendMessage", "CompletionsQueue.Arn"): lambda ground: ground.ports.wakeups.complete(LOST.id),
}
for _queue in ("SubmissionsQueue", "CompletionsQueue"):
    OPERATIONS |= {
        Permission("sqs:ReceiveMessage", f"{_queue}.Arn"): receive(_queue),
        Permission("sqs:DeleteMessage", f"{_queue}.Arn"): remove(_queue),
        Permission("sqs:GetQueueAttributes", f"{_queue}.Arn"): count(_queue),
        Permission("sqs:ChangeMessageVisibility", f"{_queue}.Arn"): hand_back(_queue),
    }
for _function in ("Submit", "Poll", "Complete"):
    OPERATIONS |= {
        Permission("logs:CreateLogStream", f"{_function}Logs.Arn"): open_log(_function),
        Permission("logs:PutLogEvents", f"{_function}Logs.Arn"): write_log(_function),
    }
