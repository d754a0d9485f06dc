import csv
import io
import json
from collections.abc import Callable

import msgspec
import pytest
from fakes.drops import records_of

from batchdrop.core.model.errors import ItemRefused, UploadRejected
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.outcomes import Failure, Outcome
from batchdrop.formats import format_of
from batchdrop.formats.csv_rows import CsvRows
from batchdrop.formats.json_array import JsonArray
from batchdrop.formats.jsonl import JsonLines
from batchdrop.formats.records import Format, read_records

CSV = CsvRows(record_bytes_max=1_000, field_chars_max=500)
LINES = JsonLines(record_bytes_max=1_000)
ARRAY = JsonArray(record_bytes_max=1_000)


def answered(row: int, output: object = "positive", **fields: object) -> Outcome:
    """Return the outcome of an item that succeeded with *output*, but for *fields*."""
    raw = msgspec.Raw(msgspec.json.encode(output))
    return msgspec.structs.replace(Outcome(name=f"{row}", row=row, status="succeeded", output=raw), **fields)


def results(form: Format, content: bytes, outcomes: list[Outcome]) -> bytes:
    """Return the result file of *content*."""
    form, records = records_of(form, content)
    pieces = [form.result_head()]
    for number, (record, outcome) in enumerate(zip(records, outcomes, strict=True)):
        pieces.append(form.result(record, outcome, is_first=not number))
    return b"".join([*pieces, form.result_tail()])


def failures(form: Format, content: bytes, rows: set[int]) -> bytes:
    """Return the file of failures of *content*, where *rows* failed."""
    form, records = records_of(form, content)
    kept = [record for record in records if record.row in rows]
    pieces = [form.failure(record, is_first=not number) for number, record in enumerate(kept)]
    return b"".join([form.failure_head(), *pieces, form.failure_tail()])


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("inbox/t/a.csv", CsvRows),
        ("inbox/t/A.CSV", CsvRows),
        ("inbox/a.jsonl", JsonLines),
        ("inbox/t/a.ndjson", JsonLines),
        ("inbox/a.json", JsonArray),
    ],
)
def test_the_ending_names_the_format(key: str, kind: type) -> None:
    """An upload is read as its ending says, in capitals too."""
    upload = Upload("inbox", key, "v")

    form = format_of(upload)

    assert isinstance(form, kind)


@pytest.mark.parametrize("key", ["inbox/a.xlsx", "inbox/a", "inbox/t/a.csv.zip", "inbox/t/a.gz"])
def test_other_endings_are_rejected_with_what_is_taken(key: str) -> None:
    """Who drops what is not taken is told what is."""
    upload = Upload("inbox", key, "v")

    with pytest.raises(UploadRejected, match=r"\.csv .*\.jsonl .*\.json ") as rejected:
        format_of(upload)

    assert rejected.value.code == "unknown_format"


def test_a_csv_without_a_task_is_told_how_to_get_one() -> None:
    """A table says nothing about how to ask; the message says where to write it."""
    upload = Upload("inbox", "inbox/a.csv", "v")

    with pytest.raises(UploadRejected, match=r"tasks/<name>\.yaml") as rejected:
        format_of(upload)

    assert rejected.value.code == "csv_without_task"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_records_carry_their_bytes_and_fields(mark: str, line_end: str) -> None:
    """A quoted field may hold commas, quotes and line ends; offsets count bytes."""
    rows = ['1,"a, ""b"""', f'2,"ü{line_end}{line_end}x"', "3,"]
    content = (mark + line_end.join(['"id",text', *rows]) + line_end).encode()

    form, records = records_of(CSV, content)

    assert form.header.columns == ("id", "text")
    assert [record.fields for record in records] == [
        ["1", 'a, "b"'],
        ["2", f"ü{line_end}{line_end}x"],
        ["3", ""],
    ]
    assert all(content[record.start : record.end] == record.raw for record in records)
    assert form.header.head + b"".join(record.raw for record in records) == content


def test_a_header_may_stand_on_several_lines_behind_blank_ones() -> None:
    """The records begin where it ends, wherever it began."""
    content = b'\n\r\n"a\nb",c\n1,2\n'

    form, records = records_of(CSV, content)

    assert form.header.columns == ("a\nb", "c")
    assert content[: form.header.body_start] == b'\n\r\n"a\nb",c\n'
    assert [record.fields for record in records] == [["1", "2"]]


def test_blank_csv_lines_are_no_records() -> None:
    """Rows are counted without blank lines, as csv.reader does."""
    content = b"a,b\n\n1,2\n\r\n\n3,4\n\n"

    _, records = records_of(CSV, content)

    assert [(record.row, record.fields) for record in records] == [(1, ["1", "2"]), (2, ["3", "4"])]


def test_a_ragged_row_fails_alone() -> None:
    """A row that does not fit the header is refused; its neighbours go on."""
    content = b"a,b\n1\n2,3\n4,5,6\n"

    form, records = records_of(CSV, content)

    assert [record.problem.code if record.problem else None for record in records] == ["ragged_row", None, "ragged_row"]
    assert form.decode(records[1]) == {"a": "2", "b": "3"}
    assert form.json_text(records[0]) == b"null"
    with pytest.raises(ItemRefused, match="row 3 has 3 fields; the header names 2 columns"):
        form.decode(records[2])


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"a\nx\ncaf\xe9\n", "not_utf8", r"at line 3 \(byte 7\): it may be one of Windows-1250"),
        (b'a,b\n1,2\n3,"never closed\n5,6\n', "broken_csv", r"opens at line 3 \(byte 10\) is never closed"),
        (b'a,b\n1,"x\ny","z\n5,6\n', "broken_csv", r"opens at line 3 \(byte 12\) is never closed"),
        (b"a\n\x93caf\xe9\x94\n", "not_utf8", "`encoding: windows-1250`"),
        (b'a\n"b"c\n', "broken_csv", r"opens at line 2 \(byte 2\) continues after its closing quote"),
        (b'a,b\n1,"x\n2,"y"\n', "broken_csv", r"opens at line 2 \(byte 6\) continues after its closing quote"),
        (b"a\nold\rmac\r", "broken_csv", r"line 2"),
        (b"a\n" + b"x" * 501 + b"\n", "record_too_large", r"starts at line 2 \(byte 2\) is longer than 500 characters"),
        (b"a\n" + b'"' + b"x\n" * 600, "record_too_large", r"longer than 500 .* opened at line 2"),
        (b"a\n" + b'"x\n",' * 400, "record_too_large", r"longer than 1,000 bytes, the limit .* opened at line 2"),
    ],
)
def test_a_broken_csv_is_rejected_with_its_place(content: bytes, code: str, message: str) -> None:
    """Whoever has to mend the file is told the line."""
    with pytest.raises(UploadRejected, match=message) as rejected:
        records_of(CSV, content)

    assert rejected.value.code == code


def test_a_place_deep_in_a_csv_is_named_by_its_byte() -> None:
    """Where reading began in the middle, lines cannot be known and are not made up."""
    content = b"a\nx\ncaf\xe9\n"
    form = CSV.open(io.BytesIO(content))

    with pytest.raises(UploadRejected, match="not UTF-8 at byte 7: "):
        list(read_records(form, io.BytesIO(content[4:]), 4, 1))


@pytest.mark.parametrize("form", [CSV, LINES, ARRAY])
@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf"])
def test_an_empty_upload_has_no_records(form: Format, content: bytes) -> None:
    """A file of nothing is a job of no items, whatever it is called."""
    _, records = records_of(form, content)

    assert records == []


@pytest.mark.parametrize(("form", "content"), [(CSV, b"a,b"), (CSV, b"a,b\r\n"), (ARRAY, b" [ ] \n")])
def test_a_header_alone_has_no_records(form: Format, content: bytes) -> None:
    """Columns or brackets without a record make a job of no items."""
    _, records = records_of(form, content)

    assert records == []


def test_csv_results_are_the_rows_with_answer_columns() -> None:
    """Rows come back as they came, byte order mark, quotes and line ends included."""
    content = b'\xef\xbb\xbfid,"output"\r\n"1",x\r\n2,"y\r\nz"'
    outcomes = [
        answered(1, {"a": [1, 2]}),
        answered(2, None, status="failed", error=Failure("bad", "no, never")),
    ]

    text = results(CSV, content, outcomes)

    assert text == (
        b'\xef\xbb\xbfid,"output",output_2,status,error\r\n'
        b'"1",x,"{""a"":[1,2]}",succeeded,\r\n'
        b'2,"y\r\nz",,failed,"bad: no, never"\r\n'
    )


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_an_answer_that_a_spreadsheet_would_run_is_disarmed(sign: str) -> None:
    """A formula in an answer gets an apostrophe; in the user's own columns nothing is touched."""
    text = results(CSV, b"a\n=1+1\n", [answered(1, f"{sign}cmd|' /C calc'!A0")])

    row = list(csv.reader(io.StringIO(text.decode(), newline="")))[1]

    assert row == ["=1+1", f"'{sign}cmd|' /C calc'!A0", "succeeded", ""]


@pytest.mark.parametrize("number", ["-1", "+3.5", "-0.25e-7", "-.5"])
def test_a_number_is_no_formula(number: str) -> None:
    """A plain number stays one, whatever its sign."""
    text = results(CSV, b"a\nx\n", [answered(1, number)])

    assert f"x,{number},succeeded" in text.decode()


@pytest.mark.parametrize("separator", [";", "\t", "|", "\n", "\r\n"])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d"])
def test_an_answer_begins_no_formula_after_another_separator(separator: str, sign: str) -> None:
    """A spreadsheet that splits cells elsewhere than at commas finds text there, and a row of its own is none either."""
    text = results(CSV, b"a\nx\n", [answered(1, f"ok{separator}{sign}cmd|' /C calc'!A0")]).decode()

    assert f"{separator}{sign}" not in text
    assert f"ok{separator}'{sign}cmd|' /C calc'!A0" in text


@pytest.mark.parametrize(
    "answer", ["a;-1", "1;+2.5;3", "list:\n- one\n- two", "a\n---\nb", "x;y=z", "a|b", "1 = 1; 2 = 2"]
)
def test_numbers_and_lists_in_an_answer_stay(answer: str) -> None:
    """What no spreadsheet runs is as the model wrote it."""
    assert answer in results(CSV, b"a\nx\n", [answered(1, answer)]).decode()


def test_an_error_text_is_disarmed_too() -> None:
    """What a provider says in an error is as untrusted as an answer."""
    text = results(CSV, b"a\nx\n", [answered(1, None, status="failed", error=Failure("=1+1", "boom"))])

    assert b"x,,failed,'=1+1: boom\n" in text


def test_a_ragged_row_keeps_the_table_rectangular() -> None:
    """Answer columns stay under their names where a row was too short or too long, and no text is lost."""
    content = b"a,b\n1\n4,5,6\n"
    outcomes = [answered(row, None, status="failed", error=Failure("ragged_row", "…")) for row in (1, 2)]

    rows = list(csv.reader(io.StringIO(results(CSV, content, outcomes).decode())))

    assert [len(row) for row in rows] == [5, 5, 5]
    assert [row[:2] for row in rows[1:]] == [["1", ""], ["4", "5,6"]]


def test_csv_failures_can_be_dropped_again() -> None:
    """Failed rows come back behind the header, byte for byte."""
    content = b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n3\r\n5,6'

    text = failures(CSV, content, {1, 3})

    assert text == b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n5,6'


def test_json_lines_skip_blank_lines_and_the_mark() -> None:
    """Offsets name each line's own bytes."""
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n  \n"x"\n[1]'

    form, records = records_of(LINES, content)

    assert [form.decode(record) for record in records] == [{"a": 1}, "x", [1]]
    assert [(record.row, content[record.start : record.end]) for record in records] == [
        (1, b'{"a": 1}\r\n'),
        (2, b'"x"\n'),
        (3, b"[1]"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a" 1}', r"line 2 \(at byte 3\) is not JSON at column 6: expecting"),
        (b'{"a": 1', "column 8"),
        (b"{'a': 1}", "column 2"),
        (b'{"a": NaN1}', "NaN isn't a JSON number"),
        (b'{"a": "\xff"}', "not UTF-8 at its byte 8: it may be"),
        (b'"\\ud800"', "surrogate"),
        (b"1e999", "out of range"),
        (b"[" * 900, "column|deep"),
    ],
)
def test_a_line_that_is_no_json_fails_alone(line: bytes, message: str) -> None:
    """The message names the record, its byte and the column; the lines around it are read."""
    content = b"{}\n" + line + b"\n{}\n"

    form, records = records_of(LINES, content)

    with pytest.raises(ItemRefused, match=message) as refused:
        form.decode(records[1])
    assert refused.value.code == "not_json"
    assert form.json_text(records[0]) == b"{}"
    assert form.decode(records[2]) == {}


def test_an_invalid_line_is_null_in_outcomes() -> None:
    """What is no JSON cannot stand in a JSON document."""
    form, records = records_of(LINES, b'{"a": \n{"a": "\xff"}\n')

    texts = [form.json_text(record) for record in records]

    assert texts == [b"null", b"null"]


def test_a_line_over_the_limit_rejects_the_upload() -> None:
    """A line without an end is not read into memory."""
    with pytest.raises(UploadRejected, match=r"line 2 \(at byte 3\) is longer than 1,000 bytes"):
        records_of(LINES, b"{}\n" + b"x" * 5_000)


def csv_of(row: str) -> bytes:
    """Return a CSV of two columns with a short row before *row*."""
    return b"a,b\n1,2\n" + row.encode()


# Each is a record of as many bytes, the form that reads it, and the file around it.
SIZED: dict[str, tuple[Format, Callable[[int], bytes]]] = {
    "json line": (LINES, lambda n: b"1\n" + b'"%s"\n2\n' % (b"x" * (n - 3))),
    "json line, the last": (LINES, lambda n: b"1\n" + b'"%s"' % (b"x" * (n - 2))),
    "json line, windows": (LINES, lambda n: b'"%s"\r\n2' % (b"x" * (n - 4))),
    "text of an array": (ARRAY, lambda n: b'[1,"%s",2]' % (b"x" * (n - 2))),
    "object of an array": (ARRAY, lambda n: b'[{"a":"%s"} , 2]' % (b"x" * (n - 8))),
    "number of an array": (ARRAY, lambda n: b"[%s]" % (b"1" * n)),
    "csv row": (CSV, lambda n: csv_of(f"{'x' * 400},{'y' * (n - 402)}\n3,4\n")),
    "csv row, the last": (CSV, lambda n: csv_of(f"{'x' * 500},{'y' * (n - 501)}")),
    "csv row of two lines": (CSV, lambda n: csv_of(f'"{"x" * 200}\n{"x" * 200}",{"y" * (n - 405)}\n3,4\n')),
    "quoted csv row": (CSV, lambda n: csv_of(f'"{"x" * 450}","{"y" * (n - 456)}"\n3,4\n')),
}


@pytest.mark.parametrize("kind", SIZED)
def test_a_record_of_exactly_the_limit_is_taken(kind: str) -> None:
    """Its line end counts; one byte more rejects the upload, and names the limit."""
    form, content = SIZED[kind]
    if form is CSV:
        form = CsvRows(record_bytes_max=1_000, field_chars_max=800)

    _, records = records_of(form, content(1_000))
    with pytest.raises(UploadRejected, match=r"longer than 1,000 bytes.*record_bytes_max") as rejected:
        records_of(form, content(1_001))

    assert max(len(record.raw) for record in records) == 1_000
    assert [record.row for record in records] == list(range(1, len(records) + 1))
    assert rejected.value.code == "record_too_large"


@pytest.mark.parametrize("element", [b'"%s"' % (b"x" * 65_534), b"[%s]" % (b" " * 65_534), b"1" * 65_536])
def test_an_element_of_the_limit_that_fills_what_is_read_at_once_is_taken(element: bytes) -> None:
    """Its end shows only with the next bytes that are read, which do not count."""
    form = JsonArray(record_bytes_max=len(element))

    _, records = records_of(form, b"[" + element + b" ,2]")

    assert [record.raw for record in records] == [element, b"2"]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("field", ["x" * 500, "é" * 500, "x\n" * 250])
def test_a_field_of_exactly_the_limit_is_taken(field: str, quote: str) -> None:
    """It is counted in characters, in a header as well; one more rejects the upload."""
    if "\n" in field and not quote:
        field = field.replace("\n", "-")

    for row in (f"{quote}{field}{quote},b\n1,2\n", f"a,b\n{quote}{field}{quote},2\n3,4\n"):
        form, records = records_of(CsvRows(2_000, 500), row.encode())
        assert field in (*form.header.fields, *records[0].fields)
        with pytest.raises(UploadRejected, match="longer than 500 characters"):
            records_of(CsvRows(2_000, 500), row.replace(field, f"{field}y").encode())


def test_a_csv_header_of_exactly_the_limit_is_taken() -> None:
    """As a row is."""
    form: Format = CsvRows(record_bytes_max=100, field_chars_max=100)

    form, _ = records_of(form, b"a" * 49 + b"," + b"b" * 49 + b"\n1,2\n")
    with pytest.raises(UploadRejected, match="longer than 100 bytes"):
        records_of(form, b"a" * 50 + b"," + b"b" * 49 + b"\n1,2\n")

    assert (form.header.body_start, len(form.header.columns)) == (100, 2)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ('\ufeff"b",2', "b"),
        ('"\ufeffb",2', "\ufeffb"),
        ('"x\n\ufeffb",2', "x\n\ufeffb"),
        ("\ufeffb,2", "b"),
    ],
)
def test_a_byte_order_mark_that_begins_a_row_is_part_of_no_field(row: str, field: str) -> None:
    """Files that were put together have one in the middle: wherever reading begins, and however the row is quoted."""
    content = f"\ufeffa,b\n1,2\n{row}\n3,4\n".encode()

    form, records = records_of(CSV, content)
    start = records[1].start
    resumed = list(read_records(form, io.BytesIO(content[start:]), start, 1))

    assert form.header.columns == ("a", "b")
    assert [record.fields for record in records] == [["1", "2"], [field, "2"], ["3", "4"]]
    assert resumed == records[1:]
    assert b"".join(record.raw for record in records) == content[form.header.body_start :]


@pytest.mark.parametrize("content", [b'{}\n\xef\xbb\xbf{"a": 1}\n{}\n', b'[{},\xef\xbb\xbf{"a": 1},{}]'])
def test_a_byte_order_mark_before_a_later_record_fails_it_alone(content: bytes) -> None:
    """It is no JSON there; its neighbours go on."""
    form: Format = ARRAY if content.startswith(b"[") else LINES

    form, records = records_of(form, content)

    assert [form.decode(records[at]) for at in (0, 2)] == [{}, {}]
    with pytest.raises(ItemRefused, match=r"record 2|line 2"):
        form.decode(records[1])


def test_a_line_that_is_no_json_does_not_break_the_results() -> None:
    """Its result holds no record: what was refused for it stays out of a file of JSON lines."""
    refused = Outcome(name="n", row=1, status="failed", error=Failure("not_json", "no"))

    (line,) = results(LINES, b'{"a": \n', [refused]).splitlines()

    assert json.loads(line)["record"] is None


def test_digits_of_a_record_are_kept() -> None:
    """A number that no float can hold comes back as it was written."""
    content = b'{"n": 12345678901234567890.12345678901234567890, "z": 1e999}\n'

    text = results(LINES, content, [answered(1)])

    assert text == content.rstrip()[:-1] + b',"output":"positive","status":"succeeded","error":null}\n'


def test_answer_members_step_aside_for_the_users_own() -> None:
    """A record with a member `output` keeps it."""
    content = b'{"output": 1, "output_2": 2, "status": 3}\n{}\n'

    lines = results(LINES, content, [answered(1), answered(2)]).splitlines()

    assert json.loads(lines[0]) == {
        "output": 1, "output_2": 2, "status": 3, "output_3": "positive", "status_2": "succeeded", "error": None,
    }  # fmt: skip
    assert json.loads(lines[1]) == {"output": "positive", "status": "succeeded", "error": None}


@pytest.mark.parametrize("record", [b'"text"', b"7", b"[1,2]", b"null"])
def test_a_record_that_is_no_object_is_wrapped(record: bytes) -> None:
    """Every result is an object with the record and its answer."""
    line = results(LINES, record + b"\n", [answered(1)])

    assert json.loads(line) == {
        "record": json.loads(record), "output": "positive", "status": "succeeded", "error": None,
    }  # fmt: skip


def test_native_lines_come_back_as_openai_output_lines() -> None:
    """The user's custom_id is back, with what the provider answered."""
    content = b'{"custom_id":"mine","method":"POST","url":"/v1/responses","body":{"model":"m"}}\n'
    outcome = answered(
        1, line_id="batch_req_1", status_code=200, request_id="r", response=msgspec.Raw(b'{"id":"resp_1"}')
    )

    line = json.loads(results(LINES, content, [outcome]))

    assert line == {
        "id": "batch_req_1",
        "custom_id": "mine",
        "response": {"status_code": 200, "request_id": "r", "body": {"id": "resp_1"}},
        "error": None,
    }


def test_a_native_line_without_an_answer_has_an_error() -> None:
    """Where the provider never answered, `response` is null and the reason stands in `error`, as OpenAI writes it."""
    content = b'{"custom_id":"mine","method":"POST","url":"/v1/responses","body":{"model":"m"}}\n'
    outcome = answered(1, None, status="failed", error=Failure("batch_expired", "too late"))

    line = json.loads(results(LINES, content, [outcome]))

    assert line["response"] is None
    assert line["error"] == {"code": "batch_expired", "message": "too late"}


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (400, b'{"error":{"code":"bad"}}', None),
        (503, b'"<html>"', None),
        (500, b"null", {"code": "bad", "message": "no"}),
        (200, b'{"choices":[]}', {"code": "bad", "message": "no"}),
        (200, b"null", {"code": "bad", "message": "no"}),
    ],
)
def test_a_native_line_that_failed_shows_its_error_once(status: int, body: bytes, shown: object) -> None:
    """In the body that came with an error of HTTP, else beside the response: a useless answer must not look like a success."""
    content = b'{"custom_id":"mine","method":"POST","url":"/v1/responses","body":{"model":"m"}}\n'
    outcome = answered(
        1, None, status="failed", error=Failure("bad", "no"), status_code=status, response=msgspec.Raw(body)
    )

    line = json.loads(results(LINES, content, [outcome]))

    assert line["response"] == {"status_code": status, "request_id": None, "body": json.loads(body)}
    assert line["error"] == shown


def test_an_array_is_cut_into_its_elements() -> None:
    """White space, nesting, strings with brackets and escaped quotes do not confuse the cut."""
    elements = [b'{"a": "]},{[\\\\\\" \\"", "b": [1, {"c": []}]}', b"-1.5e3", b'"x, ]"', b"null", b"[ ]"]
    content = b"\n[ " + b" ,\r\n\t".join(elements) + b"\n]\n\n"

    form, records = records_of(ARRAY, content)

    assert [record.raw for record in records] == elements
    assert all(content[record.start : record.end] == record.raw for record in records)
    assert [form.decode(record) for record in records] == [json.loads(element) for element in elements]


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b'{"a": 1}', "not_an_array", r"one JSON array of records, and this one is an object"),
        (b'{"a": 1}\n{"a": 2}\n', "not_an_array", r"\.jsonl"),
        (b"[1, 2", "broken_array", "not closed: it ends behind record 2"),
        (b"[1, 2,", "broken_array", "record 3 is missing"),
        (b"[1, 2,]", "broken_array", "record 3 is missing at byte 6"),
        (b"[,1]", "broken_array", "record 1 is missing"),
        (b"[1,,2]", "broken_array", "record 2 is missing"),
        (b"[1 2]", "broken_array", "behind record 1, at byte 3, stands '2' instead of a comma"),
        (b"[1}]", "broken_array", "instead of a comma"),
        (b"[1] x", "broken_array", "behind the array, at byte 4, stands 'x'"),
        (b'[1, {"a": "x', "broken_array", "ends inside record 2, which starts at byte 4"),
        (b'[1, "' + b"x" * 1_000 + b'"]', "record_too_large", r"record 2 \(at byte 4\) is longer than 1,000 bytes"),
        (b'["' + b"x" * 70_000 + b'"]', "record_too_large", "record 1 .* longer than 1,000 bytes"),
    ],
)
def test_an_array_that_is_none_is_rejected(content: bytes, code: str, message: str) -> None:
    """The message says where the brackets stop making sense."""
    with pytest.raises(UploadRejected, match=message) as rejected:
        records_of(ARRAY, content)

    assert rejected.value.code == code


def test_a_bad_element_fails_alone() -> None:
    """While brackets balance, an element that is no JSON leaves its neighbours in peace."""
    content = b'[1, {"a": tru}, 3]'

    form, records = records_of(ARRAY, content)

    with pytest.raises(ItemRefused, match=r"record 2 \(at byte 4\) is not JSON"):
        form.decode(records[1])
    assert form.json_text(records[1]) == b"null"
    assert form.decode(records[2]) == 3


def test_array_results_are_an_array() -> None:
    """Elements that span lines come back on one; digits stay."""
    content = b'[\n  {"a":\n    1.10},\n  "x"\n]'

    text = results(ARRAY, content, [answered(1), answered(2, {"k": 1})])

    assert text.count(b"1.10") == 1
    assert json.loads(text) == [
        {"a": 1.1, "output": "positive", "status": "succeeded", "error": None},
        {"record": "x", "output": {"k": 1}, "status": "succeeded", "error": None},
    ]


@pytest.mark.parametrize("form", [LINES, ARRAY])
def test_no_records_give_valid_results(form: Format) -> None:
    """A job of no items has results that can be read."""
    text = results(form, b"[]" if form is ARRAY else b"", [])

    assert (json.loads(text) if form is ARRAY else text.splitlines()) == []


def test_array_failures_can_be_dropped_again() -> None:
    """Failed elements come back as an array, each byte for byte."""
    content = b'[ {"a":  1}, {"b" : tru}, {"c":\n3} ]'

    text = failures(ARRAY, content, {2, 3})

    _, again = records_of(ARRAY, text)
    assert [record.raw for record in again] == [b'{"b" : tru}', b'{"c":\n3}']


@pytest.mark.parametrize("form", [CsvRows(200_000, 200_000), JsonLines(200_000), JsonArray(200_000)])
@pytest.mark.parametrize(("text_bytes", "sizes"), [(1, [128, 128, 44]), (100_000, [3] * 100)])
def test_records_are_read_in_runs(form: Format, text_bytes: int, sizes: list[int]) -> None:
    """A run ends with so many records, or with the one that makes it too large."""
    texts = ["x" * text_bytes] * 300
    content = {
        "csv": "a\n" + "".join(f"{text}\n" for text in texts),
        "jsonl": "".join(f'"{text}"\n' for text in texts),
        "json": json.dumps(texts),
    }[form.extension].encode()
    form = form.open(io.BytesIO(content))

    runs = list(form.read_runs(io.BytesIO(content[form.header.body_start :]), form.header.body_start, 0))

    assert [len(run) for run in runs] == sizes
    assert [record.row for run in runs for record in run] == list(range(1, 301))


@pytest.mark.parametrize(
    ("form", "content"), [(CSV, b'a\n1\n2\n"'), (LINES, b"1\n2\n" + b"3" * 2_000), (ARRAY, b"[1,2,3}")]
)
def test_what_stands_before_a_broken_place_is_read(form: Format, content: bytes) -> None:
    """Whoever looks at the first records only need not care for the rest."""
    form = form.open(io.BytesIO(content))
    records = read_records(form, io.BytesIO(content[form.header.body_start :]), form.header.body_start, 0)

    assert [next(records).row, next(records).row] == [1, 2]
    with pytest.raises(UploadRejected):
        list(records)
