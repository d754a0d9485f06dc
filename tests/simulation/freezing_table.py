"""The table of a release as DynamoDB holds it: every attribute of a row in each state, of quotas and of a day's money.

Rule: what was frozen is never written again; a release adds a file of its own, at the revision that is released:
`PYTHONPATH=tests .venv/bin/python -m simulation.freezing_table <name of the release>`.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import boto3
from fakes.memory import FakeClock, MemoryLog
from fakes.tables import create_table
from simulation.freezing import FOLDER
from simulation.gate import Exact
from simulation.installation import Installation
from simulation.scenarios import BY_NAME

from batchdrop.core.model.change import Change, Write
from batchdrop.edge.aws.dynamodb import DynamoLedger
from batchdrop_cli.local.emulator import running_emulator
from batchdrop_cli.local.environments import prepare
from batchdrop_cli.local.stack import REPOSITORY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Together they pass through every state of jobs and shards that a calm story reaches, and use quotas and a day's money.
_STORIES = ("small", "token_limit", "daily", "held", "retried", "mixed")
FILE = "table/items.json"

type Item = dict[str, Any]  # in DynamoDB's own notation


def items_of(story: str, client: "DynamoDBClient") -> dict[str, Item]:
    """Return the rows that *story* leaves in the table, and the first row of each kind and state on the way there."""
    here = Installation(BY_NAME[story], Exact({}))
    changes = [Change((Write(None, row),)) for row in here.ledger.rows.values()]
    here.ledger.watch = changes.append
    here.run()
    table = create_table(client)
    ledger, found = DynamoLedger(client, table, FakeClock(), MemoryLog()), dict[str, Item]()
    for change in changes:
        ledger.write(change)
        for item in client.scan(TableName=table)["Items"]:
            state = item["state"]["S"] if "state" in item else item["pk"]["S"][0]
            found.setdefault(f"{item.get('kind', {}).get('S', '-')} {state}", item)
    return found | {
        f"{story} {item['pk']['S']} {item['sk']['S']}": item for item in client.scan(TableName=table)["Items"]
    }


def main() -> int:
    """Freeze the table for the release that the command line names."""
    path = FOLDER / sys.argv[1] / FILE
    path.parent.mkdir()
    found: dict[str, Item] = {}
    python = prepare(REPOSITORY / ".local", REPOSITORY / "requirements", print).emulator_python
    with (
        TemporaryDirectory() as folder,
        running_emulator(python, files=Path(folder, "files"), log=Path(folder, "log")) as address,
    ):
        client = boto3.client("dynamodb", **address.client_options())
        for story in _STORIES:
            found = items_of(story, client) | found
    path.write_text(json.dumps(list(found.values()), indent=1) + "\n")
    sys.stdout.write(f"{len(found)} items\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
