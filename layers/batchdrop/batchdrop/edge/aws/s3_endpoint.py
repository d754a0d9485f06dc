"""Finds the address of S3 in any partition of AWS: object_store only knows the commercial one.

Rule: the names come from botocore, which every other client here uses, so that all of them agree. Its rules for S3 are
`s3.<region>.<suffix>` and `s3-fips.<region>.<suffix>`; a test holds these against its own client for every region.
"""

import re
from typing import Any

from botocore.loaders import Loader


def s3_endpoint(region: str, *, is_fips: bool) -> str | None:
    """Return the address of S3 in *region*, such as `https://s3.cn-north-1.amazonaws.com.cn`; None for an unknown region.

    botocore's list of partitions takes a millisecond to read; building an S3 client takes a hundred.
    """
    suffix = _suffix(region)
    return f"https://{'s3-fips' if is_fips else 's3'}.{region}.{suffix}" if suffix else None


def _suffix(region: str) -> str:
    """Return how addresses of the region's partition end; empty where botocore knows none."""
    partitions: list[dict[str, Any]] = Loader().load_data("partitions")["partitions"]
    for partition in partitions:
        if region in partition["regions"] or re.fullmatch(partition["regionRegex"].strip("^$"), region):
            return str(partition["outputs"]["dnsSuffix"])
    return ""
