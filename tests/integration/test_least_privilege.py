"""No function may do more than it does: each permission is taken away from it alone, and what it was for fails."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from access.granted import FUNCTIONS, permissions_of, statements_of
from access.needs import LOG_STREAM, OPERATIONS, Ground
from access.permissions import Copy, Permission, Statement, deployed_statements, without

from batchdrop.core.model.keys import Upload
from batchdrop.edge import bootstrap
from batchdrop_cli.local.description import STACK_NAME
from batchdrop_cli.local.stack import LocalStack
from batchdrop_cli.stack import read_site

DENIED = re.compile(r"AccessDenied|not authorized|may not be read")


HELD = [(function, *held) for function in FUNCTIONS for held in permissions_of(function)]
NOT_HELD = [
    (function, needed)
    for function in FUNCTIONS
    for needed in OPERATIONS
    if needed not in {held for _, _, held in permissions_of(function)}
]


@dataclass
class Invocation:
    """What Lambda gives a handler."""

    aws_request_id: str = "request"

    def get_remaining_time_in_millis(self) -> int:
        """Return some time."""
        return 60_000


@dataclass(frozen=True, slots=True)
class Stage:
    """A function's role copied, and the ports under it."""

    role: Copy
    whole: list[Statement]
    ground: Ground


def forget_clients() -> None:
    """Make the next ports with the environment as it is then."""
    for part in vars(bootstrap).values():
        if hasattr(part, "cache_clear"):
            part.cache_clear()
    boto3.DEFAULT_SESSION = None


def put_what_is_read(stack: LocalStack) -> Upload:
    """Put what operations find; return the drop."""
    described = stack.description
    storage = boto3.client("s3", **described.client_options())
    for key in ("internal/there", "results/there"):
        storage.put_object(Bucket=described.results_bucket, Key=key, Body=b"{}")
    storage.put_object(Bucket=described.inbox_bucket, Key="tasks/ask.yaml", Body=b"{}")
    key = "inbox/ask/there.csv"
    version = storage.put_object(Bucket=described.inbox_bucket, Key=key, Body=b"a\n1\n")["VersionId"]
    return Upload(described.inbox_bucket, key, version)


def open_logs(stack: LocalStack) -> dict[str, str]:
    """Make the stream that operations write to in each function's log group; return the groups by function."""
    options = stack.description.client_options()
    stacks, logs = boto3.client("cloudformation", **options), boto3.client("logs", **options)
    groups = {
        function: stacks.describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=f"{function}Logs")
        for function in FUNCTIONS
    }
    names = {function: found["StackResourceDetail"]["PhysicalResourceId"] for function, found in groups.items()}
    for name in names.values():
        logs.create_log_stream(logGroupName=name, logStreamName=LOG_STREAM)
    return names


def environment(outputs: dict[str, str]) -> dict[str, str]:
    """Return what a function is told of the stack; each is told everything here, so that it is IAM that holds it back."""
    return {
        "INBOX_BUCKET": outputs["InboxBucket"],
        "RESULTS_BUCKET": outputs["ResultsBucket"],
        "TABLE": outputs["Table"],
        "TOPIC_ARN": outputs["TopicArn"],
        "SECRET_ARN": outputs["SecretArn"],
        "SUBMISSIONS_QUEUE_URL": outputs["SubmissionsQueueUrl"],
        "COMPLETIONS_QUEUE_URL": outputs["CompletionsQueueUrl"],
    }


class Theatre:
    """Makes the stage of one function after another; the tests of one function follow each other."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._upload = put_what_is_read(stack)
        self._log_groups = open_logs(stack)
        self._made: tuple[str, Stage] | None = None
        self._patch = pytest.MonkeyPatch()

    def stage(self, function: str) -> Stage:
        """Return the stage of *function*; from now on the environment is that function's."""
        if self._made is None or self._made[0] != function:
            self.clear()
            self._made = function, self._make(function)
        return self._made[1]

    def clear(self) -> None:
        """Give the environment back."""
        self._patch.undo()
        self._made = None
        forget_clients()

    def _make(self, function: str) -> Stage:
        address, options = self._stack.description.address, self._stack.description.client_options()
        outputs = dict(read_site(options, STACK_NAME, is_local=True).outputs)
        role = Copy(address, f"{function}-{uuid.uuid4().hex[:8]}")
        for variable, value in (role.environment | environment(outputs)).items():
            self._patch.setenv(variable, value)
        storage = boto3.client("s3", **options)

        def unfinished_uploads() -> int:
            return len(storage.list_multipart_uploads(Bucket=outputs["ResultsBucket"]).get("Uploads", []))

        ground = Ground(bootstrap.ports(Invocation()), outputs, self._upload, self._log_groups, unfinished_uploads)
        return Stage(role, deployed_statements(options, STACK_NAME, f"{function}Role"), ground)


@pytest.fixture(scope="module")
def theatre(probe_stack: LocalStack) -> Iterator[Theatre]:
    """Where the stages are made."""
    made = Theatre(probe_stack)
    yield made
    made.clear()


@pytest.fixture
def stage(theatre: Theatre, request: pytest.FixtureRequest) -> Stage:
    """The stage of the function that the test names."""
    return theatre.stage(request.param)


@pytest.mark.parametrize(
    ("stage", "index", "part", "held"),
    HELD,
    ids=[f"{function}-{statements_of(function)[index]['Sid']}-{held}" for function, index, _, held in HELD],
    indirect=["stage"],
)
def test_no_permission_can_be_spared(stage: Stage, index: int, part: int, held: Permission) -> None:
    """With all its permissions but one a function cannot do what that one is for, and with it it can."""
    operation = OPERATIONS[held]
    stage.role.allow(stage.whole)
    operation(stage.ground)

    stage.role.allow(without(stage.whole, index, part))

    with pytest.raises(Exception, match=DENIED):
        operation(stage.ground)


@pytest.mark.parametrize(
    ("stage", "needed"), NOT_HELD, ids=[f"{function}-{needed}" for function, needed in NOT_HELD], indirect=["stage"]
)
def test_what_others_may_do_is_denied(stage: Stage, needed: Permission) -> None:
    """A function that got out of hand can do its own work alone: no permission of another's comes with one of its own."""
    stage.role.allow(stage.whole)

    with pytest.raises(Exception, match=DENIED):
        OPERATIONS[needed](stage.ground)


def test_every_operation_is_some_functions() -> None:
    """The table has no row whose permission is nobody's any more."""
    held: set[Any] = {held for *_, held in HELD}

    assert set(OPERATIONS) == held
