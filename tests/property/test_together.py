"""Records that are taken together become what they become one by one."""

import json
from dataclasses import replace

import msgspec
import pytest
from fakes.drops import job_of, planned, records_of
from fakes.memory import MemoryStorage
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.answer_bounds import AnswerBound
from batchdrop.core.model.errors import ItemRefused
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.plan import FillingChunk, JsonValue, Recipe, Request, RequestRun, SeenNames
from batchdrop.core.planning.requests import ready_made, request_line
from batchdrop.core.planning.task import parse_task, recipe_of_task
from batchdrop.formats.csv_rows import CsvRows
from batchdrop.formats.json_array import JsonArray
from batchdrop.formats.jsonl import JsonLines
from batchdrop.formats.records import Format, Record

TEXTS = st.sampled_from(["", " ", "a", "b", "x/y", "%d %b", '"', "{{ b }}", "ü" * 120]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
)
VALUES: st.SearchStrategy[JsonValue] = TEXTS | st.sampled_from([7, -1, 0.5, True, None, [{"type": "image_url"}], {}])
RECORDS = st.lists(
    st.fixed_dictionaries({"id": TEXTS | st.integers(-3, 3), "a": VALUES}, optional={"b": VALUES}), max_size=12
)
BODIES = st.sampled_from(
    [
        {"model": "m", "input": "{{ a }}"},
        {"model": "m", "input": ["{{ a }}", '100 % of {{ a }}, "{{ b }}"'], "max_output_tokens": 5},
        {"model": "m", "input": "{{ a }} and nothing of it"},
        {"model": "{{ a }}", "input": "{{ b }}"},
        {"model": "m", "input": "{{ a }}", "max_tokens": "{{ b }}"},
        {"model": "m", "input": "{% if a %}{{ a }}{% endif %}"},
        {"model": "m", "input": [{"type": "{{ a }}"}]},
    ],
)
ENDPOINTS = st.sampled_from(["/v1/embeddings", "/v1/responses"])
FORMS: tuple[Format, ...] = (CsvRows(10_000, 10_000), JsonLines(10_000), JsonArray(10_000))


def recipe_of(endpoint: str, body: object, column: str | None) -> Recipe:
    """Return the recipe of a task."""
    task = {"endpoint": endpoint, "body": body} | ({"id": column} if column else {})
    return recipe_of_task(parse_task("t", msgspec.json.encode(task)), Limits())


def alone(recipe: Recipe, value: JsonValue, row: int) -> Request | None:
    """Return the request of one record, or None where it is refused."""
    try:
        return recipe.build(value, recipe.name(value, row))
    except ItemRefused:
        return None


def together(recipe: Recipe, form: Format, records: list[Record], rows: range) -> RequestRun | None:
    """Return what *records* become together, if they do."""
    if recipe.together is None:
        return None
    columns = form.columns(records, recipe.together.columns)
    return None if columns is None else recipe.together.requests(columns, rows)


def assert_same(run: RequestRun, requests: list[Request | None]) -> None:
    """Each of the run's requests is what it is alone."""
    assert None not in requests
    expected = [request for request in requests if request is not None]
    assert list(run.names) in ([], [request.name for request in expected])
    lines = list(map(request_line, run.rows, expected))
    each = len(run.parts) // len(lines)
    assert [b"".join(run.parts[start : start + each]) for start in range(0, len(run.parts), each)] == lines
    assert list(run.sizes) == list(map(len, lines))
    assert list(run.tokens) == [request.tokens for request in expected]
    same = (run.endpoint, run.model, run.inputs, run.answers)
    assert {(one.endpoint, one.model, one.inputs, one.answers) for one in expected} == {same}


@given(RECORDS.filter(bool), ENDPOINTS, BODIES, st.sampled_from(["id", None]))
def test_requests_made_together_are_those_made_alone(
    records: list[dict[str, JsonValue]], endpoint: str, body: object, column: str | None
) -> None:
    """Name, line, tokens and inputs of each are the same; where one would be refused, there is no run."""
    recipe = recipe_of(endpoint, body, column)
    rows = range(98, 98 + len(records))
    content = b"\n".join(map(msgspec.json.encode, records))
    form, read = records_of(FORMS[1], content)
    expected = [alone(recipe, record, row) for row, record in zip(rows, records, strict=True)]

    run = together(recipe, form, read, rows)

    if run is not None:
        assert bool(run.names) == bool(column)
        assert_same(run, expected)


READY_BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.just("m") | st.sampled_from(["n", "", " ", None]),
        "input": st.just("text") | st.sampled_from([["a", "b"], [[1]], None]),
        "messages": st.just([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]),
        "max_tokens": st.just(5) | st.sampled_from([5.0, True, -1]),
        "stream": st.sampled_from([False, True]),
    },
)
READY_LINES = st.fixed_dictionaries(
    {
        "custom_id": st.sampled_from(["a", "b", "x/y"]) | st.sampled_from(["", " ", 7, None]),
        "method": st.just("POST") | st.just("GET"),
        "url": st.just("/v1/embeddings") | st.sampled_from(["/embeddings", "/v1/responses", "/v1/else", 7, []]),
        "body": READY_BODIES | st.sampled_from(["text", None, []]),
    },
    optional={"more": st.just(1), "response": st.just({})},
)
ALIKE = st.tuples(READY_LINES, st.integers(1, 3)).map(lambda pair: [pair[0]] * pair[1])


@given(ALIKE | st.lists(READY_LINES, min_size=1, max_size=4))
def test_batch_lines_taken_together_are_those_taken_alone(lines: list[dict[str, JsonValue]]) -> None:
    """Lines that ask different things, or that one could not send, are looked at one by one."""
    recipe, rows = ready_made(Limits()), range(1, len(lines) + 1)
    form, read = records_of(FORMS[1], b"\n".join(map(msgspec.json.encode, lines)))

    run = together(recipe, form, read, rows)

    if run is not None:
        assert_same(run, [alone(recipe, line, row) for row, line in zip(rows, lines, strict=True)])


@pytest.mark.parametrize("endpoint", ["/v1/embeddings", "/v1/responses", "/responses"])
def test_usual_batch_lines_are_taken_together(endpoint: str) -> None:
    """One model, one endpoint: so are nearly all files."""
    body: JsonValue = {"model": "m", "input": "text", "max_output_tokens": 5}
    lines = [{"custom_id": name, "method": "POST", "url": endpoint, "body": body} for name in ("a", "b/c")]
    form, read = records_of(FORMS[1], b"\n".join(map(msgspec.json.encode, lines)))

    run = together(ready_made(Limits()), form, read, range(1, 3))

    assert run is not None
    assert list(run.names) == ["a", "b%2Fc"]


def test_usual_records_are_made_together() -> None:
    """Texts of all kinds, and ids that are texts or numbers, are what runs are for."""
    recipe = recipe_of("/v1/responses", {"model": "m", "input": "{{ a }}"}, "id")
    assert recipe.together

    for ids in (["x/y", "ü"], [1, 2]):
        assert recipe.together.requests({"id": ids, "a": ["", '"%']}, range(1, 3)) is not None


@given(RECORDS, st.sampled_from(FORMS), st.sets(st.sampled_from(["id", "a", "b", "c"])))
def test_columns_are_what_the_records_have(records: list[dict[str, JsonValue]], form: Format, names: set[str]) -> None:
    """Each value stands in its column, in the order of the records, or there are no columns at all."""
    lines = [json.dumps(record) for record in records]
    contents = {
        "csv": "id,a\n" + "".join(f"{number},x{number}\n" for number in range(len(records))),
        "jsonl": "\n".join(lines),
        "json": f"[{','.join(lines)}]",
    }
    form, read = records_of(form, contents[form.extension].encode())
    names &= set(form.header.columns) or names

    columns = form.columns(read, names) if read else {}

    values = [form.decode(record) for record in read]
    has_all = all(isinstance(value, dict) and names <= value.keys() for value in values)
    assert (columns is not None) == has_all
    if columns and names:
        for number, value in enumerate(values):
            assert isinstance(value, dict)
            assert {name: columns[name][number] for name in names} == {name: value[name] for name in names}


def test_a_row_that_fits_no_header_has_no_columns() -> None:
    """Nobody knows which of its fields belongs where."""
    form, read = records_of(FORMS[0], b"a,b\n1,2\n3\n")

    assert form.columns(read, {"a"}) is None
    assert form.columns(read[:1], {"a"}) == {"a": ("1",), "b": ("2",)}


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), max_size=5), st.integers(0, 3),
    st.builds(
        Limits, chunk_lines_max=st.integers(1, 6), chunk_bytes_max=st.integers(1, 30),
        shard_embedding_inputs_max=st.integers(3, 9),
    ),
    st.integers(0, 20), st.builds(AnswerBound, st.integers(1, 3), st.integers(0, 4), st.integers(0, 1)),
)  # fmt: skip
def test_a_chunk_takes_a_run_as_it_takes_its_lines(
    runs: list[list[int]], inputs: int, limits: Limits, spare_bytes: int, answers: AnswerBound
) -> None:
    """It holds the same, and stops at the same line."""
    together, one_by_one, row = FillingChunk(0, 1, 0), FillingChunk(0, 1, 0), 1
    for sizes in runs:
        lines, rows = [b"x" * size for size in sizes], range(row, row + len(sizes))
        request = Request("n", "/v1/embeddings", "m", b"{}", 2, inputs, answers)
        count, taken_bytes = 0, 0
        while count < len(sizes) and taken_bytes <= spare_bytes:
            if not one_by_one.add(rows[count], lines[count], request, limits):
                break
            taken_bytes += sizes[count]
            count += 1

        parts = [part for line in lines for part in (line[:-1], line[-1:])]
        run = RequestRun(rows, (), parts, sizes, [2] * len(sizes), "/v1/embeddings", "m", inputs, answers)
        assert together.extend(run, limits, spare_bytes) == count
        assert together.content() == one_by_one.content()
        assert together.closed(1) == one_by_one.closed(1)
        row += len(sizes)


@given(st.lists(st.lists(st.integers(0, 3_000).map(str), max_size=400), max_size=4))
def test_names_are_remembered_together_as_one_by_one(runs: list[list[str]]) -> None:
    """Up to the first that was there, the digests are those of each name alone."""
    together, one_by_one = SeenNames(), SeenNames()
    for names in runs:
        expected = []
        for name in names:
            digest = one_by_one.add(name)
            if digest is None:
                break
            expected.append(digest)

        assert list(together.add_all(names)) == expected


LIMITS = st.builds(
    Limits,
    chunk_lines_max=st.integers(1, 5),
    chunk_bytes_max=st.integers(200, 1_600),
    open_chunks_bytes_max=st.integers(1, 2_000),
    record_bytes_max=st.sampled_from([900, 2_000]),
    plan_checkpoint_bytes=st.integers(1, 700),
)


@given(RECORDS, LIMITS)
def test_a_plan_does_not_show_what_was_taken_together(records: list[dict[str, JsonValue]], limits: Limits) -> None:
    """A task whose records are taken one by one, because an engine renders them, has the same plan."""
    plans = []
    for expression in ("{{ a }}", "{{ (a) }}"):
        storage = MemoryStorage()
        body = {"model": "m", "input": [expression] * 4}
        task = msgspec.json.encode({"endpoint": "/v1/responses", "body": body, "id": "id"})
        job = job_of(storage, "inbox/t/a.jsonl", b"\n".join(map(msgspec.json.encode, records)), task)

        job = planned(storage, job, limits)

        objects = {key: content for key, content in storage.objects.items() if not key.endswith("task.yaml")}
        plans.append((replace(job, snapshot=""), objects))
    assert plans[0] == plans[1]
