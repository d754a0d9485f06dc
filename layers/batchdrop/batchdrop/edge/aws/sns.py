"""Publishes notifications to SNS.

Rule: what SNS would refuse, or change in silence, is refused here before it is sent, so that the flow can fall back.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from batchdrop.core.notification.notifications import SUBJECT_CHARS_MAX
from batchdrop.flow.ports import Notification

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import MessageAttributeValueTypeDef

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html (2026-11-22): a subject of at most 100 printable ASCII
# characters, 262,144 bytes of message in all. Ours is kept below what the design promises to readers.
MESSAGE_BYTES_MAX = 200_000


def check_notification(notification: Notification) -> None:
    """Raise ValueError where SNS would refuse *notification*."""
    subject = notification.subject
    if not subject.strip() or subject[0] == " " or len(subject) > SUBJECT_CHARS_MAX:
        raise ValueError(f"a subject has 1 to {SUBJECT_CHARS_MAX} characters and no space in front")
    if not (subject.isascii() and subject.isprintable()):
        raise ValueError("a subject is printable ASCII")
    if not notification.text or not notification.json:
        raise ValueError("a notification has a text for people and JSON for programs")
    if not all(notification.attributes.values()):
        raise ValueError("an attribute of a notification is empty")
    if len(_message(notification).encode()) > MESSAGE_BYTES_MAX:
        raise ValueError(f"a notification is over {MESSAGE_BYTES_MAX:,} bytes")


def _message(notification: Notification) -> str:
    """Return the message of each protocol: people read the text, programs the JSON."""
    return json.dumps({"default": notification.json, "email": notification.text, "email-json": notification.json})


class SnsNotifications:
    """One topic. The client is built by the first notification."""

    def __init__(self, client: Callable[[], "SNSClient"], topic: str) -> None:
        self._client = client
        self._topic = topic

    def publish(self, notification: Notification) -> None:
        """Publish; what SNS would refuse is refused here with ValueError."""
        check_notification(notification)
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            name: {"DataType": "String", "StringValue": value} for name, value in notification.attributes.items()
        }
        self._client().publish(
            TopicArn=self._topic,
            Subject=notification.subject,
            Message=_message(notification),
            MessageStructure="json",
            MessageAttributes=attributes,
        )
