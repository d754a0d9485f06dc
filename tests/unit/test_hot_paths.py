"""What a row costs to plan, and an item to harvest and merge, counted instead of timed.

A figure here is a third above what stood when it was written, so that a slip is seen long before it doubles the cost. What a
call takes is measured by `benchmarks/`.
"""

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from fakes.answered import AnsweredJob, chat_request, json_lines, success
from fakes.drops import job_of, planned
from fakes.memory import MemoryStorage

from batchdrop.flow.delivery.merge import merge

TASK = b"""
endpoint: /v1/chat/completions
body: {model: gpt-4.1-mini, messages: [{role: user, content: "{{ review }}"}]}
id: review_id
"""


def table(rows: int) -> bytes:
    """A CSV of reviews, as spreadsheets write it."""
    lines = [f'R-{row},"a review, with a ""quoted"" word"\n' for row in range(rows)]
    return ("review_id,review\n" + "".join(lines)).encode()


def records(rows: int) -> bytes:
    """The same as JSON lines."""
    return json_lines({"review_id": f"R-{row}", "review": 'a review, with a "quoted" word'} for row in range(rows))


def requests(rows: int) -> bytes:
    """Ready-made requests."""
    return json_lines(chat_request(f"review {row}") for row in range(rows))


def batch_lines(rows: int) -> bytes:
    """Lines as the Batch API takes them."""
    url = "/v1/chat/completions"
    return json_lines(
        {"custom_id": f"R-{row}", "method": "POST", "url": url, "body": chat_request(f"review {row}")}
        for row in range(rows)
    )


def task_of(key: str) -> bytes | None:
    """The task of an upload, unless it holds requests."""
    return TASK if key.startswith("inbox/t/") else None


DROPS: dict[str, Callable[[int], bytes]] = {
    "inbox/t/a.csv": table,
    "inbox/t/a.jsonl": records,
    "inbox/a.jsonl": requests,
    "inbox/lines.jsonl": batch_lines,
}


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions *work* calls, C's and the steps of generators among them."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def calls_each(works: Callable[[int], Callable[[], object]]) -> float:
    """Return the calls for each row more: 300 rows beside 100, so that what is done once does not count."""
    few, many = (calls_of(works(rows)) for rows in (100, 300))
    return (many - few) / 200


def planning(key: str) -> Callable[[int], Callable[[], object]]:
    """Return how an upload of so many rows is planned."""

    def work(rows: int) -> Callable[[], object]:
        storage = MemoryStorage()
        job = job_of(storage, key, DROPS[key](rows), task_of(key))
        return lambda: planned(storage, job)

    return work


def answered(key: str, rows: int) -> AnsweredJob:
    """Return a job that was planned."""
    return AnsweredJob(key, DROPS[key](rows), task_of(key))


def splitting(key: str) -> Callable[[int], Callable[[], object]]:
    """Return how a batch of so many answers is harvested and its job merged."""

    def work(rows: int) -> Callable[[], object]:
        job = answered(key, rows)
        shard, output = job.shard(), b"".join(map(success, range(rows, 0, -1)))
        return lambda: (job.harvest(shard, output), merge(job.ports, job.planned, [shard]))

    return work


@pytest.mark.parametrize(
    ("key", "calls_max"),
    [("inbox/t/a.csv", 30), ("inbox/t/a.jsonl", 8), ("inbox/a.jsonl", 85), ("inbox/lines.jsonl", 24)],
)
def test_a_row_is_planned_in_few_calls(key: str, calls_max: int) -> None:
    """From the inbox to a request line in its chunk."""
    assert calls_each(planning(key)) <= calls_max


@pytest.mark.parametrize(
    ("key", "calls_max"), [("inbox/t/a.csv", 194), ("inbox/t/a.jsonl", 152), ("inbox/a.jsonl", 150)]
)
def test_an_item_is_split_in_few_calls(key: str, calls_max: int) -> None:
    """From the provider's file to its object, its outcome and its result."""
    assert calls_each(splitting(key)) <= calls_max


@pytest.mark.parametrize("rows", [100, 300])
def test_rows_cost_no_writes_of_their_own(rows: int) -> None:
    """Planning writes a chunk, the ids and a page, however many rows share them."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/t/a.csv", table(rows), TASK)
    before = storage.puts

    planned(storage, job)

    assert storage.puts - before == 3


def test_an_item_costs_one_write() -> None:
    """Its object; all else is written once for all items."""
    few, many = answered("inbox/t/a.csv", 100), answered("inbox/t/a.csv", 300)

    for job, rows in ((few, 100), (many, 300)):
        shard = job.shard()
        job.harvest(shard, b"".join(map(success, range(1, rows + 1))))
        merge(job.ports, job.planned, [shard])

    assert many.storage.puts - few.storage.puts == 200
