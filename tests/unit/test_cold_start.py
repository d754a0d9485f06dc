"""What a function imports before it can serve its first event; what is not needed by every event waits until it is."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("submit", "poll", "complete")
# The four that carry every event, and what they bring along.
ALLOWED = {"aws_lambda_powertools", "boto3", "msgspec", "obstore"} | {
    "botocore", "dateutil", "jmespath", "s3transfer", "six", "typing_extensions", "urllib3",
}  # fmt: skip
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "none", "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1", "INBOX_BUCKET": "inbox",
    "RESULTS_BUCKET": "results", "TABLE": "ledger", "SECRET_ARN": "secret",
    "POWERTOOLS_SERVICE_NAME": "test",
}  # fmt: skip
START = """
import json, sys
sys.path[:0] = [{folder!r}, {layer!r}]
{before}
import app
from batchdrop.edge.bootstrap import ports
class Context:
    aws_request_id = "1"
ports(Context())
print(json.dumps(sorted(sys.modules)))
"""


@cache
def started(function: str, before: str = "") -> frozenset[str]:
    """Return the modules that *function* has once its ports are open, of those that are not Python's own."""
    code = START.format(
        folder=str(ROOT / "functions" / function), layer=str(ROOT / "layers" / "batchdrop"), before=before
    )
    environment = SETTINGS | {"PATH": os.environ["PATH"]}
    found = subprocess.run([sys.executable, "-s", "-c", code], env=environment, capture_output=True, check=True)  # noqa: S603  # ours
    return frozenset(json.loads(found.stdout))


def foreign(modules: frozenset[str]) -> set[str]:
    """Return the packages among *modules* that are neither Python's nor ours nor allowed."""
    known = sys.stdlib_module_names | ALLOWED | {"app", "batchdrop"}
    return {name for module in modules if not (name := module.partition(".")[0]).startswith("_") and name not in known}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_imported_at_the_start_that_not_every_event_needs(function: str) -> None:
    """Neither openai nor pydantic, YAML, templates, prices nor another HTTP client."""
    assert foreign(started(function)) == set()


def test_what_creeps_in_is_noticed() -> None:
    """An import of the SDK, wherever it stands, shows with all that it brings along."""
    assert foreign(started("poll", "import openai")) >= {"openai", "pydantic", "httpx2"}


@pytest.mark.parametrize(
    "module",
    [
        "batchdrop.edge.openai.provider",
        "batchdrop.core.planning.task_file",
        "batchdrop.core.planning.template_engine",
        "batchdrop.core.delivery.report_page",
    ],
)
def test_what_waits_is_ours_to_keep_waiting(module: str) -> None:
    """These are the doors to what is slow to import; none of them is open at the start."""
    assert all(module not in started(function) for function in FUNCTIONS)


def test_a_function_compiles_next_to_nothing_at_its_start() -> None:
    """Only the layer has byte-code: a function's own file is a few lines."""
    assert all(len((ROOT / "functions" / function / "app.py").read_text().splitlines()) < 40 for function in FUNCTIONS)
