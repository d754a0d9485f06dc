"""Every run that once found something is run again."""

import subprocess
import sys
from pathlib import Path

import pytest
from simulation.runs import execute, read_run

LINES = (Path(__file__).parent / "REGRESSIONS").read_text().splitlines()
CALLS = (
    "import sys; from simulation.runs import execute, read_run; print(*execute(read_run(sys.argv[1])).calls, sep='\\n')"
)
RUNS = [line.partition("#")[0].strip() for line in LINES if line.partition("#")[0].strip()]


@pytest.mark.parametrize("text", RUNS)
def test_what_was_found_once_stays_mended(text: str) -> None:
    """The line of the list replays the run; nothing is found any more."""
    verdict = execute(read_run(text))

    assert not verdict.findings, verdict


@pytest.mark.parametrize("run", ["many_refused seed=1000 storm", "everyday seed=3 storm", "mixed seed=5 storm"])
def test_a_replay_does_not_depend_on_the_process(run: str) -> None:
    """Sets have another order in each process: nothing that is decided or called may follow it."""
    ran = [
        subprocess.run(  # noqa: S603 - our own text
            [sys.executable, "-c", CALLS, run],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "3", "5")
    ]

    assert len(set(ran)) == 1
