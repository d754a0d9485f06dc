"""Tables of DynamoDB, whole: restored as they were at some moment, emptied, copied, and compared row by row.

Rule: a row is copied as DynamoDB holds it, attribute by attribute; nothing here knows what is in it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING, Any

from batchdrop_cli.failures import CommandFailed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The most that one BatchWriteItem takes
# (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html, 2026-11-22).
WRITES_A_CALL_MAX = 25
TRIES_MAX = 20  # a table on demand takes twice what it took before, and more within minutes
# A restore takes minutes to hours, by the table's size and AWS's mood.
RESTORE_LOOKS_MAX = 720

type Row = dict[str, Any]  # in DynamoDB's own notation


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table holds: how many rows, and a checksum that does not depend on their order."""

    rows: int
    checksum: int


def restored(client: "DynamoDBClient", table: str, moment: datetime, target: str, *, look_seconds: int) -> str:
    """Restore *table* as it was at *moment* into the new table *target* and return its name, once it is there."""
    client.restore_table_to_point_in_time(SourceTableName=table, TargetTableName=target, RestoreDateTime=moment)
    waiting = {"Delay": look_seconds, "MaxAttempts": RESTORE_LOOKS_MAX}
    client.get_waiter("table_exists").wait(TableName=target, WaiterConfig=waiting)  # type: ignore[arg-type]  # a plain dict
    return target


def check_moment(client: "DynamoDBClient", table: str, moment: datetime) -> None:
    """Raise CommandFailed where the table cannot be restored to *moment*."""
    found = client.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    recovery = found.get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        raise CommandFailed(
            f"Point-in-time recovery is off for {table}. Name a table with the rows instead: --from TABLE"
        )
    earliest, latest = recovery.get("EarliestRestorableDateTime"), recovery.get("LatestRestorableDateTime")
    # Both are the same only in an emulator, which keeps no past.
    if earliest and latest and earliest < latest and not earliest <= moment <= latest:
        raise CommandFailed(f"{table} can be restored to a moment from {earliest:%FT%TZ} to {latest:%FT%TZ}.")


def contents(client: "DynamoDBClient", table: str) -> Contents:
    """Read *table* whole and return what it holds."""
    rows = checksum = 0
    for row in read_rows(client, table):
        rows += 1
        digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest()
        checksum = (checksum + int.from_bytes(digest[:8])) % (1 << 64)
    return Contents(rows, checksum)


def read_rows(client: "DynamoDBClient", table: str) -> Iterator[Row]:
    """Yield every row of *table*."""
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def empty(client: "DynamoDBClient", table: str) -> int:
    """Delete every row of *table* and return how many that were."""
    keys = [{"pk": row["pk"], "sk": row["sk"]} for row in read_rows(client, table)]
    _write(client, table, ({"DeleteRequest": {"Key": key}} for key in keys))
    return len(keys)


def copy(client: "DynamoDBClient", source: str, target: str) -> None:
    """Put every row of *source* into *target*."""
    _write(client, target, ({"PutRequest": {"Item": row}} for row in read_rows(client, source)))


def _write(client: "DynamoDBClient", table: str, requests: Iterable[Any]) -> None:
    """Make *requests*, some at a time; what DynamoDB left over is asked for again. Raises CommandFailed."""
    for batch in batched(requests, WRITES_A_CALL_MAX):
        left: list[Any] = list(batch)
        for _ in range(TRIES_MAX):
            left = client.batch_write_item(RequestItems={table: left}).get("UnprocessedItems", {}).get(table, [])
            if not left:
                break
        if left:
            raise CommandFailed(f"DynamoDB did not take {len(left)} rows of {table}, {TRIES_MAX} times. Try again.")
