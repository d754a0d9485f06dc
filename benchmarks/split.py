"""What splitting costs: answers of 2.5 KB become outcomes, a part and result files, without the PUT of each item.

Run: python benchmarks/split.py [--shards 1] [--items 50000]
Prints CPU for each item, beside the CPU of one boto3 `put_object` to a sink on loopback (plain HTTP; TLS costs more), and
the peak of memory above what stood before. The store is a folder on disk, item objects go nowhere.
"""

import argparse
import hashlib
import io
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import boto3
from botocore.config import Config

from batchdrop.core.batches import Batch
from batchdrop.core.errors import NotYet
from batchdrop.core.jobs import INTERNAL_PREFIX, Upload
from batchdrop.core.ledger_rows import Job, Shard
from batchdrop.core.limits import Limits
from batchdrop.flow.harvest import archive, derive
from batchdrop.flow.lines import read_chunks
from batchdrop.flow.merge import merge
from batchdrop.flow.plan import plan_pages
from batchdrop.flow.ports import Ports

LINE_BYTES = 2_500
PUTS = 1_000
SINK = r"""
import http.server, sys
class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("ETag", '"0"'); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
print(server.server_port, flush=True)
server.serve_forever()
"""


class FolderStorage:
    """Both buckets as a folder; item objects are encoded and dropped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items = 0

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()

    def open_upload(self, upload: Upload, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open the upload at a byte."""
        stream = self._path(upload.key).open("rb", buffering=1 << 20)
        stream.seek(start)
        return stream

    def read(self, key: str) -> bytes | None:
        """Return an object whole."""
        return self._path(key).read_bytes() if self._path(key).exists() else None

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Open an object."""
        if not self._path(key).exists():
            raise NotYet(key)
        return self._path(key).open("rb", buffering=1 << 20)

    def size_bytes(self, key: str) -> int | None:
        """Return an object's size."""
        return self._path(key).stat().st_size if self._path(key).exists() else None

    def put(self, key: str, content: bytes, _content_type: str = "") -> None:
        """Write an object."""
        self._path(key).write_bytes(content)

    def put_many(self, objects: Iterable[tuple[str, bytes]]) -> int:
        """Drop the item objects."""
        count = sum(1 for _ in objects)
        self.items += count
        return count

    def put_file(self, key: str, source: BinaryIO, _content_type: str = "") -> None:
        """Drop the archive: it is never read back here."""

    @contextmanager
    def writer(self, key: str, _content_type: str = "") -> Iterator[Any]:
        """Write a part; drop what a person would read."""
        with self._path(key).open("wb") if key.startswith(INTERNAL_PREFIX) else Nowhere() as target:
            yield target


class Nowhere(io.RawIOBase):
    """Takes everything and keeps nothing."""

    def write(self, content: Any) -> int:  # noqa: ANN401  bytes of any kind
        """Drop *content*."""
        return len(content)


class FolderProvider:
    """The provider's files, as paths."""

    def open(self) -> "FolderProvider":
        """Return the provider."""
        return self

    def download(self, file: str, target: BinaryIO) -> int:
        """Copy the file."""
        with Path(file).open("rb") as source:
            shutil.copyfileobj(source, target, 1 << 20)
        return target.tell()


class Quiet:
    """Logs nothing; time stands still."""

    def info(self, event: str, **fields: object) -> None:
        """Say nothing."""

    warning = info

    def now(self) -> int:
        """Return no time."""
        return 0


def cpu_seconds() -> float:
    """Return the CPU that this process used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """Return the most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def write_upload(path: Path, items: int) -> None:
    """Write ready-made requests."""
    with path.open("wb") as target:
        for row in range(items):
            body = {"model": "m", "messages": [{"role": "user", "content": f"{row} " + "word " * 60}]}
            target.write(json.dumps(body).encode() + b"\n")


def write_answers(path: Path, rows: range) -> None:
    """Write an output file in another order than the rows."""
    count = len(rows)
    text = "word " * ((LINE_BYTES - 500) // 5)
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


def planned(storage: FolderStorage, upload: Upload) -> Job:
    """Return the planned job."""
    job = Job(id=upload.job_id, bucket=upload.bucket, key=upload.key, version=upload.version, created_at=1)
    for page in plan_pages(storage, Limits(), job, lambda: False):  # type: ignore[arg-type]  # the part that is used
        job = replace(job, plan=page.cursor, groups=page.groups, items=page.items, refused=page.refused)
    return job


def put_cpu_seconds() -> float:
    """Return the CPU of one boto3 put_object of an item's size."""
    with subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True) as sink:  # noqa: S603  our own text
        assert sink.stdout is not None  # noqa: S101  it is piped
        client: Any = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{int(sink.stdout.readline())}", region_name="eu-west-1",
            aws_access_key_id="key", aws_secret_access_key="none", config=Config(s3={"addressing_style": "path"}),  # noqa: S106  a sink asks for no secret
        )  # fmt: skip
        content = b"x" * (LINE_BYTES + 700)
        for number in range(50):
            client.put_object(Bucket="b", Key=f"items/{number}.json", Body=content)
        start = cpu_seconds()
        for number in range(PUTS):
            client.put_object(Bucket="b", Key=f"items/{number}.json", Body=content)
        spent = cpu_seconds() - start
        sink.kill()
    return spent / PUTS


def main() -> None:
    """Split, merge, compare."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--items", type=int, default=50_000)
    arguments.add_argument("--shards", type=int, default=1)
    given = arguments.parse_args()
    total = given.items * given.shards
    with tempfile.TemporaryDirectory() as folder:
        storage = FolderStorage(Path(folder))
        upload = Upload("inbox", "inbox/a.jsonl", "v1")
        write_upload(storage._path(upload.key), total)  # noqa: SLF001  the benchmark's own store
        job = planned(storage, upload)
        chunks = read_chunks(storage, job)  # type: ignore[arg-type]  # the part that is used
        quiet: Any = Quiet()
        parts: Any = (storage, FolderProvider())
        ports = Ports(quiet, quiet, quiet, parts[0], parts[1], quiet, quiet, quiet, "inbox", "results", "w")
        for number in range(given.shards):
            write_answers(
                Path(folder) / f"answers-{number}", range(number * given.items + 1, (number + 1) * given.items + 1)
            )
        baseline_mb, start, wall = peak_mb(), cpu_seconds(), time.monotonic()
        shards = []
        for number in range(given.shards):
            shard = Shard(
                job=job.id, number=number, account="a", endpoint="/v1/chat/completions", model="m", group=0,
                first_line=number * given.items, end_line=(number + 1) * given.items, batch="batch_1",
            )  # fmt: skip
            batch = Batch(
                "batch_1",
                "completed",
                1,
                output_file=f"{folder}/answers-{number}",
                total=given.items,
                completed=given.items,
            )
            with archive(ports, job, shard, batch) as answers:
                derive(ports, Limits(), job, shard, chunks, answers, batch)
            shards.append(shard)
        split = cpu_seconds() - start
        results = merge(ports, job, shards, chunks)
        merged = cpu_seconds() - start - split
        assert (results.succeeded, storage.items) == (total, total)  # noqa: S101  or the figures mean nothing
        print(f"{total:,} items in {time.monotonic() - wall:.1f} s")
        print(f"peak memory above the baseline of {baseline_mb:.0f} MB: {peak_mb() - baseline_mb:.1f} MB")
    put = put_cpu_seconds()
    for name, seconds in (("split", split), ("merge", merged), ("both", split + merged)):
        each = seconds / total
        print(
            f"{name}: {each * 1e6:.1f} us of CPU an item, {each / put:.1%} of one boto3 put_object ({put * 1e6:.0f} us)"
        )


if __name__ == "__main__":
    main()
