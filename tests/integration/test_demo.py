"""The demo, run as a person runs it: one command, in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchdrop_cli.demo import RECEIPT_OF_SIMULATED, SIMULATED
from batchdrop_cli.local.environments import Environments

README = Path(__file__).parents[2] / "README.md"
COMMAND = [sys.executable, "-m", "batchdrop_cli.main"]
# A key that would be refused, at an address where nobody listens: whoever uses it fails.
KEY = {"OPENAI_API_KEY": "sk-must-not-be-used", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
LINES_MAX = 45
DEMO_SECONDS_MAX = 180
READY_SECONDS_MAX = 30

type Demo = tuple[Path, subprocess.CompletedProcess[str]]


def processes_of(folder: Path) -> list[int]:
    """Return the processes whose environment or working folder names *folder*."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            traces = (entry / "environ").read_bytes() + str((entry / "cwd").readlink()).encode()
        except OSError:
            continue
        if str(folder).encode() in traces:
            found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def demo(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The folder that the demo ran in, and how it ended."""
    assert environments.emulator_python.exists()
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(  # noqa: S603  # our own command
        [*COMMAND, "demo"], cwd=folder, env=os.environ | KEY, capture_output=True, text=True, check=False,
        timeout=DEMO_SECONDS_MAX, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return folder, done


@pytest.mark.emulator
@pytest.mark.xdist_group("demo")
def test_every_example_completes(demo: Demo) -> None:
    """All examples go their whole way on the template as it stands, with simulated answers whatever key is set."""
    _, done = demo

    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 jobs, 9 notifications, 30 items: 30 succeeded, 0 failed." in done.stdout
    assert done.stderr == ""


@pytest.mark.emulator
@pytest.mark.xdist_group("demo")
def test_the_demo_shows_what_a_subscriber_gets(demo: Demo) -> None:
    """A table with its new column, the mail with its receipt and where the report is kept, on one screen."""
    folder, done = demo

    assert "Subject: Batchdrop completed: inbox/sentiment/reviews.csv" in done.stdout
    assert re.search(r"^R-1042 +Best kettle .* (positive|negative|neutral) +succeeded", done.stdout, re.MULTILINE)
    assert re.search(r"gpt-4.1-mini\n    input: \d+ tokens at \$0.40 a million +\$0\.0000\d+\n", done.stdout)
    assert RECEIPT_OF_SIMULATED in done.stdout
    kept = Path(re.findall(r"^Kept: (.*report\.html)$", done.stdout, re.MULTILINE)[0])
    assert (folder / kept).read_text().startswith("<!doctype html>")
    assert len(done.stdout.splitlines()) <= LINES_MAX


@pytest.mark.emulator
@pytest.mark.xdist_group("demo")
def test_the_readme_shows_what_the_demo_prints(demo: Demo) -> None:
    """Each line that the README shows of it is printed by it."""
    _, done = demo
    (shown,) = re.findall(r"<!-- demo -->\n```text\n(.*?)```\n<!-- /demo -->", README.read_text(), re.DOTALL)

    printed = {line.rstrip() for line in done.stdout.splitlines()}

    assert [line for line in shown.splitlines() if line not in printed] == []


@pytest.mark.emulator
@pytest.mark.xdist_group("demo")
def test_the_demo_says_that_answers_are_simulated(demo: Demo) -> None:
    """Nobody takes the answers for a model's, at the start or at the end, and the key that is set is said to be ignored."""
    _, done = demo

    assert done.stdout.count(SIMULATED) == 2
    assert "OPENAI_API_KEY is set, and ignored." in done.stdout
    assert KEY["OPENAI_API_KEY"] not in done.stdout


@pytest.mark.emulator
@pytest.mark.xdist_group("demo")
def test_the_demo_leaves_nothing_behind(demo: Demo) -> None:
    """No process and no description of a stack is left; only logs and what was shown are."""
    folder, _ = demo

    assert processes_of(folder) == []
    assert {path.name for path in (folder / ".local/demo").iterdir()} == {"logs", "report.html", "results.csv"}


@pytest.mark.emulator
@pytest.mark.xdist_group("demo")
def test_the_local_stack_ends_when_it_is_told(environments: Environments, tmp_path: Path) -> None:
    """The stack in the foreground says how to use it, serves the command, and on SIGTERM ends with all that it started."""
    assert environments.emulator_python.exists()
    unset = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}

    with subprocess.Popen(  # noqa: S603  # our own command
        [*COMMAND, "local"], cwd=tmp_path, env=unset, stdout=subprocess.PIPE, text=True
    ) as stack:
        try:
            deadline = time.monotonic() + READY_SECONDS_MAX
            while not (tmp_path / ".local/stack.json").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            tasks = subprocess.run([*COMMAND, "tasks"], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
            stack.send_signal(signal.SIGTERM)
            said, _ = stack.communicate(timeout=READY_SECONDS_MAX)
        finally:
            stack.kill()

    assert (stack.returncode, tasks.returncode) == (0, 0)
    assert "No tasks yet" in tasks.stdout
    assert "Answers are simulated" in said
    assert re.search(r"\(\. \S+/\.local/aws\.env; aws s3 cp examples/drops/articles\.json s3://\S+/inbox/\)", said)
    assert processes_of(tmp_path) == []
    assert not (tmp_path / ".local/stack.json").exists()
