"""The command without a stack: what it refuses, what it shows, what it would cost."""

import errno
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from batchdrop.core.delivery.summary import Results, status_document, summary_document
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Usage
from batchdrop.core.model.reasons import NotificationEvent, Reason
from batchdrop.core.notification.notifications import render
from batchdrop_cli import demo as demo_module
from batchdrop_cli.demo import Examples
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.jobs import waiting
from batchdrop_cli.jobs.notifications import mail_text, read_notification
from batchdrop_cli.jobs.quote import FileQuote, batch_price, quotes, requests_of
from batchdrop_cli.jobs.status import Counts, JobStatus, StatusReason, UploadNames, Waiting
from batchdrop_cli.jobs.waiting import wait_for
from batchdrop_cli.local.provider import LocalProvider
from batchdrop_cli.local.stack import REPOSITORY, LocalSettings
from batchdrop_cli.main import main
from batchdrop_cli.stack import Connection
from batchdrop_cli.views.console import make_console
from batchdrop_cli.views.estimates import show_estimates
from batchdrop_cli.views.jobs import show_job, show_jobs
from batchdrop_cli.views.progress import visible_progress
from batchdrop_cli.views.table import show_csv
from batchdrop_cli.views.terminal import disarmed_json

OPENAI = "https://api.openai.com/v1"
PAID = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": OPENAI}
TASK = (
    b"endpoint: /v1/chat/completions\n"
    b"body: {model: gpt-4.1-mini, max_completion_tokens: 50, messages: [{role: user, content: '{{ a }}'}]}\n"
)


def written(console: Console) -> str:
    """Return what was printed on a console of `terminal` or `pipe`."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def pipe() -> Console:
    """Return a console that is no terminal."""
    return Console(file=io.StringIO(), width=200, highlight=False)


def ended_job(event: str, reason: Reason | None) -> Job:
    """Return the ledger's row of a job that is over."""
    upload = Upload("inbox", "inbox/t/x.csv", "v1")
    job = Job(id=upload.job_id, bucket=upload.bucket, key=upload.key, version=upload.version, created_at=1_790_000_000)
    return replace(job, task="t", event=NotificationEvent(event), reason=reason)


def shown(job: Job) -> JobStatus:
    """Return the status that the stack writes of *job*, as the command reads it."""
    return msgspec.json.decode(status_document(job, [], 1_790_000_000), type=JobStatus)


def status(key: str = "inbox/x.csv", state: str = "RUNNING", **changes: Any) -> JobStatus:  # noqa: ANN401  # its fields
    """Return the status of a job, one that runs if nothing else is said."""
    upload = Upload("inbox", key, "v1")
    return JobStatus(job=upload.job_id, state=state, upload=UploadNames("inbox", key, "v1"), **changes)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LocalSettings]]:
    """The settings of each demo that was started; none of them runs."""
    settings: list[LocalSettings] = []

    def note(_console: Console, given: LocalSettings) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(demo_module, "run_demo", note)
    return iter([settings])


@pytest.mark.parametrize(
    ("waiting", "shown_words"),
    [
        (Waiting("room", "2026-11-22T23:01:00Z", ("gpt-4.1-mini", "o4-mini")),
         "since 2026-11-22T23:01:00Z: quota at the provider; it continues automatically (models: gpt-4.1-mini, o4-mini)"),
        (Waiting("key"), "an API key that the provider takes; an operator sets it"),
        (Waiting("provider", "2026-11-22T23:01:00Z", reason=StatusReason("down", "503.")),
         "since 2026-11-22T23:01:00Z: the provider, which does not answer; it continues automatically once it does. 503. (down)"),
        (Waiting("answers"), "answers that the provider does not show; they are looked for, for a day"),
        (Waiting("{a new cause}", "2026-11-22T23:01:00Z"), "since 2026-11-22T23:01:00Z: {a new cause}"),
    ],
)  # fmt: skip
def test_what_a_job_waits_for_is_said_with_who_ends_it(
    waiting: Waiting, shown_words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And since when; a cause that the command does not know is shown as it is called."""
    show_job(make_console(), status(waiting=waiting), "results")

    assert f"waits for  {shown_words}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["drop x.csv", "status", "results 0 --to d", "tasks", "tasks put x.yaml"])
def test_without_a_stack_the_way_to_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Nobody who forgot to start a stack sees a traceback."""
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, command.split())

    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: No local stack runs in {tmp_path}: there is no .local/stack.json. "
        "Go to the folder where one runs, or start one: batchdrop local\n"
    )


@pytest.mark.parametrize(("named", "where"), [((), ""), (("d/outcomes.jsonl",), " for d/outcomes.jsonl")])
def test_a_full_disk_is_said_in_words(monkeypatch: pytest.MonkeyPatch, named: tuple[str, ...], where: str) -> None:
    """Results may be larger than what a person has left."""

    def find_none(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", *named)

    monkeypatch.setattr("batchdrop_cli.commands.results.connect", find_none)

    result = CliRunner().invoke(main, ["results", "0", "--to", "d"])

    assert result.exit_code == 1
    assert result.stderr == f"Error: No space is left on the disk{where}. Free some, and run the command again.\n"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"endpoint_url": 1}'])
def test_a_stack_file_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    """A damaged description is named, and told from one that is not there."""
    (tmp_path / "stack.json").write_text(content)

    result = CliRunner().invoke(main, ["status", "--stack-file", str(tmp_path / "stack.json")])

    assert result.exit_code == 1
    assert "does not describe a local stack" in result.stderr


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["status", "--\x1b[2J"], "--\\x1b[2J"),
        (["status", "--stack-file", "no\x1b[2J.json"], "no\\x1b[2J.json"),
        (["\x1b[2J"], "\\x1b[2J"),
        (["--stack-\x1b[2J", "status"], "\\x1b[2J"),
        (["check", "no\x1b[2J.yaml", "x.csv"], "no\\x1b[2J.yaml"),
        (["costs", "--month", "\u202e01-2026\x9b"], "\\u202e01-2026\\x9b"),
    ],
)
def test_a_message_commands_no_terminal(asked: list[str], said: str) -> None:
    """Names come from others, by a folder that was unpacked or a key that was copied; a message shows them as text."""
    result = CliRunner().invoke(main, asked)

    assert result.exit_code in {1, 2}
    assert said in result.output
    assert not {char for char in result.output if not char.isprintable()} - {"\n"}


def test_what_a_defect_says_commands_no_terminal() -> None:
    """Even a traceback is text."""
    program = (
        "import sys; from batchdrop_cli import main; from batchdrop_cli.commands import status; from unittest import mock\n"
        "with mock.patch.object(status, 'connect', side_effect=ZeroDivisionError('\\x1b[2J')): main.main(['status'])"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stderr  # noqa: S603  # ours

    assert said.startswith("Traceback")
    assert said.endswith("ZeroDivisionError: \\x1b[2J\n")
    assert "\x1b" not in said


def test_an_item_on_a_terminal_is_the_same_json() -> None:
    """What would move the cursor is escaped as JSON does, and reads back as it was."""
    said = {"output": "a\x9b2J\u202e b\U0001f600\U000e0001 ü"}

    shown = disarmed_json(json.dumps(said, ensure_ascii=False))

    assert json.loads(shown) == said
    assert shown.isprintable()
    assert "ü" in shown


def test_using_a_deployed_stack_needs_nothing_of_unix() -> None:
    """The command starts on Windows as well; running a stack there is another matter."""
    unix = ("fcntl", "termios", "resource", "pwd", "grp")
    modules = [
        "main",
        "stack",
        "jobs.results",
        "jobs.upload",
        "jobs.control",
        "jobs.check",
        "jobs.costs",
        "aws.key",
        "doctor.checks",
        "views.jobs",
        "jobs.waiting",
        "jobs.item",
    ]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({unix}))\n"
        f"import importlib; [importlib.import_module('batchdrop_cli.' + name) for name in {modules}]"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603  # ours

    assert done.returncode == 0, done.stderr


def test_estimates_count_what_would_be_sent() -> None:
    """Records that would be refused cost nothing, and an answer is as long as its request lets it be."""
    upload = b"a\nfirst\n\nragged,row\nsecond\n"

    (quote,) = quotes(requests_of("inbox/t/x.csv", upload, TASK, Limits()), OPENAI)

    assert (quote.model, quote.requests, quote.output_tokens) == ("gpt-4.1-mini", 2, 100)
    assert quote.dollars is not None
    assert quote.dollars > 0


def test_a_batch_costs_half() -> None:
    """The estimate is half of the list price, which is bundled."""
    assert batch_price("gpt-4.1-mini", 100, 1_000_000, 1_000_000, OPENAI) == Decimal("1.0")


@pytest.mark.parametrize(("model", "base_url"), [("no-such-model", OPENAI), ("gpt-4.1-mini", "http://127.0.0.1:9/v1")])
def test_an_unknown_price_is_said_to_be_unknown(model: str, base_url: str) -> None:
    """What nobody knows is never shown as nothing."""
    console = pipe()

    show_estimates(console, [FileQuote(model, 1, 10, 10, batch_price(model, 1, 10, 10, base_url))], base_url)

    assert f"an unknown price for {model}." in written(console)
    assert "0.0000" not in written(console)


def test_the_demo_ignores_a_key(started: Iterator[list[LocalSettings]]) -> None:
    """A key that happens to be set reaches nothing."""
    result = CliRunner().invoke(main, ["demo"], env=PAID)

    (settings,) = next(started)
    assert result.exit_code == 0
    assert "ignored" in result.stdout
    assert settings.provider is None


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (["--provider", "openai"], {}, "needs OPENAI_API_KEY"),
        (["--provider", "openai"], PAID, "--yes"),
        (["--yes"], {}, "has none"),
        (["--provider", "azure"], {}, "is not one of"),
    ],
)
def test_the_demo_spends_nothing_unasked(
    started: Iterator[list[LocalSettings]], arguments: list[str], environment: dict[str, str], complaint: str
) -> None:
    """Where nobody agreed to the cost, nothing is started."""
    unset: dict[str, str | None] = {"OPENAI_API_KEY": None, "OPENAI_BASE_URL": None}

    result = CliRunner().invoke(main, ["demo", *arguments], env=unset | environment)

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert next(started) == []


def test_the_demo_uses_the_provider_that_was_agreed_to(started: Iterator[list[LocalSettings]]) -> None:
    """With --yes the estimate is shown, and the named provider is used."""
    result = CliRunner().invoke(main, ["demo", "--provider", "openai", "--yes"], env=PAID)

    (settings,) = next(started)
    assert "Estimated cost at https://api.openai.com/v1" in result.stdout
    assert "sk-none" not in result.output
    assert settings.provider == LocalProvider(OPENAI, "sk-none", simulated=False)


def test_every_example_has_its_task() -> None:
    """The demo drops nothing that waits for a task in vain."""
    examples = Examples(REPOSITORY / "examples")
    tasks = {path.stem for path in examples.task_files()}

    drops = examples.drops()

    assert {drop.task for drop in drops} == tasks | {None}
    assert drops[0].key == "inbox/articles.json"


def test_jobs_are_listed_newest_first() -> None:
    """The drop that was just made stands on top; one that says nothing of its time at the end."""
    jobs = [status(f"inbox/{n}.csv", created_at=time) for n, time in enumerate(["2026-01-01", None, "2026-01-02"])]
    console = pipe()

    show_jobs(console, jobs)

    assert [line.split("inbox/")[1][0] for line in written(console).splitlines()[1:]] == ["2", "0", "1"]


def test_a_large_table_is_not_printed_whole() -> None:
    """The first rows are shown, each on a line of its own, with its texts cut short, and how many more there are."""
    long = "x" * 1_000
    content = "\ufeffid,review\r\n" + "".join(f'r{row},"{long}\n{long}"\r\n' for row in range(50))
    console = pipe()

    show_csv(console, content.encode())

    lines = written(console).splitlines()
    assert [line.split()[0] for line in lines] == ["id", "r0", "r1", "r2", "r3", "r4", "and"]
    assert max(map(len, lines)) < 100
    assert "and 45 more rows" in lines[-1]


def test_waiting_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that never ends is named, and the person is not kept for ever."""
    upload = Upload("inbox", "inbox/x.csv", "v1")
    monkeypatch.setattr(waiting, "status_of", lambda _connection, _upload: status())
    connection = Connection(None, {}, "inbox", "results")  # type: ignore[arg-type]  # nothing is read

    with pytest.raises(CommandFailed, match=upload.job_id):
        wait_for(connection, [upload], lambda _upload, _status: None, timeout_seconds=0.0, look_seconds=0.0)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_with_and_without_a_terminal(*, is_terminal: bool) -> None:
    """Counts and state are seen live, or as lines that a log can hold; a pipe gets no control characters."""
    console = Console(file=io.StringIO(), width=200, force_terminal=is_terminal, highlight=False)
    upload = Upload("inbox", "inbox/x.csv", "v1")
    half = status(counts=Counts(items=4, succeeded=2))

    with visible_progress(console, [upload]) as watch:
        for seen in (None, status(state="PLANNING"), half, half, status(event="completed", counts=Counts(4, 4, 4, 4))):
            watch(upload, seen)

    assert "completed" in written(console)
    assert ("\x1b" in written(console)) is is_terminal
    if not is_terminal:
        assert written(console).count("2 of 4 succeeded") == 1


@pytest.mark.parametrize(
    ("event", "reason"), [("completed", None), ("rejected", Reason("empty", "nothing in it"))], ids=["done", "rejected"]
)
def test_the_mail_is_the_one_that_was_sent(event: str, reason: Reason | None) -> None:
    """What a mail says is made again of the job's documents, and equals what the stack sent."""
    job = ended_job(event, reason)
    results = Results() if reason else Results(2, 0, {"m": Usage(3, 4)})
    summary = None if reason else summary_document(job, [], results)
    sent = render(job, results, "s3://results/there/")
    body = json.dumps({"Type": "Notification", "Message": sent.json, "Subject": sent.subject})

    received = read_notification(body)
    mail = mail_text(shown(job), summary, received)

    assert (received.content, received.subject) == (sent.json, sent.subject)
    assert mail == sent.text


def test_a_mail_that_may_differ_is_not_shown() -> None:
    """Where the documents do not give the JSON that was delivered, nobody is shown a text as if it had been sent."""
    job = ended_job("completed", None)
    sent = render(job, Results(2, 0), "s3://results/there/")
    received = read_notification(json.dumps({"Message": sent.json, "Subject": sent.subject}))

    mail = mail_text(shown(job), summary_document(job, [], Results(3, 0)), received)

    assert mail is None
