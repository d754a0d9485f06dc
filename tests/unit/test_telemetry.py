"""Only fields that are on the list reach a log."""

import io
import json

import pytest
from aws_lambda_powertools import Logger
from fakes.memory import MemoryLog

from batchdrop.edge.telemetry import FIELDS, PowertoolsLog


def test_a_field_that_is_not_on_the_list_is_not_written() -> None:
    """Its name is, so that somebody notices; its value is not."""
    stream = io.StringIO()
    log = PowertoolsLog(Logger(service="test", stream=stream))

    log.info("job.began", job_id="j", prompt="canary")
    log.warning("job.left", cause="because")

    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["message"], first["job_id"], first["dropped_fields"]) == ("job.began", "j", ["prompt"])
    assert (second["level"], second["cause"]) == ("WARNING", "because")
    assert "canary" not in stream.getvalue()


def test_the_log_of_tests_takes_it_for_an_error() -> None:
    """So a flow that logs something new is noticed where it is written."""
    with pytest.raises(AssertionError, match="prompt"):
        MemoryLog().info("job.began", prompt="canary")


@pytest.mark.parametrize(
    "name", ["body", "content", "output", "prompt", "record", "response", "secret", "text", "value"]
)
def test_the_list_has_no_room_for_content(name: str) -> None:
    """These names promise what a person or a model wrote."""
    assert name not in FIELDS
