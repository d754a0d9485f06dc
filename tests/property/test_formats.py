import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from fakes.drops import records_of
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.errors import ItemRefused, UploadRejected
from batchdrop.core.model.outcomes import Failure, Outcome
from batchdrop.formats import json_array
from batchdrop.formats.csv_fields import fields_of_line
from batchdrop.formats.csv_rows import CsvRows, disarmed
from batchdrop.formats.json_array import JsonArray
from batchdrop.formats.jsonl import JsonLines
from batchdrop.formats.records import Format, Record, read_records

CSV = CsvRows(record_bytes_max=10_000, field_chars_max=5_000)
LINES = JsonLines(record_bytes_max=10_000)
ARRAY = JsonArray(record_bytes_max=10_000)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text('a",\r\n\\[]{} =\u2028ü', max_size=12)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@contextmanager
def reads_of(size_bytes: int) -> Iterator[None]:
    """Let arrays be read in steps of *size_bytes*, so that every token meets the end of what was read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_READ_BYTES", size_bytes)
        yield


def is_record(row: list[str]) -> bool:
    """Whether a row has a value."""
    return any(map(str.strip, row))


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, list[list[str]]]:
    """A CSV as Python writes it, and its rows, those without a value left out."""
    width = draw(st.integers(1, 4))
    rows = draw(
        st.lists(st.lists(TEXTS.filter(lambda text: "\0" not in text), min_size=width, max_size=width), max_size=6)
    )
    stream = io.StringIO()
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    writer = csv.writer(
        stream, lineterminator=line_end, quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    )
    writer.writerow([f"column {number}" for number in range(width)])
    for row in rows:
        writer.writerow(row)
        if draw(st.booleans()):
            stream.write(line_end)
    text = stream.getvalue()
    mark = draw(st.sampled_from(["", "\ufeff"]))
    whole = mark + (text.removesuffix(line_end) if draw(st.booleans()) else text)
    return whole.encode(), list(filter(is_record, rows))


def resumed(form: Format, content: bytes, record: Record, offset: int) -> list[Record]:
    """Return the records that follow *record*, read from *offset*."""
    return list(read_records(form, io.BytesIO(content[offset:]), offset, record.row))


def assert_resumes(form: Format, content: bytes) -> None:
    """Reading may begin at the start of each record, and behind it."""
    form, records = records_of(form, content)
    for number, record in enumerate(records):
        assert resumed(form, content, record, record.end) == records[number + 1 :]
        before = Record(record.row - 1, 0, 0, b"")
        assert resumed(form, content, before, record.start) == records[number:]


@given(st.text('a",\r\n \0ü', max_size=14))
def test_the_short_way_through_a_row_is_the_readers(line: str) -> None:
    """Where a row's fields are found by searching, csv.reader would have found the same."""
    line = line.replace("\n", "") + "\n" * line.endswith("\n")

    fields = fields_of_line(line)

    assert fields is None or fields == next(csv.reader([line], strict=True), [])


@given(
    st.lists(st.text('a",\r\n\0ü', max_size=40) | st.text('"', min_size=20, max_size=60), min_size=1, max_size=12),
    st.none() | st.tuples(st.integers(0, 99), st.sampled_from('a",\r')),
)
def test_rows_with_many_quotes_are_the_readers(fields: list[str], slip: tuple[int, str] | None) -> None:
    """JSON in a cell, dialogue, many quoted columns: csv.reader's fields, also where a character is out of place."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(fields)
    line = stream.getvalue()
    if slip is not None:  # rows over several lines are told by their quotes, so these have one
        line = line[:-1].replace("\n", "") + "\n"
        line = line[: slip[0]] + slip[1] + line[slip[0] :]
    expected: list[str] | None = None
    with suppress(csv.Error):
        expected = next(csv.reader([line], strict=True), [])

    found = fields_of_line(line)

    assert found == expected if slip is None else found in (None, expected)


@given(st.text('a",\r\nü', max_size=30) | st.text('a",\n', max_size=30))
def test_any_text_is_read_as_its_reader_would(text: str) -> None:
    """Rows over several lines, quotes out of place: there are the fields of csv.reader, or both refuse the text."""
    lines = [f"{line}\n" for line in text.split("\n")]
    content = f"a\n{''.join(lines)}".encode()
    expected: list[list[str]] | None = None
    with suppress(csv.Error):
        expected = [row for row in csv.reader(lines, strict=True) if is_record(row)]

    records: list[Record] | None = None
    with suppress(UploadRejected):
        _, records = records_of(CSV, content)

    assert (None if records is None else [record.fields for record in records]) == expected
    assert all(content[record.start : record.end] == record.raw for record in records or ())


@given(tables())
def test_a_table_is_read_as_it_was_written(table: tuple[bytes, list[list[str]]]) -> None:
    """Whatever fields hold, they come back, and the bytes of the records are the bytes of the file."""
    content, rows = table

    _, records = records_of(CSV, content)

    assert [list(record.fields) for record in records] == rows
    assert all(content[record.start : record.end].endswith(record.raw) for record in records)


@given(tables())
def test_a_table_can_be_read_on_from_any_record(table: tuple[bytes, list[list[str]]]) -> None:
    """Planning, joining and merging read the same rows wherever they begin."""
    assert_resumes(CSV, table[0])


@given(tables(), TEXTS)
def test_results_of_a_table_are_a_table(table: tuple[bytes, list[list[str]]], message: str) -> None:
    """Every row comes back with its answer, in as many columns as the header names."""
    content, rows = table
    form, records = records_of(CSV, content)
    outcome = Outcome(name="n", row=1, status="failed", error=Failure("code", message))

    text = form.result_head() + b"".join(form.result(record, outcome, is_first=False) for record in records)

    again = list(csv.reader(io.StringIO(text.decode(), newline=""), strict=True))[1:]
    assert again == [[*row, "", "failed", disarmed(f"code: {message}")] for row in rows]


LAYOUTS = st.fixed_dictionaries({"indent": st.sampled_from([None, 0, 2]), "ensure_ascii": st.booleans()})


@given(st.lists(JSON_VALUES, max_size=6), LAYOUTS, st.integers(1, 9))
def test_an_array_is_read_whatever_its_layout(values: list[object], layout: dict[str, Any], read_bytes: int) -> None:
    """Elements come back whatever they hold, however the file is laid out, and wherever a read ends."""
    content = json.dumps(values, **layout).encode()

    with reads_of(read_bytes):
        form, records = records_of(ARRAY, content)

    assert [form.decode(record) for record in records] == values
    assert all(content[record.start : record.end] == record.raw for record in records)


@given(st.lists(JSON_VALUES, max_size=5), st.integers(1, 9))
def test_an_array_can_be_read_on_from_any_element(values: list[object], read_bytes: int) -> None:
    """Reading may begin at an element or behind one."""
    with reads_of(read_bytes):
        assert_resumes(ARRAY, json.dumps(values, indent=1).encode())


@given(st.lists(JSON_VALUES, max_size=5), st.sampled_from([b"\n", b"\r\n", b"\n\n \n"]))
def test_lines_are_read_on_from_any_line(values: list[object], line_end: bytes) -> None:
    """Blank lines between records change neither rows nor values."""
    content = b"".join(json.dumps(value).encode() + line_end for value in values)

    form, records = records_of(LINES, content)

    assert [form.decode(record) for record in records] == values
    assert_resumes(LINES, content)


@given(st.lists(JSON_VALUES, min_size=1, max_size=4), st.sampled_from([LINES, ARRAY]))
def test_results_of_json_keep_every_record(values: list[object], form: Format) -> None:
    """Each result holds its record and its answer, whatever members the record had."""
    content = (
        json.dumps(values).encode()
        if form is ARRAY
        else b"".join(json.dumps(value).encode() + b"\n" for value in values)
    )
    form, records = records_of(form, content)
    outcome = Outcome(name="n", row=1, status="succeeded")

    pieces = [form.result(record, outcome, is_first=not number) for number, record in enumerate(records)]
    text = b"".join([form.result_head(), *pieces, form.result_tail()])

    again = json.loads(text) if isinstance(form, JsonArray) else [json.loads(line) for line in text.split(b"\n")[:-1]]
    for value, result in zip(values, again, strict=True):
        kept = value if isinstance(value, dict) else {"record": value}
        assert {name: result[name] for name in kept} == kept
        assert len(result) == len(kept) + 3


UPLOADS = st.binary(max_size=80) | st.text('[]{}",:\\ \n\r1a\ufeff', max_size=40).map(str.encode)


@given(UPLOADS, st.sampled_from([CSV, LINES, ARRAY]))
def test_no_upload_breaks_a_reader(content: bytes, form: Format) -> None:
    """Whatever is dropped is read, refused by record or rejected whole; nothing else is ever raised."""
    with suppress(UploadRejected):
        form, records = records_of(form, content)
        for record in records:
            assert content[record.start : record.end].endswith(record.raw)
            text = json.loads(form.json_text(record))
            with suppress(ItemRefused):
                assert form.decode(record) == text
