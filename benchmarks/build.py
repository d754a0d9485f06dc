"""What planning costs: `python benchmarks/build.py [ROWS]` prints CPU a row from the inbox to request lines in S3.

Rule: planning and what it is compared with run in one process, over a store on loopback whose own work is not counted. The ways
take turns; a figure is the median of the rounds, a ratio the median of their ratios, so that a busy machine disturbs all alike.

*copy* reads the lines and writes them as they are; *dump* makes each, unread, the content of one request and encodes that with
the quickest encoder; the *peer* does the whole job as one would at first, with csv or json, whole requests and boto3.
"""

import csv
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
from measuring import cpu_seconds, memory_rows, own_peak_mb
from sinks import boto3_at, sink, storage_at
from table import Row, at_least, print_rows

from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import Limits
from batchdrop.edge.aws.s3 import S3Storage
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.plan import pin_task, plan_pages

ROWS: Final = 50_000
ROUNDS: Final = 7
KINDS: Final = ("csv", "jsonl")
LIMITS: Final = Limits()
COPY_SHARE_MIN: Final = 0.45
DUMP_SHARE_MIN: Final = 0.80
MEMORY_ROWS: Final = (50_000, 500_000)
LONG, SHORT = 2_280, 120  # bytes of a review: lines of 2.5 KB, and such as let half a million be read in a minute

SYSTEM = "Answer with positive, negative or neutral."
TASK = f"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  temperature: 0
  messages:
    - {{role: system, content: "{SYSTEM}"}}
    - {{role: user, content: "{{{{ review }}}}"}}
id: review_id
""".encode()
_SENTENCE = "It arrived on a Tuesday, in a box that was far too large; the handle is loose and the lid does not close. "


def table(rows: int, review_bytes: int = LONG) -> Iterator[bytes]:
    """Yield a CSV of reviews."""
    yield b"review_id,stars,review\n"
    review = (_SENTENCE * 30)[:review_bytes] + ' They called it ""sturdy"".'
    for row in range(rows):
        yield f'R-{row},{row % 5},"{review}"\n'.encode()


def lines(rows: int, review_bytes: int = LONG) -> Iterator[bytes]:
    """Yield the same as JSON lines."""
    review = (_SENTENCE * 30)[:review_bytes] + ' They called it "sturdy".'
    for row in range(rows):
        yield json.dumps({"review_id": f"R-{row}", "stars": row % 5, "review": review}).encode() + b"\n"


@contextmanager
def dropped(kind: str, rows: int, review_bytes: int = LONG) -> Iterator[tuple[str, Job]]:
    """Run a store with one upload in its inbox, and yield its address and the job."""
    upload = Upload("inbox", f"inbox/t/reviews.{kind}", "1")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "upload"
        with file.open("wb") as target:
            target.writelines({"csv": table, "jsonl": lines}[kind](rows, review_bytes))
        with sink("keeping", str(file)) as endpoint:
            job = Job(id=upload.job_id, bucket="inbox", key=upload.key, version="1", created_at=0, task="t")
            yield endpoint, replace(job, snapshot=pin_task(PlannedJob(storage_at(endpoint), job), TASK).digest)


def plan(storage: S3Storage, job: Job) -> None:
    """Plan the job whole."""
    for page in plan_pages(PlannedJob(storage, job, LIMITS), lambda: False):
        assert page.refused == 0  # noqa: S101 - a benchmark of refusals would mean nothing


def copy(storage: S3Storage, job: Job, made_of: Callable[[bytes], bytes] | None = None) -> None:
    """Write the upload's lines, each as what *made_of* makes of it, to objects of a chunk's size."""
    content, number = bytearray(), 0
    with storage.open_upload(Upload("inbox", job.key, job.version)) as stream:
        for line in stream:
            content += made_of(line) if made_of else line
            if len(content) >= LIMITS.chunk_bytes_max - len(line):
                storage.put(f"internal/copy/{number}", bytes(content))
                content, number = bytearray(), number + 1
    storage.put(f"internal/copy/{number}", bytes(content))


def dumped(line: bytes) -> bytes:
    """Return a whole request as the quickest encoder makes it of a dict."""
    return msgspec.json.encode(whole_request("1", line.decode())) + b"\n"


def whole_request(name: str, review: str) -> dict[str, object]:
    """Return a request as a dict."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": review}]
    body = {"model": "gpt-4.1-mini", "temperature": 0, "messages": messages}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}


def peer(client: Any, job: Job) -> None:  # noqa: ANN401 - boto3 makes its clients' types at run time
    """Do what planning does, the usual way."""
    stream = client.get_object(Bucket="inbox", Key=job.key)["Body"]
    records: Iterable[dict[str, str]]
    if job.key.endswith("csv"):
        records = csv.DictReader(io.TextIOWrapper(io.BufferedReader(stream), "utf-8", newline=""))
    else:
        records = map(json.loads, stream.iter_lines())
    content, number = io.BytesIO(), 0
    for record in records:
        request = whole_request(record["review_id"], record["review"])
        content.write(json.dumps(request).encode() + b"\n")
        if content.tell() >= LIMITS.chunk_bytes_max:
            client.put_object(Bucket="results", Key=f"copy/{number}", Body=content.getvalue())
            content, number = io.BytesIO(), number + 1
    client.put_object(Bucket="results", Key=f"copy/{number}", Body=content.getvalue())


def measured(kind: str, rows: int, rounds: int) -> Sequence[Row]:
    """Return the figures of uploads of one *kind*."""
    with dropped(kind, rows) as (endpoint, job):
        storage, client = storage_at(endpoint), boto3_at(endpoint)
        ways: dict[str, Callable[[], None]] = {
            "plan": lambda: plan(storage, job),
            "copy": lambda: copy(storage, job),
            "dump": lambda: copy(storage, job, dumped),
            "peer": lambda: peer(client, job),
        }
        found = [{name: cpu_seconds(way) * 1e6 / rows for name, way in ways.items()} for _ in range(rounds)]
    cost = {name: median(figures[name] for figures in found) for name in ways}
    share = {name: median(figures[name] / figures["plan"] for figures in found) for name in ways}
    detail = f"copy {cost['copy']:.1f}, copy and dump {cost['dump']:.1f}, csv or json with boto3 {cost['peer']:.1f} us"
    return [
        Row(f"build, {kind}: CPU a row", "", cost["plan"], "us", detail),
        at_least(f"build, {kind}: of the speed of copying", share["copy"], COPY_SHARE_MIN, "%"),
        at_least(f"build, {kind}: of the speed of copy and dump", share["dump"], DUMP_SHARE_MIN, "%"),
        Row(f"build, {kind}: times as fast as the peer", "", share["peer"], "x"),
    ]


def measure(rows: int = ROWS, rounds: int = ROUNDS) -> Sequence[Row]:
    """Return the figures of building."""
    return [
        *(row for kind in KINDS for row in measured(kind, rows, rounds)),
        *memory_rows(__file__, "build", "row", MEMORY_ROWS),
    ]


def print_peak(rows: int) -> None:
    """Plan *rows* short rows and print the most memory that it took."""
    with dropped("csv", rows, SHORT) as (endpoint, job):
        plan(storage_at(endpoint), job)
    print(own_peak_mb())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print_peak(int(sys.argv[2]))
    else:
        sys.exit(print_rows(measure(int(sys.argv[1]) if sys.argv[1:] else ROWS)))
