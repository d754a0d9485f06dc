"""Every file in `events/` goes through its handler, in the real runtime client, under the function's own role."""

import json
from pathlib import Path

import boto3
import pytest

from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys, Upload
from batchdrop.edge.aws.row_format import decode_row
from batchdrop_cli.local.stack import LocalStack

EVENTS = Path(__file__).parents[2] / "events"
FILES = sorted(EVENTS.glob("*/*.json"))
PLACEHOLDER = "INBOX_BUCKET"

# What each event of the submit function makes a job of; all others are ignored, and logged.
DROPS = {
    "s3-put": ["inbox/nightly.jsonl"],
    "s3-multipart": ["inbox/sentiment/2026/reviews.csv"],
    "s3-copy": ["inbox/sentiment/copied.csv"],
    "s3-key-with-spaces-and-plus": ["inbox/sentiment/my reviews + notes 100%.csv"],
    "s3-key-with-unicode": ["inbox/sentiment/\u00fcbersicht \u2013 \u65e5\u672c.csv"],
    "s3-two-records": ["inbox/one.jsonl", "inbox/two.jsonl"],
    "s3-unversioned": ["inbox/nightly.jsonl"],
    "s3-key-too-long": [f"inbox/{'k' * 710}.jsonl"],
    "missed-drop": ["inbox/sentiment/missed reviews + 100%.csv"],
    "eventbridge-object-created": ["inbox/sentiment/my reviews + 100%.csv"],
}


def jobs(stack: LocalStack) -> dict[str, str]:
    """The key of every job's upload, by the job's id."""
    table = boto3.client("dynamodb", **stack.description.client_options())
    items = table.scan(TableName=stack.description.table, ConsistentRead=True)["Items"]
    rows = [decode_row(item["kind"]["S"], item["row"]["S"]) for item in items if "row" in item]
    return {row.id: row.key for row in rows if isinstance(row, Job)}


def function_of(stack: LocalStack, name: str) -> str:
    """The deployed name of a function."""
    return str(getattr(stack.description, f"{name}_function"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_event_makes_its_handler_fail(local_stack: LocalStack, path: Path) -> None:
    """What is understood becomes a job, what is not is ignored; none is left for the dead-letter queue."""
    bucket = local_stack.description.inbox_bucket
    payload = path.read_text().replace(PLACEHOLDER, bucket)

    answer = boto3.client("lambda", **local_stack.description.client_options()).invoke(
        FunctionName=function_of(local_stack, path.parent.name), Payload=payload
    )

    assert "FunctionError" not in answer, answer["Payload"].read()
    assert answer["StatusCode"] == 200
    expected = DROPS.get(path.stem, []) if path.parent.name == "submit" else []
    assert set(expected) <= set(jobs(local_stack).values())


def test_every_event_has_its_expectation() -> None:
    """The table above names events that exist, and every folder is a function's."""
    assert set(DROPS) <= {path.stem for path in FILES}
    assert {path.parent.name for path in FILES} == {"submit", "poll", "complete"}


def test_the_job_of_an_event_is_the_one_that_the_command_announces(local_stack: LocalStack) -> None:
    """Bucket, key and version alone make the job's id, so it is known before anything runs."""
    payload = (EVENTS / "submit" / "s3-copy.json").read_text()
    at = local_stack.description
    body = json.loads(json.loads(payload.replace(PLACEHOLDER, at.inbox_bucket))["Records"][0]["body"])
    record = body["Records"][0]["s3"]

    announced = Upload(at.inbox_bucket, record["object"]["key"], record["object"]["versionId"])
    boto3.client("lambda", **local_stack.description.client_options()).invoke(
        FunctionName=at.submit_function, Payload=payload.replace(PLACEHOLDER, at.inbox_bucket)
    )

    assert announced.job_id in jobs(local_stack)
    assert Keys(announced.job_id, announced.key).status.startswith("results/sentiment/copied.csv/")
