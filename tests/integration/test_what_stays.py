"""What a deployment leaves behind: nothing where the first one failed, people's work where a stack is deleted."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from batchdrop_cli.local import deployment
from batchdrop_cli.local.deployment import DeploymentFailed, Sources, deploy
from batchdrop_cli.local.emulator import Address, running_emulator
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.stack import REPOSITORY

# Made after everything that holds work, and refused: the queue does not admit S3. The emulator forgets to delete this one.
REFUSED = """
Resources:
  Refused:
    Type: AWS::S3::Bucket
    DependsOn: [InboxPolicy, ResultsPolicy, Table]
    Properties:
      NotificationConfiguration:
        QueueConfigurations: [{Event: "s3:ObjectCreated:*", Queue: !GetAtt CompletionsDeadLetterQueue.Arn}]
"""

ROLLBACK_SECONDS_MAX = 30.0  # it takes one

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module")
def address(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """An account with nothing in it."""
    folder = tmp_path_factory.mktemp("account")
    with running_emulator(environments.emulator_python, files=folder / "files", log=folder / "emulator.log") as at:
        yield at


@pytest.fixture
def sources(environments: Environments, tmp_path: Path) -> Sources:
    """The repository's functions and layer, beside a copy of its template."""
    for name in ("functions", "layers"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "template.yaml").write_text((REPOSITORY / "template.yaml").read_text())
    return Sources(tmp_path, environments, tmp_path)


def kept(address: Address) -> dict[str, Any]:
    """Return the buckets of the account with their policies, and its tables."""
    storage = boto3.client("s3", **address.client_options())
    buckets = {
        bucket["Name"]
        for bucket in storage.list_buckets()["Buckets"]
        if bucket["Name"] != deployment.ARTIFACTS_BUCKET and "-refused-" not in bucket["Name"]
    }
    tables = boto3.client("dynamodb", **address.client_options()).list_tables()["TableNames"]
    policies = {name: json.loads(storage.get_bucket_policy(Bucket=name)["Policy"]) for name in buckets}
    return {"policies": policies, "tables": tables}


def test_a_first_deployment_that_fails_leaves_nothing(address: Address, sources: Sources) -> None:
    """Nobody has to look for buckets and a table that no stack knows."""
    template = sources.repository / "template.yaml"
    template.write_text(template.read_text().replace("\nResources:\n", REFUSED, 1))

    with pytest.raises(DeploymentFailed, match="Refused"):
        deploy(address, sources, {"OpenAIBaseUrl": "http://127.0.0.1:9/v1"}, "first")

    stacks = boto3.client("cloudformation", **address.client_options())
    deadline = time.monotonic() + ROLLBACK_SECONDS_MAX
    while stacks.describe_stacks(StackName="first")["Stacks"][0]["StackStatus"] != "ROLLBACK_COMPLETE":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert kept(address) == {"policies": {}, "tables": []}


def test_a_stack_that_is_deleted_leaves_work_behind_and_its_policies(address: Address, sources: Sources) -> None:
    """The buckets and the ledger stay, and the buckets go on refusing what is not TLS."""
    outputs = deploy(address, sources, {"OpenAIBaseUrl": "http://127.0.0.1:9/v1"}, "second")
    stacks = boto3.client("cloudformation", **address.client_options())

    stacks.delete_stack(StackName="second")
    stacks.get_waiter("stack_delete_complete").wait(StackName="second", WaiterConfig={"Delay": 1})

    left = kept(address)
    assert set(left["policies"]) == {outputs["InboxBucket"], outputs["ResultsBucket"]}
    assert left["tables"] == [outputs["Table"]]
    for policy in left["policies"].values():
        assert [statement["Sid"] for statement in policy["Statement"]] == ["TlsOnly"]


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        ("KmsKeyArn", "alias/batchdrop"),
        ("FormerKmsKeyArns", "1234abcd-12ab-34cd-56ef-1234567890ab"),
        ("OwnSecretArn", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:openai"),
        ("PermissionsBoundaryArn", "boundary"),
    ],
)
def test_what_is_no_arn_is_refused_before_anything_is_made(
    address: Address, sources: Sources, parameter: str, given: str
) -> None:
    """The words are the parameter's own, and no stack is begun."""
    stacks = boto3.client("cloudformation", **address.client_options())

    with pytest.raises(stacks.exceptions.ClientError, match=f"{parameter}.*must be .*arn:aws:"):
        deploy(address, sources, {parameter: given}, "third")

    with pytest.raises(stacks.exceptions.ClientError, match="does not exist"):
        stacks.describe_stacks(StackName="third")
