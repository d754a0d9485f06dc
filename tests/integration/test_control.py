"""Words to jobs on the real stack: S3 tells the queue, submit hears under its own role, and the command shows it."""

import time
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner, Result
from fakes.tasks import TWO_REVIEWS

from batchdrop.core.model.keys import Upload
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.jobs.status import JobStatus, find_job
from batchdrop_cli.local.stack import LocalStack
from batchdrop_cli.main import main
from batchdrop_cli.stack import connection_to

TASK = (
    b"endpoint: /v1/chat/completions\n"
    b"body: {model: gpt-4.1-mini, messages: [{role: user, content: '{{ review }}'}]}\nid: review_id\n"
)
TIMEOUT_SECONDS = 60.0  # it takes some seconds on an idle machine; others may use it


def run(stack_state: Path, *words: str) -> Result:
    """Run the command on the shared stack."""
    return CliRunner().invoke(main, [*words, "--stack-file", str(stack_state / "stack.json")])


def put(stack: LocalStack, key: str, content: bytes) -> None:
    """Put an object into the inbox bucket."""
    at = stack.description
    boto3.client("s3", **at.client_options()).put_object(Bucket=at.inbox_bucket, Key=key, Body=content)


def drop(stack: LocalStack, key: str) -> str:
    """Put two records into the inbox, whether their task is there or not, and return the job."""
    at = stack.description
    storage = boto3.client("s3", **at.client_options())
    version = storage.put_object(Bucket=at.inbox_bucket, Key=key, Body=TWO_REVIEWS)["VersionId"]
    return Upload(at.inbox_bucket, key, version).job_id


def until(stack: LocalStack, job: str, event: str | None, waiting_for: str | None = None) -> JobStatus:
    """Return the status once the job has ended with *event*, or waits for something."""
    connection = connection_to(stack.description)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    found = None
    while time.monotonic() < deadline:
        try:
            found = find_job(connection, job)
        except CommandFailed:  # not begun yet
            time.sleep(0.2)
            continue
        cause = found.waiting.cause if found.waiting else None
        if found.event == event and cause == waiting_for and (event is None or found.state == "ENDED"):
            return found
        time.sleep(0.2)
    pytest.fail(f"never {event or waiting_for}: {found}")


def test_cancel_is_heard(local_stack: LocalStack, stack_state: Path) -> None:
    """A job that waits for its task ends as cancelled, with every record in its failures."""
    job = drop(local_stack, "inbox/nowhere/reviews.csv")
    until(local_stack, job, None, "task")

    result = run(stack_state, "cancel", job)
    ended = until(local_stack, job, "cancelled")

    at = local_stack.description
    storage = boto3.client("s3", **at.client_options())
    failures = storage.get_object(Bucket=at.results_bucket, Key=f"{ended.folder}failures.csv")["Body"].read()
    assert result.exit_code == 0
    assert (ended.counts.items, ended.counts.failed, failures) == (2, 2, TWO_REVIEWS)


def test_a_held_job_goes_on_when_it_is_approved_of(local_stack: LocalStack, stack_state: Path) -> None:
    """Its status says the quote; nothing is sent until then. Nobody has a price for what the simulator serves."""
    put(local_stack, "tasks/dear.yaml", TASK + b"max_cost_usd: 100\n")
    job = drop(local_stack, "inbox/dear/reviews.csv")
    held = until(local_stack, job, None, "approval")

    shown = run(stack_state, "status", job)
    result = run(stack_state, "approve", job)
    ended = until(local_stack, job, "completed")
    again = run(stack_state, "approve", job)

    assert (held.state, held.counts.sent) == ("HELD", 0)
    assert held.cost
    quote = held.cost.quote  # of tokens as this stack has learned to count them from other tests' answers
    assert (quote.usd, quote.unpriced_models) == (None, ("gpt-4.1-mini",))
    assert "HELD, waiting for approval" in shown.stdout
    assert f"unknown (gpt-4.1-mini), {quote.input_tokens} tokens in and {quote.output_tokens} out" in shown.stdout
    assert (result.exit_code, ended.counts.succeeded) == (0, 2)
    assert (again.exit_code, "nothing to approve of" in again.stderr) == (1, True)


def test_retry_and_forget(local_stack: LocalStack, stack_state: Path) -> None:
    """A rejected upload is started again once its task is right; later nothing of it is left."""
    put(local_stack, "tasks/rate.yaml", b"endpoint: [")
    job = drop(local_stack, "inbox/rate/reviews.csv")
    until(local_stack, job, "rejected")
    put(local_stack, "tasks/rate.yaml", TASK)

    result = run(stack_state, "retry", job)
    ended = until(local_stack, job, "completed")
    forgotten = run(stack_state, "forget", job, "--yes")

    at = local_stack.description
    storage = boto3.client("s3", **at.client_options())
    left = [
        storage.list_object_versions(Bucket=bucket, Prefix=prefix)
        for bucket, prefix in (
            (at.inbox_bucket, ended.upload.key),
            (at.results_bucket, ended.folder),
            (at.results_bucket, f"internal/{job}/"),
        )
    ]
    assert (result.exit_code, forgotten.exit_code, ended.counts.succeeded) == (0, 0, 2)
    assert not [found for found in left if "Versions" in found or "DeleteMarkers" in found]
    assert run(stack_state, "status", job).exit_code == 1


def test_a_word_without_a_job_is_ignored(local_stack: LocalStack) -> None:
    """It is logged, and no message is left for the dead-letter queue."""
    logs = Path(local_stack.description.logs) / "submit.log"

    put(local_stack, f"control/{'f' * 20}/cancel", b"")
    put(local_stack, "control/readme.txt", b"")

    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (said := logs.read_text().count("control.ignored")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert said
