"""Work grows as a file or a task does, in everything that whoever writes them controls: twice as much takes twice as long."""

import io
import json
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from fakes.drops import job_of, planned, records_of
from fakes.memory import MemoryStorage

from batchdrop.core.model.errors import ItemRefused, UploadRejected
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Outcome
from batchdrop.core.planning.task import parse_task, recipe_of_task
from batchdrop.formats.csv_rows import COLUMNS_MAX, CsvRows
from batchdrop.formats.json_array import JsonArray
from batchdrop.formats.jsonl import JsonLines
from batchdrop.formats.records import Format

CHAT = "endpoint: /v1/chat/completions\nbody:\n  model: m\n"
CSV = CsvRows(record_bytes_max=16_000_000, field_chars_max=8_000_000)
LINES = JsonLines(record_bytes_max=16_000_000)
ARRAY = JsonArray(record_bytes_max=16_000_000)
# Four times as much may take 2.5 times 2.5 as long; what is quadratic takes sixteen times.
GROWTH_MAX = 2.5**2


def read(form: Format, content: bytes) -> None:
    """Read *content* and give each record back, as far as it can be read."""
    with suppress(UploadRejected):
        form, records = records_of(form, content)
        form.result_head()
        for record in records:
            form.result(record, Outcome(name="n", row=record.row, status="succeeded"), is_first=True)
            with suppress(ItemRefused):
                form.decode(record)


def compiled(task: str) -> None:
    """Compile *task*, as far as it is one."""
    with suppress(UploadRejected):
        recipe_of_task(parse_task("t", task.encode()), Limits())


def template(text: str) -> str:
    """Return a task with *text* as a template."""
    return CHAT + f"  x: {json.dumps(text)}\n"


def plan(content: str) -> None:
    """Plan *content* as ready-made requests."""
    storage = MemoryStorage()
    planned(storage, job_of(storage, "inbox/a.jsonl", content.encode()), Limits())


def request(number: int, model: str = "m") -> str:
    """Return a line of a ready-made request."""
    return json.dumps(
        {"custom_id": f"{number}", "method": "POST", "url": "/v1/embeddings", "body": {"model": model, "input": "x"}}
    )


WORK: dict[str, tuple[int, Callable[[int], None]]] = {
    "columns of a header": (COLUMNS_MAX // 4, lambda n: read(CSV, ",".join(map("c{}".format, range(n))).encode() + b"\n1\n")),
    "columns that repeat": (10_000, lambda n: read(CSV, b"a," * n + b"b\n1\n")),
    "columns called as ours": (
        COLUMNS_MAX // 4 - 1, lambda n: read(CSV, ",".join(("output", *map("output_{}".format, range(2, n)))).encode() + b"\n1\n")
    ),
    "blank lines before a header": (100_000, lambda n: read(CSV, b"\n" * n + b"a\n1\n")),
    "blank lines between rows": (50_000, lambda n: read(CSV, b"a\n1\n" + b"\r\n" * n + b"2\n")),
    "blank lines between JSON lines": (100_000, lambda n: read(LINES, b"{}\n" + b" \n" * n + b"{}\n")),
    "blanks in an array": (1_000_000, lambda n: read(ARRAY, b"[" + b" " * n + b"1," + b"\n" * n + b"2]")),
    "fields of a row": (20_000, lambda n: read(CSV, b"a,b\n" + b"1," * n + b"\n")),
    "quotes in a row": (20_000, lambda n: read(CSV, b'a\n"' + b'""' * n + b'"\n')),
    "quotes that never close": (20_000, lambda n: read(CSV, b'a\n"' + b"x\n" * n)),
    "single quotes in rows": (3_000, lambda n: read(CSV, b"a\n" + b'x"y\nplain\n' * n)),
    "brackets in an array": (20_000, lambda n: read(ARRAY, b"[" + b"[" * n + b"]" * n + b"]")),
    "brackets that never close": (20_000, lambda n: read(ARRAY, b"[" + b'[{"a":' * n)),
    "elements of an array": (5_000, lambda n: read(ARRAY, b"[" + b"1," * n + b"2]")),
    "a text in an array": (400_000, lambda n: read(ARRAY, b'["' + b'\\"' * n + b'"]')),
    "brackets in a JSON line": (100_000, lambda n: read(LINES, b"[" * n + b"\n")),
    "members of a JSON line": (10_000, lambda n: read(LINES, json.dumps({f"output_{i}": i for i in range(n)}).encode())),
    "names of items": (2_000, lambda n: plan("\n".join(request(i) for i in range(n)))),
    "models of requests": (2_000, lambda n: plan("\n".join(request(i, f"m{i}") for i in range(n)))),
    "columns of a template": (1_000, lambda n: compiled(template("".join(f"{{{{ c{i}|upper }}}}" for i in range(n))))),
    "columns with a default": (1_000, lambda n: compiled(template("".join(f"{{{{ c{i}|default('') }}}}" for i in range(n))))),
    "words of a template": (30_000, lambda n: compiled(template("{{ a|upper }}" + "x" * n + " {# " + "{{" * n + "#}"))),
    "sums of a template": (2_000, lambda n: compiled(template("{{ " + "1+" * n + "1 }}"))),
    "brackets of a template": (10_000, lambda n: compiled(template("{{ " + "[" * n))),
    "colons of a task": (10_000, lambda n: compiled(":" * n)),
    "nesting of a task": (4_000, lambda n: compiled(CHAT + "  x: " + "[" * n)),
    "fields of a task": (1_000, lambda n: compiled(CHAT + "".join(f"  f{i}: {{}}\n" for i in range(n)))),
    "anchors of a task": (1_000, lambda n: compiled(CHAT + "  x:\n" + "".join(f"  - &a{i} 1\n  - *a{i}\n" for i in range(n)))),
}  # fmt: skip


def seconds(work: Callable[[int], None], size: int) -> float:
    """Return the least CPU time that *work* took of three."""
    taken = []
    for _ in range(3):
        before = time.process_time()
        work(size)
        taken.append(time.process_time() - before)
    return min(taken)


@pytest.mark.parametrize("name", WORK)
def test_four_times_as_much_takes_four_times_as_long(name: str) -> None:
    """Nothing that a dropper or an author repeats makes a function run out of its time."""
    size, work = WORK[name]
    work(size // 10 + 1)  # imports

    ratio = min(seconds(work, 4 * size) / max(seconds(work, size), 0.001) for _ in range(2))

    assert ratio < GROWTH_MAX


def test_a_header_of_more_columns_than_a_sheet_is_refused() -> None:
    """It is told how many there are and how many there may be."""
    with pytest.raises(UploadRejected, match="has 16,385 columns; 16,384 is the most") as rejected:
        records_of(CSV, b"a," * COLUMNS_MAX + b"b\n")

    assert rejected.value.code == "bad_header"


@pytest.mark.parametrize(
    ("form", "first", "blank", "second"),
    [
        (CsvRows(record_bytes_max=10_000, field_chars_max=10_000), b"a\n1\n", b"\n", b"2\n"),
        (JsonLines(record_bytes_max=10_000), b"1\n", b" \n", b"2\n"),
        (JsonArray(record_bytes_max=100_000), b"[1,", b" ", b"2]"),
    ],
    ids=["csv", "jsonl", "json"],
)
def test_a_stretch_of_blanks_ends_at_the_limit_of_a_record(
    form: Format, first: bytes, blank: bytes, second: bytes
) -> None:
    """The clock is asked between records, so what stands between two of them is bounded as they are; what came before is read."""
    content = first + blank * 1_000_000 + second
    form = form.open(io.BytesIO(content))
    runs = form.read_runs(io.BytesIO(content[form.header.body_start :]), form.header.body_start, 0)

    assert [record.row for record in next(runs)] == [1]
    with pytest.raises(UploadRejected, match="00 bytes of blank lines and spaces, the limit between two records"):
        next(runs)
    assert len(records_of(form, first + blank * 4_000 + second)[1]) == 2


def test_a_header_far_down_is_refused() -> None:
    """Blank lines before a header are bounded, too."""
    with pytest.raises(UploadRejected, match="from byte 0 on are more than 10,000 bytes of blank"):
        records_of(CsvRows(record_bytes_max=10_000, field_chars_max=10_000), b"\n" * 10_001 + b"a\n1\n")
