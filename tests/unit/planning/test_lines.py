import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import BinaryIO

import pytest
from fakes.drops import job_of, planned
from fakes.memory import MemoryStorage

from batchdrop.core.model.errors import BrokenState, UploadRejected
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys, Upload
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.requests import row_of_line
from batchdrop.flow import planned_job
from batchdrop.flow.planned_job import PlannedJob


class CountingStorage(MemoryStorage):
    """Notes from where uploads are read."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[int] = []

    def open_upload(self, upload: Upload, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open, and note the start."""
        self.starts.append(start)
        return super().open_upload(upload, start)


def shard_of(job: Job, group: int, first_line: int, end_line: int) -> Shard:
    """Return a shard over lines of a group."""
    return Shard(
        job=job.id, number=0, account="a", endpoint="/v1/responses", model="m", group=group,
        first_line=first_line, end_line=end_line,
    )  # fmt: skip


def mixed_job(storage: MemoryStorage, key: str = "inbox/a.jsonl", rows: int = 60) -> Job:
    """Return a planned job of two models: even rows ask the one, odd rows the other; chunks hold seven lines."""
    records = [
        {"custom_id": f"i{row}", "method": "POST", "url": "/v1/responses", "body": {"model": f"m{row % 2}"}}
        for row in range(1, rows + 1)
    ]
    content = json.dumps(records) if key.endswith("json") else "\n\n".join(json.dumps(record) for record in records)
    limits = Limits(chunk_lines_max=7, plan_checkpoint_bytes=2_000)
    return planned(storage, job_of(storage, key, content.encode()), limits)


@pytest.mark.parametrize(("first_line", "end_line"), [(0, 30), (0, 1), (6, 8), (7, 14), (29, 30), (3, 3)])
def test_a_shard_sends_its_range_of_its_group(first_line: int, end_line: int) -> None:
    """A shard may begin and end inside chunks; rows ascend."""
    storage = MemoryStorage()
    job = mixed_job(storage)

    sent = list(PlannedJob(storage, job).lines(shard_of(job, 1, first_line, end_line)))

    assert [row_of_line(line) for line in sent] == list(range(2, 62, 2))[first_line:end_line]
    assert all(line.endswith(b"}\n") for line in sent)


def test_a_later_attempt_sends_what_it_was_given() -> None:
    """The second attempt's lines come from its own input."""
    storage = MemoryStorage()
    job = mixed_job(storage)
    storage.put(Keys(job.id, job.key).input_lines(3, 2), b"a\nb\nc\nd\n")
    shard = replace(shard_of(job, 1, 1, 3), source_shard=3, source_attempt=2)

    sent = list(PlannedJob(storage, job).lines(shard))

    assert sent == [b"b\n", b"c\n"]


def test_a_source_that_is_too_short_is_noticed() -> None:
    """Lines are never silently fewer than were planned."""
    storage = MemoryStorage()
    job = mixed_job(storage)
    storage.put(Keys(job.id, job.key).input_lines(3, 2), b"a\n")
    shard = replace(shard_of(job, 1, 0, 3), source_shard=3, source_attempt=2)

    with pytest.raises(BrokenState):
        list(PlannedJob(storage, job).lines(shard))


@pytest.mark.parametrize("key", ["inbox/a.jsonl", "inbox/a.json"])
@pytest.mark.parametrize("wanted", [[], [1], [59], [1, 3, 57], list(range(1, 60, 2))])
@pytest.mark.parametrize("skip_bytes", [1, 300, 8_000_000])
def test_records_are_found_by_row(
    key: str, wanted: list[int], skip_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joining reads just the records that it asks for, whether by reading on or by opening the upload anew."""
    monkeypatch.setattr(planned_job, "_SKIP_BYTES_MIN", skip_bytes)
    storage = MemoryStorage()
    job = mixed_job(storage, key)
    expected = {record.row: record for record in PlannedJob(storage, job).all_records()}

    found = list(PlannedJob(storage, job).records(shard_of(job, 0, 0, 30), iter(wanted)))

    assert found == [expected[row] for row in wanted]


def test_joining_begins_at_the_chunk_of_the_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard at the end of a large upload does not read its start."""
    monkeypatch.setattr(planned_job, "IN_HAND_BYTES", 16)
    storage = CountingStorage()
    job = mixed_job(storage)
    opened = PlannedJob(storage, job)
    chunks = opened.chunks
    storage.starts.clear()

    list(opened.records(shard_of(job, 0, 0, 30), iter([57, 59])))

    assert storage.starts == [0, next(chunk.start for chunk in chunks if chunk.group == 0 and chunk.last_row >= 57)]


def test_rows_are_asked_for_one_at_a_time() -> None:
    """Joining takes the memory of one record: the next row is asked for when its record is."""
    storage = MemoryStorage()
    job = mixed_job(storage)
    asked: list[int] = []

    def rows() -> Iterator[int]:
        for row in (1, 3, 5):
            asked.append(row)
            yield row

    next(PlannedJob(storage, job).records(shard_of(job, 0, 0, 30), rows()))

    assert asked == [1]


@pytest.mark.parametrize("row", [61, 999])
def test_a_row_that_is_not_there_is_noticed(row: int) -> None:
    """A row beyond the plan is our error, not a gap."""
    storage = MemoryStorage()
    job = mixed_job(storage)

    with pytest.raises(BrokenState):
        list(PlannedJob(storage, job).records(shard_of(job, 0, 0, 30), iter([1, row])))


def test_a_deleted_upload_is_named() -> None:
    """Who reads again learns that the version is gone."""
    storage = MemoryStorage()
    job = mixed_job(storage)
    storage.unreadable.add((job.key, job.version))

    with pytest.raises(UploadRejected):
        list(PlannedJob(storage, job).all_records())


def test_what_was_planned_is_read_again_under_lower_limits() -> None:
    """A deployment that lowers its limits can still finish what it has begun."""
    storage = MemoryStorage()
    record = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/responses",
        "body": {"model": "m", "input": "x" * 20_000_000},
    }
    content = json.dumps(record).encode()
    job = planned(storage, job_of(storage, "inbox/a.jsonl", content), Limits(record_bytes_max=30_000_000))

    assert [record.row for record in PlannedJob(storage, job).all_records()] == [1]


def test_a_page_that_is_gone_is_noticed() -> None:
    """The plan is whole or it is broken."""
    storage = MemoryStorage()
    job = mixed_job(storage)
    del storage.objects[Keys(job.id, job.key).plan_page(1)]

    with pytest.raises(BrokenState):
        _ = PlannedJob(storage, job).pages
