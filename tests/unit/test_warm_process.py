"""What a function's process keeps from one event to the next."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from fakes.wire_store import BUCKET, ENVIRONMENT, wire_store

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
ROUNDS = 12
GROWTH_MB_MAX = 25
LINE_BYTES = 200_000
# Larger than what the store is asked for at a time, and put in so many pieces that many threads come to read.
LINES = 100
WORK = f"""
import json, sys
from pathlib import Path
from batchdrop.edge.storage import S3Storage, open_bucket
bucket = open_bucket("{BUCKET}", sys.argv[1])
storage, held_kb = S3Storage(bucket, bucket, "{BUCKET}"), []
for _ in range({ROUNDS}):
    with storage.open("read") as lines:
        storage.put_many((f"items/{{number}}.json", line) for number, line in enumerate(lines))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    held_kb.append(int(status["VmRSS"].split()[0]))
print(json.dumps(held_kb))
"""


class _Template(yaml.SafeLoader):
    """Reads what SAM's functions say as plain text."""


_Template.add_multi_constructor("!", lambda *_: "")


def test_a_warm_process_keeps_no_more_after_each_batch() -> None:
    """With the environment that the template gives to each function; without it this is 120 MB."""
    template = yaml.load(TEMPLATE.read_text(), _Template)  # noqa: S506  # it is a safe one
    environment = os.environ | ENVIRONMENT | template["Globals"]["Function"]["Environment"]["Variables"]

    with wire_store() as store:
        store.kept["read"] = (b"x" * (LINE_BYTES - 1) + b"\n") * LINES
        command = [sys.executable, "-c", WORK, store.url]
        found = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)  # noqa: S603  # ours

    held_kb = json.loads(found.stdout)
    assert (held_kb[-1] - held_kb[0]) / 1_024 <= GROWTH_MB_MAX
