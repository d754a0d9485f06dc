"""What the policies for people allow and deny: whoever has one does their work with the command, and no more."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from access.permissions import Copy
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from fakes.tasks import ASK

from batchdrop.core.model.keys import Keys, Upload
from batchdrop_cli.local.description import STACK_NAME
from batchdrop_cli.local.stack import LocalStack
from batchdrop_cli.main import main
from batchdrop_cli.stack import read_site

INBOX, RESULTS = "InboxBucket", "ResultsBucket"


def run(words: list[str], environment: dict[str, str]) -> Result:
    """Run the command in a process of its own, as far as AWS is concerned: boto3 keeps the keys that it saw first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        return CliRunner().invoke(main, words, env=environment)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with one of the stack's policies and nothing else."""

    environment: dict[str, str]
    outputs: dict[str, str]
    clients: dict[str, Any] = field(default_factory=dict)

    def run(self, *words: str | Path) -> Result:
        """Run the command for the deployed stack as this person."""
        return run(["--stack", STACK_NAME, *map(str, words)], self.environment)

    def call(self, service: str, method: str, **arguments: Any) -> Any:  # noqa: ANN401  # boto3's
        """Make an AWS call as this person; an argument may be the name of one of the stack's outputs in braces."""
        if service not in self.clients:
            self.clients[service] = self.client(service)
        named = {name: value.format(**self.outputs) for name, value in arguments.items()}
        return getattr(self.clients[service], method)(**named)

    def client(self, service: str) -> Any:  # noqa: ANN401  # which service is known at run time
        """Return a client with this person's keys."""
        keys = self.environment
        session = boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], keys["AWS_SESSION_TOKEN"])
        made: Any = session.client(  # type: ignore[call-overload]  # as above
            service, region_name=keys["AWS_REGION"], endpoint_url=keys["AWS_ENDPOINT_URL"]
        )
        return made


type People = Callable[[str], Person]


@pytest.fixture(scope="module")
def upload(probe_stack: LocalStack) -> Upload:
    """A drop, whose job has a status and a result; and the task `ask`."""
    description = probe_stack.description
    storage = boto3.client("s3", **description.client_options())
    storage.put_object(Bucket=description.inbox_bucket, Key="tasks/ask.yaml", Body=ASK)
    key = "inbox/ask/there.csv"
    version = storage.put_object(Bucket=description.inbox_bucket, Key=key, Body=b"a\n1\n")["VersionId"]
    upload = Upload(description.inbox_bucket, key, version)
    keys = Keys(upload.job_id, upload.key)
    named = {"bucket": upload.bucket, "key": upload.key, "version": upload.version}
    status = {"job": upload.job_id, "state": "RUNNING", "upload": named}
    for place, body in ((keys.status, json.dumps(status)), (keys.outcomes, "{}\n"), (keys.plan_page(0), "{}")):
        storage.put_object(Bucket=description.results_bucket, Key=place, Body=body.encode())
    return upload


@pytest.fixture(scope="module")
def held(probe_stack: LocalStack) -> Upload:
    """A drop whose job says that it is held."""
    description = probe_stack.description
    upload = Upload(description.inbox_bucket, "inbox/ask/held.csv", "1")
    named = {"bucket": upload.bucket, "key": upload.key, "version": upload.version}
    status = {"job": upload.job_id, "state": "HELD", "upload": named}
    boto3.client("s3", **description.client_options()).put_object(
        Bucket=description.results_bucket, Key=Keys(upload.job_id, upload.key).status, Body=json.dumps(status).encode()
    )
    return upload


@pytest.fixture(scope="module")
def people(probe_stack: LocalStack) -> People:
    """Makes a person with the policy of a name; one for each."""
    description = probe_stack.description
    outputs = dict(read_site(description.client_options(), STACK_NAME, is_local=True).outputs)
    made: dict[str, Person] = {}

    def person(policy: str) -> Person:
        if policy not in made:
            role = Copy(description.address, f"{policy}-{uuid.uuid4().hex[:8]}")
            role.attach(outputs[f"{policy}Policy"])
            made[policy] = Person(role.environment, outputs)
        return made[policy]

    return person


def test_dropper_drops_and_takes_results_home(people: People, upload: Upload, tmp_path: Path) -> None:
    """The Dropper's policy is enough for drop, status and results on a deployed stack."""
    dropper, path = people("Dropper"), tmp_path / "mine.csv"
    path.write_text("a\n1\n")

    dropped = dropper.run("drop", path, "--task", "ask")
    listed = dropper.run("status")
    added = dropper.run("costs")
    taken = dropper.run("results", upload.job_id, "--to", tmp_path / "out")

    assert (dropped.exit_code, dropped.stdout[20:]) == (0, "  inbox/ask/mine.csv\n")
    assert upload.job_id in listed.stdout
    assert (added.exit_code, "not counted: 1 jobs" in added.stdout) == (0, True)
    assert (taken.exit_code, (tmp_path / "out/outcomes.jsonl").read_text()) == (0, "{}\n")


@pytest.mark.usefixtures("upload")
def test_task_author_writes_tasks(people: People, tmp_path: Path) -> None:
    """The TaskAuthor's policy is enough to put, list and remove a task."""
    author, path = people("TaskAuthor"), tmp_path / "mine.yaml"
    path.write_bytes(ASK)

    put = author.run("tasks", "put", path)
    listed = author.run("tasks")
    author.call("s3", "delete_object", Bucket="{InboxBucket}", Key="tasks/mine.yaml")

    assert (put.exit_code, put.stdout) == (0, "mine\n")
    assert "mine " in listed.stdout
    assert "mine " not in author.run("tasks").stdout


def test_operator_approves(people: People, held: Upload) -> None:
    """The Operator's policy is enough to let a held job go on."""
    approved = people("Operator").run("approve", held.job_id)

    assert (approved.exit_code, approved.stdout[:6]) == (0, "Asked.")


@pytest.mark.parametrize("policy", ["Dropper", "TaskAuthor"])
def test_nobody_else_approves(people: People, held: Upload, policy: str) -> None:
    """Whoever drops or writes tasks cannot let a job cost more, by the command or by an object of their own."""
    person = people(policy)

    approved = person.run("approve", held.job_id)

    assert approved.exit_code == 1
    with pytest.raises(ClientError, match=r"AccessDenied|not authorized|Forbidden"):
        person.call("s3", "put_object", Bucket="{InboxBucket}", Key=f"control/{held.job_id}/approve")


def test_operator_sees_and_cancels(people: People, upload: Upload, tmp_path: Path) -> None:
    """The Operator's policy is enough to see jobs and results, and to cancel a job."""
    operator = people("Operator")

    shown = operator.run("status", upload.job_id)
    taken = operator.run("results", upload.job_id, "--to", tmp_path / "out")
    cancelled = operator.run("cancel", upload.job_id)

    assert (shown.exit_code, taken.exit_code, cancelled.exit_code) == (0, 0, 0)
    assert upload.job_id in shown.stdout


NOBODY = [  # what no policy for people allows
    ("s3", "get_object", {"Bucket": "{ResultsBucket}", "Key": "internal/any"}),
    ("s3", "list_objects_v2", {"Bucket": "{ResultsBucket}", "Prefix": "internal/"}),
    ("s3", "list_objects_v2", {"Bucket": "{ResultsBucket}"}),
    ("s3", "get_object", {"Bucket": "{InboxBucket}", "Key": "inbox/ask/there.csv"}),
    ("s3", "list_objects_v2", {"Bucket": "{InboxBucket}", "Prefix": "inbox/"}),
    ("s3", "put_object", {"Bucket": "{ResultsBucket}", "Key": "results/forged.json"}),
    ("s3", "delete_object", {"Bucket": "{ResultsBucket}", "Key": "results/any"}),
    ("s3", "delete_object", {"Bucket": "{InboxBucket}", "Key": "inbox/ask/there.csv"}),
    ("secretsmanager", "get_secret_value", {"SecretId": "{SecretArn}"}),
    ("secretsmanager", "put_secret_value", {"SecretId": "{SecretArn}", "SecretString": "x"}),
    ("dynamodb", "scan", {"TableName": "{Table}"}),
    ("sns", "publish", {"TopicArn": "{TopicArn}", "Message": "x"}),
    ("sqs", "send_message", {"QueueUrl": "{SubmissionsQueueUrl}", "MessageBody": "x"}),
    ("lambda", "invoke", {"FunctionName": "{PollFunction}"}),
    ("cloudformation", "describe_stacks", {}),
    ("cloudformation", "delete_stack", {"StackName": STACK_NAME}),
]
DROP = ("s3", "put_object", {"Bucket": "{InboxBucket}", "Key": "inbox/ask/x.csv"})
WRITE_TASK = ("s3", "put_object", {"Bucket": "{InboxBucket}", "Key": "tasks/x.yaml"})
CONTROL = ("s3", "put_object", {"Bucket": "{InboxBucket}", "Key": "control/x/cancel"})
APPROVE = ("s3", "put_object", {"Bucket": "{InboxBucket}", "Key": "control/x/approve"})
READ_RESULTS = ("s3", "get_object", {"Bucket": "{ResultsBucket}", "Key": "results/any"})
DENIED = [
    *(("Dropper", *call) for call in (WRITE_TASK, CONTROL, APPROVE, *NOBODY)),
    *(("TaskAuthor", *call) for call in (DROP, CONTROL, APPROVE, READ_RESULTS, *NOBODY)),
    *(("Operator", *call) for call in (DROP, WRITE_TASK, *NOBODY)),
]


@pytest.mark.usefixtures("upload")
@pytest.mark.parametrize(("policy", "service", "method", "arguments"), DENIED)
def test_nobody_does_more_than_their_work(
    people: People, policy: str, service: str, method: str, arguments: dict[str, str]
) -> None:
    """No policy allows another's work, the system's own folders, its queues and table, or the key."""
    with pytest.raises(ClientError, match=r"AccessDenied|not authorized|Forbidden"):
        people(policy).call(service, method, **arguments)


def test_denial_is_told_in_a_line(people: People, tmp_path: Path) -> None:
    """Whoever asks the command for what their policy denies reads so, and which right is missing."""
    path = tmp_path / "mine.csv"
    path.write_text("a\n1\n")

    result = people("Operator").run("drop", path)

    assert result.exit_code == 1
    assert "s3:PutObject" in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_a_stack_that_is_not_there_is_said_so(probe_stack: LocalStack) -> None:
    """A mistyped name leads to the way to deploy."""
    environment = probe_stack.description.environment() | {"AWS_DEFAULT_REGION": "us-east-1", "BATCHDROP_STACK": "nope"}

    result = run(["status"], environment)

    assert result.exit_code == 1
    assert "There is no stack nope in us-east-1" in result.stderr
