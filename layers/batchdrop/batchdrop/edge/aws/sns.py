"""The topic: publishes notices to SNS.

Rule: what SNS would refuse, or change in silence, is refused here before it is sent, so that the flow can fall back.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from batchdrop.flow.ports import Notice

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import MessageAttributeValueTypeDef

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html (2026-11-22): a subject of at most 100 printable ASCII
# characters, 262,144 bytes of message in all. Ours is kept below what the design promises to readers.
SUBJECT_CHARS_MAX = 100
MESSAGE_BYTES_MAX = 200_000


def check_notice(notice: Notice) -> None:
    """Raise ValueError where SNS would refuse *notice*."""
    subject = notice.subject
    if not subject.strip() or subject[0] == " " or len(subject) > SUBJECT_CHARS_MAX:
        raise ValueError(f"a subject has 1 to {SUBJECT_CHARS_MAX} characters and no space in front")
    if not (subject.isascii() and subject.isprintable()):
        raise ValueError("a subject is printable ASCII")
    if not notice.text or not notice.json:
        raise ValueError("a notice has a text for people and JSON for programs")
    if not all(notice.attributes.values()):
        raise ValueError("an attribute of a notice is empty")
    if len(_message(notice).encode()) > MESSAGE_BYTES_MAX:
        raise ValueError(f"a notice is over {MESSAGE_BYTES_MAX:,} bytes")


def _message(notice: Notice) -> str:
    """Return the message of each protocol: people read the text, programs the JSON."""
    return json.dumps({"default": notice.json, "email": notice.text, "email-json": notice.json})


class SnsNotices:
    """One topic. The client is built by the first notice."""

    def __init__(self, client: Callable[[], "SNSClient"], topic: str) -> None:
        self._client = client
        self._topic = topic

    def publish(self, notice: Notice) -> None:
        """Publish; what SNS would refuse is refused here with ValueError."""
        check_notice(notice)
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            name: {"DataType": "String", "StringValue": value} for name, value in notice.attributes.items()
        }
        self._client().publish(
            TopicArn=self._topic,
            Subject=notice.subject,
            Message=_message(notice),
            MessageStructure="json",
            MessageAttributes=attributes,
        )
