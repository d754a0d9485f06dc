"""The running stack as the world around it sees it: who drops, who delivers events twice, who receives notifications.

Rule: it speaks to the buckets and the queues alone.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus

import boto3
from chaos.drops import TASKS, Drop
from chaos.evidence import Dropped, Notification

from batchdrop.core.model.keys import TASKS_PREFIX, Upload
from batchdrop_cli.jobs.status import JobStatus, status_of
from batchdrop_cli.local.description import StackDescription
from batchdrop_cli.stack import Connection, connection_to

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_MESSAGES_A_RECEIVE: Final = 10  # the most that SQS gives
_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


@dataclass(slots=True)
class Stage:
    """A stack, what was dropped into it, and the notifications that came."""

    stack: StackDescription
    connection: Connection
    queues: "SQSClient"
    uploads: list[Upload] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    notification_bodies: list[str] = field(default_factory=list)
    events_again: int = 0

    def put_tasks(self) -> None:
        """Write the tasks, as their author would."""
        for name, content in TASKS.items():
            key = f"{TASKS_PREFIX}{name}.yaml"
            self.connection.storage.put_object(Bucket=self.stack.inbox_bucket, Key=key, Body=content.encode())

    def drop(self, drop: Drop) -> None:
        """Put one file into the inbox."""
        reply = self.connection.storage.put_object(Bucket=self.stack.inbox_bucket, Key=drop.key, Body=drop.content)
        upload = Upload(self.stack.inbox_bucket, drop.key, reply["VersionId"])
        self.uploads.append(upload)
        self.dropped.append(Dropped(drop, upload.job_id))

    def deliver_again(self, drop: Drop) -> None:
        """Let the event of *drop*, which was dropped, come once more, as S3 may."""
        upload = next(one for one, dropped in zip(self.uploads, self.dropped, strict=True) if dropped.drop is drop)
        placed = {"key": quote_plus(upload.key, safe="/"), "versionId": upload.version}
        record = {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": upload.bucket}, "object": placed},
        }
        self.queues.send_message(
            QueueUrl=self.stack.submissions_queue_url, MessageBody=json.dumps({"Records": [record]})
        )
        self.events_again += 1

    def receive_notifications(self, seconds: int) -> None:
        """Take the notifications that come within *seconds* from the subscribed queue."""
        url = self.stack.notifications_queue_url
        reply = self.queues.receive_message(
            QueueUrl=url, WaitTimeSeconds=seconds, MaxNumberOfMessages=_MESSAGES_A_RECEIVE
        )
        for message in reply.get("Messages", []):
            self.notification_bodies.append(message["Body"])
            self.notifications.append(notification_of(message["Body"]))
            self.queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def unended(self) -> list[Dropped]:
        """Return the drops whose end nobody was told of."""
        told = {notification.job for notification in self.notifications if notification.event != "waiting"}
        return [dropped for dropped in self.dropped if dropped.job not in told]

    def restless(self) -> list[str]:
        """Return what is still under way: messages of the workers' queues, and jobs that do not show their end."""
        urls = (self.stack.submissions_queue_url, self.stack.completions_queue_url)
        messages = [f"{count} messages in {url.rpartition('/')[2]}" for url in urls if (count := self._count(url))]
        statuses = [(upload, self.status(upload)) for upload in ([] if messages else self.uploads)]
        return [
            *messages,
            *(f"{upload.key} shows {status}" for upload, status in statuses if status is None or not status.ended_at),
        ]

    def status(self, upload: Upload) -> JobStatus | None:
        """Return what a person sees of the job of *upload*."""
        return status_of(self.connection, upload)

    def waiting_messages(self) -> dict[str, int]:
        """Return how many messages lie in each queue, those that a worker holds included."""
        urls = (self.stack.submissions_queue_url, self.stack.completions_queue_url, *self._dead_letters())
        return {url.rpartition("/")[2]: self._count(url) for url in urls}

    def redrive(self) -> int:
        """Send what lies in the dead letters once more, as an operator would; return how many."""
        queues = (self.stack.submissions_queue_url, self.stack.completions_queue_url)
        return sum(self._move(dead, queue) for dead, queue in zip(self._dead_letters(), queues, strict=True))

    def _dead_letters(self) -> tuple[str, str]:
        return self.stack.submissions_dead_letter_queue_url, self.stack.completions_dead_letter_queue_url

    def _move(self, source: str, target: str) -> int:
        moved = 0
        for handle, body in self._taken(source):
            self.queues.send_message(QueueUrl=target, MessageBody=body)
            self.queues.delete_message(QueueUrl=source, ReceiptHandle=handle)
            moved += 1
        return moved

    def _taken(self, url: str) -> Iterator[tuple[str, str]]:
        while messages := self.queues.receive_message(QueueUrl=url, MaxNumberOfMessages=_MESSAGES_A_RECEIVE).get(
            "Messages"
        ):
            yield from ((message["ReceiptHandle"], message["Body"]) for message in messages)

    def _count(self, url: str) -> int:
        found = self.queues.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)["Attributes"]
        return sum(int(found[name]) for name in _COUNTS)


def stage_of(stack: StackDescription) -> Stage:
    """Return the stage that *stack* is."""
    return Stage(stack, connection_to(stack), boto3.client("sqs", **stack.client_options()))


def notification_of(body: str) -> Notification:
    """Return the notification in the *body* of a message of the subscribed queue."""
    notification = json.loads(json.loads(body)["Message"])
    return Notification(
        notification["id"], notification["event"], notification["job"], counts_of(notification["counts"])
    )


def counts_of(counts: Mapping[str, int]) -> tuple[int, int, int]:
    """Return items, succeeded and failed, as notifications and summaries count them."""
    return counts["items"], counts["succeeded"], counts["failed"]
