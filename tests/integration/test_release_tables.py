"""The table of an older release, in what stands for DynamoDB: this release reads it and writes on top of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from fakes.memory import FakeClock, MemoryLog
from fakes.tables import create_table

from batchdrop.core.model.change import Change, QuotaWrite, Row, Write
from batchdrop.core.model.errors import Conflict
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.quota import QuotaEstimate
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.edge.aws.dynamodb import DynamoLedger
from batchdrop.edge.aws.row_format import encode_row, row_key
from batchdrop_cli.local.emulator import Address

RELEASES = Path(__file__).parents[1] / "simulation" / "releases"
TABLES = sorted(RELEASES.glob("*/table/items.json"))

type Item = dict[str, Any]


class Table:
    """An empty table and the ledger over it."""

    def __init__(self, address: Address) -> None:
        self.client = boto3.client("dynamodb", **address.client_options())
        self.name = create_table(self.client)
        self.ledger = DynamoLedger(self.client, self.name, FakeClock(), MemoryLog())

    def put(self, item: Item) -> None:
        """Put what an older release wrote, byte for byte."""
        self.client.put_item(TableName=self.name, Item=item)


@pytest.fixture(params=["emulator", "second_emulator"])
def table(request: pytest.FixtureRequest) -> Table:
    """A table of its own, in each of the two."""
    address: Address = request.getfixturevalue(request.param)
    return Table(address)


def items(path: Path) -> list[Item]:
    """Return the items of one release."""
    found: list[Item] = json.loads(path.read_text())
    return found


def read(table: Table, item: Item) -> Row | None:
    """Return the row that *item* is, by the ledger's own reads."""
    row = json.loads(item["row"]["S"])
    match item["kind"]["S"]:
        case "job":
            return table.ledger.job(row["id"])
        case "shard":
            return table.ledger.shard(row["job"], row["number"])
        case _:
            return table.ledger.install()


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.parents[1].name)
def test_each_row_is_read_listed_and_written_again(table: Table, path: Path) -> None:
    """A row of each state: nothing that it says is lost, and its conditions hold for a write of this release, once."""
    seen = set()
    for item in items(path):
        if "row" not in item:
            continue
        table.put(item)
        row = read(table, item)
        assert isinstance(row, Job | Shard | Install)
        written: dict[str, Any] = json.loads(item["row"]["S"])
        again: dict[str, Any] = json.loads(encode_row(row))
        plain = {name: value for name, value in written.items() if not isinstance(value, dict | list)}
        assert {name: again[name] for name in plain} == plain
        seen.add((type(row), getattr(row, "state", None)))
        if isinstance(row, Job | Shard) and row.due_at is not None:
            assert row in list(table.ledger.active())

        after = table.ledger.write(Change((Write(row, replace(row, writer="next")),))).writes[0].after
        assert (after.revision, after.writer) == (row.revision + 1, "next")
        with pytest.raises(Conflict):
            table.ledger.write(Change((Write(row, replace(row, writer="late")),)))
        key = row_key(row)
        table.client.delete_item(TableName=table.name, Key={"pk": {"S": key[0]}, "sk": {"S": key[1]}})

    assert seen >= {(Job, state) for state in JobState} | {(Install, None)}
    # FENCING and PARKED need a fault: their rows are among the frozen worlds.
    assert seen >= {(Shard, state) for state in set(ShardState) - {ShardState.FENCING, ShardState.PARKED}}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.parents[1].name)
def test_what_was_learned_and_spent_is_kept(table: Table, path: Path) -> None:
    """A model's quota estimate and a day's money: what an older release counted goes on being counted."""
    quotas = days = 0
    for item in items(path):
        kind, _, rest = item["pk"]["S"].partition("#")
        if kind == "R":
            table.put(item)
            account, _, model = rest.partition("#")
            quota = table.ledger.quota(account, model)
            assert (quota.used, quota.revision) == (int(item["used"]["N"]), int(item["revision"]["N"]))
            assert quota.quota_estimate != QuotaEstimate()
            table.ledger.write(Change((), (QuotaWrite(quota, replace(quota.quota_estimate, limit=7)),)))
            assert table.ledger.quota(account, model).quota_estimate.limit == 7
            quotas += 1
        if kind == "D":
            table.put(item)
            assert table.ledger.day_microdollars(rest) == int(item["used"]["N"])
            days += 1

    assert quotas
    assert days
