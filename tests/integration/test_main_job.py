"""The main job on the deployed template: IAM on, the real runtime client, the simulator on loopback."""

import csv
import io
import json
import time

import boto3
import pytest
from integration.subscriber import Subscriber

from batchdrop.core.model.keys import Keys, Upload
from batchdrop_cli.local.stack import LocalStack

TASK = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages: [{role: user, content: "Answer with positive, negative or neutral: {{ review }}"}]
id: review_id
"""
WAIT_SECONDS = 60


def drop(stack: LocalStack, key: str, content: bytes) -> Upload:
    """Put a file into the inbox as a person does."""
    at = stack.description
    put = boto3.client("s3", **stack.description.client_options()).put_object(
        Bucket=at.inbox_bucket, Key=key, Body=content
    )
    return Upload(at.inbox_bucket, key, put["VersionId"])


def result(stack: LocalStack, key: str) -> bytes | None:
    """One object of the results bucket, or None."""
    s3 = boto3.client("s3", **stack.description.client_options())
    try:
        content: bytes = s3.get_object(Bucket=stack.description.results_bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    return content


def wait_for_end(stack: LocalStack, upload: Upload) -> dict[str, object]:
    """The job's status once it has ended."""
    keys = Keys(upload.job_id, upload.key)
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        status = json.loads(result(stack, keys.status) or b"{}")
        if status.get("state") == "ENDED":
            return dict(status)
        time.sleep(0.2)
    raise AssertionError(f"{upload.key} has not ended: {status}")


def test_a_csv_comes_back_as_a_csv(local_stack: LocalStack, subscriber: Subscriber) -> None:
    """Same rows, same order, answers beside them; one object for each item; one notification."""
    boto3.client("s3", **local_stack.description.client_options()).put_object(
        Bucket=local_stack.description.inbox_bucket, Key="tasks/main-job.yaml", Body=TASK
    )
    content = "﻿review_id,review\r\n" + "".join(f'r{n},"Good,\nreview {n}"\r\n' for n in range(1, 301))

    upload = drop(local_stack, "inbox/main-job/2026 reviews + more.csv", content.encode())
    status = wait_for_end(local_stack, upload)

    keys = Keys(upload.job_id, upload.key)
    assert status["event"] == "completed"
    merged = (result(local_stack, keys.merged("csv")) or b"").decode()
    assert merged.startswith("﻿review_id,review,output,status,error\r\n")
    table = list(csv.reader(io.StringIO(merged.removeprefix("﻿"), newline="")))
    assert [row[:2] for row in table[1:]] == [[f"r{n}", f"Good,\nreview {n}"] for n in range(1, 301)]
    assert {row[3] for row in table[1:]} == {"succeeded"}
    item = json.loads(result(local_stack, keys.item("r300")) or b"{}")
    assert (item["row"], item["record"]["review"]) == (300, "Good,\nreview 300")
    assert len((result(local_stack, keys.outcomes) or b"").splitlines()) == 300
    assert [notification["event"] for notification in subscriber.notifications_of(upload.job_id)] == ["completed"]


def test_a_bad_file_gives_one_notification_and_nothing_in_a_dead_letter_queue(
    local_stack: LocalStack, subscriber: Subscriber
) -> None:
    """The person learns what is wrong and where; the queue believes that all went well, and it did."""
    upload = drop(local_stack, "inbox/main-job/odd.csv", "review_id,review\nr1,caf\x81\n".encode("latin-1"))

    status = wait_for_end(local_stack, upload)

    assert status["event"] == "rejected"
    (notification,) = subscriber.notifications_of(upload.job_id)
    assert "line 2" in json.dumps(notification["reason"])
    at, sqs = local_stack.description, boto3.client("sqs", **local_stack.description.client_options())
    for url in (at.submissions_dead_letter_queue_url, at.completions_dead_letter_queue_url):
        counted = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        assert counted["Attributes"]["ApproximateNumberOfMessages"] == "0"


@pytest.mark.parametrize("name", ["results", "internal"])
def test_a_finished_job_lies_below_its_own_folders(local_stack: LocalStack, name: str) -> None:
    """Every key that a job writes matches one of two prefixes."""
    upload = drop(
        local_stack, f"inbox/{name}-keys.jsonl", b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}\n'
    )
    wait_for_end(local_stack, upload)

    pages = (
        boto3.client("s3", **local_stack.description.client_options())
        .get_paginator("list_objects_v2")
        .paginate(Bucket=local_stack.description.results_bucket)
    )
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    folders = Keys(upload.job_id, upload.key)
    mine = [key for key in keys if upload.job_id in key]
    assert any(key.startswith(getattr(folders, name)) for key in mine)
    assert all(key.startswith((folders.results, folders.internal)) for key in mine)
