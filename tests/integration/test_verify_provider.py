"""The probe as a person runs it: the command, against the simulator on loopback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchdrop_cli.local.provider import running_simulator
from batchdrop_cli.verify.assumptions import LOOKS

SECONDS_MAX = 120


@pytest.mark.parametrize(
    ("options", "exit_code", "told"),
    [
        ((), 0, f"{len(LOOKS)} holds, 0 breached, 0 not seen"),
        (("--fault", "lines_missing"), 1, f"{len(LOOKS) - 1} holds, 1 breached, 0 not seen"),
    ],
)
def test_the_command_prints_the_table(tmp_path: Path, options: tuple[str, ...], exit_code: int, told: str) -> None:
    """The cost first, then a row for each assumption, then how many held; the exit code says whether all did."""
    with running_simulator(
        options=("--profile", "calm", *options), files=tmp_path / "files", log=tmp_path / "log"
    ) as provider:
        environment = os.environ | {"OPENAI_API_KEY": provider.api_key, "OPENAI_BASE_URL": provider.base_url}
        done = subprocess.run(  # our own command
            [sys.executable, "-m", "batchdrop_cli.main", "verify-provider", "--yes", "--patience", "1"],
            env=environment, capture_output=True, text=True, check=False, timeout=SECONDS_MAX,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (exit_code, ""), done.stdout + done.stderr
    assert done.stdout.index("Estimated cost") < done.stdout.index(LOOKS[0][0])
    assert told in done.stdout
