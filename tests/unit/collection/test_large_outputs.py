"""Answers that do not fit on disk or in memory are delivered like all others."""

import errno
import io
import os
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import BinaryIO, cast

import pytest
from fakes.answered import AnsweredJob, answer_line, chat_body, chat_request, error_line, json_lines, success
from fakes.memory import FakeClock
from fakes.spool import Content, SpoolStorage

from batchdrop.core.collection.answers import row_of_head
from batchdrop.core.model.dialects import Dialects
from batchdrop.core.model.errors import OutOfTime
from batchdrop.core.model.job import ItemAccess, TaskOptions
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Usage
from batchdrop.core.model.shard import Shard
from batchdrop.flow.collection import answer_index
from batchdrop.flow.collection.archive import archive
from batchdrop.flow.collection.collect import derive
from batchdrop.flow.delivery.merge import merge
from batchdrop.flow.ports import ByteSink

MB = 1_000_000
DISK_BYTES = 20 * MB  # a hundredth of /tmp
ANSWERS = 450
ANSWER_BYTES = 100_000


class SmallDisk:
    """Unnamed files that share so many bytes; who writes more is told that the disk is full, once it is."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.files: list[io.FileIO] = []
        self.most_bytes = 0

    def open(self, buffering: int = -1) -> BinaryIO:
        """Return a new file."""
        assert buffering == 0, "what is buffered is refused when it is too late"
        if self.used_bytes >= self.size_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        file = _OnSmallDisk(self)
        self.files.append(file)
        return cast(BinaryIO, file)

    @property
    def used_bytes(self) -> int:
        """How many bytes files hold."""
        return sum(os.fstat(file.fileno()).st_size for file in self.files if not file.closed)


class _OnSmallDisk(io.FileIO):
    """One file; as on a real disk, a write may succeed in part before one fails."""

    def __init__(self, disk: SmallDisk) -> None:
        descriptor, name = tempfile.mkstemp()
        Path(name).unlink()
        super().__init__(descriptor, "r+b")
        self._disk = disk

    def write(self, content: bytes, /) -> int:  # type: ignore[override]  # no other buffers come
        """Write what there is space for."""
        free_bytes = self._disk.size_bytes - self._disk.used_bytes
        if free_bytes <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = super().write(content[:free_bytes])
        self._disk.most_bytes = max(self._disk.most_bytes, self._disk.used_bytes)
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SmallDisk:
    """The disk that answers are kept on."""
    small = SmallDisk(DISK_BYTES)
    monkeypatch.setattr(tempfile, "TemporaryFile", small.open)
    return small


class MadeFile:
    """An output file that is made as it is downloaded: answers of 100 KB in any order."""

    base_url, fingerprint = "https://provider.test/v1", "abc"
    dialects = Dialects()

    def __init__(self, answers: int) -> None:
        self.rows = list(range(1, answers + 1))
        Random(7).shuffle(self.rows)  # noqa: S311  the same order each time
        self.downloads = 0

    def open(self) -> "MadeFile":
        """Return the provider."""
        return self

    def download(self, file: str, target: ByteSink) -> int:
        """Write the file in pieces that end anywhere."""
        assert file
        self.downloads += 1
        written, rest = 0, b""
        for row in self.rows:
            rest += success(row, f"{row:06d} " + "x" * (ANSWER_BYTES - 600))
            while len(rest) >= MB:
                written += target.write(rest[:MB])
                rest = rest[MB:]
        return written + target.write(rest)


@contextmanager
def on_disk(folder: Path, answers: int) -> Iterator[AnsweredJob]:
    """Yield a job whose buckets are files and whose provider has so many answers of 100 KB."""
    job = AnsweredJob("inbox/questions.jsonl", json_lines(chat_request(f"{row}") for row in range(1, answers + 1)))
    storage = SpoolStorage(folder)
    storage.uploads[job.upload.key] = Content(job.storage.uploads[job.upload.key, job.upload.version][0])
    for key, content in job.storage.objects.items():
        storage.put(key, content)
    job.ports = replace(job.ports, storage=storage, providers=MadeFile(answers))  # type: ignore[arg-type]  # what is asked of it
    job.job = replace(job.job, options=TaskOptions(items=ItemAccess.NONE))
    yield job


def collected(job: AnsweredJob, shard: Shard) -> tuple[int, int]:
    """Harvest and merge, and return how many items succeeded and how many bytes of outcomes they have."""
    batch = job.batch(shard, b"", None, counts=(shard.items, shard.items, 0))
    with archive(job.ports, job.limits, job.job, shard, batch) as answers:
        harvest = derive(job.ports, job.planned, shard, answers, batch)
    results = merge(job.ports, job.planned, [shard])
    assert harvest.succeeded == results.succeeded
    return results.succeeded, next(file.size_bytes for file in results.files if file.name == "outcomes.jsonl")


@pytest.mark.parametrize("limit_bytes", [15 * MB, 1_500 * MB], ids=["as the limit says", "as the disk says"])
def test_45_mb_of_answers_pass_through_20_mb_of_disk(tmp_path: Path, disk: SmallDisk, limit_bytes: int) -> None:
    """All are delivered, whether the limit or the full disk ends the keeping; memory is that of a tenth of them."""
    peaks = []
    for answers in (ANSWERS // 10, ANSWERS):
        folder = tmp_path / str(answers)
        folder.mkdir()
        with on_disk(folder, answers) as job:
            job.limits = Limits(answer_spool_bytes_max=limit_bytes)
            tracemalloc.start()
            succeeded, outcome_bytes = collected(job, job.shard())
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert succeeded == answers
        assert outcome_bytes > answers * ANSWER_BYTES

    assert 10 * MB < disk.most_bytes <= min(DISK_BYTES, limit_bytes)
    assert disk.used_bytes == 0
    assert peaks[1] - peaks[0] < answer_index.AHEAD_BYTES_MAX * 1.5


def mixed_job() -> tuple[AnsweredJob, Shard, bytes, bytes]:
    """Return a job with answers of all kinds, in an order of their own."""
    task = b"endpoint: /v1/chat/completions\ndedupe: true\nbody: {model: m, messages: [{role: user, content: '{{ q }}'}]}\n"
    job = AnsweredJob("inbox/t/q.jsonl", json_lines({"q": row % 30} for row in range(1, 41)), task)
    output = b"".join(success(row, f"answer {row} é") for row in (*range(30, 4, -1), 5)) + b"strange\n\n"
    errors = error_line(2, "batch_expired") + answer_line(1, {"error": {"code": "bad"}}, 400) + error_line(3, "bad")
    return job, replace(job.shard(), saved_items=10), output, errors


def test_where_answers_are_read_changes_nothing() -> None:
    """From disk, from the archive, or from both: what is derived is the same, byte for byte."""
    found = []
    for limit_bytes in (1_500 * MB, 6_000, 1):
        job, shard, output, errors = mixed_job()
        job.limits = Limits(answer_spool_bytes_max=limit_bytes)
        harvest = job.harvest(shard, output, errors, status="expired", counts=(30, 26, 4))
        found.append((harvest, job.storage.objects))

    assert found[0] == found[1] == found[2]
    assert found[0][0].duplicates == 1
    assert found[0][0].again_lines > 0


def test_what_comes_next_is_read_together() -> None:
    """One answer after the other would take 20 ms each: 50,000 of them longer than a function may run."""
    job = AnsweredJob("inbox/q.jsonl", json_lines(chat_request(f"{row}") for row in range(1, 201)))
    job.limits = Limits(answer_spool_bytes_max=1)
    asked = list[int]()
    opened = job.storage.open_ranges

    @contextmanager
    def open_ranges(key: str) -> Iterator[object]:
        with opened(key) as ranges:

            class Noting:
                def read(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
                    asked.append(len(places))
                    return ranges.read(places)

            yield Noting()

    job.storage.open_ranges = open_ranges  # type: ignore[method-assign, assignment]  # it notes, and hands on

    harvest = job.harvest(job.shard(), b"".join(map(success, range(200, 0, -1))))

    assert harvest.succeeded == 200
    assert asked == [64, 64, 64, 8]


def test_an_answer_that_is_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its item fails with the reason, and is not sent again: it is paid for. Its neighbours are not touched."""
    monkeypatch.setattr(answer_index, "ANSWER_BYTES_MAX", 10_000)
    job = AnsweredJob("inbox/q.jsonl", json_lines(chat_request(f"{row}") for row in range(1, 5)))
    output = success(3) + answer_line(2, chat_body("x" * 30_000)) + success(1)

    harvest = job.harvest(job.shard(), output, counts=(3, 3, 0), give_up=True)

    failed = {item.row: item.error for item in job.part() if item.error}
    assert {row: error.code for row, error in failed.items()} == {2: "answer_too_large", 4: "answers_missing"}
    assert "paid for" in failed[2].message
    assert (harvest.succeeded, harvest.again_lines, harvest.unknown) == (2, 0, 0)


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (b'{"id":"batch_req_1","custom_id":"7","response":', 7),
        (b'{"custom_id": 7, "response":', 7),
        (b'{"custom_id":"07","response":', None),
        (b'{"response":{"body":{"custom_id":"7"', None),
        (b'{"id":"a\\",\\"custom_id\\":\\"7","x":', None),
        (b'{"pad":"p","custom_id":"7","response":', None),
        (b"", None),
    ],
)
def test_a_long_line_is_known_by_its_top_alone(head: bytes, row: int | None) -> None:
    """What a model wrote can name no row."""
    assert row_of_head(head) == row


@pytest.mark.parametrize("piece_bytes", [1, 999, 1 << 20])
def test_a_long_line_is_not_held(monkeypatch: pytest.MonkeyPatch, piece_bytes: int) -> None:
    """However it comes, its head is all that is kept of it, and what follows lies where it lies."""
    monkeypatch.setattr(answer_index, "ANSWER_BYTES_MAX", 2_000)
    content = (
        success(1) + answer_line(2, chat_body("x" * 9_000)) + success(3) + answer_line(4, chat_body("y" * 9_000))[:-1]
    )
    file = answer_index.AnswerFile("k", answer_index.Disk(10 * MB), counts_passing=False)

    for start in range(0, len(content), piece_bytes):
        file.write(content[start : start + piece_bytes])
    file.finish()

    lines = [content[offset : offset + size] for offset, size in zip(file.offsets, file.lengths, strict=True)]
    assert list(file.rows) == [1, 2, 3, 4]
    assert [line.strip() for line in lines] == content.splitlines()
    file.leave_disk()


def test_a_large_download_leaves_the_rest_to_the_next_invocation() -> None:
    """What is archived is not downloaded again, and the invocation that derives it has its whole time."""
    job = AnsweredJob("inbox/q.jsonl", json_lines(chat_request(f"{row}") for row in range(1, 4)))
    job.limits = Limits(derived_bytes_per_second=1)
    shard, output = job.shard(), b"".join(map(success, (1, 2, 3)))
    cast(FakeClock, job.ports.clock).remaining = 300

    with pytest.raises(OutOfTime):
        job.harvest(shard, output)
    before = sorted(job.items())
    harvest = job.harvest(shard, output)

    assert before == []
    assert (harvest.succeeded, harvest.usage, job.provider.downloads) == (3, Usage(60, 9), 1)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_no_disk_at_all_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Not even the file can be made: everything is read from the archive."""
    monkeypatch.setattr(tempfile, "TemporaryFile", refusing(error))
    job = AnsweredJob("inbox/q.jsonl", json_lines([chat_request("1")]))

    assert job.harvest(job.shard(), success(1)).succeeded == 1


def test_a_broken_disk_is_no_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else that a disk says is not passed over."""
    monkeypatch.setattr(tempfile, "TemporaryFile", refusing(errno.EIO))
    job = AnsweredJob("inbox/q.jsonl", json_lines([chat_request("1")]))

    with pytest.raises(OSError, match="broken"):
        job.harvest(job.shard(), success(1))


def refusing(error: int) -> Callable[..., BinaryIO]:
    """Return what opens no file."""

    def open_none(**_options: object) -> BinaryIO:
        raise OSError(error, "broken")

    return open_none
