"""What a cold start costs beside `import boto3` and an S3 client: `python benchmarks/cold_start.py [ROUNDS]`.

Rule: each way is a process of its own, with byte-code as the layer has it; they take turns, and CPU time is compared, because
the clock of a busy machine measures its neighbours. What starting Python itself takes is part of both sides.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from table import Row, at_most, print_rows

ROOT: Final = Path(__file__).parents[1]
LAYER: Final = ROOT / "layers" / "batchdrop"
ROUNDS: Final = 9
RATIO_MAX: Final = 1.3
BASE: Final = "boto3 and an S3 client"
SETTINGS: Final = {
    "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "none", "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1", "INBOX_BUCKET": "inbox",
    "RESULTS_BUCKET": "results", "TABLE": "ledger", "SECRET_ARN": "secret",
    "POWERTOOLS_SERVICE_NAME": "benchmark",
}  # fmt: skip
PORTS: Final = """
from batchdrop.edge.bootstrap import ports
class Context:
    aws_request_id = "1"
ports(Context())
"""


def handler(function: str) -> str:
    """Return the code that imports the handler of *function* as Lambda does."""
    return f"import sys; sys.path[:0] = [{str(ROOT / 'functions' / function)!r}, {str(LAYER)!r}]; import app\n"


WAYS: Final = {
    BASE: "import boto3; boto3.client('s3')",
    "submit": handler("submit"),
    "poll": handler("poll"),
    "complete": handler("complete"),
    "submit, ready for its first event": handler("submit") + PORTS,
    "openai on top": "import boto3; boto3.client('s3'); import openai",
}


def cpu_seconds(code: str, environment: dict[str, str]) -> float:
    """Return the CPU time of a process that runs *code*."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-s", "-c", code], env=environment, check=True)  # noqa: S603 - written above
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int = ROUNDS) -> Sequence[Row]:
    """Return the figures: each handler's import as a ratio, and beside it what comes on top of an import."""
    with tempfile.TemporaryDirectory() as folder:
        environment = SETTINGS | {"PATH": os.environ["PATH"], "PYTHONPYCACHEPREFIX": folder}
        found = gathered(rounds, lambda code: cpu_seconds(code, environment))
    base = median(found[BASE])
    return [
        Row(f"cold start: {BASE}", "", base * 1_000, "ms", "of CPU"),
        *(
            at_most(f"cold start: import of {name}", median(found[name]) / base, RATIO_MAX, "x", spread(found[name]))
            for name in ("submit", "poll", "complete")
        ),
        *(
            Row(f"cold start: {name}", "", median(found[name]) / base, "x", spread(found[name]))
            for name in ("submit, ready for its first event", "openai on top")
        ),
    ]


def gathered(rounds: int, cost: Callable[[str], float]) -> dict[str, list[float]]:
    """Return what each way cost in each round; the first round, which writes byte-code, is not counted."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, code in WAYS.items():
            spent = cost(code)
            if number:
                found[name].append(spent)
    return found


def spread(seconds: Sequence[float]) -> str:
    """Return the shortest and the median time."""
    return f"{median(seconds) * 1_000:.0f} ms of CPU, {min(seconds) * 1_000:.0f} at least"


if __name__ == "__main__":
    sys.exit(print_rows(measure(*map(int, sys.argv[1:2]))))
