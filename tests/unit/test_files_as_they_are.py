"""Files as people have them, on the whole path: read as they are, and given back as they came."""

import csv
import io
import json

import pytest
from fakes.world import World

from batchdrop.core.model.job import Job
from batchdrop.core.model.reading import Reading

TASK = b"""
endpoint: /v1/chat/completions
body: {model: gpt-4.1-mini, messages: [{role: user, content: "Say: {{ review }}"}]}
id: id
"""


class Dropped:
    """A file that was dropped below a task, and what came of it."""

    def __init__(self, name: str, content: bytes, task: bytes = TASK) -> None:
        self.world = World()
        self.world.storage.put_task("t", task)
        self.key = f"inbox/t/{name}"
        self.id = self.world.drop(self.key, content)
        self.job: Job = self.world.run(self.id)

    @property
    def reading(self) -> Reading:
        """How it was read."""
        return self.job.reading

    def result(self) -> bytes:
        """The results, in the file's own format."""
        return self.world.result(self.id, f"results.{self.key.rpartition('.')[2].lower()}")

    def outcomes(self) -> dict[str, dict[str, object]]:
        """Each item's record, by its name."""
        lines = map(json.loads, self.world.result(self.id, "outcomes.jsonl").splitlines())
        return {line["name"]: line["record"] for line in lines}

    def rows(self, separator: str = ",") -> list[list[str]]:
        """The rows of the results, the header first."""
        return list(csv.reader(io.StringIO(self.result().decode("utf-8-sig"), newline=""), delimiter=separator))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "A.CSV"])
def test_a_separator_is_found_and_given_back(separator: str, name: str) -> None:
    """What a European Excel and databases write; a field with another separator is one field."""
    other = ";" if separator == "," else ","
    content = f"id{separator}review\r\n1{separator}gut{other} 3{other}5\r\n2{separator}schlecht\r\n"

    dropped = Dropped(name, content.encode())

    assert dropped.outcomes() == {
        "1": {"id": "1", "review": f"gut{other} 3{other}5"},
        "2": {"id": "2", "review": "schlecht"},
    }
    assert dropped.rows(separator)[0] == ["id", "review", "output", "status", "error"]
    assert dropped.result().startswith(f"id{separator}review{separator}output".encode())
    assert f"\r\n2{separator}schlecht{separator}".encode() in dropped.result()


def test_the_line_that_says_the_separator_is_kept() -> None:
    """Excel needs it to open the results."""
    dropped = Dropped("a.csv", b"sep=;\r\nid;review\r\n1;Gut\r\n2;Schlecht\r\n")

    assert list(dropped.outcomes()) == ["1", "2"]
    assert dropped.result().startswith(b"sep=;\r\nid;review;output;status;error\r\n1;Gut;")


@pytest.mark.parametrize(
    ("header", "task"),
    [
        ("\ufeff\ufeffid,review", "{{ review }}"),
        ("id,review\u00a0", "{{ review }}"),
        ("id, review\u200b", "{{ review }}"),
        ("id,Gro\u0308ße", '{{ row["Größe"] }}'),
        ("id,Größe", '{{ row["Gro\u0308ße"] }}'),
        ("id,Customer\u00a0Review", '{{ row["Customer Review"] }}'),
        ("id,review ", '{{ row["review "] }}'),
        ("id,review", '{{ row["review "]|upper }}'),
    ],
)
def test_a_column_is_found_but_for_what_is_invisible(header: str, task: str) -> None:
    """Names compare composed, trimmed, and without marks and blanks of other kinds; the header comes back as it came."""
    text = f"endpoint: /v1/responses\nbody: {{model: m, input: '{task}'}}\nid: id\n"

    dropped = Dropped("a.csv", f"{header}\n1,good\n".encode(), text.encode())

    assert (dropped.job.event, list(dropped.outcomes())) == ("completed", ["1"])
    assert dropped.result().startswith(f"{header},output".encode())


def test_a_column_without_a_name_or_with_anothers_harms_nothing() -> None:
    """What pandas writes by default, and notes twice: such columns come back, and records know them by their number."""
    dropped = Dropped("a.csv", b",id,review,note,note\n0,7,good,x,y\n1,8,bad,,z\n")

    assert dropped.outcomes()["7"] == {
        "column 1": "0", "id": "7", "review": "good", "note (column 4)": "x", "note (column 5)": "y",
    }  # fmt: skip
    assert dropped.result().startswith(b",id,review,note,note,output,status,error\n0,7,good,x,y,")


def test_a_name_that_two_columns_have_is_ambiguous_where_the_task_uses_it() -> None:
    """Nothing is sent: which of them is meant is not known."""
    dropped = Dropped("a.csv", b"id,review,review \n1,a,b\n")

    assert dropped.job.event == "rejected"
    assert dropped.job.reason
    assert "columns 2 and 3 of the CSV header (line 1) are called `review`" in dropped.job.reason.message
    assert not list(dropped.world.simulator.ledger.charges())


def test_rows_without_a_value_are_no_records() -> None:
    """What a spreadsheet leaves behind its last row is neither sent nor paid, and it is said how many there were."""
    dropped = Dropped("a.csv", b"id,review,note\r\n1,good,x\r\n,,\r\n2,bad,y\r\n,,\r\n , ,\r\n\r\n")

    assert list(dropped.outcomes()) == ["1", "2"]
    assert (dropped.job.items, dropped.reading.blank_rows) == (2, 3)
    assert len(dropped.rows()) == 3


def test_how_a_file_was_read_is_said_everywhere() -> None:
    """In status, summary, report and notification, in one sentence."""
    dropped = Dropped("a.csv", b"Reviews\r\nid;review\r\n1;good\r\n;\r\n", TASK + b"csv: {header: 2}\n")
    words = "CSV, semicolons, header in line 2; 1 empty row skipped"

    for name in ("status.json", "summary.json"):
        assert json.loads(dropped.world.result(dropped.id, name))["read_as"] == words
    assert f"Read as {words}" in dropped.world.result(dropped.id, "report.html").decode()
    (notification,) = dropped.world.notifications.published
    assert json.loads(notification.json)["read_as"] == words
    assert f"\nRead as: {words}.\n" in notification.text


def test_files_that_were_put_together_are_read_as_one() -> None:
    """The header again is no record, and the mark before it no part of an id."""
    dropped = Dropped("a.csv", b"\xef\xbb\xbfid,review\n1,good\n\xef\xbb\xbfid,review\n2,bad\n\xef\xbb\xbf3,odd\n")

    assert list(dropped.outcomes()) == ["1", "2", "3"]
    assert (dropped.reading.repeated_headers, dropped.reading.blank_rows) == (1, 0)


def test_what_is_no_record_is_counted_once_however_planning_goes_on() -> None:
    """Over pages, and over invocations that died between them."""
    rows = "".join(f"{number},text\n{',' * (number % 3)}\n" for number in range(1, 301))
    content = f"id,review\n{rows}".encode()
    blank = sum(number % 3 > 0 for number in range(1, 301))  # however many fields they have

    world = World()
    world.storage.put_task("t", TASK)
    world.limits = world.limits.__class__(plan_checkpoint_bytes=200)
    job = world.run(world.drop("inbox/t/a.csv", content))

    assert job.plan.pages > 5
    assert job.reading.blank_rows == blank


def test_a_surplus_stays_in_the_last_column() -> None:
    """A text with a comma that was not quoted fails alone, and is in the results whole."""
    dropped = Dropped("a.csv", b"id,review\n1,Write a poem, please\n2,Tell me a joke\n")

    assert (dropped.job.succeeded, dropped.job.failed) == (1, 1)
    assert dropped.rows()[1][:2] == ["1", "Write a poem, please"]


def test_quotes_after_a_backslash_are_read_and_written_so() -> None:
    """As MySQL and old exports write them; a backslash elsewhere stays."""
    content = b'id,review\n1,"He said \\"fine\\" twice"\n2,"C:\\\\dir\\\\ and\nC:\\new"\n3,ok\n'

    dropped = Dropped("a.csv", content)

    reviews = [record["review"] for record in dropped.outcomes().values()]
    assert reviews == ['He said "fine" twice', "C:\\dir\\ and\nC:\\new", "ok"]
    assert (dropped.reading.escape, dropped.reading.separator) == ("\\", ",")
    assert b'\n1,"He said \\"fine\\" twice",' in dropped.result()


def test_a_task_says_how_its_files_are_read() -> None:
    """It overrides what would be found, and makes a table of a `.txt`."""
    task = TASK + b'csv: {separator: ":", header: 3}\n'

    dropped = Dropped("a.txt", b"Reviews of May\n\nid:review\n1:good, or not\n", task)

    assert dropped.outcomes() == {"1": {"id": "1", "review": "good, or not"}}
    assert dropped.result().startswith(b"Reviews of May\n\nid:review:output:status:error\n1:good, or not:")
    assert dropped.reading == Reading(separator=":", lines_before=2)


@pytest.mark.parametrize(
    "content",
    [
        b'id;review\r\n1;"a;b"\r\n2;"say \'x\'"\r\n',
        b"sep=|\r\nid|review\r\n1|a,b\r\n",
        b"\xef\xbb\xbf,id\treview\n0\t1\tx\n".replace(b",", b"\t"),
        b'id,review\n1,"a \\"b\\", c"\n',
    ],
)
def test_failures_that_are_dropped_again_read_the_same(content: bytes) -> None:
    """The file of failures has the form of the file: each record is what it was."""
    world = World()
    world.storage.put_task("t", TASK)
    world.simulator.faults.switch("line_refused", value=99, code="no", status=400)
    job = world.run(world.drop("inbox/t/a.csv", content))
    failures = world.result(job.id, "failures.csv")

    assert job.succeeded == 0
    assert failures == content
    again = Dropped("again.csv", failures)
    assert again.reading == job.reading
    assert again.job.succeeded == job.failed


RECORDS = {"1": {"id": 1, "review": "a"}, "2": {"id": 2, "review": "b"}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'[{"id":1,"review":"a"},{"id":2,"review":"b"}]'),
        ("a.json", b'{"data": [{"id":1,"review":"a"},{"id":2,"review":"b"}]}'),
        ("a.json", b'\xef\xbb\xbf {"page": 1, "x": ["y"], "data": [ {"id":1,"review":"a"},\n{"id":2,"review":"b"} ]}'),
        ("a.json", b'{"id":1,"review":"a"}\n{"id":2,"review":"b"}\n'),
        ("a.json", b'{\n  "id": 1,\n  "review": "a"\n}\n{\n  "id": 2,\n  "review": "b"\n}'),
        ("a.jsonl", b'{ "id": 1,\n  "review": "a" }\n{ "id": 2,\n  "review": "b" }\n'),
        ("a.jsonl", b'{"id":1,"review":"a"}{"id":2,"review":"b"}\n'),
        ("a.ndjson", b'{"id":1,"review":"a"}, {"id":2,"review":"b"}'),
        ("a.jsonl", b'{"id":1,"review":"a"}\n{"id":2,"review":"b"}\n'),
    ],
)  # fmt: skip
def test_json_is_read_however_it_is_laid_out(name: str, content: bytes) -> None:
    """An array, an array within an object, or records one after the other: alone, on a line, or over lines."""
    dropped = Dropped(name, content)

    assert (dropped.job.event, dropped.outcomes()) == ("completed", RECORDS)
    again = Dropped(name, dropped.result(), TASK)
    assert again.job.succeeded == 2


def test_what_an_object_has_around_its_array_comes_back() -> None:
    """Its page, its totals: the results are the same object, with an answer in each record."""
    dropped = Dropped("a.json", b'{"page": 1, "data": [{"id":1,"review":"a"}], "total": 1.50}')

    results = json.loads(dropped.result())
    assert (results["page"], results["total"], list(results)) == (1, 1.5, ["page", "data", "total"])
    assert results["data"][0]["review"] == "a"
    assert results["data"][0]["status"] == "succeeded"
    assert dropped.result().endswith(b'], "total": 1.50}')


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (b', "others": [{"id":2}]}', "is another one, `others`"),
        (b', "more": "' + b"x" * 5_000 + b'"}', "are more than 4,096 bytes"),
        (b"", "does not end the object"),
    ],
)
def test_an_object_has_one_array_of_records(tail: bytes, words: str) -> None:
    """Which of two is meant is not known; nothing is sent, and nothing behind the array is lost."""
    dropped = Dropped("a.json", b'{"data": [{"id":1,"review":"a"}]' + tail)

    assert (dropped.job.event, dropped.job.reason and dropped.job.reason.code) == ("rejected", "not_an_array")
    assert dropped.job.reason
    assert words in dropped.job.reason.message
    assert not list(dropped.world.simulator.ledger.charges())


def test_openai_lines_in_an_object_are_taken() -> None:
    """Whatever the key of their array is called."""
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": "hi"}}
    world = World()

    job = world.run(world.drop("inbox/a.json", json.dumps({"requests": [line, line | {"custom_id": 7}]}).encode()))

    assert (job.event, job.succeeded) == ("completed", 2)
    names = [json.loads(text)["name"] for text in world.result(job.id, "outcomes.jsonl").splitlines()]
    assert names == ["a", "7"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_python_writes_for_no_number_is_null_to_a_template(value: str) -> None:
    """The record is sent; in outcomes it is null, and in the results as it came. In a text it is a word."""
    line = f'{{"id":1,"review":"a NaN","score":{value}, "more": [{value}]}}'.encode()

    dropped = Dropped("a.jsonl", line + b"\n")

    assert dropped.outcomes() == {"1": {"id": 1, "review": "a NaN", "score": None, "more": [None]}}
    assert dropped.result().startswith(line[:-1] + b',"output":')
