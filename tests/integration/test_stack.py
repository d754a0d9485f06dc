"""The template on the embedded AWS, its functions replaced by probes that do and tell what they are asked."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from batchdrop_cli.local.deployment import DeploymentFailed
from batchdrop_cli.local.description import NoStack, StackDescription
from batchdrop_cli.local.emulator import Address
from batchdrop_cli.local.stack import REPOSITORY, LocalSettings, LocalStack, StackRuns

FOREGROUND = """
import sys
from pathlib import Path
from batchdrop_cli.local.provider import LocalProvider
from batchdrop_cli.local.stack import LocalSettings, run_in_foreground
nobody = LocalProvider("http://127.0.0.1:9/v1", "sk-nobody", simulated=True)
settings = LocalSettings(repository=Path(sys.argv[1]), state=Path(sys.argv[2]), provider=nobody, tick_seconds=0.2)
run_in_foreground(settings, print, lambda stack: None)
"""

type Values = dict[str, str]


def invoke(stack: LocalStack, function: str, event: dict[str, Any]) -> tuple[bool, Any]:
    """Return whether *function* succeeded, and its answer."""
    functions = boto3.client("lambda", **stack.description.client_options())
    reply = functions.invoke(FunctionName=getattr(stack.description, f"{function}_function"), Payload=json.dumps(event))
    return "FunctionError" not in reply, json.loads(reply["Payload"].read())


def call(stack: LocalStack, function: str, service: str, method: str, **arguments: Any) -> str:  # noqa: ANN401  # boto3's
    """Make an AWS call under the role of *function*; return its error's message, empty where it was allowed."""
    succeeded, answer = invoke(stack, function, {"service": service, "method": method, "arguments": arguments})
    return "" if succeeded else str(answer["errorMessage"])


def wait_until(is_true: Callable[[], bool], timeout_seconds: float = 15.0) -> bool:
    """Return whether *is_true* became so within the time."""
    deadline = time.monotonic() + timeout_seconds
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes_of(state: Path) -> list[int]:
    """Return the processes whose environment names the folder *state*: the emulator, its guard, and the functions."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(state).encode() in environment:
            found.append(int(entry.name))
    return found


def test_description_is_complete_and_read_back(probe_stack: LocalStack) -> None:
    """Another process learns from stack.json all that it needs to use the stack."""
    path = probe_stack.settings.description_file

    described = StackDescription.from_file(path)

    assert described == probe_stack.description
    assert all(getattr(described, field.name) not in ("", None) for field in fields(described))
    assert described.environment()["AWS_ENDPOINT_URL"] == described.endpoint_url


def test_second_stack_in_one_folder_is_refused(probe_stack: LocalStack) -> None:
    """A stack never takes over the folder of one that runs."""
    with pytest.raises(StackRuns), LocalStack(probe_stack.settings):
        pass

    assert StackDescription.from_file(probe_stack.settings.description_file) == probe_stack.description


def test_poll_is_ticking(probe_stack: LocalStack) -> None:
    """Poll is invoked again and again, by nobody's hand."""
    ticker = probe_stack.ticker
    assert ticker is not None
    before = ticker.completed

    assert wait_until(lambda: ticker.completed >= before + 2)

    assert ticker.failed == 0


def test_drop_reaches_submit_with_its_version(probe_stack: LocalStack) -> None:
    """An object put below inbox/ reaches submit, its key encoded, with its version; one put elsewhere does not."""
    description = probe_stack.description
    storage = boto3.client("s3", **description.client_options())
    log = Path(description.logs) / "submit.log"

    storage.put_object(Bucket=description.inbox_bucket, Key="tasks/quiet.yaml", Body=b"{}")
    version = storage.put_object(Bucket=description.inbox_bucket, Key="inbox/a b+c.csv", Body=b"a\n1\n")["VersionId"]

    assert wait_until(lambda: log.exists() and version in log.read_text())
    assert "inbox/a+b%2Bc.csv" in log.read_text()
    assert "quiet" not in log.read_text()


def test_notification_reaches_the_notifications_queue_as_any_subscriber(probe_stack: LocalStack) -> None:
    """What complete publishes arrives in the notifications queue in SNS's own envelope."""
    description = probe_stack.description
    queues = boto3.client("sqs", **description.client_options())

    denial = call(
        probe_stack, "complete", "sns", "publish", TopicArn=description.topic_arn, Message="done", Subject="Done"
    )

    def envelopes() -> list[tuple[str, str, str]]:
        received = queues.receive_message(
            QueueUrl=description.notifications_queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        bodies = [json.loads(message["Body"]) for message in received.get("Messages", [])]
        return [(body["Type"], body["Message"], body["Subject"]) for body in bodies]

    assert denial == ""
    # Others publish to the same topic.
    assert wait_until(lambda: ("Notification", "done", "Done") in envelopes())


ALLOWED = [
    ("submit", "s3", "put_object", {"Bucket": "{results_bucket}", "Key": "internal/j/chunk", "Body": "x"}),
    ("submit", "s3", "put_object", {"Bucket": "{results_bucket}", "Key": "results/j/status.json", "Body": "{}"}),
    ("submit", "s3", "list_objects_v2", {"Bucket": "{inbox_bucket}", "Prefix": "tasks/"}),
    ("submit", "secretsmanager", "get_secret_value", {"SecretId": "{secret_arn}"}),
    ("poll", "sqs", "send_message", {"QueueUrl": "{completions_queue_url}", "MessageBody": "{{}}"}),
    ("poll", "sqs", "send_message", {"QueueUrl": "{submissions_queue_url}", "MessageBody": "{{}}"}),
    ("submit", "dynamodb", "query", {"TableName": "{table}", "IndexName": "due"}),
    ("poll", "dynamodb", "query", {"TableName": "{table}", "IndexName": "due"}),
    ("complete", "s3", "put_object", {"Bucket": "{results_bucket}", "Key": "results/j/summary.json", "Body": "{}"}),
    ("complete", "dynamodb", "query", {"TableName": "{table}"}),
]
DENIED = [
    ("submit", "sns", "publish", {"TopicArn": "{topic_arn}", "Message": "x"}),
    ("submit", "sqs", "send_message", {"QueueUrl": "{completions_queue_url}", "MessageBody": "{{}}"}),
    ("submit", "s3", "put_object", {"Bucket": "{inbox_bucket}", "Key": "inbox/loop.csv", "Body": "x"}),
    ("submit", "s3", "list_objects_v2", {"Bucket": "{inbox_bucket}"}),
    ("submit", "dynamodb", "delete_item", {"TableName": "{table}"}),
    ("submit", "dynamodb", "scan", {"TableName": "{table}"}),
    ("submit", "secretsmanager", "put_secret_value", {"SecretId": "{secret_arn}", "SecretString": "x"}),
    ("poll", "sns", "publish", {"TopicArn": "{topic_arn}", "Message": "x"}),
    ("poll", "s3", "put_object", {"Bucket": "{results_bucket}", "Key": "internal/j/chunk", "Body": "x"}),
    ("poll", "s3", "get_object", {"Bucket": "{inbox_bucket}", "Key": "inbox/any.csv"}),
    ("complete", "s3", "put_object", {"Bucket": "{inbox_bucket}", "Key": "inbox/loop.csv", "Body": "x"}),
    ("complete", "sqs", "send_message", {"QueueUrl": "{submissions_queue_url}", "MessageBody": "{{}}"}),
    ("complete", "dynamodb", "delete_item", {"TableName": "{table}"}),
    ("complete", "iam", "list_roles", {}),
]
OPERANDS: dict[str, dict[str, Any]] = {
    "query": {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "J#none"}}},
    "delete_item": {"Key": {"pk": {"S": "J#none"}, "sk": {"S": "META"}}},
}


def filled(stack: LocalStack, method: str, arguments: Values) -> dict[str, Any]:
    """Return *arguments* with the names of what the stack deployed, and what the method needs besides."""
    names = {field.name: getattr(stack.description, field.name) for field in fields(stack.description)}
    values = {key: value if key == "Body" else value.format(**names) for key, value in arguments.items()}
    operands = dict(OPERANDS.get(method, {}))
    if values.get("IndexName"):
        operands["KeyConditionExpression"] = "due_pk = :pk"
    return values | operands


@pytest.mark.parametrize(("function", "service", "method", "arguments"), ALLOWED)
def test_role_allows_what_its_function_does(
    probe_stack: LocalStack, function: str, service: str, method: str, arguments: Values
) -> None:
    """Each function may do its own work."""
    denial = call(probe_stack, function, service, method, **filled(probe_stack, method, arguments))

    assert denial == ""


@pytest.mark.parametrize(("function", "service", "method", "arguments"), DENIED)
def test_role_denies_what_its_function_has_no_use_for(
    probe_stack: LocalStack, function: str, service: str, method: str, arguments: Values
) -> None:
    """No function may do another's work, write where the trigger listens, or change the key."""
    denial = call(probe_stack, function, service, method, **filled(probe_stack, method, arguments))

    assert "is not authorized to perform" in denial or "Access Denied" in denial or "Forbidden" in denial


def test_missing_task_is_missing_and_not_forbidden(probe_stack: LocalStack) -> None:
    """A task that nobody put is told apart from one that may not be read."""
    bucket = probe_stack.description.inbox_bucket

    denial = call(probe_stack, "submit", "s3", "get_object", Bucket=bucket, Key="tasks/nobody.yaml")

    assert "NoSuchKey" in denial


def test_function_sees_the_layer_and_nothing_of_this_machine(probe_stack: LocalStack) -> None:
    """What the layer lacks is missing here too, and no variable of the host reaches a function."""
    modules = ["boto3", "openai", "batchdrop", "pytest", "click", "ministack", "openai_batch_simulator"]

    _, seen = invoke(probe_stack, "submit", {"modules": modules})

    assert [name for name in modules if seen["modules"][name]] == ["boto3", "openai", "batchdrop"]
    assert "sk-" not in json.dumps(seen["environment"])
    host_only = {"SSL_CERT_FILE", "OPENAI_API_KEY", "HTTPS_PROXY", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST"}
    assert not host_only & set(seen["environment"])
    assert seen["environment"]["ENQUEUED_TOKENS_PER_MODEL"] == "0"


def test_invocation_is_reported_with_its_peak_memory(probe_stack: LocalStack) -> None:
    """Each function's log tells how long an invocation took and how much memory it held, without anybody measuring."""
    log = Path(probe_stack.description.logs) / "poll.log"

    assert wait_until(lambda: log.exists() and "platform.report" in log.read_text())

    lines = [json.loads(line) for line in log.read_text().splitlines() if "platform.report" in line]
    started = [json.loads(line) for line in log.read_text().splitlines() if "platform.start" in line]
    metrics = lines[0]["record"]["metrics"]
    assert lines[0]["record"]["requestId"] == started[0]["record"]["requestId"]
    assert metrics["initDurationMs"] > 0
    assert 10 < metrics["maxMemoryUsedMB"] < metrics["memorySizeMB"]


def test_range_of_a_version_is_that_range(emulator: Address) -> None:
    """A range of one version of an object is answered by that range alone, as AWS does."""
    storage = boto3.client("s3", **emulator.client_options())
    storage.create_bucket(Bucket="ranges")
    storage.put_bucket_versioning(Bucket="ranges", VersioningConfiguration={"Status": "Enabled"})
    version = storage.put_object(Bucket="ranges", Key="digits", Body=b"0123456789")["VersionId"]

    reply = storage.get_object(Bucket="ranges", Key="digits", VersionId=version, Range="bytes=2-4")

    assert reply["Body"].read() == b"234"
    assert (reply["ResponseMetadata"]["HTTPStatusCode"], reply["ContentRange"]) == (206, "bytes 2-4/10")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_stack(probe_settings: LocalSettings, tmp_path: Path, ending: signal.Signals) -> None:
    """However the stack's process ends, every process that it started ends too; asked to end, it leaves no description."""
    command = [sys.executable, "-c", FOREGROUND, str(probe_settings.repository), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603  # ours
    assert wait_until((tmp_path / "stack.json").exists, timeout_seconds=30)
    assert wait_until((tmp_path / "logs/poll.log").exists)
    assert len(processes_of(tmp_path)) >= 3  # the emulator, its guard, the poll function

    os.kill(process.pid, ending)

    assert process.wait(15) == (-signal.SIGKILL if ending == signal.SIGKILL else 0)
    assert wait_until(lambda: not processes_of(tmp_path))
    assert (tmp_path / "stack.json").exists() == (ending == signal.SIGKILL)
    with pytest.raises(NoStack):
        StackDescription.from_file(tmp_path / "stack.json")


def test_failed_deployment_says_why_and_leaves_nothing(probe_settings: LocalSettings, tmp_path: Path) -> None:
    """A template that does not deploy is told with the resource and the reason, and the emulator ends."""
    broken = tmp_path / "repository"
    broken.mkdir()
    for name in ("functions", "requirements", "layers"):
        (broken / name).symlink_to(probe_settings.repository / name)
    template = (REPOSITORY / "template.yaml").read_text().replace("    DependsOn: SubmissionsQueuePolicy\n", "")
    (broken / "template.yaml").write_text(template.replace("Service: s3.amazonaws.com", "Service: sns.amazonaws.com"))
    state = tmp_path / "state"

    with (
        pytest.raises(DeploymentFailed, match="Inbox"),
        LocalStack(replace(probe_settings, repository=broken, state=state)),
    ):
        pass

    assert processes_of(state) == []
    assert not (state / "stack.json").exists()
