"""What planning costs: `python benchmarks/build.py [ROWS]` prints CPU a row from the inbox to request lines in S3.

Rule: planning and what it is compared with run in one process, over the same storage adapter, against a store on loopback whose
own work is not counted. The ways take turns, and each shows its best round, so that a busy machine disturbs all alike.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from batchdrop.core.jobs import Upload
from batchdrop.core.ledger_rows import Job
from batchdrop.core.limits import Limits
from batchdrop.edge.storage import S3Storage, open_bucket
from batchdrop.flow.plan import pin_task, plan_pages

ROWS = 50_000
ROUNDS = 3
LIMITS = Limits()
COPY_SHARE_MIN = 0.45
DUMP_SHARE_MIN = 0.80
MEMORY_MB_MAX = 160
_KEPT_BYTES_MAX = 100_000

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


def table(rows: int) -> Iterator[bytes]:
    """Yield a CSV whose request lines have 2.5 KB."""
    yield b"review_id,stars,review\n"
    sentence = (
        "It arrived on a Tuesday, in a box that was far too large; the handle is loose and the lid does not close. "
    )
    review = (sentence * 30)[:2_280] + ' They called it ""sturdy"".'
    for row in range(rows):
        yield f'R-{row},{row % 5},"{review}"\n'.encode()


class Store(BaseHTTPRequestHandler):
    """The few calls of S3 that planning makes; large objects are counted and forgotten."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    kept: dict[str, bytes] = {}  # noqa: RUF012 - one store a process, shared by its connections

    def do_HEAD(self) -> None:
        """Answer with the object's size."""
        self._answer(200, len(self.kept[self._key]), {})

    def do_GET(self) -> None:
        """Answer with the object or a range of it."""
        content = self.kept[self._key]
        if wanted := self.headers.get("Range"):
            first, last = (int(bound) for bound in wanted.removeprefix("bytes=").split("-"))
            part = memoryview(content)[first : last + 1]
            self._answer(206, len(part), {"Content-Range": f"bytes {first}-{last}/{len(content)}"})
            self.wfile.write(part)
        else:
            self._answer(200, len(content), {})
            self.wfile.write(content)
        self.wfile.flush()

    def do_PUT(self) -> None:
        """Take an object."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if len(content) < _KEPT_BYTES_MAX:
            self.kept[self._key] = content
        self._answer(200, 0, {})

    @property
    def _key(self) -> str:
        return self.path.partition("?")[0]

    def _answer(self, status: int, size_bytes: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        common = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT", "Content-Length": str(size_bytes)}
        for name, value in (common | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def serve(rows: int) -> None:
    """Be the store, with one table in its inbox, and print its port."""
    Store.kept["/inbox/inbox/t/reviews.csv"] = b"".join(table(rows))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def store(rows: int) -> Iterator[S3Storage]:
    """Run a store and open it."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-central-1"}
    command = [sys.executable, str(Path(__file__)), "--serve", str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - this very file
        try:
            assert server.stdout is not None  # noqa: S101 - it was asked for
            endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
            yield S3Storage(open_bucket("inbox", endpoint), open_bucket("results", endpoint), "inbox")
        finally:
            server.terminate()


def copy(storage: S3Storage, upload: Upload, made_of: Callable[[bytes], bytes]) -> None:
    """Write the upload's lines, each as what *made_of* makes of it, to objects of a chunk's size."""
    content, number = bytearray(), 0
    with storage.open_upload(upload) as stream:
        for line in stream:
            content += made_of(line)
            if len(content) >= LIMITS.chunk_bytes_max - len(line):
                storage.put(f"internal/copy/{number}", bytes(content))
                content, number = bytearray(), number + 1
    storage.put(f"internal/copy/{number}", bytes(content))


def dumped(line: bytes) -> bytes:
    """Return a whole request as the quickest encoder makes it of a dict."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": line.decode()}]
    body = {"model": "gpt-4.1-mini", "temperature": 0, "messages": messages}
    request = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return msgspec.json.encode(request) + b"\n"


def plan(storage: S3Storage, job: Job) -> None:
    """Plan the job whole."""
    page = list(plan_pages(storage, LIMITS, job, lambda: False))[-1]
    assert page.refused == 0  # noqa: S101 - a benchmark of refusals would mean nothing


def cpu_seconds(work: Callable[[], None]) -> float:
    """Return the CPU time of all threads that *work* takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main(rows: int) -> int:
    """Print the figures; 0 where all goals are met."""
    upload = Upload("inbox", "inbox/t/reviews.csv", "1")
    with store(rows) as storage:
        job = Job(id=upload.job_id, bucket="inbox", key=upload.key, version="1", created_at=0, task="t")
        job = replace(job, snapshot=pin_task(storage, job, TASK).digest)
        ways = {
            "plan": lambda: plan(storage, job),
            "copy": lambda: copy(storage, upload, lambda line: line),
            "copy + dump": lambda: copy(storage, upload, dumped),
        }
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rounds = [{name: cpu_seconds(way) for name, way in ways.items()} for _ in range(ROUNDS)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best = {name: min(found[name] for found in rounds) * 1e6 / rows for name in ways}
    for name, cost in best.items():
        print(f"{name:<12} {cost:6.1f} us of CPU a row")
    copy_share, dump_share = best["copy"] / best["plan"], best["copy + dump"] / best["plan"]
    print(f"speed of copying        {copy_share:5.0%}  (goal {COPY_SHARE_MIN:.0%})")
    print(f"speed of copy + dump    {dump_share:5.0%}  (goal {DUMP_SHARE_MIN:.0%})")
    print(f"peak memory           {peak / 1024:5.0f} MB (goal {MEMORY_MB_MAX} MB; {before / 1024:.0f} MB before)")
    return 0 if copy_share >= COPY_SHARE_MIN and dump_share >= DUMP_SHARE_MIN and peak < MEMORY_MB_MAX * 1024 else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]))
    else:
        sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else ROWS))
