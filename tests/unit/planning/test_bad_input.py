"""What is dropped by mistake, on the whole way. Run this file as a script to write docs/troubleshooting.md anew."""

import bz2
import io
import json
import lzma
import re
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote_plus

import httpx2
import pytest
from fakes.drops import LIMITS, job_of
from fakes.memory import MemoryStorage
from fakes.world import World
from fakes.wrong_drops import CANARY, CSV, FAILED, REJECTED, TABLE, TASKS, Wrong, WrongRecord, native

from batchdrop.core.delivery.advice import meaning
from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import MINUTE
from batchdrop.edge.aws.messages import Drop, read_messages
from batchdrop.flow import submit
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.plan import plan_pages
from batchdrop.flow.ports import Notification
from batchdrop.formats.guesses import check_start

PAGE = Path(__file__).parents[3] / "docs" / "troubleshooting.md"
GENERATED = re.compile(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", re.DOTALL)
GOOD = (native("good-1") + "\n" + native("good-2") + "\n").replace(CANARY, "hello").encode()
BAD_LINE = b'{"custom_id" "R-9"}\n'


def new_world() -> World:
    """Return a world with the tasks of the cases."""
    world = World()
    for name, task in TASKS.items():
        world.storage.put_task(name, task)
    return world


@pytest.fixture
def world() -> World:
    """A world with the tasks of the cases."""
    return new_world()


def notification_of(world: World, job: str) -> Notification:
    """Return the one notification of *job*."""
    (notification,) = [
        notification for notification in world.notifications.published if notification.attributes["job"] == job
    ]
    return notification


def reason_of(world: World, job: str) -> dict[str, str]:
    """Return why *job* ended, as its notification says it to programs."""
    reason: dict[str, str] = json.loads(notification_of(world, job).json)["reason"]
    return reason


def written_of(world: World, job: str) -> set[str]:
    """Return what lies in the results folder of *job*."""
    folder = Keys(job, world.job(job).key).results
    return {key.removeprefix(folder) for key in world.storage.objects if key.startswith(folder)}


def assert_costs_nothing(world: World, job: str, neighbour: str) -> None:
    """Only the neighbour was sent and paid; nothing is due, held or left behind; nothing of the content is told."""
    assert world.job(neighbour).event == "completed"
    assert (world.tap.counts["POST /v1/files"], world.tap.creates) == (1, 1)
    assert len(list(world.simulator.ledger.charges())) == 2
    assert not list(world.ledger.active())
    assert all(quota.used == 0 for quota in world.ledger.quotas.values())
    assert len(world.notifications.published) == 2
    told = repr(world.log.lines) + repr(world.notifications.published) + world.result(job, "status.json").decode()
    assert CANARY not in told


@pytest.mark.parametrize("case", REJECTED, ids=lambda case: case.what)
def test_a_wrong_file_is_one_notification(world: World, case: Wrong) -> None:
    """It says what is wrong, where, and what to do; nothing was sent, and the neighbour is done as if alone."""
    job = world.drop(case.key, case.content())
    neighbour = world.drop("inbox/good.jsonl", GOOD)

    ended = world.run(job, seconds=20)
    world.run(neighbour)

    notification = notification_of(world, job)
    assert (ended.event, reason_of(world, job)["code"]) == ("rejected", case.code)
    for said in (*case.says, "Nothing was sent and nothing was spent."):
        assert said in notification.text
    assert written_of(world, job) == {"status.json"}
    assert_costs_nothing(world, job, neighbour)


@pytest.mark.parametrize("case", FAILED, ids=lambda case: case.what)
def test_a_wrong_record_is_one_failed_item(world: World, case: WrongRecord) -> None:
    """Its outcome says what is wrong; the lines before and behind it are sent, and the failed one comes back as it was."""
    first, last = native("R-1"), native("R-2")
    content = f"{first}\n{case.content}\n{last}\n".encode()

    job = world.drop("inbox/nightly.jsonl", content)
    ended = world.run(job)

    assert (ended.event, ended.succeeded, ended.failed) == ("completed_with_failures", 2, 1)
    outcome = json.loads(world.result(job, "outcomes.jsonl").splitlines()[1])
    assert (outcome["row"], outcome["error"]["code"]) == (2, case.code)
    assert case.says.format(start=len(first) + 1) in outcome["error"]["message"]
    assert world.result(job, "failures.jsonl") == f"{case.content}\n".encode()
    assert len(list(world.simulator.ledger.charges())) == 2
    text = notification_of(world, job).text
    assert f"  {case.code}: 1 ({outcome['name']}): {meaning(case.code)}\n" in text
    assert CANARY not in text + repr(world.log.lines)


def test_a_missing_task_is_waited_for_and_then_listed_against(world: World) -> None:
    """A sync may send the drop before the task: the notification comes after two minutes, not before."""
    job = world.drop("inbox/none/reviews.csv", TABLE.encode())
    for _ in range(5):
        world.tick(20)
    before = list(world.notifications.published)

    world.run(job, seconds=20)

    assert before == []
    assert world.clock.now() - world.job(job).created_at <= 3 * MINUTE
    assert "The tasks there are: `fields`, `sentiment`, `template`, `yaml`." in notification_of(world, job).text


def test_many_tasks_do_not_hide_the_rule_for_ready_made_requests(world: World) -> None:
    """The list is cut, so that what follows it is still read."""
    for number in range(90):
        world.storage.put_task(f"{'long-name-' * 5}{number}", b"")

    job = world.drop("inbox/none/reviews.csv", TABLE.encode())
    world.run(job, seconds=20)

    assert "and 74 more. Ready-made requests need no task" in notification_of(world, job).text


@pytest.mark.parametrize("content", ["", "review_id,review\n"])
def test_an_empty_file_is_no_success_and_no_error(world: World, content: str) -> None:
    """A job of 0 items completes; the notification says that there was nothing to do."""
    job = world.drop(CSV, content.encode())
    neighbour = world.drop("inbox/good.jsonl", GOOD)

    ended = world.run(job)
    world.run(neighbour)

    assert (ended.event, ended.items) == ("completed", 0)
    assert "holds no records" in notification_of(world, job).text
    assert "succeeded." not in notification_of(world, job).text.splitlines()[0]
    assert_costs_nothing(world, job, neighbour)


def test_an_object_that_cannot_be_read_is_rejected(world: World) -> None:
    """Archived, under a foreign key, or gone: one notification, and a way to start the same upload again."""
    upload = world.storage.drop(CSV, TABLE.encode())
    world.storage.unreadable.add((upload.key, upload.version))

    submit.handle_upload(world.ports(), world.limits, upload)
    neighbour = world.drop("inbox/good.jsonl", GOOD)
    world.run(upload.job_id)
    world.run(neighbour)

    assert reason_of(world, upload.job_id)["code"] == "unreadable"
    assert f"batchdrop retry {upload.job_id}" in notification_of(world, upload.job_id).text
    assert_costs_nothing(world, upload.job_id, neighbour)


KEYS = [
    "inbox/two words.jsonl",
    "inbox/a+b.jsonl",
    "inbox/100%25 %2F%.jsonl",
    "inbox/Größe 😀/日本.jsonl",
    "inbox/a..b/...c.jsonl",
    "inbox/'quoted\"&=?#.jsonl",
    f"inbox/{'k' * 688}.jsonl",
]


@pytest.mark.parametrize("key", KEYS, ids=[key[:20] for key in KEYS])
def test_an_odd_key_is_read_as_it_was_written(world: World, key: str) -> None:
    """S3 encodes keys in its events; they are decoded once, and results lie under the same name."""
    world.storage.put_task("a..b", b"endpoint: /v1/responses\nbody: {model: m, input: '{{ row }}'}\n")
    world.storage.put_task("Größe 😀", b"endpoint: /v1/responses\nbody: {model: m, input: '{{ row }}'}\n")
    upload = world.storage.drop(key, GOOD)
    s3 = {"bucket": {"name": upload.bucket}, "object": {"key": quote_plus(key, safe="/"), "versionId": upload.version}}
    body = json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]})

    for arrival in read_messages({"Records": [{"messageId": "1", "body": body}]}, world.ports()):
        assert isinstance(arrival, Drop)
        submit.handle_upload(world.ports(), world.limits, arrival.upload)
    ended = world.run(upload.job_id)

    assert (ended.event, ended.succeeded, ended.key) == ("completed", 2, key)
    assert f"results/{key.removeprefix('inbox/')}/{ended.id}/results.jsonl" in world.storage.objects
    assert len(notification_of(world, ended.id).subject) <= 100


@pytest.mark.parametrize("key", ["inbox/" + "\x07" * 600 + ".jsonl", "inbox/" + "😀" * 254, "inbox/" + "/" * 900 + "x"])
def test_a_key_that_no_result_could_bear_is_told_too(world: World, key: str) -> None:
    """However long it grows where it is escaped, its status has a place and its notification comes."""
    job = world.drop(key, GOOD)

    ended = world.run(job)

    assert ended.event == "rejected"
    assert all(len(written.encode()) <= 1_024 for written in world.storage.objects)
    assert written_of(world, job) == {"status.json"}


def test_many_bad_lines_are_one_short_notification(world: World) -> None:
    """Twenty good lines, and thousands behind them that are none: counts, and the names of the first."""
    good = b"".join(f"{native(f'g-{number}')}\n".encode() for number in range(20))

    job = world.drop("inbox/nightly.jsonl", good + BAD_LINE * 3_000)
    ended = world.run(job)

    assert (ended.succeeded, ended.failed) == (20, 3_000)
    notification = notification_of(world, job)
    assert "not_json: 3,000 (" in notification.text
    assert "and 2,980 more" in notification.text
    assert len(notification.text) + len(notification.json) < 5_000


class _Nowhere(MemoryStorage):
    """A storage that keeps what planning reads again, and nothing else."""

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        """Write an object, unless it is an item's."""
        if "/items/" not in key:
            super().put(key, content, content_type)

    @contextmanager
    def writer(self, key: str, content_type: str = "application/x-ndjson") -> Iterator[io.BytesIO]:
        """Forget what is written."""
        del key, content_type
        sink = io.BytesIO()
        sink.write = len  # type: ignore[method-assign,assignment]  # a sink
        yield sink


def peak_bytes(bad_lines: int) -> int:
    """Return the most memory that planning takes where so many lines are bad."""
    storage = _Nowhere()
    job = job_of(storage, "inbox/a.jsonl", native().encode() + b"\n" + BAD_LINE * bad_lines)
    tracemalloc.start()
    for _ in plan_pages(PlannedJob(storage, job, LIMITS), lambda: False):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_bad_lines() -> None:
    """What is refused is written a thousand at a time."""
    few = peak_bytes(1_500)

    many = peak_bytes(6_000)

    assert many < few + 200_000


def refusing(world: World, status: int) -> None:
    """Let the provider refuse the key that it is asked with now."""
    key = world.providers.key

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if request.headers["authorization"] != f"Bearer {key}":
            return None
        body = {"error": {"message": f"no such key: {key}", "code": "invalid_api_key"}}
        return httpx2.Response(status, json=body, headers={"x-should-retry": "false"})

    world.tap.answers.append(answer)


@pytest.mark.parametrize("how", ["missing", "wrong", "revoked"])
def test_without_a_good_key_everything_waits_and_goes_on_by_itself(world: World, how: str) -> None:
    """One notification for all says what they wait for; nothing fails, is rejected, or has to be dropped again."""
    if how == "revoked":
        world.run(world.drop("inbox/before.jsonl", GOOD.replace(b"hello", b"before")))
        world.notifications.published.clear()
    if how == "missing":
        world.providers.key = None
    else:
        refusing(world, 401)
    jobs = [world.drop("inbox/one.jsonl", GOOD), world.drop("inbox/two.jsonl", GOOD.replace(b"hello", b"bye"))]
    for _ in range(24):
        world.tick(5 * MINUTE)
    waiting = [notification.attributes["event"] for notification in world.notifications.published]
    said = world.notifications.published[0].text
    states = {world.job(job).state for job in jobs}
    world.providers.key = "sk-right"
    for job in jobs:
        world.run(job)

    assert (waiting, states) == (["waiting"], {JobState.RUNNING})
    assert "There is no API key yet" in said if how == "missing" else "refuses the API key" in said
    assert "They continue automatically" in said
    assert "sk-" not in repr(world.notifications.published) + repr(world.log.lines)
    assert [world.job(job).event for job in jobs] == ["completed"] * 2
    assert not world.charged_twice()


def zipped() -> bytes:
    """Return an archive of one file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("reviews.csv", TABLE)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (bz2.compress(b"x"), "bzip2"),
        (lzma.compress(b"x"), "xz"),
        (zipped(), "zip"),
        (b"<!DOCTYPE html>", "web page"),
    ],
    # By name: packed bytes bear the time, and two workers must collect the same tests.
    ids=["bzip2", "xz", "zip", "web page"],
)
def test_what_is_no_text_is_known_by_its_first_bytes(content: bytes, name: str) -> None:
    """Whatever its ending says, with what Python itself writes."""
    with pytest.raises(UploadRejected, match=name):
        check_start(content, "csv")


@pytest.mark.parametrize(
    ("content", "extension"),
    [
        (b"", "csv"),
        (b"PK,PAR1\n1,2\n", "csv"),
        (b"PAR1,PAR2\n1,2\n", "csv"),
        (b"BZh,x\n1,2\n", "csv"),
        (b"a\0b,c\n", "csv"),
        ("größe,日本\n".encode(), "csv"),
        (b'{"a": 1}\n', "jsonl"),
        (b"[1, 2]\n[3, 4]\n", "jsonl"),
        (b'\xef\xbb\xbf{"a": [1,\t2]}', "jsonl"),
        (b"[\n{}\n]", "json"),
        (b"\n\n", "jsonl"),
    ],
)
def test_what_may_be_right_is_not_guessed_to_be_wrong(content: bytes, extension: str) -> None:
    """The first look lets pass whatever its format may take."""
    check_start(content, extension)


@pytest.mark.parametrize("good_row", range(1, 21))
def test_one_good_record_among_the_first_is_enough(world: World, good_row: int) -> None:
    """Where anything can be used, records fail one by one."""
    lines = [BAD_LINE] * 40
    lines[good_row - 1] = native().encode() + b"\n"

    job = world.drop("inbox/nightly.jsonl", b"".join(lines))
    ended = world.run(job)

    assert (ended.event, ended.succeeded, ended.failed) == ("completed_with_failures", 1, 39)


def test_a_template_that_fails_on_every_record_quotes_none(world: World) -> None:
    """The engine's own words may hold what the record holds."""
    world.storage.put_task("sum", b"endpoint: /v1/responses\nbody: {model: m, input: '{{ review | int }}'}\n")
    content = "review\n" + f"{CANARY}\n" * 30

    job = world.drop("inbox/sum/reviews.csv", content.encode())
    world.run(job)

    assert reason_of(world, job)["code"] == "template_failed"
    assert "a template of the task fails" in notification_of(world, job).text
    assert CANARY not in notification_of(world, job).text


def test_a_table_without_a_header_fills_no_notification(world: World) -> None:
    """What stands where names belong may be content: it is cut, and the first of many are listed."""
    content = ",".join(f"{number} {'word ' * 100}" for number in range(100)) + "\n"

    job = world.drop(CSV, content.encode())
    world.run(job)

    text = notification_of(world, job).text
    assert "and 80 more" in text
    assert "word " * 10 not in text
    assert len(text) < 3_000


def cell(text: str) -> str:
    """Return *text* as it stands in a cell of a table."""
    return text.replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


def rejected_table() -> str:
    """Return the rejections as the system words them."""
    rows = ["| what is wrong | what the notification says | what to do |", "|---|---|---|"]
    for case in REJECTED:
        world = new_world()
        job = world.drop(case.key, case.content())
        world.run(job, seconds=20)
        reason = reason_of(world, job)
        rows.append(f"| {case.what} | `{reason['code']}`: {cell(reason['message'])} | {case.fix} |")
    return "\n".join(rows) + "\n"


def failed_table() -> str:
    """Return the refusals of single records as the system words them."""
    rows = ["| what is wrong | what the item's `error` says | what to do |", "|---|---|---|"]
    for case in FAILED:
        world = new_world()
        job = world.drop("inbox/nightly.jsonl", f"{native('R-1')}\n{case.content}\n".encode())
        world.run(job)
        error = json.loads(world.result(job, "outcomes.jsonl").splitlines()[1])["error"]
        rows.append(f"| {case.what} | `{error['code']}`: {cell(error['message'])} | {case.fix} |")
    return "\n".join(rows) + "\n"


TABLES = {"rejected": rejected_table, "failed": failed_table}


def generated(page: str) -> str:
    """Return *page* with its tables as the system words them now."""
    return GENERATED.sub(lambda found: f"<!-- {found[1]} -->\n{TABLES[found[1]]()}<!-- /{found[1]} -->", page)


def test_the_page_says_what_the_system_says() -> None:
    """Whoever looks a notification up finds its words; `python tests/unit/planning/test_bad_input.py` writes them anew."""
    page = PAGE.read_text()

    assert sorted(found[1] for found in GENERATED.finditer(page)) == sorted(TABLES)
    assert generated(page) == page


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text()))
