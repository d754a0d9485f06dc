"""One huge drop from event to notification: `python benchmarks/scale.py [ITEMS ...]`; by default 10,000 and 100,000 items.

Rule: each size is a process of its own, so that its memory is its own. What is outside of the flows is `tests/fakes/scaled.py`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.scaled import Scaled, peak_mb
from table import Row, at_most, print_rows

from batchdrop.core.model.job import ItemAccess

SIZES: Final = (10_000, 100_000)
GROWTH_MAX: Final = 1.10
MEMORY_MB_MAX: Final = 160
MEMORY_BYTES_PER_ITEM_MAX: Final = 64
TIMEOUT_SECONDS: Final = 900.0
FUNCTIONS: Final = ("submit", "complete")


def played(items: int, access: ItemAccess) -> dict[str, Any]:
    """Return what one drop of *items* came to."""
    with tempfile.TemporaryDirectory() as folder:
        scaled = Scaled(Path(folder), items, access)
        before = peak_mb()
        minutes = scaled.run()
        job, noted = scaled.job(), scaled.invocations
        if (job.items, job.succeeded) != (items, items):
            raise SystemExit(f"{job.succeeded} of {job.items} items succeeded: the figures mean nothing")
        return {
            "items": items, "minutes": minutes, "shards": job.shards, "baseline_mb": before, "peak_mb": peak_mb(),
            "counts": dict(scaled.counts), "stored_bytes": dict(scaled.storage.stored_bytes),
            "invocations": dict(noted.count), "cpu_seconds": noted.cpu_seconds, "waited_seconds": noted.waited_seconds,
            "longest_seconds": noted.longest_seconds, "peak_mb_after": noted.peak_mb,
        }  # fmt: skip


def run_alone(items: int, access: str = "objects") -> dict[str, Any]:
    """Return what `played` returns, from a process of its own."""
    command = [sys.executable, __file__, "--one", str(items), access]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - this very file
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def rows_of(run: dict[str, Any]) -> list[Row]:
    """Return the figures of one size."""
    items, counts = run["items"], run["counts"]
    name = f"a drop of {items:,} items"
    cpu = sum(run["cpu_seconds"][function] for function in FUNCTIONS)
    waited = sum(run["waited_seconds"][function] for function in FUNCTIONS)
    calls = ", ".join(f"{run['invocations'][function]:,} of {function}" for function in FUNCTIONS)
    memory_mb_max = MEMORY_MB_MAX + items * MEMORY_BYTES_PER_ITEM_MAX / 1e6
    longest = max(run["longest_seconds"].values())
    return [
        at_most(f"{name}: peak memory", run["peak_mb"], memory_mb_max, "MB", f"{run['baseline_mb']:.0f} MB before"),
        Row(f"{name}: function time", "", cpu + waited, "s", f"{cpu:.0f} s of it CPU; invocations: {calls}"),
        at_most(f"{name}: longest invocation", longest, TIMEOUT_SECONDS, "s"),
        Row(f"{name}: PUT", "", counts["PUT"], "", f"{counts['GET']:,} GET, {counts['LIST']:,} LIST"),
        Row(f"{name}: ledger writes", "", counts["ledger writes"], "units", f"{run['shards']} batches"),
    ]


def growth(runs: Sequence[dict[str, Any]]) -> list[Row]:
    """Return how CPU an item grows from each size to the next."""
    cpu = [sum(run["cpu_seconds"][function] for function in FUNCTIONS) / run["items"] for run in runs]
    return [
        at_most(f"CPU an item, {after['items']:,} beside {before['items']:,}", cpu[place + 1] / cpu[place], GROWTH_MAX, "x",
                f"{cpu[place + 1] * 1e6:.0f} us")
        for place, (before, after) in enumerate(pairwise(runs))
    ]  # fmt: skip


def measure(sizes: Sequence[int] = SIZES) -> Sequence[Row]:
    """Return the figures of every size, and how they grow."""
    runs = [run_alone(items) for items in sizes]
    return [*(row for run in runs for row in rows_of(run)), *growth(runs)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(played(int(sys.argv[2]), ItemAccess(sys.argv[3]))))
    else:
        sys.exit(print_rows(measure([int(size) for size in sys.argv[1:]] or SIZES)))
