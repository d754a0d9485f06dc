"""The command against the embedded AWS. What the stack would write is written here, by the stack's own code."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from click.testing import CliRunner, Result
from fakes.tasks import ASK
from fakes.world import World

from batchdrop.core.delivery.summary import status_document
from batchdrop.core.model.job import Job, JobState, JobWait
from batchdrop.core.model.keys import Keys, Upload, item_name
from batchdrop.core.model.reasons import Reason, WaitingFor
from batchdrop_cli.jobs import waiting
from batchdrop_cli.local.description import StackDescription
from batchdrop_cli.local.emulator import Address
from batchdrop_cli.main import main

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOW = 1_790_000_000


@dataclass(frozen=True, slots=True)
class Stack:
    """Two buckets, and the file that leads the command to them."""

    storage: "S3Client"
    inbox: str
    results: str
    file: Path

    def run(self, *arguments: str | Path) -> Result:
        """Run the command as a person would."""
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, [*words, "--stack-file", str(self.file)])

    def uploads(self) -> list[Upload]:
        """Return what was dropped, by key, the newest version of each first."""
        versions = self.storage.list_object_versions(Bucket=self.inbox, Prefix="inbox/").get("Versions", [])
        return [Upload(self.inbox, version["Key"], version["VersionId"]) for version in versions]

    def tasks(self) -> list[str]:
        """Return the keys of the tasks."""
        entries = self.storage.list_objects_v2(Bucket=self.inbox, Prefix="tasks/").get("Contents", [])
        return [entry["Key"] for entry in entries]

    def write(self, key: str, content: bytes) -> None:
        """Put an object into the results bucket."""
        self.storage.put_object(Bucket=self.results, Key=key, Body=content)

    def write_status(self, job: Job) -> None:
        """Put the status that the stack writes of *job*."""
        self.write(Keys(job.id, job.key).status, status_document(job, [], NOW))


@pytest.fixture
def stack(emulator: Address, tmp_path: Path) -> Stack:
    """A stack whose functions do nothing, with a task called `ask`."""
    storage = boto3.client("s3", **emulator.client_options())
    inbox, results = f"inbox-{uuid4()}", f"results-{uuid4()}"
    for bucket in (inbox, results):
        storage.create_bucket(Bucket=bucket)
        storage.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    storage.put_object(Bucket=inbox, Key="tasks/ask.yaml", Body=ASK)
    described: dict[str, Any] = {field.name: "-" for field in fields(StackDescription)}
    described |= {"endpoint_url": emulator.endpoint_url, "region": emulator.region, "simulated": True}
    described |= {"access_key_id": emulator.access_key_id, "secret_access_key": emulator.secret_access_key}
    file = tmp_path / "stack.json"
    StackDescription(**described | {"inbox_bucket": inbox, "results_bucket": results}).write(file)
    return Stack(storage, inbox, results, file)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A file to drop."""
    path = tmp_path / "reviews.csv"
    path.write_text("a\n1\n2\n")
    return path


def job_of(upload: Upload, **changes: Any) -> Job:  # noqa: ANN401  # the fields of a job
    """Return the ledger's row of *upload*."""
    job = Job(id=upload.job_id, bucket=upload.bucket, key=upload.key, version=upload.version, created_at=NOW)
    return replace(job, task=upload.task, **changes)


def ended(event: str, reason: Reason | None = None, *, succeeded: int = 0, failed: int = 0) -> dict[str, Any]:
    """Return the fields of a job that is over."""
    return {
        "state": JobState.ENDED, "event": event, "reason": reason, "items": succeeded + failed,
        "succeeded": succeeded, "failed": failed,
    }  # fmt: skip


def test_drop_prints_the_id_of_the_version_that_it_made(stack: Stack, reviews: Path) -> None:
    """The id that is printed at once is the one that the stack will make of the very same upload."""
    result = stack.run("drop", reviews, "--task", "ask")

    (upload,) = stack.uploads()
    assert result.exit_code == 0
    assert result.stdout == f"{upload.job_id}  inbox/ask/reviews.csv\n"


def test_dropping_again_is_another_job(stack: Stack, reviews: Path) -> None:
    """An overwrite is a second version, and a second job."""
    first = stack.run("drop", reviews, "--task", "ask")
    second = stack.run("drop", reviews, "--task", "ask")

    assert len(stack.uploads()) == 2
    assert first.stdout != second.stdout


def test_ready_made_requests_go_directly_below_the_inbox(stack: Stack, reviews: Path) -> None:
    """Without a task there is no folder that could be taken for one."""
    result = stack.run("drop", reviews)

    assert result.exit_code == 0
    assert [upload.key for upload in stack.uploads()] == ["inbox/reviews.csv"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-"], "Standard input"),
        (["missing.csv"], "does not exist"),
        (["."], "isn't a file"),
        ([".DS_Store"], "would be ignored"),
        (["good.csv", "--task", "nobody"], "The tasks there are: ask"),
        (["good.csv", "--task", "a/b"], "isn't a task name"),
        (["good.csv", "--task", "-"], "isn't a task name"),
        ([], "Missing argument"),
        (["good.csv", "--deadline", "1h"], "No such option"),
    ],
)
def test_a_misused_drop_changes_nothing(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], complaint: str
) -> None:
    """One file that cannot be dropped keeps the others from being dropped too, and the exit code says that it was misuse."""
    monkeypatch.chdir(tmp_path)
    for name in ("first.csv", "good.csv", ".DS_Store"):
        Path(name).write_text("a\n1\n")

    result = stack.run("drop", *(["first.csv", *words] if words else []))

    assert (result.exit_code, stack.uploads()) == (2, [])
    assert complaint in result.stderr
    assert "Traceback" not in result.output


def answering(stack: Stack, steps: Sequence[dict[str, Any]]) -> Callable[[float], None]:
    """Return a sleep that writes the next of *steps* of the one upload's job instead: each look sees one step."""
    left = iter(steps)

    def answer(_seconds: float) -> None:
        (upload,) = stack.uploads()
        stack.write_status(job_of(upload, **next(left)))

    return answer


@pytest.mark.parametrize(
    ("end", "exit_code", "shown"),
    [
        (ended("completed", succeeded=2), 0, "completed inbox/ask/reviews.csv (2 of 2 succeeded)"),
        (ended("completed_with_failures", succeeded=1, failed=1), 1, "(1 of 2 succeeded, 1 failed)"),
        (ended("rejected", Reason("empty_header", "line 1 is empty")), 1, "line 1 is empty (empty_header)"),
        (ended("failed", Reason("broken", "cannot be merged")), 1, "cannot be merged"),
    ],
    ids=["completed", "with failures", "rejected", "failed"],
)
def test_waiting_ends_with_the_job(
    stack: Stack, reviews: Path, end: dict[str, Any], exit_code: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits sees each change, where the results are, and an exit code that says whether every item succeeded."""
    running = {"state": JobState.RUNNING, "items": 2, "waiting": JobWait(WaitingFor.QUOTA, NOW)}
    monkeypatch.setattr(waiting, "sleep", answering(stack, [running, end]))

    result = stack.run("drop", reviews, "--task", "ask", "--wait")

    (upload,) = stack.uploads()
    assert result.exit_code == exit_code
    assert "RUNNING, waiting for quota, 0 of 2 succeeded" in result.stdout
    assert shown in result.stdout
    assert f"s3://{stack.results}/{Keys(upload.job_id, upload.key).results}" in result.stdout


def test_whoever_stops_waiting_loses_nothing(stack: Stack, reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the sight of a job, not the job: the upload stays, and the exit code says that nobody knows its end."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting, "sleep", interrupt)
    result = stack.run("drop", reviews, "--task", "ask", "--wait")

    (upload,) = stack.uploads()
    assert result.exit_code == 130
    assert result.stdout.startswith(upload.job_id)
    assert "the jobs continue" in result.stderr


def test_status_shows_every_job_at_any_depth(stack: Stack) -> None:
    """Jobs are found in whatever folders their uploads lay, and by their id."""
    keys = ["inbox/ask/deep/er/x.csv", "inbox/y.jsonl", f"inbox/{'a' * 20}/status.json"]
    uploads = [Upload(stack.inbox, key, "v1") for key in keys]
    for upload in uploads:
        stack.write_status(job_of(upload, state=JobState.RUNNING, items=7))
        stack.write(Keys(upload.job_id, upload.key).item("000000001"), b"{}")

    table = stack.run("status").stdout
    details = [stack.run("status", upload.job_id).stdout for upload in uploads]

    assert all(upload.job_id in table and upload.key in table for upload in uploads)
    assert len(table.splitlines()) == 4
    assert all(f"s3://{stack.inbox}/{upload.key}" in shown for upload, shown in zip(uploads, details, strict=True))


def test_names_cannot_command_the_terminal(stack: Stack) -> None:
    """What a file is called is shown as text, whatever a terminal or the table would make of it."""
    upload = Upload(stack.inbox, "inbox/[red]\x1b[2Jx.jsonl", "v1")
    stack.write_status(job_of(upload, state=JobState.RUNNING))

    table = stack.run("status").stdout

    assert "\x1b" not in table
    assert "inbox/[red]\\x1b[2Jx.jsonl" in table


@pytest.mark.parametrize(("job", "exit_code"), [("0" * 20, 1), ("nonsense", 2), ("../" * 5, 2)])
def test_an_unknown_job_is_said_so(stack: Stack, job: str, exit_code: int) -> None:
    """A job that is not there, and what can be no job's id, are told apart by the exit code."""
    result = stack.run("status", job)

    assert result.exit_code == exit_code
    assert "Traceback" not in result.output
    assert len(result.stderr.splitlines()) <= 4


def test_results_are_the_objects_of_the_job(stack: Stack, tmp_path: Path) -> None:
    """What is downloaded equals what the stack wrote, byte for byte, and nothing of the neighbours comes along."""
    upload = Upload(stack.inbox, "inbox/ask/x.csv", "v1")
    keys = Keys(upload.job_id, upload.key)
    written = {keys.item(f"{row:09d}"): b'{"row":%d}' % row for row in range(30)} | {keys.outcomes: b"x\n" * 100_000}
    stack.write_status(job_of(upload, **ended("completed", succeeded=30)))
    stack.write(f"{keys.results.removesuffix('/')}0/neighbour.json", b"{}")
    for key, content in written.items():
        stack.write(key, content)

    result = stack.run("results", upload.job_id, "--to", tmp_path / "new" / "out")

    found = {path for path in (tmp_path / "new/out").rglob("*") if path.is_file()}
    read = {keys.results + str(path.relative_to(tmp_path / "new/out")): path.read_bytes() for path in found}
    assert result.exit_code == 0
    assert {key: content for key, content in read.items() if key != keys.status} == written
    assert result.stderr.count("so far") == 0


def test_results_keep_the_names_that_users_gave(stack: Stack, tmp_path: Path) -> None:
    """An upload may lie in folders of any name, and an item be called anything: each file is found under its own name."""
    upload = Upload(stack.inbox, "inbox/ask/übung + 100% of?#x/a b.csv", "v1")
    keys = Keys(upload.job_id, upload.key)
    names = [item_name(name) for name in ("../../etc/passwd", "100 %", "ü", "a+b", "..")]
    stack.write_status(job_of(upload, **ended("completed", succeeded=len(names))))
    for name in names:
        stack.write(keys.item(name), name.encode())

    result = stack.run("results", upload.job_id, "--to", tmp_path / "out")

    found = {path.stem: path.read_text() for path in (tmp_path / "out/items").iterdir()}
    assert result.exit_code == 0
    assert found == {name: name for name in names}


def test_results_have_names_that_every_system_takes(stack: Stack, tmp_path: Path) -> None:
    """What Windows or macOS would refuse, drop or take for another arrives all the same, and a file says what is what."""
    upload = Upload(stack.inbox, "inbox/x.jsonl", "v1")
    folder = Keys(upload.job_id, upload.key).results
    kept = ["items/R1.json", "items/a b.json"]
    changed = [
        "items/r1.json",
        "items/CON.json",
        "C:/x",
        "a:b",
        "dots.",
        "items/R1.json/below",
        "renamed.json",
        "bell\x07",
    ]
    changed += ["../up", "a//b", "end/", "/start"]
    stack.write_status(job_of(upload, **ended("completed", succeeded=len(changed))))
    for name in kept + changed:
        stack.write(folder + name, name.encode())

    result = stack.run("results", upload.job_id, "--to", tmp_path / "out")

    renamed = json.loads((tmp_path / "out/renamed.json").read_text())
    read = {name: (tmp_path / "out" / renamed.get(name, name)).read_text() for name in kept + changed}
    assert (result.exit_code, read) == (0, {name: name for name in kept + changed})
    assert renamed.keys() == {*changed, "items/R1.json"} - {"items/R1.json/below"}
    assert f"{len(renamed)} of them have a name there" in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("status.json", "renamed.json", "renamed~2.json", "items", "C%3A", "a%3Ab", "dots%2E", "bell%07"),
        *(".%2E", "a", "end", "_"),
    }


def test_results_overwrite_nothing(stack: Stack, tmp_path: Path) -> None:
    """A folder that holds anything is refused, and stays as it is."""
    upload = Upload(stack.inbox, "inbox/x.jsonl", "v1")
    stack.write_status(job_of(upload, state=JobState.RUNNING))
    (tmp_path / "mine").write_text("mine")

    result = stack.run("results", upload.job_id, "--to", tmp_path)

    assert result.exit_code == 1
    assert "nothing is overwritten" in result.stderr
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "status.json").exists()


def test_a_place_that_cannot_be_written_is_a_message(stack: Stack, tmp_path: Path) -> None:
    """What the file system refuses is told with the file's name."""
    upload = Upload(stack.inbox, "inbox/x.jsonl", "v1")
    stack.write_status(job_of(upload, state=JobState.RUNNING))
    stack.write(Keys(upload.job_id, upload.key).results + "/".join(["x" * 250] * 3), b"")

    result = stack.run("results", upload.job_id, "--to", tmp_path / "/".join(["y" * 250] * 14))

    assert result.exit_code == 1
    assert "File name too long" in result.stderr


def test_a_file_of_a_hostile_name_is_a_message(stack: Stack, tmp_path: Path) -> None:
    """A name from an unpacked archive clears no screen, whether there is such a file or not."""
    (tmp_path / "there\x1b[2J.csv").write_text("a\n1\n")

    gone = stack.run("drop", tmp_path / "gone\x1b[2J.csv", "--task", "ask")
    there = stack.run("drop", tmp_path / "there\x1b[2J.csv", "--task", "ask")

    assert (gone.exit_code, there.exit_code) == (2, 0)
    assert "gone\\x1b[2J.csv" in gone.stderr
    assert "there\\x1b[2J.csv" in there.stdout
    assert "\x1b" not in gone.output + there.output


def test_results_of_a_running_job_are_said_to_be_partial(stack: Stack, tmp_path: Path) -> None:
    """Early results can be looked at, and nobody takes them for all."""
    upload = Upload(stack.inbox, "inbox/x.jsonl", "v1")
    stack.write_status(job_of(upload, state=JobState.RUNNING))

    result = stack.run("results", upload.job_id, "--to", tmp_path / "out")

    assert result.exit_code == 0
    assert "results so far" in result.stderr


def answered(stack: Stack, items: str, *, is_over: bool = True) -> str:
    """Write what the stack's own code makes of a drop whose task says *items*, and return the job."""
    world = World()
    world.storage.put_task(
        "ask", b"%sid: k\nitems: %s\n" % (ASK.replace(b"model: m", b"model: gpt-4.1-mini"), items.encode())
    )
    rows = b"k,a\na/1,good\na/1,again\n100%,fine\n" + b"".join(b"r%d,x\n" % row for row in range(300))
    job = world.drop("inbox/ask/x.csv", rows)
    if is_over:
        world.run(job)
    for key, content in world.storage.objects.items():
        if key.startswith("results/") and ("/items/" not in key or "%" in key or "r299" in key):
            stack.write(key, content)
    return job


@pytest.mark.parametrize("items", ["objects", "index"])
def test_one_item_is_printed_by_its_id_or_its_name(stack: Stack, items: str) -> None:
    """What the user called it and what the outcome calls it both lead to its outcome, and nothing else is written."""
    job = answered(stack, items)

    results = {
        name: stack.run("results", job, "--item", name)
        for name in ("a/1", "a%2F1", "100%", "r299", "000000002~duplicate")
    }

    if items == "objects":
        del results["000000002~duplicate"]  # its object is not among the few that were written
    shown = {name: json.loads(result.stdout)["name"] for name, result in results.items()}
    own = {"a/1": "a%2F1", "100%": "100%25"}
    assert shown == {name: own.get(name, name) for name in results}
    assert all(result.exit_code == 0 and not result.stderr for result in results.values())


@pytest.mark.parametrize(
    ("items", "state", "name", "told"),
    [
        ("objects", "over", "r300", "There is no item 'r300'. An item is called by its id"),
        ("objects", "over", "..", "There is no item '..'"),
        ("objects", "running", "r1", "the job is not over"),
        ("index", "over", "r300", "There is no item 'r300'"),
        ("index", "running", "r1", "the index is written when the job is over"),
        ("none", "over", "r1", "says `items: none`, so no item can be read alone. Download all of it: batchdrop"),
    ],
)
def test_an_item_that_cannot_be_shown_is_told_why(stack: Stack, items: str, state: str, name: str, told: str) -> None:
    """Nobody takes an item that cannot be read for one that is lost."""
    job = answered(stack, items, is_over=state == "over")

    result = stack.run("results", job, "--item", name)

    assert result.exit_code == 1
    assert told in result.stderr.replace("\n", " ")
    assert not result.stdout


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("reviews.csv", "reviews.results"),
        ("a.b.csv.gz", "a.b.results"),
        ("no-ending", "no-ending.results"),
        ("nul.csv", None),
    ],
)
def test_results_go_to_a_folder_named_after_the_file(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str | None
) -> None:
    """Without an option, where the person is; a second time nothing is overwritten, and the command says what to do."""
    monkeypatch.chdir(tmp_path)
    job = job_of(Upload("inbox", f"inbox/ask/{name}", "v"), **ended("completed", succeeded=1))
    stack.write_status(job)

    first, second = stack.run("results", job.id[:8]), stack.run("results", job.id)

    (made,) = tmp_path.glob("*.results*")
    assert (first.exit_code, (made / "status.json").exists()) == (0, True)
    assert folder in {made.name, None}
    assert made.name.partition(".")[0].lower() != "nul"
    assert (second.exit_code, "is not empty" in second.stderr) == (1, True)


def test_all_results_or_one_item_are_asked_for(stack: Stack) -> None:
    """Both are no question."""
    result = stack.run("results", "0" * 20, "--to", "there", "--item", "r1")

    assert result.exit_code == 2
    assert "either --to DIR, for all results, or --item NAME" in result.stderr


def test_tasks_are_listed_with_what_is_wrong_with_them(stack: Stack) -> None:
    """A task that would reject every drop shows it before somebody drops."""
    stack.storage.put_object(Bucket=stack.inbox, Key="tasks/bad.yaml", Body=b"endpoint: /v1/nowhere\n")

    result = stack.run("tasks")

    ask, bad = result.stdout.splitlines()[1:]
    assert result.exit_code == 0
    assert ask.split() == ["ask", "/v1/chat/completions", "m"]
    assert bad.startswith("bad")
    assert "`endpoint`" in bad


def test_a_task_is_put_as_it_is(stack: Stack, tmp_path: Path) -> None:
    """The stack reads the very bytes that the operator wrote."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"# a comment\n" + ASK)

    result = stack.run("tasks", "put", path)

    body = stack.storage.get_object(Bucket=stack.inbox, Key="tasks/mine.yaml")["Body"].read()
    assert (result.exit_code, result.stdout) == (0, "mine\n")
    assert body == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (ASK.replace(b"a }}", b"a, b }}"), "line 2: body.messages[0].content"),
        (b"endpoint: /v1/responses\nbody:\n  input: x\n", "the task `bad` cannot be used: line 2: `body.model`"),
        (ASK + b"deadline: 1h\n", "the task `bad` cannot be used: line 3: `deadline` isn't a field"),
        (b"endpoint: [\n", "line 2, column 1 isn't YAML"),
        (ASK + b"x: &a [*a]\n", "line 3, column 8"),
        (b":" * 20_000, "line 1, column 20000 isn't YAML"),
    ],
)
def test_an_invalid_task_is_refused_with_field_and_line(
    stack: Stack, tmp_path: Path, content: bytes, complaint: str
) -> None:
    """A task that cannot be used is not put; the good ones around it are, and the command fails all the same."""
    for name in ("first", "last"):
        (tmp_path / f"{name}.yaml").write_bytes(ASK)
    (tmp_path / "bad.yaml").write_bytes(content)

    result = stack.run("tasks", "put", *(tmp_path / f"{name}.yaml" for name in ("first", "bad", "last")))

    assert (result.exit_code, result.stdout) == (1, "first\nlast\n")
    assert complaint in result.stderr
    assert "It was not put." in result.stderr.replace("\n", " ")
    assert stack.tasks() == ["tasks/ask.yaml", "tasks/first.yaml", "tasks/last.yaml"]


@pytest.mark.parametrize("name", ["task.txt", "task.yml.txt", "-.yaml", "missing.yaml"])
def test_what_is_no_task_file_is_misuse(stack: Stack, tmp_path: Path, name: str) -> None:
    """A name that the stack would never look up is not put."""
    if name != "missing.yaml":
        (tmp_path / name).write_bytes(ASK)

    result = stack.run("tasks", "put", tmp_path / name)

    assert result.exit_code == 2
    assert stack.tasks() == ["tasks/ask.yaml"]


def test_a_stack_that_ended_is_said_so(stack: Stack) -> None:
    """A description that was left behind leads to a message, not to a traceback."""
    described = StackDescription.from_file(stack.file)
    replace(described, endpoint_url="http://127.0.0.1:9").write(stack.file)

    result = stack.run("status")

    assert result.exit_code == 1
    assert "does not answer" in result.stderr
    assert "batchdrop local" in result.stderr


def test_an_error_of_the_stack_is_a_message(stack: Stack) -> None:
    """What S3 refuses is told in its own words."""
    described = StackDescription.from_file(stack.file)
    replace(described, results_bucket="no-such-bucket-here").write(stack.file)

    result = stack.run("status")

    assert result.exit_code == 1
    assert "NoSuchBucket" in result.stderr
    assert isinstance(result.exception, SystemExit)


REJECTED = Reason("task_invalid", "the task cannot be used")


@pytest.mark.parametrize(
    ("command", "fields_of_job", "complaint"),
    [
        ("cancel", ended("completed", succeeded=2), "nothing to cancel"),
        ("retry", {"state": JobState.RUNNING}, "nothing to retry"),
        ("retry", ended("completed_with_failures", failed=2), "drop its failures file"),
        ("retry", ended("rejected", Reason("not_utf8", "line 3")), "would be rejected again: line 3"),
        ("retry", ended("rejected", REJECTED) | {"state": JobState.NOTIFYING}, "still on its way"),
        ("forget", {"state": JobState.RUNNING}, "Cancel it first"),
        ("forget", ended("rejected", REJECTED) | {"state": JobState.NOTIFYING}, "still on its way"),
    ],
)
def test_a_word_that_would_be_ignored_is_not_said(
    stack: Stack, command: str, fields_of_job: dict[str, Any], complaint: str
) -> None:
    """The person hears why, and nothing is written or deleted."""
    upload = Upload(stack.inbox, "inbox/ask/x.csv", "v1")
    stack.write_status(job_of(upload, **fields_of_job))

    result = stack.run(command, upload.job_id, *(["--yes"] if command == "forget" else []))

    assert result.exit_code == 1
    assert complaint in result.stderr
    assert "Contents" not in stack.storage.list_objects_v2(Bucket=stack.inbox, Prefix="control/")
    assert stack.run("status", upload.job_id).exit_code == 0


@pytest.mark.parametrize(
    ("command", "fields_of_job"), [("cancel", {"state": JobState.RUNNING}), ("retry", ended("rejected", REJECTED))]
)
def test_a_word_is_an_empty_object(stack: Stack, command: str, fields_of_job: dict[str, Any]) -> None:
    """Any S3 client can say it."""
    upload = Upload(stack.inbox, "inbox/ask/x.csv", "v1")
    stack.write_status(job_of(upload, **fields_of_job))

    result = stack.run(command, upload.job_id)

    (word,) = stack.storage.list_objects_v2(Bucket=stack.inbox, Prefix="control/")["Contents"]
    assert (result.exit_code, word["Key"], word["Size"]) == (0, f"control/{upload.job_id}/{command}", 0)


def test_forgetting_leaves_nothing_of_the_job_and_all_of_its_neighbours(stack: Stack, reviews: Path) -> None:
    """Every version goes, the marks of deletion too; another version of the same file is another job and stays."""
    stack.run("drop", reviews, "--task", "ask")
    stack.run("drop", reviews, "--task", "ask")
    kept, gone = stack.uploads()
    keys = Keys(gone.job_id, gone.key)
    for upload in (kept, gone):
        stack.write_status(job_of(upload, **ended("completed", succeeded=2)))
    for _ in range(2):
        stack.write(keys.item("000000001"), b"{}")
        stack.write(f"{keys.internal}chunks/0/000000.jsonl", b"{}")
    stack.storage.delete_object(Bucket=stack.results, Key=keys.item("000000001"))

    result = stack.run("forget", gone.job_id, "--yes")

    left = stack.storage.list_object_versions(Bucket=stack.results)
    assert result.exit_code == 0, result.stderr
    assert stack.uploads() == [kept]
    assert [version["Key"] for version in left["Versions"]] == [Keys(kept.job_id, kept.key).status]
    assert "DeleteMarkers" not in left
    assert stack.run("status", gone.job_id).exit_code == 1


def test_nothing_is_forgotten_unasked(stack: Stack) -> None:
    """Where nobody can answer, and without --yes, nothing is deleted."""
    upload = Upload(stack.inbox, "inbox/ask/x.csv", "v1")
    stack.write_status(job_of(upload, **ended("completed", succeeded=2)))

    result = stack.run("forget", upload.job_id)

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert stack.run("status", upload.job_id).exit_code == 0


def test_a_trial_drops_the_first_records_under_a_name_of_their_own(stack: Stack, reviews: Path) -> None:
    """The file stays as it is; what is dropped is cut between records."""
    result = stack.run("drop", reviews, "--task", "ask", "--first", "1")

    (upload,) = stack.uploads()
    body = stack.storage.get_object(Bucket=stack.inbox, Key=upload.key)["Body"].read()
    assert result.stdout == f"{upload.job_id}  inbox/ask/reviews.first-1.csv\n"
    assert (body, reviews.read_text()) == (b"a\n1\n", "a\n1\n2\n")


def test_a_task_of_the_stack_checks_a_file(stack: Stack, reviews: Path) -> None:
    """By its name; nothing is dropped."""
    result = stack.run("check", "ask", reviews)

    assert (result.exit_code, stack.uploads()) == (0, [])
    assert "2 records: 2 would be sent, 0 refused." in result.stdout


def with_jobs(stack: Stack, **statuses: dict[str, Any]) -> dict[str, str]:
    """Write the status of a job for each name of a file, and return their ids."""
    jobs = {
        name: job_of(Upload("inbox", f"inbox/ask/{name}.csv", "v"), **changes) for name, changes in statuses.items()
    }
    for job in jobs.values():
        stack.write_status(job)
    return {name: job.id for name, job in jobs.items()}


def test_a_job_is_named_by_the_beginning_of_its_id(stack: Stack) -> None:
    """As many characters as no other job has; fewer, or those of several, are told apart before anything is done."""
    ids = with_jobs(stack, **{f"f{number}": ended("completed", succeeded=1) for number in range(40)})
    first = ids["f0"]
    digit_of_all = max("0123456789abcdef", key=lambda digit: sum(one.startswith(digit) for one in ids.values()))

    shown = stack.run("status", first[:12])
    short = stack.run("status", digit_of_all)
    missing = stack.run("status", "0" * 19)

    assert (shown.exit_code, first in shown.stdout) == (0, True)
    assert (short.exit_code, "the first 4 characters" in short.stderr.replace("\n", " ")) == (2, True)
    assert (missing.exit_code, "There is no job" in missing.stderr) == (1, True)


def test_a_beginning_that_several_ids_have_names_them(stack: Stack) -> None:
    """Nothing is cancelled that was not meant."""
    ids = [f"abcd{number:016x}" for number in (1, 2)]
    for number, job in enumerate(ids):
        upload = Upload("inbox", f"inbox/ask/{number}.csv", "v")
        stack.write_status(replace(job_of(upload, state=JobState.RUNNING), id=job))

    result = stack.run("cancel", "abcd")

    assert result.exit_code == 2
    assert all(job in result.stderr.replace("\n", "") for job in ids)
    assert not [key for key in stack.uploads() if key.key.startswith("control/")]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--state", "completed"), {"good"}),
        (("--state", "RUNNING"), {"young"}),
        (("--task", "ask", "--state", "rejected"), {"bad"}),
        (("--task", "other"), set()),
        (("--since", "2026-09-21"), {"good", "bad", "young"}),
        (("--since", "2026-09-23T00:00:00"), set()),
    ],
)
def test_jobs_are_chosen_by_state_task_and_time(stack: Stack, options: tuple[str, ...], names: set[str]) -> None:
    """By what the table shows of them."""
    ids = with_jobs(
        stack, good=ended("completed", succeeded=1), bad=ended("rejected", Reason("x", "y")),
        young={"state": JobState.RUNNING, "items": 1},
    )  # fmt: skip

    shown = stack.run("status", *options).stdout

    assert {name for name, job in ids.items() if job in shown} == names


@pytest.mark.parametrize(
    ("options", "words"), [(("--state", "odd"), "The states are: cancelled"), (("--since", "odd"), "isn't a date")]
)
def test_a_choice_that_means_nothing_is_misuse(stack: Stack, options: tuple[str, ...], words: str) -> None:
    """It would show nothing, and look as if there were nothing."""
    result = stack.run("status", *options)

    assert (result.exit_code, words in result.stderr.replace("\n", " ")) == (2, True)


def test_waiting_can_be_taken_up_again(stack: Stack) -> None:
    """By the ids of jobs: how they ended, and an exit code that says whether every item succeeded."""
    ids = with_jobs(
        stack, good=ended("completed", succeeded=2), bad=ended("completed_with_failures", succeeded=1, failed=1)
    )

    good, both = stack.run("wait", ids["good"]), stack.run("wait", *ids.values())

    assert (good.exit_code, "completed inbox/ask/good.csv (2 of 2 succeeded)" in good.stdout) == (0, True)
    assert (both.exit_code, "(1 of 2 succeeded, 1 failed)" in both.stdout) == (1, True)
