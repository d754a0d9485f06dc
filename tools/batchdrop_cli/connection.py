"""The way to a stack's two buckets, on this machine or deployed.

Rule: once the buckets' names are known the command needs S3 and nothing else, so whatever it shows, any S3 client can see
too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchdrop.core.model.keys import Upload
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.local.description import StackDescription
from batchdrop_cli.local.emulator import ClientOptions

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from batchdrop_cli.deployed import DeployedStack

STACK_FILE = Path(".local/stack.json")

# Which stack is meant: the local one that a file describes, or a deployed one.
type StackPlace = "Path | DeployedStack"

# More than a folder of results can hold: 50,000 items a shard, and S3 lists 1,000 keys a page.
PAGES_MAX = 100_000


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
    from batchdrop_cli.deployed import site_of  # noqa: PLC0415  # boto3: 0.3 s for `--help`

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
