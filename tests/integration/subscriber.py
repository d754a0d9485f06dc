"""A queue of the tests' own that is subscribed to the topic: nothing that others read or leave there hides a message."""

import json
import time
from typing import Any

import boto3

from batchdrop_cli.local.stack import LocalStack

SECONDS_MAX = 60


class Subscriber:
    """Receives every notification that is published from now on; each is taken from the queue once, and kept."""

    def __init__(self, stack: LocalStack, name: str) -> None:
        at = stack.description
        self._queues = boto3.client("sqs", **at.client_options())
        self._url = self._queues.create_queue(QueueName=name)["QueueUrl"]
        attributes = self._queues.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sns.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": attributes["QueueArn"],
                    "Condition": {"ArnEquals": {"aws:SourceArn": at.topic_arn}},
                }
            ],
        }
        self._queues.set_queue_attributes(QueueUrl=self._url, Attributes={"Policy": json.dumps(policy)})
        boto3.client("sns", **at.client_options()).subscribe(
            TopicArn=at.topic_arn, Protocol="sqs", Endpoint=attributes["QueueArn"]
        )
        self._received: list[dict[str, Any]] = []

    def notifications_of(self, job: str) -> list[dict[str, Any]]:
        """Every notification about *job*, by its id or its upload's key: at least one, which is waited for."""
        deadline = time.monotonic() + SECONDS_MAX
        while not (found := [notification for notification in self._received if _is_about(notification, job)]):
            if time.monotonic() > deadline:
                others = [notification.get("upload") for notification in self._received]
                raise AssertionError(f"no notification about {job} within {SECONDS_MAX} s, but about {others}")
            self._receive(wait_seconds=1)
        while self._receive(wait_seconds=0):
            found = [notification for notification in self._received if _is_about(notification, job)]
        return found

    def _receive(self, *, wait_seconds: int) -> bool:
        reply = self._queues.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_seconds)
        for message in reply.get("Messages", []):
            self._received.append(json.loads(json.loads(message["Body"])["Message"]))
            self._queues.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return bool(reply.get("Messages"))


def _is_about(notification: dict[str, Any], job: str) -> bool:
    return notification["job"] == job or (notification["upload"] or {}).get("key") == job
