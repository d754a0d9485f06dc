"""Where the two emulators disagree: AWS's documentation decides, and the code relies on neither.

Each test names one difference. It fails when an emulator changes its mind, which is worth a look and no defect of ours.
docs/decisions/0017-two-emulators.md has what AWS says.
"""

import uuid
from typing import TYPE_CHECKING

import boto3
import pytest

from batchdrop_cli.local.emulator import Address

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MINISTACK, MOTO = "emulator", "second_emulator"


class Bucket:
    """A bucket with versions: `a` has one, `b` two, `c` one."""

    def __init__(self, client: "S3Client") -> None:
        self.client, self.name = client, f"b-{uuid.uuid4()}"
        client.create_bucket(Bucket=self.name)
        client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})
        for key in ("a", "b", "b", "c"):
            client.put_object(Bucket=self.name, Key=key, Body=b"x")

    def keys(self, **markers: str) -> list[str]:
        """Return the keys of a listing from there on, one for each version."""
        found = self.client.list_object_versions(Bucket=self.name, **markers)  # type: ignore[arg-type]  # markers alone
        return [version["Key"] for version in found.get("Versions", [])]

    def versions_of(self, key: str) -> list[str]:
        """Return the ids of the key's versions, the newest first."""
        found = self.client.list_object_versions(Bucket=self.name, Prefix=key)["Versions"]
        return [version["VersionId"] for version in found]


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """A bucket in the emulator that the test names."""
    address: Address = request.getfixturevalue(request.param)
    return Bucket(boto3.client("s3", **address.client_options()))


@pytest.mark.parametrize(
    ("bucket", "keys"),
    [pytest.param(MINISTACK, ["c"], id="ministack"), pytest.param(MOTO, ["b", "c"], id="moto")],
    indirect=["bucket"],
)
def test_a_key_marker_alone(bucket: Bucket, keys: list[str]) -> None:
    """Ministack begins after the key, moto in the middle of its versions. We always send the version's marker, too."""
    assert bucket.keys(KeyMarker="b") == keys


@pytest.mark.parametrize(
    ("bucket", "keys"),
    [pytest.param(MINISTACK, ["a", "b", "b", "c"], id="ministack"), pytest.param(MOTO, ["b", "b", "c"], id="moto")],
    indirect=["bucket"],
)
def test_an_empty_key_marker(bucket: Bucket, keys: list[str]) -> None:
    """Moto leaves out the first version of all. We send no marker where there is none."""
    assert bucket.keys(KeyMarker="") == keys


@pytest.mark.parametrize("bucket", [MINISTACK, MOTO], indirect=True)
def test_both_markers_mean_the_same(bucket: Bucket) -> None:
    """What the code relies on: a listing goes on after that version of that key."""
    newest, oldest = bucket.versions_of("b")

    assert bucket.keys(KeyMarker="b", VersionIdMarker=newest) == ["b", "c"]
    assert bucket.keys(KeyMarker="b", VersionIdMarker=oldest) == ["c"]
