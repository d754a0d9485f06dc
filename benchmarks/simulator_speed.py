"""How fast the simulator is, and how much memory a line costs it: `python benchmarks/simulator_speed.py [LINES]`.

Rule: every figure is compared with its limit, and the exit status says whether all of them hold.
The file goes through the SDK on a virtual clock, and CPU time is taken, so that only its own work is measured.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import openai
from table import Row, at_most, print_rows

from openai_batch_simulator import Simulator, VirtualClock
from openai_batch_simulator.http.transport import transport
from openai_batch_simulator.messages import Request

LINES = 50_000
WORK_SECONDS_MAX = 10.0
LINE_BYTES_MAX = 200.0
CALL_SECONDS_MAX = 0.001
CALLS = 2_000
# What importing, the SDK and buffers of fixed size take is the same for a tenth of the lines, and is subtracted.
SMALL_SHARE = 10


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure beside its limit."""

    name: str
    measured: float
    limit: float
    unit: str


def write_requests(path: Path, count: int) -> None:
    """Write *count* chat requests of about 400 bytes each."""
    prompt = "The parcel came two days late, but the shop wrote to me before I asked, and that I liked. " * 2
    with path.open("w", encoding="utf-8") as target:
        for number in range(count):
            target.write(
                f'{{"custom_id":"{number:09}","method":"POST","url":"/v1/chat/completions","body":{{"model":"gpt-4.1-mini",'
                f'"messages":[{{"role":"system","content":"Answer with positive, negative or neutral."}},'
                f'{{"role":"user","content":"{prompt}{number}"}}]}}}}\n'
            )


def peak_bytes() -> int:
    """Return the most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_file(simulator: Simulator, client: openai.OpenAI, path: Path) -> tuple[float, float]:
    """Upload *path* and run it to its end; return the seconds of the upload and of the work."""
    started = time.process_time()
    with path.open("rb") as source:
        file = client.files.create(file=("requests.jsonl", source), purpose="batch")
    uploaded = time.process_time()
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    simulator.clock.advance(60)
    simulator.advance()
    worked = time.process_time()
    status = client.batches.retrieve(batch.id).status
    if status != "completed":
        raise SystemExit(f"the batch is {status}, not completed")
    return uploaded - started, worked - uploaded


def seconds_per_call(simulator: Simulator, client: openai.OpenAI) -> Iterator[tuple[str, float]]:
    """Yield the time of one retrieve, of the simulator alone and with the SDK around it."""
    batch_id = client.batches.list(limit=1).data[0].id
    request = Request(method="GET", path=f"/v1/batches/{batch_id}", headers={"authorization": "Bearer key"})
    started = time.process_time()
    for _ in range(CALLS):
        simulator.handle(request)
    yield "one call on the virtual clock", (time.process_time() - started) / CALLS
    started = time.process_time()
    for _ in range(CALLS // 10):
        client.batches.retrieve(batch_id)
    yield "(for comparison) the same through the SDK", (time.process_time() - started) / (CALLS // 10)


def figures(lines: int, folder: Path) -> Iterator[Figure]:
    """Yield every figure."""
    simulator = Simulator(VirtualClock())
    client = openai.OpenAI(
        api_key="key", base_url="http://simulator/v1", http_client=httpx2.Client(transport=transport(simulator))
    )
    small, large = folder / "small.jsonl", folder / "large.jsonl"
    write_requests(small, lines // SMALL_SHARE)
    write_requests(large, lines)
    run_file(simulator, client, small)
    peak_small = peak_bytes()
    upload_seconds, work_seconds = run_file(simulator, client, large)
    line_bytes = (peak_bytes() - peak_small) / (lines - lines // SMALL_SHARE)
    yield Figure(
        f"{lines} requests uploaded, validated, run and written", upload_seconds + work_seconds, WORK_SECONDS_MAX, "s"
    )
    yield Figure("memory of one line above a constant", line_bytes, LINE_BYTES_MAX, "bytes")
    for name, seconds in seconds_per_call(simulator, client):
        limit = CALL_SECONDS_MAX if not name.startswith("(") else float("inf")
        yield Figure(name, seconds * 1000, limit * 1000, "ms")


def measure(lines: int = LINES) -> Sequence[Row]:
    """Return the figures; what is shown for comparison has no limit."""
    with tempfile.TemporaryDirectory() as folder:
        found = list(figures(lines, Path(folder)))
    return [
        at_most(f"simulator: {figure.name}", figure.measured, figure.limit, figure.unit)
        if figure.limit < float("inf")
        else Row(f"simulator: {figure.name}", "", figure.measured, figure.unit)
        for figure in found
    ]


if __name__ == "__main__":
    sys.exit(print_rows(measure(*map(int, sys.argv[1:2]))))
