"""Redelivers a message soon if its invocation fails: after seconds, not after the queue's visibility time-out.

Rule: an error is never hidden, nor replaced by another one. Where a function dies without a word (memory, its time-out), the
queue's own time-out holds; it is six times the function's, as AWS asks
(https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html, 2026-11-22).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct, field

from batchdrop.flow.ports import Log

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class _Attributes(Struct):
    receives: int = field(default=1, name="ApproximateReceiveCount")


class _ReceivedMessage(Struct):
    receipt: str = field(name="receiptHandle")
    message_id: str = field(default="", name="messageId")
    queue_arn: str = field(default="", name="eventSourceARN")
    attributes: _Attributes = field(default_factory=_Attributes)


class _Event(Struct):
    messages: list[_ReceivedMessage] = field(name="Records")


@dataclass(frozen=True, slots=True)
class Redelivery:
    """Hands messages back to the queues that they came from. *seconds* times its receives is how long one stays hidden."""

    client: "Callable[[], SQSClient]"
    queue_urls: tuple[str, ...]
    seconds: int
    log: Log

    @contextmanager
    def soon(self, event: Mapping[str, Any]) -> Iterator[None]:
        """Make the messages of *event* visible again soon if handling them raises; the error is raised on."""
        try:
            yield
        except Exception as error:
            for message in _messages(event):
                self._hand_back(message, type(error).__name__)
            raise

    def _hand_back(self, message: _ReceivedMessage, cause: str) -> None:
        seconds = self.seconds * message.attributes.receives
        url = self._url_of(message)
        try:
            if url:
                hide(self.client(), url, message.receipt, seconds)
        except (BotoCoreError, ClientError) as refused:
            # The queue's own time-out is left, as if this had not been tried.
            self.log.warning("message.stays_hidden", message_id=message.message_id, error=str(refused))
            return
        self.log.warning(
            "message.failed", message_id=message.message_id, cause=cause, attempt=message.attributes.receives,
            seconds=seconds if url else None,
        )  # fmt: skip

    def _url_of(self, message: _ReceivedMessage) -> str:
        name = message.queue_arn.rpartition(":")[2]
        return next((url for url in self.queue_urls if name and url.endswith(f"/{name}")), "")


def hide(client: "SQSClient", url: str, receipt: str, seconds: int) -> None:
    """Keep the received message hidden for *seconds* from now."""
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=seconds)


def _messages(event: Mapping[str, Any]) -> list[_ReceivedMessage]:
    """Return the messages of an SQS event; none if it isn't such an event."""
    try:
        return msgspec.convert(event, _Event, strict=False).messages
    except msgspec.MsgspecError:
        return []
