"""What splitting costs, `python benchmarks/split.py [ITEMS]`: answers of 2.5 KB become outcomes, result files and objects.

Rule: production flow; the store is a folder on disk, and what becomes an object of its own goes nowhere, or through the real
adapter into a sink on loopback whose work is not counted. The ways take turns; a figure is the median of the rounds, a ratio the
median of their ratios.

It is compared with one boto3 `put_object` of an item's size, over plain HTTP (TLS costs more), and with the usual way: json,
and boto3 in threads.
"""

import hashlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO, Final

from build import LONG, SHORT, TASK, lines, table
from measuring import cpu_seconds, memory_rows, own_peak_mb, printed
from sinks import boto3_at, sink, storage_at
from table import Row, at_most, print_rows

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.dialects import Dialects
from batchdrop.core.model.errors import NotYet, UploadRejected
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import INTERNAL_PREFIX, Keys, Upload
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.shard import Attempt, Shard
from batchdrop.edge.aws.s3 import SMALL_PUTS_IN_FLIGHT
from batchdrop.flow.collection.collect import archive, derive
from batchdrop.flow.delivery.merge import merge
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.plan import pin_task, plan_pages
from batchdrop.flow.ports import ByteSink, Ports

ITEMS: Final = 5_000
ROUNDS: Final = 5
KINDS: Final = ("csv", "jsonl")
RAW_NAMES: Final = ("/output.jsonl", "/errors.jsonl")  # of the provider's files in the archive
LIMITS: Final = Limits()
SHARD_ITEMS: Final = 50_000
LINE_BYTES: Final = 2_500
PUTS: Final = 300  # of boto3 in each round
THREADS: Final = 10
PUT_SHARE_MAX: Final = 0.02
OBJECTS_SHARE_MAX: Final = 0.15
LATENCY_MS: Final = 22
LATENCY_ITEMS: Final = 50_000
LATENCY_BOUNDS_MAX: Final = 1.2
MEMORY_ITEMS: Final = (50_000, 500_000)
# Outputs that the disk does not hold, at a hundredth of what a function has.
LARGE_ITEMS: Final = (45, 450)
LARGE_LINE_BYTES: Final = 100_000
LARGE_DISK_BYTES: Final = 20_000_000
LARGE_MORE_MB_MAX: Final = 24

type PutMany = Callable[[Iterable[tuple[str, bytes]]], int]


def forget(objects: Iterable[tuple[str, bytes]]) -> int:
    """Let objects be made, and drop them."""
    return sum(1 for _ in objects)


class FolderStorage:
    """Both buckets as a folder; item objects go where *put_many* puts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.put_many: PutMany = forget
        self.is_upload_gone = False
        self.keeps_archive = False

    def path(self, key: str) -> Path:
        """Return where an object lies."""
        return self.folder / hashlib.sha256(key.encode()).hexdigest()

    def open_upload(self, upload: Upload, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open the upload at a byte."""
        if self.is_upload_gone:
            raise UploadRejected("unreadable", "it is gone")
        stream = self.path(upload.key).open("rb", buffering=1 << 20)
        stream.seek(start)
        return stream

    def read(self, key: str) -> bytes | None:
        """Return an object whole."""
        return self.path(key).read_bytes() if self.path(key).exists() else None

    def open(self, key: str, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open an object."""
        if not self.path(key).exists():
            raise NotYet(key)
        stream = self.path(key).open("rb", buffering=1 << 20)
        stream.seek(start)
        return stream

    def size_bytes(self, key: str) -> int | None:
        """Return an object's size."""
        return self.path(key).stat().st_size if self.path(key).exists() else None

    def put(self, key: str, content: bytes, _content_type: str = "") -> None:
        """Write an object."""
        self.path(key).write_bytes(content)

    @contextmanager
    def open_ranges(self, key: str) -> Iterator["Parts"]:
        """Open an object for reading parts of it."""
        with self.open(key) as stream:
            yield Parts(stream)

    @contextmanager
    def writer(self, key: str, _content_type: str = "") -> Iterator[Any]:
        """Write a part; drop what a person would read, and the archive where it is never read back."""
        is_kept = key.startswith(INTERNAL_PREFIX) and (self.keeps_archive or not key.endswith(RAW_NAMES))
        with self.path(key).open("wb") if is_kept else Nowhere() as target:
            yield target


@dataclass(frozen=True, slots=True)
class Parts:
    """One object."""

    stream: BinaryIO

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Return the bytes at each place."""
        return [os.pread(self.stream.fileno(), size_bytes, start) for start, size_bytes in places]


class Nowhere(io.RawIOBase):
    """Takes everything and keeps nothing."""

    def write(self, content: Any) -> int:  # noqa: ANN401  bytes of any kind
        """Drop *content*."""
        return len(content)


class FolderProvider:
    """The provider's files, as paths."""

    dialects = Dialects()

    def open(self) -> "FolderProvider":
        """Return the provider."""
        return self

    def download(self, file: str, target: ByteSink) -> int:
        """Copy the file, in pieces as the real one gives them."""
        with Path(file).open("rb", buffering=0) as source:
            return sum(map(target.write, iter(lambda: source.read(1 << 20), b"")))


class Quiet:
    """Logs nothing; time stands still."""

    def info(self, event: str, **fields: object) -> None:
        """Say nothing."""

    warning = info

    def now(self) -> int:
        """Return no time."""
        return 0

    def remaining_seconds(self) -> float:
        """Return a whole invocation's time."""
        return float(LIMITS.worker_timeout_seconds)


@dataclass(frozen=True, slots=True)
class Harvestable:
    """A job whose batches have ended."""

    ports: Ports
    storage: FolderStorage
    job: Job
    shards: Sequence[Shard]
    answers: Sequence[Path]
    limits: Limits = LIMITS

    @property
    def planned(self) -> PlannedJob:
        """The job, opened anew, as an invocation opens it."""
        return PlannedJob(self.ports.storage, self.job, self.limits)

    def derive(self) -> None:
        """Archive each batch and derive its outcomes, as for the first time: a repeat puts no step of objects again."""
        for shard, file in zip(self.shards, self.answers, strict=True):
            steps = Keys(self.job.id, self.job.key).put_steps(shard.number, shard.attempt.number)
            self.storage.path(steps).unlink(missing_ok=True)
            batch = Batch("batch_1", "completed", 1, output_file=str(file), total=shard.items, completed=shard.items)
            with archive(self.ports, self.limits, self.job, shard, batch) as found:
                derive(self.ports, self.planned, shard, found, batch)

    def split(self) -> None:
        """Derive everything and merge it."""
        self.derive()
        results = merge(self.ports, self.planned, self.shards)
        assert results.succeeded == self.job.items  # noqa: S101 - or the figures mean nothing


@contextmanager
def answered(kind: str, items: int, answer_bytes: int = LINE_BYTES) -> Iterator[Harvestable]:
    """Yield a job of so many items that was planned and answered."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        storage: Any = FolderStorage(folder)
        upload = Upload("inbox", f"inbox/t/reviews.{kind}", "1")
        with storage.path(upload.key).open("wb") as target:
            target.writelines({"csv": table, "jsonl": lines}[kind](items, min(LONG, answer_bytes - SHORT)))
        job = planned(storage, upload)
        quiet: Any = Quiet()
        provider: Any = FolderProvider()
        ports = Ports(quiet, quiet, quiet, storage, provider, quiet, quiet, quiet, "inbox", "results", "w")
        group, rows = (
            job.groups[0],
            [(first, min(first + SHARD_ITEMS, items)) for first in range(0, items, SHARD_ITEMS)],
        )
        shards = [
            Shard(
                job=job.id, number=number, account="a", endpoint=group.endpoint, model=group.model, group=0,
                first_line=first, end_line=end, attempt=Attempt(batch="batch_1"),
            )
            for number, (first, end) in enumerate(rows)
        ]  # fmt: skip
        files = [folder / f"answers-{first}" for first, _ in rows]
        for (first, end), file in zip(rows, files, strict=True):
            write_answers(file, range(first + 1, end + 1), answer_bytes)
        yield Harvestable(ports, storage, job, shards, files)


def planned(storage: Any, upload: Upload) -> Job:  # noqa: ANN401 - the part of the port that is used
    """Return the planned job."""
    job = Job(id=upload.job_id, bucket="inbox", key=upload.key, version=upload.version, created_at=1, task="t")
    job = replace(job, snapshot=pin_task(PlannedJob(storage, job), TASK).digest)
    for page in plan_pages(PlannedJob(storage, job, LIMITS), lambda: False):
        job = replace(job, plan=page.cursor, groups=page.groups, items=page.items, refused=page.refused)
    return job


def write_answers(path: Path, rows: range, line_bytes: int) -> None:
    """Write an output file in another order than the rows."""
    count = len(rows)
    text = "word " * ((line_bytes - 500) // 5)
    with path.open("wb") as target:
        for place in range(count):
            row = rows[place * 7_919 % count]
            message = {"role": "assistant", "content": text, "refusal": None}
            body = {
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-2026",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 80, "completion_tokens": 400, "total_tokens": 480},
            }  # fmt: skip
            response = {"status_code": 200, "request_id": f"{row:032x}", "body": body}
            line = {"id": f"batch_req_{row:024x}", "custom_id": str(row), "response": response, "error": None}
            target.write(json.dumps(line).encode() + b"\n")


def put_alone(client: Any, puts: int) -> None:  # noqa: ANN401 - boto3 makes its clients' types at run time
    """Put objects of an item's size one after the other."""
    content = b"x" * (LINE_BYTES + 700)
    for number in range(puts):
        client.put_object(Bucket="b", Key=f"items/{number}.json", Body=content)


def peer(client: Any, answers: Path, items: int) -> None:  # noqa: ANN401 - boto3 makes its clients' types at run time
    """Make objects of *items* answers the usual way."""

    def put(line: bytes) -> None:
        answer = json.loads(line)
        body = answer["response"]["body"]
        item = {
            "row": int(answer["custom_id"]), "status": "succeeded", "output": body["choices"][0]["message"]["content"],
            "model": body["model"], "usage": body["usage"], "response": body,
        }  # fmt: skip
        client.put_object(Bucket="b", Key=f"items/{answer['custom_id']}.json", Body=json.dumps(item).encode())

    with answers.open("rb") as source, ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(put, (line for line, _ in zip(source, range(items), strict=False))):
            pass


def measured(kind: str, items: int, rounds: int) -> Sequence[Row]:
    """Return what an item of an upload of one *kind* costs."""
    with answered(kind, items) as made, sink("swallowing", "0") as endpoint:
        client, put_many = boto3_at(endpoint, THREADS), storage_at(endpoint).put_many
        put_alone(client, 50)

        def split(put_many: PutMany) -> None:
            made.storage.put_many = put_many
            made.split()

        def bare() -> None:
            """Parse, spool and merge in order, and nothing else: there is no upload to join."""
            made.storage.is_upload_gone, made.storage.put_many = True, forget
            made.split()
            made.storage.is_upload_gone = False

        ways: dict[str, tuple[Callable[[], None], int]] = {
            "split": (lambda: split(forget), items),
            "bare": (bare, items),
            "put": (lambda: put_alone(client, PUTS), PUTS),
            "objects": (lambda: split(put_many), items),
            "peer": (lambda: peer(client, made.answers[0], PUTS), PUTS),
        }
        found = [{name: cpu_seconds(way) * 1e6 / count for name, (way, count) in ways.items()} for _ in range(rounds)]
    cost = {name: median(figures[name] for figures in found) for name in ways}
    bare_share, put_share = (median(figures[way] / figures["put"] for figures in found) for way in ("bare", "split"))
    objects_share = median(figures["objects"] / figures["peer"] for figures in found)
    return [
        at_most(
            f"split, {kind}: parse, spool and ordered merge, of one put_object", bare_share, PUT_SHARE_MAX, "%",
            f"{cost['bare']:.0f} of {cost['put']:,.0f} us",
        ),
        Row(f"split, {kind}: CPU an item, with its record, bill, report and results", "", cost["split"], "us"),
        at_most(f"split, {kind}: all that, of one put_object", put_share, PUT_SHARE_MAX, "%"),
        Row(f"split, {kind}: CPU an item with its object", "", cost["objects"], "us"),
        at_most(
            f"split, {kind}: of json with boto3 threads", objects_share, OBJECTS_SHARE_MAX, "%",
            f"{cost['peer']:,.0f} us an item",
        ),
    ]  # fmt: skip


def through_latency(items: int = LATENCY_ITEMS) -> Row:
    """Return how long objects take into a store that is far away, beside what it takes at least."""
    with answered("csv", items) as made, sink("swallowing", str(LATENCY_MS)) as endpoint:
        made.storage.put_many = storage_at(endpoint).put_many
        started, cpu = time.perf_counter(), time.process_time()
        made.derive()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    bound = items * LATENCY_MS / 1_000 / SMALL_PUTS_IN_FLIGHT
    return at_most(
        f"split: {items:,} objects, {LATENCY_MS} ms each, of the latency bound", seconds / bound, LATENCY_BOUNDS_MAX, "x",
        f"{seconds:.1f} s; bound {bound:.1f} s; {cpu:.1f} s of CPU",
    )  # fmt: skip


def measure(items: int = ITEMS, rounds: int = ROUNDS) -> Sequence[Row]:
    """Return the figures of splitting."""
    return [
        *(row for kind in KINDS for row in measured(kind, items, rounds)),
        through_latency(),
        *memory_rows(__file__, "split", "item", MEMORY_ITEMS),
        large_row(),
    ]


def large_row() -> Row:
    """Return what outputs that the disk does not hold take more of memory than a tenth of them."""
    few, many = (printed(__file__, "--large", str(count)) for count in LARGE_ITEMS)
    sizes = [count * LARGE_LINE_BYTES / 1e6 for count in LARGE_ITEMS]
    return at_most(
        f"split: memory that {sizes[1]:g} MB of answers take more than {sizes[0]:g} MB, {LARGE_DISK_BYTES / 1e6:g} MB of disk",
        many - few, LARGE_MORE_MB_MAX, "MB", f"{many:.0f} MB then",
    )  # fmt: skip


def print_large_peak(items: int) -> None:
    """Split *items* long answers, of which the disk holds some, and print the most memory that it took."""
    with answered("jsonl", items, LARGE_LINE_BYTES) as made:
        made.storage.keeps_archive = True
        replace(made, limits=replace(LIMITS, answer_spool_bytes_max=LARGE_DISK_BYTES)).split()
    print(own_peak_mb())


def print_peak(items: int) -> None:
    """Split *items* short answers and print the most memory that it took."""
    with answered("csv", items, SHORT + 500) as made:
        made.split()
    print(own_peak_mb())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print_peak(int(sys.argv[2]))
    elif sys.argv[1:2] == ["--large"]:
        print_large_peak(int(sys.argv[2]))
    else:
        sys.exit(print_rows(measure(int(sys.argv[1]) if sys.argv[1:] else ITEMS)))
