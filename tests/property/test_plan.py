import json
from itertools import pairwise

from fakes.drops import job_of, planned, refused_outcomes, sent_lines
from fakes.memory import MemoryStorage
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.requests import row_of_line
from batchdrop.flow.planned_job import PlannedJob

RECORDS = st.lists(
    st.builds(
        lambda custom_id, model, text: json.dumps(
            {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": {"model": model, "input": text}}
        ),
        st.sampled_from(["a", "b", "c", "", "000000002", "x/y"]) | st.text(max_size=3),
        st.sampled_from(["m", "n", "o", ""]),
        st.text(max_size=60),
    )
    | st.sampled_from(['{"model": "m", "messages": []}', "oops", "7", "", '{"model": "m"}']),
    max_size=25,
)
LIMITS = st.builds(
    Limits,
    chunk_lines_max=st.integers(1, 5),
    chunk_bytes_max=st.integers(1, 600),
    open_chunks_bytes_max=st.integers(1, 900),
    groups_max=st.integers(1, 3),
    plan_checkpoint_bytes=st.integers(1, 700),
)


@given(RECORDS, LIMITS)
def test_every_record_is_sent_or_refused_once(records: list[str], limits: Limits) -> None:
    """Whatever the limits, each record ends in one chunk or as one refused item, and no two share an object."""
    storage = MemoryStorage()
    job = job_of(storage, "inbox/a.jsonl", "\n".join(records).encode())

    job = planned(storage, job, limits)

    count = sum(bool(record.strip()) for record in records)
    sent = [row_of_line(line) for line in sent_lines(storage, job)]
    outcomes = refused_outcomes(storage, job)
    assert sorted([*sent, *(outcome.row for outcome in outcomes)]) == list(range(1, count + 1))
    assert (job.items, job.refused) == (count, len(outcomes))
    assert [outcome.row for outcome in outcomes] == sorted(outcome.row for outcome in outcomes)
    items = [key for key in storage.objects if key.startswith(Keys(job.id, job.key).results)]
    assert len(items) == len(outcomes)


@given(RECORDS, LIMITS)
def test_the_ledger_and_the_chunks_agree(records: list[str], limits: Limits) -> None:
    """Groups count what their chunks hold; chunks say their size, their rows and their place."""
    storage = MemoryStorage()
    content = "\n".join(records).encode()
    job = job_of(storage, "inbox/a.jsonl", content)

    job = planned(storage, job, limits)

    chunks = PlannedJob(storage, job).chunks
    for number, group in enumerate(job.groups):
        mine = [chunk for chunk in chunks if chunk.group == number]
        assert [chunk.number for chunk in mine] == list(range(group.chunks))
        assert sum(chunk.lines for chunk in mine) == group.lines
        assert all(one.last_row < other.first_row for one, other in pairwise(mine))
    for chunk in chunks:
        lines = storage.objects[Keys(job.id, job.key).chunk(chunk.group, chunk.number)]
        assert len(lines) == chunk.size_bytes
        assert lines.count(b"\n") == chunk.lines <= limits.chunk_lines_max
        assert row_of_line(lines) == chunk.first_row
        assert chunk.start == 0 or content[: chunk.start].endswith(b"\n")


@given(RECORDS, LIMITS, st.integers(1, 4))
def test_planning_may_stop_after_any_page(records: list[str], limits: Limits, pages_max: int) -> None:
    """Planners that take turns, each for a few pages, write what one planner would have written."""
    content = "\n".join(records).encode()
    whole, parted = MemoryStorage(), MemoryStorage()
    expected = planned(whole, job_of(whole, "inbox/a.jsonl", content), limits)
    job = job_of(parted, "inbox/a.jsonl", content)

    while job.plan.pages < expected.plan.pages:
        job = planned(parted, job, limits, pages_max=pages_max)

    assert parted.objects == whole.objects
    assert job == expected
