"""Sends wake-up messages to SQS.

Rule: a wake-up message says where to look and nothing else; the ledger says what is to be done.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from batchdrop.core.model.keys import Upload

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsWakeups:
    """Both queues. A function that sends no wake-up messages to one of them may leave its URL empty."""

    def __init__(self, client: Callable[[], "SQSClient"], *, submissions: str, completions: str) -> None:
        self._client = client
        self._submissions = submissions
        self._completions = completions

    def submit(self, job: str, shard: int | None = None) -> None:
        """Ask a submit function to look at the job, or at one shard of it."""
        self._send(self._submissions, job, shard)

    def complete(self, job: str, shard: int | None = None) -> None:
        """Ask a complete function to look at the job, or at one shard of it."""
        self._send(self._completions, job, shard)

    def tell(self) -> None:
        """Ask a complete function to send the installation's pending notification."""
        self._post(self._completions, {"tell": "installation"})

    def drop(self, upload: Upload) -> None:
        """Tell a submit function of *upload*, as its event would have."""
        named = {"bucket": upload.bucket, "key": upload.key, "version": upload.version}
        self._post(self._submissions, {"drop": named})

    def count_submissions(self) -> int:
        """Return about how many messages wait for a submit function."""
        name: Literal["ApproximateNumberOfMessages"] = "ApproximateNumberOfMessages"
        found = self._client().get_queue_attributes(QueueUrl=self._submissions, AttributeNames=[name])
        return int(found["Attributes"][name])

    def _send(self, queue: str, job: str, shard: int | None) -> None:
        self._post(queue, {"job": job, "shard": shard})

    def _post(self, queue: str, message: Mapping[str, object]) -> None:
        if not queue:
            raise ValueError("this function was not given the URL of the queue")
        self._client().send_message(QueueUrl=queue, MessageBody=json.dumps(message))
