"""The real functions on the embedded AWS, each under its own role: a drop goes the whole way."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from integration.subscriber import Subscriber

from batchdrop_cli.local.stack import LocalStack

LINES = [
    {
        "custom_id": f"q-{row}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": f"What is {row} squared?"}]},
    }
    for row in range(1, 21)
]


@pytest.fixture(scope="module")
def notification(local_stack: LocalStack, subscriber: Subscriber) -> dict[str, Any]:
    """The notification about a drop of LINES that went the whole way."""
    description = local_stack.description
    body = b"".join(json.dumps(line).encode() + b"\n" for line in LINES)
    storage = boto3.client("s3", **description.client_options())
    storage.put_object(Bucket=description.inbox_bucket, Key="inbox/squares.jsonl", Body=body)
    return subscriber.notifications_of("inbox/squares.jsonl")[-1]


def test_drop_becomes_results_and_a_notification(local_stack: LocalStack, notification: dict[str, Any]) -> None:
    """Twenty requests dropped as one file come back as twenty answers in order, and one notification tells of them."""
    description = local_stack.description
    storage = boto3.client("s3", **description.client_options())
    folder = notification["results"].removeprefix(f"s3://{description.results_bucket}/")

    outcomes = storage.get_object(Bucket=description.results_bucket, Key=f"{folder}outcomes.jsonl")["Body"].read()
    items = storage.list_objects_v2(Bucket=description.results_bucket, Prefix=f"{folder}items/")

    assert (notification["event"], notification["counts"]) == ("completed", {"items": 20, "succeeded": 20, "failed": 0})
    assert [json.loads(line)["name"] for line in outcomes.splitlines()] == [line["custom_id"] for line in LINES]
    assert items["KeyCount"] == 20


@pytest.mark.usefixtures("notification")
def test_nothing_was_refused_or_raised_on_the_way(local_stack: LocalStack) -> None:
    """No role lacks what its function needs: nothing was denied, nothing raised, no message is left over."""
    description = local_stack.description
    queues = boto3.client("sqs", **description.client_options())

    logs = {path.stem: path.read_text() for path in Path(description.logs).glob("*.log")}

    assert {"submit", "poll", "complete"} <= set(logs)
    said = "\n".join(logs[name] for name in ("submit", "poll", "complete"))
    assert "not authorized" not in said
    assert '"level":"ERROR"' not in said.replace(" ", "")
    for url in (description.submissions_dead_letter_queue_url, description.completions_dead_letter_queue_url):
        waiting = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        assert waiting["Attributes"] == {"ApproximateNumberOfMessages": "0"}


@pytest.mark.usefixtures("notification")
def test_key_appears_in_no_log(local_stack: LocalStack) -> None:
    """The provider's key is read by the functions and told by nobody."""
    logs = Path(local_stack.description.logs)

    assert [path.name for path in logs.iterdir() if "sk-simulated" in path.read_text()] == []
