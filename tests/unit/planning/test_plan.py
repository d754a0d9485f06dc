import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from fakes.drops import LIMITS, job_of, planned, refused_outcomes, sent_lines, with_page
from fakes.memory import MemoryStorage

from batchdrop.core.model.errors import BrokenState, UploadRejected
from batchdrop.core.model.job import Group, Job
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.plan import SeenNames, empty_digests
from batchdrop.core.planning.requests import row_of_line
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.plan import pin_task, plan_pages
from batchdrop.formats.records import RUN_BYTES

EXAMPLES = Path(__file__).parents[3] / "examples"
TASK = b"endpoint: /v1/responses\nbody: {model: m, input: '{{ text }}'}\n"
TASK_WITH_ID = TASK + b"id: id\n"


def native(custom_id: object, model: str = "m", url: str = "/v1/responses", **body: object) -> bytes:
    """Return a native request line."""
    line = {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": model, **body}}
    return json.dumps(line).encode() + b"\n"


def stops_at(count: int) -> Callable[[], bool]:
    """Return a `should_stop` that says so from its call number *count* on."""
    calls = iter([False] * (count - 1))
    return lambda: next(calls, True)


def test_rows_become_lines_and_items() -> None:
    """Each record of a table is one request line, named by its row."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/t/a.csv", b"text,n\nhello,1\nworld,2\n", TASK)

    job = planned(storage, job)

    assert (job.items, job.refused, job.groups) == (2, 0, (Group("/v1/responses", "m", 1, 2, tokens=16, unlimited=2),))
    assert [json.loads(line) for line in sent_lines(storage, job)] == [
        {"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": "hello"}},
        {"custom_id": "2", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": "world"}},
    ]


@pytest.mark.parametrize(
    ("key", "content"), [("a.csv", b""), ("a.csv", b"text\n"), ("a.jsonl", b"\n"), ("a.json", b"[]")]
)
def test_an_upload_without_records_is_a_job_of_no_items(key: str, content: bytes) -> None:
    """Nothing was asked, and that is no error."""
    storage = MemoryStorage()
    job = job_of(storage, f"inbox/t/{key}", content, TASK)

    pages = list(plan_pages(PlannedJob(storage, job, LIMITS), lambda: False))

    assert [(page.items, page.refused, page.groups, page.chunks, page.is_last) for page in pages] == [
        (0, 0, (), (), True)
    ]


def test_endpoints_and_models_are_sorted_into_groups() -> None:
    """Native lines may be mixed; groups come in order of first appearance, rows ascend in each."""
    storage = MemoryStorage()
    embed = native("c", "e", "/v1/embeddings", input=["a", "b", "c"])
    bare = b'{"model": "m", "messages": []}\n'
    job = job_of(storage, "inbox/a.jsonl", native("a") + native("b", "n") + embed + bare + native("d"))

    job = planned(storage, job)

    assert job.groups == (
        Group("/v1/responses", "m", 1, 2, tokens=8, unlimited=2),
        Group("/v1/responses", "n", 1, 1, tokens=4, unlimited=1),
        Group("/v1/embeddings", "e", 1, 1, tokens=9),
        Group("/v1/chat/completions", "m", 1, 1, tokens=7, unlimited=1),
    )
    chunks = PlannedJob(storage, job).chunks
    assert [(chunk.group, chunk.lines, chunk.first_row, chunk.last_row, chunk.inputs) for chunk in chunks] == [
        (0, 2, 1, 5, 0), (1, 1, 2, 2, 0), (2, 1, 3, 3, 3), (3, 1, 4, 4, 0),
    ]  # fmt: skip
    assert [row_of_line(line) for line in sent_lines(storage, job)] == [1, 5, 2, 3, 4]


def test_chunks_end_at_their_limits() -> None:
    """A chunk holds so many lines, bytes and embedding inputs, and at least one line."""
    storage = MemoryStorage()
    lines = [
        native(str(row), "e", "/v1/embeddings", input=["x"] * inputs) for row, inputs in enumerate([4, 4, 4, 9, 1])
    ]
    by_lines = job_of(storage, "inbox/lines.jsonl", b"".join(lines))
    by_bytes = job_of(storage, "inbox/bytes.jsonl", b"".join(lines))
    by_inputs = job_of(storage, "inbox/inputs.jsonl", b"".join(lines))

    by_lines = planned(storage, by_lines, Limits(chunk_lines_max=2))
    by_bytes = planned(storage, by_bytes, Limits(chunk_bytes_max=100))
    by_inputs = planned(storage, by_inputs, Limits(shard_embedding_inputs_max=9))

    assert [chunk.lines for chunk in PlannedJob(storage, by_lines).chunks] == [2, 2, 1]
    assert [chunk.lines for chunk in PlannedJob(storage, by_bytes).chunks] == [1, 1, 1, 1, 1]
    assert [chunk.inputs for chunk in PlannedJob(storage, by_inputs).chunks] == [8, 4, 9, 1]


def test_what_fills_at_once_is_bounded() -> None:
    """With many models in one upload the largest chunk is written before memory runs out."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/a.jsonl", b"".join(native(str(row), f"m{row % 3}") for row in range(30)))

    job = planned(storage, job, Limits(open_chunks_bytes_max=500))

    assert all(chunk.size_bytes <= 500 for chunk in PlannedJob(storage, job).chunks)
    assert sorted(row_of_line(line) for line in sent_lines(storage, job)) == list(range(1, 31))


@pytest.mark.parametrize("models", [1, 3])
def test_a_page_of_many_times_the_bound_has_no_more_chunks_than_it_needs(models: int) -> None:
    """What was written fills no more: the next chunk that has to be written is as large as the first."""
    storage, limits = MemoryStorage(), Limits(open_chunks_bytes_max=2_000)
    lines = [native(f"{row:04}", f"m{row % models}") for row in range(400)]
    by_one = job_of(storage, "inbox/one.jsonl", b"".join(lines) + native("last", stream=True))
    together = job_of(storage, "inbox/together.jsonl", b"".join(lines))

    for job in (by_one, together):
        written = planned(storage, job, limits)
        sizes = [chunk.size_bytes for chunk in PlannedJob(storage, written).chunks]

        assert sum(sizes) > 10 * limits.open_chunks_bytes_max
        assert len(sizes) == sum(group.chunks for group in written.groups)
        assert len(sizes) <= models * (1 + sum(sizes) // limits.open_chunks_bytes_max)
        assert sorted(row_of_line(line) for line in sent_lines(storage, written)) == list(range(1, 401))


@pytest.mark.parametrize("count", [1, 2, 129])
@pytest.mark.parametrize("ragged", [b"", b"x,y\n"])
def test_a_request_of_exactly_the_limit_is_sent(count: int, ragged: bytes) -> None:
    """A line of the limit's bytes is taken, and one byte more fails alone: also where rows are looked at one by one."""
    storage, size_bytes = MemoryStorage(), 150
    rest = b"x\n" * (count - 1) + ragged
    short = job_of(storage, "inbox/t/a.csv", b"text\nx\n" + rest, TASK)
    spare = size_bytes - len(next(sent_lines(storage, planned(storage, short))))
    limits = Limits(record_bytes_max=size_bytes)

    # The first row is the longest, because its number is the shortest.
    exactly = job_of(storage, "inbox/t/b.csv", b"text\n" + b"x" * (1 + spare) + b"\n" + rest, TASK)
    longer = job_of(storage, "inbox/t/c.csv", b"text\n" + b"x" * (2 + spare) + b"\n" + rest, TASK)
    sent = [len(line) for line in sent_lines(storage, planned(storage, exactly, limits))]
    refused = refused_outcomes(storage, planned(storage, longer, limits))

    assert (max(sent), len(sent)) == (size_bytes, count)
    assert [(outcome.row, outcome.error and outcome.error.code) for outcome in refused] == [
        (1, "request_too_large"), *([(count + 1, "ragged_row")] if ragged else []),
    ]  # fmt: skip


def test_one_bad_record_fails_alone() -> None:
    """A refused record has its object and its outcome at once; its neighbours go on."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/a.jsonl", native("a") + b"{oops\n" + native("c", stream=True) + native("d"))

    job = planned(storage, job)

    assert (job.items, job.refused) == (4, 2)
    outcomes = refused_outcomes(storage, job)
    assert [(outcome.row, outcome.name, outcome.error and outcome.error.code) for outcome in outcomes] == [
        (2, "000000002~invalid", "not_json"),
        (3, "c", "bad_request"),
    ]
    assert json.loads(storage.objects[Keys(job.id, job.key).item("c")])["record"]["custom_id"] == "c"
    assert [row_of_line(line) for line in sent_lines(storage, job)] == [1, 4]


def test_repeated_and_empty_ids_fail_the_later_item() -> None:
    """The first item keeps its name; the others fail under names that no user can take."""
    storage = MemoryStorage()
    content = b"id,text\nx,1\nx,2\n,3\ny,4\n000000002~duplicate,5\n"
    job = job_of(storage, "inbox/t/a.csv", content, TASK_WITH_ID)

    job = planned(storage, job)

    assert [(outcome.name, outcome.error and outcome.error.code) for outcome in refused_outcomes(storage, job)] == [
        ("000000002~duplicate", "duplicate_id"),
        ("000000003~no-id", "no_id"),
    ]
    assert [row_of_line(line) for line in sent_lines(storage, job)] == [1, 4, 5]


def test_names_by_row_do_not_meet_names_by_user() -> None:
    """A bare body and a line whose custom_id looks like its row are told apart."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/a.jsonl", b'{"model": "m", "messages": []}\n' + native("000000001"))

    job = planned(storage, job)

    assert [outcome.name for outcome in refused_outcomes(storage, job)] == ["000000002~duplicate"]


def test_a_refused_record_keeps_its_name_from_later_ones() -> None:
    """Two items never share an object, whichever of them failed."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/a.jsonl", native("x", stream=True) + native("x"))

    job = planned(storage, job)

    assert [outcome.name for outcome in refused_outcomes(storage, job)] == ["x", "000000002~duplicate"]


def test_without_user_names_refused_rows_keep_their_row_names() -> None:
    """Where rows are the names, a refused one has its own."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/t/a.csv", b"text,n\n1\n2,3\n", TASK)

    job = planned(storage, job)

    assert [outcome.name for outcome in refused_outcomes(storage, job)] == ["000000001"]
    assert not any(key.endswith(".ids") for key in storage.objects)


@pytest.mark.parametrize(
    ("limits", "lines", "code"),
    [
        (Limits(groups_max=1), native("a") + native("b", "other"), "too_many_groups"),
        (Limits(shard_embedding_inputs_max=2), native("a", "e", "/v1/embeddings", input=["x"] * 3), "too_many_inputs"),
    ],
)
def test_what_no_batch_could_take_is_refused(limits: Limits, lines: bytes, code: str) -> None:
    """A request that would make its batch impossible never reaches one."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/a.jsonl", lines)

    job = planned(storage, job, limits)

    assert [outcome.error and outcome.error.code for outcome in refused_outcomes(storage, job)] == [code]


def test_a_small_record_may_make_too_large_a_request() -> None:
    """What a task makes of a record is measured too."""
    storage = MemoryStorage()
    task = TASK.replace(b"{{ text }}", b"{{ text }}" * 20)
    job = job_of(storage, "inbox/t/a.csv", b"text\nhello\nhi\n", task)

    job = planned(storage, job, Limits(record_bytes_max=170))

    assert [(outcome.row, outcome.error and outcome.error.code) for outcome in refused_outcomes(storage, job)] == [
        (1, "request_too_large"),
    ]


def test_pages_end_by_bytes_and_planning_resumes_behind_them() -> None:
    """Each page stands for itself: chunks end with it, and another planner goes on from the ledger alone."""
    storage, limits = MemoryStorage(), Limits(plan_checkpoint_bytes=1_000)
    content = b"".join(native(f"id-{row}") for row in range(100)) + native("id-7")
    job = job_of(storage, "inbox/a.jsonl", content)

    job = with_page(job, next(plan_pages(PlannedJob(storage, job, limits), lambda: False)))
    assert 1_000 <= job.plan.offset < 1_200
    job = planned(storage, job, limits)

    assert [row_of_line(line) for line in sent_lines(storage, job)] == list(range(1, 101))
    assert [outcome.name for outcome in refused_outcomes(storage, job)] == ["000000101~duplicate"]
    assert list(PlannedJob(storage, job).refused_keys()) == [Keys(job.id, job.key).refused(job.plan.pages - 1)]
    assert job.items == 101


def test_a_planner_that_must_stop_leaves_whole_pages_alone() -> None:
    """Time running out inside a page records nothing of it: the next planner writes the same page."""
    storage, limits = MemoryStorage(), Limits(plan_checkpoint_bytes=40_000)
    job = job_of(storage, "inbox/a.jsonl", b"".join(native(str(row)) for row in range(1_000)))

    first = planned(storage, job, limits, should_stop=stops_at(6))
    assert 0 < first.plan.row < 768
    last = planned(storage, first, limits)

    whole = MemoryStorage()
    again = planned(whole, replace(job_of(whole, job.key, storage.uploads[job.key, job.version][0])), limits)
    assert whole.objects == storage.objects
    assert (last.plan, last.groups, last.items) == (again.plan, again.groups, again.items)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("a.jsonl", b'{"text":"' + b"x" * 300_000 + b'"}\n'),
        ("a.jsonl", b'{"text":"x"}\n' + b"\n" * 300_000),
        ("a.jsonl", b'{"text":"x"}\n'),
        ("t.csv", b"x" * 300_000 + b",1\n"),
        ("t.csv", b"x,1\n" + b"\n" * 300_000),
        ("t.csv", b'"x\n",1\n'),
        ("a.json", b'{"text":"' + b"x" * 300_000 + b'"},\n'),
        ("a.json", b'{"text":"x"},' + b" " * 300_000),
        ("a.json", b'{"text":"x"},'),
    ],
    ids=lambda case: case if isinstance(case, str) else str(len(case)),
)
def test_the_clock_is_asked_by_bytes(key: str, line: bytes) -> None:
    """Few long records, many short ones and what is blank between them: never are more than two records' bytes read unasked."""
    head, tail = {"a.jsonl": (b"", b""), "t.csv": (b"text,n\n", b""), "a.json": (b"[", b'{"text":"x"}]')}[key]
    content = head + line * (3_000_000 // len(line)) + tail
    storage, asked = MemoryStorage(), [0]
    job = job_of(storage, f"inbox/t/{key}", content, TASK)

    def should_stop() -> bool:
        asked[0] += 1
        return False

    planned(storage, job, should_stop=should_stop)

    assert asked[0] >= len(content) // (2 * max(RUN_BYTES, len(line)))


def test_a_slow_planner_changes_nothing_that_the_ledger_knows() -> None:
    """Two planners of one job write the same bytes to the same keys."""
    storage, limits = MemoryStorage(), Limits(plan_checkpoint_bytes=10_000)
    job = job_of(storage, "inbox/a.jsonl", b"".join(native(str(row)) for row in range(1_000)) + b"{bad\n")
    slow = plan_pages(PlannedJob(storage, job, limits), lambda: False)
    next(slow)
    planned(storage, job, limits)
    before = dict(storage.objects)

    list(slow)

    assert storage.objects == before


def test_the_task_is_read_from_the_jobs_own_copy() -> None:
    """A change of the task under way does not reach the job; a copy that is another is noticed."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/t/a.csv", b"text\nhello\n", TASK)
    storage.put_task("t", TASK.replace(b"model: m", b"model: other"))

    assert planned(storage, job).groups[0].model == "m"
    storage.put(Keys(job.id, job.key).task_snapshot, TASK_WITH_ID)
    with pytest.raises(BrokenState):
        planned(storage, job)


def test_a_task_that_cannot_be_used_is_never_pinned() -> None:
    """A bad task rejects the upload and leaves nothing behind."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/t/a.csv", b"text\nhello\n")

    with pytest.raises(UploadRejected, match="cannot be used"):
        pin_task(PlannedJob(storage, job), b"endpoint: /v1/nowhere\n")

    assert storage.objects == {}


def test_a_table_that_lacks_a_column_is_rejected_before_anything_is_written() -> None:
    """One notification instead of a failure a row."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/t/a.csv", b"txet\nhello\n", TASK)
    before = dict(storage.objects)

    with pytest.raises(UploadRejected, match=r"names `text`, which the CSV header \(line 1\) lacks; it has `txet`"):
        planned(storage, job)

    assert storage.objects == before


def test_a_lost_page_is_noticed() -> None:
    """Planning never goes on over a hole."""
    storage, limits = MemoryStorage(), Limits(plan_checkpoint_bytes=100)
    job = job_of(storage, "inbox/a.jsonl", native("a") + native("b"))
    job = with_page(job, next(plan_pages(PlannedJob(storage, job, limits), lambda: False)))
    del storage.objects[Keys(job.id, job.key).plan_digests(0)]

    with pytest.raises(BrokenState):
        planned(storage, job, limits)


def test_seen_names_survive_their_packing() -> None:
    """Digests that were stored are known again, whatever the table's size was."""
    names, digests = SeenNames(), empty_digests()
    for number in range(5_000):
        digest = names.add(f"name-{number}")
        assert digest
        digests.append(digest)

    again = SeenNames()
    again.load(digests.tobytes())

    assert all(again.add(f"name-{number}") is None for number in range(5_000))
    assert again.add("another") is not None


def test_pages_that_have_the_same_ids_are_no_plan() -> None:
    """Planning never writes an id twice, so whoever finds it so stops."""
    names = SeenNames()
    digests = names.add_all(["a", "b"]).tobytes()

    with pytest.raises(BrokenState):
        names.load(digests)


def example_drops() -> list[Path]:
    """Return the example uploads."""
    return sorted(path for path in (EXAMPLES / "drops").rglob("*") if path.is_file())


def example_job(storage: MemoryStorage, path: Path) -> Job:
    """Return the job of an example, with its task where it has one."""
    name = path.parent.name
    task = None if name == "drops" else (EXAMPLES / "tasks" / f"{name}.yaml").read_bytes()
    return job_of(storage, f"inbox/{path.relative_to(EXAMPLES / 'drops')}", path.read_bytes(), task)


@pytest.mark.parametrize("path", example_drops(), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_every_example_can_be_planned(path: Path) -> None:
    """Each example drop becomes requests, none of which is refused."""
    storage = MemoryStorage()

    job = planned(storage, example_job(storage, path))

    assert job.items >= 3
    assert job.refused == 0
    assert len(list(PlannedJob(storage, job).all_records())) == job.items
    assert all("{{" not in msgspec.json.decode(line)["body"]["model"] for line in sent_lines(storage, job))


def test_every_example_task_has_a_drop() -> None:
    """No example is left without a way to try it."""
    tasks = {path.stem for path in (EXAMPLES / "tasks").iterdir()}
    drops = {path.parent.name for path in example_drops()} - {"drops"}

    assert tasks == drops
