"""Finds a stack, on this machine or deployed: its two buckets, and the names of its parts.

Rule: once the buckets' names are known the command needs S3 and nothing else, so whatever it shows, any S3 client can see
too. CloudFormation's outputs are read each time they are needed, by one DescribeStacks, and kept nowhere. The account is the
one that every AWS client finds in the person's environment: no key is asked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchdrop.core.model.keys import Upload
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.local.description import STACK_NAME, StackDescription
from batchdrop_cli.local.emulator import ClientOptions

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STACK_FILE = Path(".local/stack.json")

# More than a folder of results can hold: 50,000 items a shard, and S3 lists 1,000 keys a page.
PAGES_MAX = 100_000

# What CloudFormation says of a stack that is not there
# (https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html, 2026-11-22).
NO_STACK = "ValidationError"


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A stack by its CloudFormation name, in the account and region of the person's environment."""

    name: str


# Which stack is meant: the local one that a file describes, or a deployed one.
type StackPlace = Path | DeployedStack


@dataclass(frozen=True, slots=True)
class Site:
    """Where a stack runs: what a boto3 client needs for its AWS, and the names of what was deployed there."""

    options: ClientOptions
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    is_local: bool

    def named(self, output: str) -> str:
        """Return one output. Raises CommandFailed where the stack has none of that name."""
        if output not in self.outputs:
            raise CommandFailed(
                f"The stack has no output {output}: it isn't a Batchdrop stack, or is of another release."
            )
        return self.outputs[output]


@dataclass(frozen=True, slots=True)
class Found:
    """One object of a listing."""

    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Connection:
    """The buckets of one stack, and what a boto3 client needs for its AWS. May be used from several threads."""

    storage: "S3Client"
    options: ClientOptions
    inbox_bucket: str
    results_bucket: str

    def read(self, bucket: str, key: str) -> bytes | None:
        """Return the object whole, None where there is none."""
        try:
            return self.storage.get_object(Bucket=bucket, Key=key)["Body"].read()
        except self.storage.exceptions.NoSuchKey:
            return None

    def read_range(self, bucket: str, key: str, start: int, end: int) -> bytes:
        """Return the bytes of the object from *start* to before *end*."""
        if start == end:
            return b""  # S3 knows no empty range
        return self.storage.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}")["Body"].read()

    def size_bytes(self, bucket: str, key: str) -> int | None:
        """Return the size of the object, None where there is none; by listing, which tells none from not allowed."""
        return next((found.size_bytes for found in self.objects(bucket, key) if found.key == key), None)

    def objects(self, bucket: str, prefix: str) -> Iterator[Found]:
        """Yield every object below *prefix*, by key."""
        pages = self.storage.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for _, page in zip(range(PAGES_MAX), pages, strict=False):
            for entry in page.get("Contents", []):
                yield Found(entry["Key"], entry["Size"])

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """Yield the folders directly below *prefix*, each with its slash."""
        pages = self.storage.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        for _, page in zip(range(PAGES_MAX), pages, strict=False):
            for entry in page.get("CommonPrefixes", []):
                yield entry["Prefix"]

    def put_upload(self, path: Path, key: str) -> Upload:
        """Put the file at *path* into the inbox and return the version that this made. Each call makes a new one."""
        with path.open("rb") as content:
            reply = self.storage.put_object(Bucket=self.inbox_bucket, Key=key, Body=content)
        version = reply.get("VersionId")
        if not version:
            raise CommandFailed(f"The bucket {self.inbox_bucket} keeps no versions, so nothing dropped there is taken.")
        return Upload(self.inbox_bucket, key, version)


def connect(stack: StackPlace) -> Connection:
    """Return the way to *stack*. Raises NoStack, and CommandFailed for what describes no stack of ours."""
    if isinstance(stack, Path):
        return connection_to(described(stack))
    site = site_of(stack)
    return _connection(site.options, site.named("InboxBucket"), site.named("ResultsBucket"))


def described(stack_file: Path) -> StackDescription:
    """Return what *stack_file* describes. Raises NoStack, and CommandFailed for a file of another kind."""
    try:
        return StackDescription.from_file(stack_file)
    except (KeyError, TypeError, ValueError) as error:
        raise CommandFailed(f"{stack_file} does not describe a local stack. Start one: batchdrop local") from error


def connection_to(stack: StackDescription) -> Connection:
    """Return the way to the local *stack*."""
    return _connection(stack.client_options(), stack.inbox_bucket, stack.results_bucket)


def _connection(options: ClientOptions, inbox_bucket: str, results_bucket: str) -> Connection:
    import boto3  # noqa: PLC0415  # 0.3 s that `--help` and a mistyped option need not wait for

    return Connection(boto3.client("s3", **options), options, inbox_bucket, results_bucket)


def site_of(stack: StackPlace) -> Site:
    """Return where *stack* runs. Raises NoStack, and CommandFailed where there is none of that name."""
    if isinstance(stack, Path):
        return read_site(described(stack).client_options(), STACK_NAME, is_local=True)
    from batchdrop_cli.account import person_options  # noqa: PLC0415  # boto3: 0.3 s for `--help`

    return read_site(person_options(), stack.name, is_local=False)


def read_site(options: ClientOptions, name: str, *, is_local: bool) -> Site:
    """Return the site of the stack called *name*. Raises CommandFailed where there is none."""
    import boto3  # noqa: PLC0415  # as above
    from botocore.exceptions import ClientError  # noqa: PLC0415  # as above

    cloudformation = boto3.client("cloudformation", **options)
    try:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != NO_STACK:
            raise
        region = cloudformation.meta.region_name
        raise CommandFailed(f"There is no stack {name} in {region}. Deploy it: make deploy") from error
    return Site(
        options,
        {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])},
        {given["ParameterKey"]: given.get("ParameterValue", "") for given in found.get("Parameters", [])},
        is_local=is_local,
    )
