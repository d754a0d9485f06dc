"""Files as people have them, on the whole path: read as they are, and given back as they came.

Run as a script it writes the table of docs/files.md anew.
"""

import csv
import gzip
import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.world import World

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.job import Job
from batchdrop.core.model.reading import Reading
from batchdrop.core.planning.task import parse_task

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


def test_no_line_ends_within_a_record_for_any_reader() -> None:
    """Some readers of lines end one at U+2028, U+2029 and U+0085: they are escaped in whatever has a record a line."""
    text = "a\u2028b\u2029c\u0085d"

    dropped = Dropped("a.jsonl", f'{{"id":1,"review":"{text}"}}\n{{"id":2,"review":"e"}}\n'.encode())

    for name in ("outcomes.jsonl", "results.jsonl"):
        lines = dropped.world.result(dropped.id, name).decode().splitlines()
        first = json.loads(lines[0])
        assert first.get("record", first)["review"] == text
        assert len(lines) == 2


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_python_writes_for_no_number_is_null_to_a_template(value: str) -> None:
    """The record is sent; in outcomes it is null, and in the results as it came. In a text it is a word."""
    line = f'{{"id":1,"review":"a NaN","score":{value}, "more": [{value}]}}'.encode()

    dropped = Dropped("a.jsonl", line + b"\n")

    assert dropped.outcomes() == {"1": {"id": 1, "review": "a NaN", "score": None, "more": [None]}}
    assert dropped.result().startswith(line[:-1] + b',"output":')


TEXTS = {
    "German": "Das Café war “prima”: für 5 € und süß", "French": "Où est le cœur du garçon ? Déçu, très naïf : « à bientôt »",
    "Spanish": "¿Mañana? El niño comió piña, ¡qué español!", "Portuguese": "As razões são más, você não vê: ação e coração",
    "Danish": "Smørrebrød på øen var værd at få", "Italian": "Perché è così, più caffè", "Dutch": "De coördinatie was één ramp",
}  # fmt: skip
OTHERS = {
    "windows-1250": "Zażółć gęślą jaźń, bardzo dobry żurek", "windows-1251": "Очень хорошо, спасибо большое",
    "iso8859-2": "Příliš žluťoučký kůň úpěl", "cp1254": "Çok güzel, teşekkürler", "shift_jis": "とても美味しかったです",
    "gbk": "非常好吃,我还会再来", "cp949": "아주 맛있어요", "koi8_r": "Очень хорошо",
}  # fmt: skip


def table(text: str) -> str:
    """A table of two records."""
    return f"id;review\r\n1;{text}\r\n2;plain\r\n"


@pytest.mark.parametrize("language", TEXTS)
def test_a_table_of_western_europe_is_read_as_windows_1252(language: str) -> None:
    """As Excel saves it; the results are in UTF-8 with a mark, so that Excel shows them right."""
    dropped = Dropped("a.csv", table(TEXTS[language]).encode("windows-1252"))

    assert dropped.outcomes()["1"] == {"id": "1", "review": TEXTS[language]}
    assert dropped.reading.encoding == "windows-1252"
    assert dropped.result().startswith(f"\ufeffid;review;output;status;error\r\n1;{TEXTS[language]};".encode())


@pytest.mark.parametrize("encoding", OTHERS)
def test_what_is_not_certain_is_asked_for(encoding: str) -> None:
    """No text is changed by a guess: the file is rejected with what it could be, and read as its task says."""
    content = table(OTHERS[encoding].replace(",", "")).encode(encoding)

    refused = Dropped("a.csv", content)
    said = Dropped("a.csv", content, TASK + f"encoding: {encoding}\n".encode())

    assert (refused.job.event, refused.job.reason and refused.job.reason.code) == ("rejected", "not_utf8")
    assert said.outcomes()["1"]["review"] == OTHERS[encoding].replace(",", "")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_utf_16_is_read(encoding: str, name: str) -> None:
    """With its mark (Excel: `Unicode text`) and without, in tables and in JSON."""
    text = "id\treview\n1\tnaïve 日本\n" if name == "a.csv" else '{"id": "1", "review": "naïve 日本"}\n'
    if encoding in ("utf-16-le", "utf-16-be"):
        text = text.replace("日本", "")
    content = text.encode(encoding)

    dropped = Dropped(name, content)

    assert dropped.outcomes()["1"]["review"] == text.rstrip('\n}"').rpartition("\t" if name == "a.csv" else '"')[2]
    assert dropped.reading.encoding


def test_a_byte_that_an_encoding_lacks_is_named() -> None:
    """Far down the file as well; nothing is sent."""
    content = table("ok").encode() + b"3;ok\r\n" * 300_000 + b"4;\x81\r\n"

    dropped = Dropped("a.csv", content, TASK + b"encoding: windows-1252\n")

    assert dropped.job.reason
    assert dropped.job.reason.code == "not_utf8"
    assert f"not windows-1252 at byte {len(content) - 3} of its text" in dropped.job.reason.message


def test_lines_may_end_in_carriage_returns_alone() -> None:
    """As on old Macs; the results have line feeds."""
    dropped = Dropped("a.csv", b"id,review\r1,good\r2,bad\r")

    assert list(dropped.outcomes()) == ["1", "2"]
    assert b"\n1,good," in dropped.result()


@pytest.mark.parametrize("name", ["a.csv.gz", "A.CSV.GZ", "a.jsonl.gz", "a.json.gz"])
def test_gzip_is_read_and_given_back(name: str) -> None:
    """By its ending: what comes back is packed again, and reads the same."""
    plain = {"csv": table("gut").encode(), "jsonl": b'{"id":"1","review":"gut"}\n{"id":"2","review":"plain"}\n'}
    plain["json"] = b'[{"id":"1","review":"gut"},{"id":"2","review":"plain"}]'
    ending = name.lower().split(".")[1]

    dropped = Dropped(name, gzip.compress(plain[ending], mtime=0))

    assert dropped.outcomes() == {"1": {"id": "1", "review": "gut"}, "2": {"id": "2", "review": "plain"}}
    packed = dropped.world.result(dropped.id, f"results.{ending}.gz")
    assert b"gut" in gzip.decompress(packed)
    files = json.loads(dropped.world.result(dropped.id, "summary.json"))["files"]
    sizes = {file["name"]: (file["size_bytes"], file["sha256"]) for file in files}
    assert sizes[f"results.{ending}.gz"] == (len(packed), hashlib.sha256(packed).hexdigest())
    assert Dropped("again." + ending, gzip.decompress(packed)).job.succeeded == 2


def test_what_is_packed_under_a_plain_name_is_read() -> None:
    """As S3 keeps what was put with a Content-Encoding; it comes back under its name, and so unpacked."""
    dropped = Dropped(
        "a.csv", gzip.compress(table("gut").encode("windows-1252"), mtime=0) + gzip.compress(b"3;more\r\n", mtime=0)
    )

    assert list(dropped.outcomes()) == ["1", "2", "3"]
    assert (dropped.reading.is_packed, dropped.result()[:9]) == (True, b"id;review")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (gzip.compress(table("x").encode(), mtime=0)[:-9], "broken_gzip"),
        (gzip.compress(table("x").encode(), mtime=0)[:-4] + b"\0\0\0\0", "broken_gzip"),
        (b"\x1f\x8b\x08\x00rubbish", "broken_gzip"),
        (gzip.compress(table("x").encode() + b"3;" + b"x" * 50_000_000, mtime=0), "unpacks_too_large"),
    ],
)
def test_a_gzip_that_is_broken_or_a_bomb_ends_in_words(content: bytes, code: str) -> None:
    """Nothing is sent, and memory is that of a block."""
    world = World()
    world.storage.put_task("t", TASK)
    world.limits = replace(world.limits, unpacked_bytes_max=40_000_000)

    job = world.run(world.drop("inbox/t/a.csv.gz", content))

    assert (job.event, job.reason and job.reason.code) == ("rejected", code)
    assert not list(world.simulator.ledger.charges())


@pytest.mark.parametrize("encoding", ["base64", "rot13", "nonsense", "7"])
def test_an_encoding_is_one_of_text(encoding: str) -> None:
    """A task that names another one is refused, with the field."""
    with pytest.raises(UploadRejected, match=r"line \d: `encoding`"):
        parse_task("t", TASK + f"encoding: '{encoding}'\n".encode())


KINDS = (
    ("CSV with commas", "reviews.csv", b"id,review\n1,good\n"),
    ("CSV with semicolons, tabs or bars", "reviews.csv", b"id;review\r\n1;good\r\n"),
    ("CSV that says its separator", "reviews.csv", b"sep=;\r\nid;review\r\n1;good\r\n"),
    ("CSV with quotes after backslashes", "reviews.csv", b'id,review\n1,"a \\"good\\" one"\n'),
    ("CSV with tabs", "reviews.tsv", b"id\treview\n1\tgood\n"),
    ("CSV of Excel in Western Europe", "reviews.csv", "id;review\r\n1;déjà vu\r\n".encode("windows-1252")),
    ("`Unicode text` of Excel", "reviews.csv", "id\treview\r\n1\tgood\r\n".encode("utf-16")),
    ("JSON lines", "reviews.jsonl", b'{"id": 1, "review": "good"}\n'),
    ("JSON records over several lines", "reviews.jsonl", b'{\n "id": 1,\n "review": "good"\n}\n'),
    ("a JSON array", "reviews.json", b'[{"id": 1, "review": "good"}]'),
    ("a JSON array within an object", "reviews.json", b'{"page": 1, "data": [{"id": 1, "review": "good"}]}'),
    ("any of them, packed with gzip", "reviews.csv.gz", gzip.compress(b"id,review\n1,good\n", mtime=0)),
)
NOT_TAKEN = (
    ("a workbook", "reviews.xlsx"), ("Parquet", "reviews.parquet"), ("an archive", "reviews.zip"), ("a document", "letter.pdf"),
)  # fmt: skip
GENERATED = re.compile(r"<!-- files -->\n.*?<!-- /files -->", re.DOTALL)
PAGE = Path(__file__).parents[2] / "docs/files.md"


def generated(page: str) -> str:
    """The page with its table as the system has it: each kind is dropped, and what comes back is looked at."""
    rows = ["| file | such as | read as | comes back as |", "|---|---|---|---|"]
    for what, name, content in KINDS:
        dropped = Dropped(name, content)
        assert dropped.job.succeeded == 1, what
        names = (key.rpartition("/")[2] for key in dropped.world.storage.objects)
        (result,) = (found for found in names if found.startswith("results."))
        said = json.loads(dropped.world.result(dropped.id, "status.json"))["read_as"]
        rows.append(f"| {what} | `{name}` | {said} | `{result}` |")
    for what, name in NOT_TAKEN:
        refused = Dropped(name, b"PK")
        assert refused.job.reason, what
        rows.append(f"| {what} | `{name}` | not taken: `{refused.job.reason.code}` | |")
    table = "\n".join(rows)
    return GENERATED.sub(lambda _: f"<!-- files -->\n{table}\n<!-- /files -->", page)


def test_the_page_says_what_is_read() -> None:
    """Its table is what comes of a file of each kind."""
    page = PAGE.read_text()

    assert generated(page) == page


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text()))
