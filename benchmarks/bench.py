"""All benchmarks, taking turns: `python benchmarks/bench.py [--rounds 3] [NAME ...]` writes docs/benchmarks.md.

Rule: each run is a process of its own, so that no benchmark has another's memory or warm caches; the figure that is shown is the
median of the rounds. A benchmark's section is replaced as a whole, and what stands outside of sections is a person's.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median_low
from typing import Final

from table import Row, shown

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent / "docs" / "benchmarks.md"
ROUNDS: Final = 3
# Rounds of a benchmark's own are kept few, because all of them take turns again.
CALLS: Final[Mapping[str, str]] = {
    "build": "measure()",
    "split": "measure()",
    "answers": "measure()",
    "cold_start": "measure(5)",
    "transfers": "measure()",
    "poll": "measure(3)",
    "simulator_speed": "measure()",
    "quota": "measure()",
    "estimates": "measure()",
    "scale": "measure()",
    "cost": "measure()",
}
# They take minutes, and have rounds of their own, or a virtual clock that makes them the same each time.
ONCE: Final = frozenset({"build", "split", "answers", "quota", "estimates", "scale", "cost"})
VERSIONS: Final = ("boto3", "msgspec", "obstore", "openai", "aws-lambda-powertools")
CODE: Final = "import json, dataclasses, {name}; print(json.dumps([dataclasses.asdict(row) for row in {name}.{call}]))"


def run(name: str) -> list[Row]:
    """Return the rows of one run of the benchmark called *name*."""
    code = CODE.format(name=name, call=CALLS[name])
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=HERE, env=environment, stdout=subprocess.PIPE, check=True)  # noqa: S603 - written above
    return [Row(**fields) for fields in json.loads(found.stdout)]


def medians(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """Return each row as the run in the middle had it."""
    by_name: dict[str, list[Row]] = {}
    for row in (row for rows in runs for row in rows):
        by_name.setdefault(row.name, []).append(row)
    middle = {name: median_low([row.figure for row in rows]) for name, rows in by_name.items()}
    return [next(row for row in rows if row.figure == middle[name]) for name, rows in by_name.items()]


def section(rows: Iterable[Row], rounds: int) -> str:
    """Return the table of one benchmark, and what it was measured on."""
    verdicts = {None: "", True: "yes", False: "**no**"}
    lines = [
        f"| {row.name} | {row.goal} | {shown(row.figure, row.unit)} | {verdicts[row.met]} | {row.detail} |"
        for row in rows
    ]
    libraries = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    machine = f"{os.cpu_count()} processors of {platform.machine()}, Python {platform.python_version()}, {libraries}"
    taken = f"Medians of {rounds} rounds" if rounds > 1 else "One run"
    return (
        "\n".join(
            [
                "| what | goal | figure | met | |", "|---|---|---|---|---|", *lines, "",
                f"{taken}, {datetime.now(UTC):%Y-%m-%d}, {machine}.",
            ]
        )
        + "\n"
    )  # fmt: skip


def replaced(page: str, name: str, text: str) -> str:
    """Return *page* with *text* as the section of the benchmark called *name*."""
    pattern = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"docs/benchmarks.md has no section for {name}")
    return pattern.sub(lambda _: text, page)


def main() -> int:
    """Run what was asked for, write the page, and return 1 where a goal is not met."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("names", nargs="*", choices=[[], *CALLS], default=[])
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    given = arguments.parse_args()
    names = given.names or list(CALLS)
    runs: dict[str, list[list[Row]]] = {name: [] for name in names}
    for number in range(given.rounds):
        for name in names:
            if not (number and name in ONCE):
                print(f"round {number + 1}: {name} …", flush=True)
                runs[name].append(run(name))
    found = {name: medians(taken) for name, taken in runs.items()}
    page = PAGE.read_text()
    for name, rows in found.items():
        page = replaced(page, name, section(rows, len(runs[name])))
    PAGE.write_text(page)
    missed = [row.name for rows in found.values() for row in rows if row.met is False]
    print(*(f"not met: {name}" for name in missed), "docs/benchmarks.md is written", sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
