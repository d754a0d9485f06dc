"""Notifications as the local stack's subscriber receives them: an SQS queue that is subscribed to the topic.

Rule: what is shown was delivered. The embedded AWS sends no mail; the text that a mail would hold is made again from the
job's documents, and shown only where the JSON made with it equals what was delivered.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from batchdrop.core.delivery.receipt import Receipt
from batchdrop.core.delivery.summary import Results, results_of_summary
from batchdrop.core.model.job import Job, PlanCursor
from batchdrop.core.model.outcomes import Usage
from batchdrop.core.model.reasons import NotificationEvent
from batchdrop.core.model.reasons import Reason as LedgerReason
from batchdrop.core.notification.notifications import render
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.jobs.status import Counts, JobStatus
from batchdrop_cli.local.description import StackDescription

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


NOTIFICATIONS_SECONDS_MAX = 30.0  # after the jobs are over; a tick delivers what was left over
RECEIVE_SECONDS = 2  # one long poll
MESSAGES_A_RECEIVE = 10  # the most that SQS gives


class ReceivedNotification(msgspec.Struct, frozen=True):
    """The JSON of a notification, as far as the command uses it; *content* and *subject* are what was delivered, unchanged."""

    id: str
    event: str
    job: str
    results: str
    counts: Counts
    usage: Mapping[str, Usage] = {}
    content: str = ""
    subject: str = ""


class _About(msgspec.Struct, frozen=True):
    """Whether a notification is about the end of a job: what is said of the installation names none."""

    event: str
    job: str | None = None


class Envelope(msgspec.Struct, frozen=True, rename="pascal"):
    """What SNS puts around a message for SQS (https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html)."""

    message: str
    subject: str = ""


def receive_notifications(stack: StackDescription, jobs: set[str]) -> dict[str, ReceivedNotification]:
    """Return the notification of the end of each of *jobs*; copies of it are taken from the queue and dropped.

    Raises CommandFailed where one stays away.
    """
    import boto3  # noqa: PLC0415  # 0.3 s that a view of what was received need not wait for

    queues = boto3.client("sqs", **stack.client_options())
    received: dict[str, ReceivedNotification] = {}
    deadline = time.monotonic() + NOTIFICATIONS_SECONDS_MAX
    while not jobs <= set(received):
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(jobs - set(received)))
            raise CommandFailed(
                f"No notification came within {NOTIFICATIONS_SECONDS_MAX:g} s about {missing}. See {stack.logs}"
            )
        for body in _receive(queues, stack.notifications_queue_url):
            if is_of_a_job(body):
                notification = read_notification(body)
                received.setdefault(notification.job, notification)
    return {job: received[job] for job in jobs}


def _receive(queues: "SQSClient", url: str) -> list[str]:
    reply = queues.receive_message(
        QueueUrl=url, WaitTimeSeconds=RECEIVE_SECONDS, MaxNumberOfMessages=MESSAGES_A_RECEIVE
    )
    messages = reply.get("Messages", [])
    for message in messages:
        queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [message["Body"] for message in messages]


def is_of_a_job(body: str) -> bool:
    """Whether the notification in the *body* of an SQS message is about a job, and not that it waits."""
    about = msgspec.json.decode(msgspec.json.decode(body, type=Envelope).message, type=_About)
    return about.job is not None and about.event != NotificationEvent.WAITING


def read_notification(body: str) -> ReceivedNotification:
    """Return the notification in the *body* of an SQS message."""
    envelope = msgspec.json.decode(body, type=Envelope)
    notification = msgspec.json.decode(envelope.message, type=ReceivedNotification)
    return msgspec.structs.replace(notification, content=envelope.message, subject=envelope.subject)


def mail_text(
    job: JobStatus,
    summary: bytes | None,
    received: ReceivedNotification,
    priced: Callable[[Receipt], Receipt] | None = None,
) -> str | None:
    """Return the text of the mail, made by the stack's own code of the job's status and its `summary.json`.

    None where the JSON that it makes beside it is not the one that was *received*: then the text would be another too.
    With *priced*, the receipt in the text is what that makes of the one that was sent.
    """
    results = results_of_summary(summary) if summary is not None else Results()
    made = render(ledger_job(job), results, received.results)
    if made.json != received.content:
        return None
    if priced is None or results.receipt is None:
        return made.text
    return render(ledger_job(job), replace(results, receipt=priced(results.receipt)), received.results).text


def ledger_job(job: JobStatus) -> Job:
    """Return what the ledger holds of *job*, as far as a notification tells it."""
    reason = LedgerReason(job.reason.code, job.reason.message) if job.reason else None
    return Job(
        id=job.job, bucket=job.upload.bucket, key=job.upload.key, version=job.upload.version, task=job.task,
        created_at=int(datetime.fromisoformat(job.created_at).timestamp()) if job.created_at else 0,
        event=NotificationEvent(job.event or ""), reason=reason, plan=PlanCursor(pages=int(job.read_as is not None)),
    )  # fmt: skip
