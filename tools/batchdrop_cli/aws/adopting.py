"""Adopting what a deleted stack left: its buckets and its table become part of a new stack, which the next deployment completes.

Rule: nothing is copied and nothing is lost, because a job is named after its bucket and version. CloudFormation imports the
three; `make deploy` then adds everything else. A bucket's policy that is not ours alone is left to the person.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.local.emulator import ClientOptions
from batchdrop_cli.local.template import parse
from batchdrop_cli.stack import NO_STACK

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

TEMPLATE = Path(__file__).parents[3] / "template.yaml"
CHANGE_SET = "adopt"
LOOK_SECONDS, LOOKS_MAX = 5, 120
# Of the table, what CloudFormation must know of it from the start: it would make an index or a setting that it does not know
# to be there, and fail.
_TABLE_PROPERTIES = (
    "BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "TimeToLiveSpecification",
    "PointInTimeRecoverySpecification",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Left:
    """What a stack left behind when it was deleted, by name. *kms_key_arn* is what its parameter KmsKeyArn was."""

    inbox: str
    results: str
    table: str
    kms_key_arn: str = ""


def adopt(options: ClientOptions, stack: str, left: Left, *, look_seconds: int = LOOK_SECONDS) -> None:
    """Make the stack called *stack* of *left*. Raises CommandFailed, with nothing changed but what it says."""
    cloudformation = boto3.client("cloudformation", **options)
    _check_free(cloudformation, stack)
    _check_table(options, left)
    for bucket in (left.inbox, left.results):
        _check_bucket(options, bucket)
    for bucket in (left.inbox, left.results):
        _drop_policy(options, bucket)
    _import(cloudformation, stack, left, look_seconds)


def import_template(left: Left) -> dict[str, Any]:
    """Return a template of the three alone, under the names that they have in ours.

    Without physical names, as ours has none: a name that a later template does not have would replace the bucket.
    """
    table = parse(TEMPLATE.read_text())["Resources"]["Table"]["Properties"]
    encryption: dict[str, Any] = {"SSEEnabled": True}
    if left.kms_key_arn:
        encryption |= {"SSEType": "KMS", "KMSMasterKeyId": left.kms_key_arn}
    kept = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Batchdrop: what a deleted stack left. `make deploy` completes it.",
        "Resources": {
            "Inbox": {"Type": "AWS::S3::Bucket", **kept},
            "Results": {"Type": "AWS::S3::Bucket", **kept},
            "Table": {
                "Type": "AWS::DynamoDB::Table",
                **kept,
                "Properties": {name: table[name] for name in _TABLE_PROPERTIES} | {"SSESpecification": encryption},
            },
        },
    }


def _import(cloudformation: "CloudFormationClient", stack: str, left: Left, look_seconds: int) -> None:
    identifiers: Mapping[str, tuple[str, str, str]] = {
        "Inbox": ("AWS::S3::Bucket", "BucketName", left.inbox),
        "Results": ("AWS::S3::Bucket", "BucketName", left.results),
        "Table": ("AWS::DynamoDB::Table", "TableName", left.table),
    }
    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=CHANGE_SET,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps(import_template(left)),
        ResourcesToImport=[
            {"LogicalResourceId": name, "ResourceType": kind, "ResourceIdentifier": {key: value}}
            for name, (kind, key, value) in identifiers.items()
        ],
    )
    waiting: Any = {"Delay": look_seconds, "MaxAttempts": LOOKS_MAX}
    names: Any = {"StackName": stack, "ChangeSetName": CHANGE_SET}
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(**names, WaiterConfig=waiting)
        cloudformation.execute_change_set(**names)
        cloudformation.get_waiter("stack_import_complete").wait(StackName=stack, WaiterConfig=waiting)
    except WaiterError as error:
        last: Any = error.last_response
        why = last.get("StatusReason") or last.get("Stacks", [{}])[0].get("StackStatusReason") or str(error)
        raise CommandFailed(
            f"CloudFormation did not take them: {why}. Nothing was lost; delete the stack {stack} and try again."
        ) from error


def _check_free(cloudformation: "CloudFormationClient", stack: str) -> None:
    try:
        cloudformation.describe_stacks(StackName=stack)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != NO_STACK:
            raise
        return
    raise CommandFailed(f"There is a stack {stack} already. Choose another name: batchdrop --stack NAME adopt …")


def _check_table(options: ClientOptions, left: Left) -> None:
    """Raise CommandFailed where the table is not there, or not one of ours."""
    client = boto3.client("dynamodb", **options)
    try:
        found = client.describe_table(TableName=left.table)["Table"]
    except client.exceptions.ResourceNotFoundException as error:
        raise CommandFailed(f"There is no table {left.table} in {client.meta.region_name}.") from error
    keys = [key["AttributeName"] for key in found["KeySchema"]]
    indexes = [index.get("IndexName") for index in found.get("GlobalSecondaryIndexes", [])]
    if keys != ["pk", "sk"] or "due" not in indexes:
        raise CommandFailed(
            f"{left.table} is not a table of Batchdrop: it needs the keys pk and sk, and the index `due`."
        )


def _check_bucket(options: ClientOptions, bucket: str) -> None:
    """Raise CommandFailed where the bucket is not there, keeps no versions, or has a policy that is not ours alone."""
    storage = boto3.client("s3", **options)
    try:
        versioning = storage.get_bucket_versioning(Bucket=bucket)
    except ClientError as error:
        raise CommandFailed(f"{bucket} cannot be looked at: {error}") from error
    if versioning.get("Status") != "Enabled":
        raise CommandFailed(f"{bucket} keeps no versions, so it is not a bucket of Batchdrop. Nothing was changed.")
    statements = [statement.get("Sid") for statement in _policy(options, bucket).get("Statement", [])]
    if statements not in ([], ["TlsOnly"]):
        raise CommandFailed(
            f"{bucket} has a policy with statements of your own, and the stack makes one itself. Keep a copy of it, delete "
            f"it, and add them again after `make deploy`: aws s3api get-bucket-policy --bucket {bucket}"
        )


def _policy(options: ClientOptions, bucket: str) -> dict[str, Any]:
    """Return the bucket's policy, empty where it has none."""
    try:
        text = boto3.client("s3", **options).get_bucket_policy(Bucket=bucket)["Policy"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchBucketPolicy":
            raise
        return {}
    policy: dict[str, Any] = json.loads(text)
    return policy


def _drop_policy(options: ClientOptions, bucket: str) -> None:
    """Delete the policy that the old stack made: the new one makes the same, and would find it there."""
    if _policy(options, bucket):
        boto3.client("s3", **options).delete_bucket_policy(Bucket=bucket)
