"""Only fields that are on the list reach a log, and what is counted can be found in it."""

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_lambda_powertools import Logger, Metrics
from fakes.memory import MemoryLog

from batchdrop import __version__
from batchdrop.core.operations.metrics import COUNTED, NAMESPACE, counted
from batchdrop.edge.aws.telemetry import FIELDS, PowertoolsLog

PACKAGE = Path(__file__).parents[3] / "layers" / "batchdrop" / "batchdrop"


def opened(stream: io.StringIO) -> PowertoolsLog:
    """Return a log that writes to *stream*; its metrics go to standard output."""
    return PowertoolsLog(Logger(service="test", stream=stream), Metrics(namespace=NAMESPACE, service="my-stack"))


def logged() -> Iterator[tuple[str, set[str]]]:
    """Yield the event and the fields of every line that the flows and the edge log."""
    for path in (*(PACKAGE / "flow").rglob("*.py"), *(PACKAGE / "edge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("log.info", "log.warning")):
                (event,) = node.args
                if isinstance(event, ast.Constant):
                    yield str(event.value), {str(keyword.arg) for keyword in node.keywords}


def test_a_field_that_is_not_on_the_list_is_not_written() -> None:
    """Its name is, so that somebody notifications; its value is not."""
    stream = io.StringIO()
    log = opened(stream)

    log.info("job.left", job_id="j", prompt="canary")
    log.warning("job.left", cause="because")

    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["message"], first["job_id"], first["dropped_fields"]) == ("job.left", "j", ["prompt"])
    assert (second["level"], second["cause"]) == ("WARNING", "because")
    assert "canary" not in stream.getvalue()
    # After an upgrade the lines of both releases can be told apart.
    assert first["release"] == second["release"] == __version__


def test_the_log_of_tests_takes_it_for_an_error() -> None:
    """So a flow that logs something new is noticed where it is written."""
    with pytest.raises(AssertionError, match="prompt"):
        MemoryLog().info("job.began", prompt="canary")


def test_the_list_holds_what_is_logged_and_no_more() -> None:
    """A field without a line is a promise that nobody keeps, and one that is not on the list would be dropped."""
    assert set().union(*(fields for _, fields in logged())) == FIELDS


@pytest.mark.parametrize(
    "name", ["body", "content", "output", "prompt", "record", "response", "secret", "text", "value"]
)
def test_the_list_has_no_quota_for_content(name: str) -> None:
    """These names promise what a person or a model wrote."""
    assert name not in FIELDS


def test_a_counted_event_is_one_line_in_the_embedded_format(capsys: pytest.CaptureFixture[str]) -> None:
    """CloudWatch reads the metrics off the log, under the stack's name and no other dimension; zeros are left out."""
    log = opened(io.StringIO())

    log.info(
        "tick.done", rows=3, moved=1, admitted=0, wakeups=0, due=2, oldest_due_seconds=0, uncertain=0, held=0, outage=0,
        stalled=0, approvals=0,
    )  # fmt: skip
    log.info("job.left", job_id="j")

    (line,) = capsys.readouterr().out.splitlines()
    written = json.loads(line)
    (directive,) = written["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("Batchdrop", [["service"]])
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == {
        "Ticks": "Count",
        "ActiveRows": "Count",
        "DueRows": "Count",
    }
    assert (written["service"], written["Ticks"], written["ActiveRows"], written["DueRows"]) == (
        "my-stack",
        [1],
        [3],
        [2],
    )


def test_one_event_s_counts_are_not_the_next_one_s(capsys: pytest.CaptureFixture[str]) -> None:
    """What was written is not written again."""
    log = opened(io.StringIO())

    log.warning("batch.duplicate", job_id="j")
    log.warning("provider.unavailable", cause="503")

    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["DuplicateBatches"] == [1]
    assert second["ProviderErrors"] == [1]
    assert "DuplicateBatches" not in second


def test_an_idle_tick_counts_itself_alone() -> None:
    """An idle system pays for one series."""
    fields = {"rows": 0, "moved": 0, "admitted": 0, "wakeups": 0, "due": 0, "oldest_due_seconds": 0, "uncertain": 0}

    values = counted("tick.done", {**fields, "held": False, "outage": False, "stalled": 0, "approvals": 0})

    assert {metric.name: value for metric, value in values.items()} == {"Ticks": 1}


@pytest.mark.parametrize("event", COUNTED)
def test_what_is_counted_is_logged(event: str) -> None:
    """Every counted event is one that is logged, with the fields that hold the values, which the log may show."""
    needed = {field for field in COUNTED[event].values() if field}

    lines = [fields for name, fields in logged() if name == event]

    assert lines
    assert all(needed <= fields for fields in lines)
    assert needed <= FIELDS


def test_metrics_have_names_of_their_own() -> None:
    """No two metrics share a name."""
    metrics = {metric for by_field in COUNTED.values() for metric in by_field}

    assert len({metric.name for metric in metrics}) == len(metrics)
