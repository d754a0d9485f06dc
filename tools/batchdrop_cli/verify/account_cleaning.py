"""Deletes a stack whose name was made at random, with all that it keeps: buckets with every version, tables, queues.

Rule: only names that begin with the stack's whole name are touched, and that name has to be a random one of `verify-aws`.
"""

from typing import Any

import boto3
from botocore.exceptions import ClientError

from batchdrop_cli.jobs.control import DELETED_A_CALL_MAX
from batchdrop_cli.local.emulator import ClientOptions

# A stack of this name was made for a trial: `verify-aws` adds eight hexadecimal digits.
TRIAL_STACK = r"batchdrop-verify-[0-9a-f]{8}"
SAM_STACK, SAM_BUCKET = "aws-sam-cli-managed-default", "SourceBucket"
LOOK_SECONDS = 5  # between two looks at what is being deleted


def client(service: str, options: ClientOptions) -> Any:  # noqa: ANN401  # boto3's, of any service
    """Return a client of the account's."""
    return boto3.client(service, **options)  # type: ignore[call-overload]  # any service


def kept_parts(options: ClientOptions, name: str) -> dict[str, list[str]]:
    """Return what has the stack's *name* and isn't part of it any more: buckets, those with a policy, tables, queues."""
    storage = client("s3", options)
    # CloudFormation names a bucket by the stack and the resource, in small letters.
    buckets = [bucket["Name"] for bucket in storage.list_buckets()["Buckets"] if bucket["Name"].startswith(f"{name}-")]
    return {
        "buckets": buckets,
        "policies": [bucket for bucket in buckets if _has_policy(storage, bucket)],
        "tables": [
            table
            for page in client("dynamodb", options).get_paginator("list_tables").paginate()
            for table in page["TableNames"]
            if table.startswith(f"{name}-")
        ],
        "queues": client("sqs", options).list_queues(QueueNamePrefix=f"{name}-").get("QueueUrls", []),
    }


def _has_policy(storage: Any, bucket: str) -> bool:  # noqa: ANN401  # boto3's
    try:
        return bool(storage.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError:
        return False


def delete_stack(options: ClientOptions, name: str) -> None:
    """Delete the stack and wait until it is gone."""
    stacks = client("cloudformation", options)
    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": LOOK_SECONDS})


def delete_buckets(options: ClientOptions, name: str) -> None:
    """Empty and delete the stack's buckets, and delete its code from SAM's."""
    storage = client("s3", options)
    for bucket in kept_parts(options, name)["buckets"]:
        empty(storage, bucket, "")
        storage.delete_bucket(Bucket=bucket)
    try:
        (sam,) = client("cloudformation", options).describe_stacks(StackName=SAM_STACK)["Stacks"]
    except ClientError:
        return  # another way than SAM's was taken
    outputs = {output["OutputKey"]: output["OutputValue"] for output in sam.get("Outputs", [])}
    if SAM_BUCKET in outputs:
        empty(storage, outputs[SAM_BUCKET], f"{name}/")


def empty(storage: Any, bucket: str, prefix: str) -> None:  # noqa: ANN401  # boto3's
    """Delete every version below *prefix*, and every mark of a deletion."""
    for page in storage.get_paginator("list_object_versions").paginate(
        Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": DELETED_A_CALL_MAX}
    ):
        found = [
            {"Key": version["Key"], "VersionId": version["VersionId"]}
            for version in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
        ]
        if found:
            storage.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})


def delete_tables(options: ClientOptions, name: str) -> None:
    """Delete the stack's table, and wait until it is gone."""
    tables = client("dynamodb", options)
    for table in kept_parts(options, name)["tables"]:
        tables.delete_table(TableName=table)
        tables.get_waiter("table_not_exists").wait(TableName=table, WaiterConfig={"Delay": LOOK_SECONDS})


def delete_queues(options: ClientOptions, name: str) -> None:
    """Delete the queues that a trial subscribed."""
    queues = client("sqs", options)
    for url in kept_parts(options, name)["queues"]:
        queues.delete_queue(QueueUrl=url)
