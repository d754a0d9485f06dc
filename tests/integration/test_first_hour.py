"""The first hour of four people, in the order of the README, on one local stack: what each types, and what each sees."""

import csv
import json
import re
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from integration.subscriber import Subscriber

from batchdrop_cli.local.stack import REPOSITORY, LocalStack
from batchdrop_cli.main import main

EXAMPLES = REPOSITORY / "examples"
TIMEOUT_SECONDS = 60.0  # it takes some seconds on an idle machine; others may use it


@pytest.fixture
def batchdrop(local_stack: LocalStack, stack_state: Path) -> "Command":
    """The command, for the shared stack."""
    assert local_stack.description.simulated
    return Command(stack_state / "stack.json")


class Command:
    """Types `batchdrop …` and expects it to go well."""

    def __init__(self, stack_file: Path) -> None:
        self._stack_file = stack_file

    def __call__(self, *words: object, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(main, [*map(str, words), "--stack-file", str(self._stack_file)])
        assert result.exit_code == exit_code, result.output
        return result


def test_the_analyst_gets_a_csv_back(batchdrop: Command, tmp_path: Path) -> None:
    """A task from the examples, a CSV, and the same CSV with answers beside each row; a wrong file says what to do."""
    reviews = EXAMPLES / "drops" / "sentiment" / "reviews.csv"

    batchdrop("tasks", "put", EXAMPLES / "tasks" / "sentiment.yaml")
    dropped = batchdrop("drop", reviews, "--task", "sentiment", "--wait").stdout
    job = dropped.split()[0]
    batchdrop("results", job, "--to", tmp_path / "mine")

    asked = list(csv.reader(reviews.read_text().splitlines()))
    answered = list(csv.reader((tmp_path / "mine" / "results.csv").read_text().splitlines()))
    assert [row[: len(asked[0])] for row in answered] == asked
    assert {row[-2] for row in answered[1:]} == {"succeeded"}
    assert "sentiment" in batchdrop("tasks").stdout
    assert job in batchdrop("status").stdout
    (tmp_path / "wrong.csv").write_bytes("review_id,review\nr1,caf\x81\n".encode("latin-1"))
    wrong = batchdrop("drop", tmp_path / "wrong.csv", "--task", "sentiment", "--wait", exit_code=1)
    assert "line 2" in wrong.output


def test_the_engineer_hangs_a_queue_on_the_topic(
    local_stack: LocalStack, subscriber: Subscriber, batchdrop: Command, tmp_path: Path
) -> None:
    """Ready-made lines go in, one JSON notification comes out, and it leads to outcomes in order under the engineer's own ids."""
    lines = [
        {
            "custom_id": f"order/{n}",
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "gpt-4.1-mini", "input": f"{n}?"},
        }
        for n in range(5)
    ]
    (tmp_path / "orders.jsonl").write_text("\n".join(map(json.dumps, lines)))

    job = batchdrop("drop", tmp_path / "orders.jsonl").stdout.split()[0]
    notification = subscriber.notifications_of(job)[-1]

    at = local_stack.description
    folder = str(notification["results"]).removeprefix(f"s3://{at.results_bucket}/")
    storage = boto3.client("s3", **at.client_options())
    outcomes = storage.get_object(Bucket=at.results_bucket, Key=f"{folder}outcomes.jsonl")["Body"].read().splitlines()
    assert notification["event"] == "completed"
    assert [json.loads(line)["name"] for line in outcomes] == [f"order%2F{n}" for n in range(5)]


def test_a_program_drops_and_reads(local_stack: LocalStack, subscriber: Subscriber) -> None:
    """The README's Python, as it is printed there: a drop of ready-made requests, and their outcomes in order."""
    (example,) = re.findall(r"^```python\n(.*?)^```$", (REPOSITORY / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    given: dict[str, Any] = {}
    exec(example, given)  # noqa: S102  # our own README
    at, s3 = local_stack.description, boto3.client("s3", **local_stack.description.client_options())
    requests = [
        {
            "custom_id": f"n{n}",
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "gpt-4.1-mini", "input": "?"},
        }
        for n in range(3)
    ]

    upload = given["drop"](s3, at.inbox_bucket, requests)
    (notification,) = subscriber.notifications_of(upload.job_id)

    assert notification["event"] == "completed"
    found = given["outcomes"](s3, at.results_bucket, upload)
    assert [outcome["name"] for outcome in found] == ["n0", "n1", "n2"]


def test_the_operator_looks_whether_all_is_well(
    local_stack: LocalStack, subscriber: Subscriber, batchdrop: Command
) -> None:
    """The doctor finds a healthy stack, a job is cancelled before its task comes, and nothing lies in a dead-letter queue."""
    at, storage = local_stack.description, boto3.client("s3", **local_stack.description.client_options())

    said = batchdrop("doctor").stdout
    storage.put_object(Bucket=at.inbox_bucket, Key="inbox/not-yet/x.csv", Body=b"a\n1\n")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while "not-yet" not in (listed := batchdrop("status").stdout) and time.monotonic() < deadline:
        time.sleep(0.5)
    job = next(line.split()[0] for line in listed.splitlines() if "not-yet" in line)
    batchdrop("cancel", job)

    assert subscriber.notifications_of(job)[-1]["event"] == "cancelled"
    assert "key" in said
    queues = boto3.client("sqs", **at.client_options())
    for url in (at.submissions_dead_letter_queue_url, at.completions_dead_letter_queue_url):
        left = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        assert left["Attributes"] == {"ApproximateNumberOfMessages": "0"}


def test_the_ml_engineer_tries_before_paying(batchdrop: Command, tmp_path: Path) -> None:
    """A check of the whole file, a trial on two records, then structured answers as parsed objects."""
    task, drop = EXAMPLES / "tasks" / "extract.yaml", EXAMPLES / "drops" / "extract" / "announcements.csv"

    checked = batchdrop("check", task, drop).stdout
    batchdrop("tasks", "put", task)
    trial = batchdrop("drop", drop, "--task", "extract", "--first", 2, "--wait").stdout
    batchdrop("results", trial.split()[0], "--to", tmp_path / "trial")

    assert '"json_schema"' in checked
    outcomes = [json.loads(line) for line in (tmp_path / "trial" / "outcomes.jsonl").read_text().splitlines()]
    assert [type(outcome["output"]) for outcome in outcomes] == [dict, dict]
    assert (tmp_path / "trial" / "results.csv").read_text().count("succeeded") == 2
