"""Every run that once found something is run again."""

from pathlib import Path

import pytest
from simulation.runs import execute, read_run

LINES = (Path(__file__).parent / "REGRESSIONS").read_text().splitlines()
RUNS = [line.partition("#")[0].strip() for line in LINES if line.partition("#")[0].strip()]


@pytest.mark.parametrize("text", RUNS)
def test_what_was_found_once_stays_mended(text: str) -> None:
    """The line of the list replays the run; nothing is found any more."""
    verdict = execute(read_run(text))

    assert not verdict.findings, verdict
