"""Where S3 is, in every region of every partition: as botocore's own client says."""

from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.loaders import Loader

from batchdrop.edge import bootstrap
from batchdrop.edge.aws.s3 import S3Storage
from batchdrop.edge.aws.s3_endpoint import s3_endpoint

PARTITIONS = Loader().load_data("partitions")["partitions"]
REGIONS = sorted(
    region for partition in PARTITIONS for region in partition["regions"] if not region.endswith("-global")
)


@pytest.mark.parametrize("is_fips", [False, True], ids=["usual", "fips"])
def test_s3_is_where_botocore_says(*, is_fips: bool) -> None:
    """Commercial, China, GovCloud and the isolated partitions."""
    config = Config(use_fips_endpoint=is_fips, s3={"us_east_1_regional_endpoint": "regional"})
    for region in REGIONS:
        client = boto3.client("s3", region_name=region, config=config, aws_access_key_id="x", aws_secret_access_key="x")
        assert s3_endpoint(region, is_fips=is_fips) == client.meta.endpoint_url

    assert {"us-east-1", "cn-north-1", "us-gov-west-1"} <= set(REGIONS)


def test_a_region_of_tomorrow_is_told_by_its_name() -> None:
    """A partition has a pattern for its regions; what no partition has is left to the client."""
    assert s3_endpoint("eu-east-9", is_fips=False) == "https://s3.eu-east-9.amazonaws.com"
    assert s3_endpoint("cn-south-7", is_fips=True) == "https://s3-fips.cn-south-7.amazonaws.com.cn"
    assert s3_endpoint("moon", is_fips=False) is None


@pytest.fixture
def fresh_process() -> Iterator[None]:
    """A function's start, which keeps its clients and settings."""
    for part in (bootstrap._settings, bootstrap._process):  # noqa: SLF001 - what a process keeps
        part.cache_clear()
    yield
    for part in (bootstrap._settings, bootstrap._process):  # noqa: SLF001
        part.cache_clear()


@pytest.mark.usefixtures("fresh_process")
@pytest.mark.parametrize(
    ("region", "fips", "endpoint"),
    [
        ("cn-north-1", "", "https://s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "true", "https://s3-fips.us-gov-west-1.amazonaws.com"),
        ("eu-central-1", "false", "https://s3.eu-central-1.amazonaws.com"),
    ],
)
def test_a_function_asks_there(monkeypatch: pytest.MonkeyPatch, region: str, fips: str, endpoint: str) -> None:
    """Both buckets, and boto3's clients beside them."""
    given = {
        "AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_USE_FIPS_ENDPOINT": fips, "INBOX_BUCKET": "inbox",
        "RESULTS_BUCKET": "results", "TABLE": "table", "SECRET_ARN": "secret", "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    _, ports = bootstrap._process()  # noqa: SLF001 - the object graph

    assert isinstance(ports.storage, S3Storage)
    for store in (ports.storage._inbox, ports.storage._results):  # noqa: SLF001 - where it asks
        assert store.config["endpoint"] == endpoint
