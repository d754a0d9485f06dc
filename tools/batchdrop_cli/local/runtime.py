"""Runs one Lambda function in the real runtime client. Run by path as the function's bootstrap, never imported.

Rule: the function sees what it would see in Lambda: its own folder, the layer, the runtime client, and no
site-packages. Its output goes to a file of its own, with the lines that Lambda writes before and after each invocation: a
start, and how long it took with the peak of memory. A start without a report is an invocation whose process died.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from awslambdaric import bootstrap  # type: ignore[import-not-found]  # installed in its own folder only
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient  # type: ignore[import-not-found]

BYTES_PER_MEGABYTE = 1_000_000


class ReportingClient(LambdaRuntimeClient):  # type: ignore[misc]  # it has no types
    """The runtime client, which reports each invocation once it is over: when it asks for the next one."""

    def __init__(self, address: str) -> None:
        # The emulator's Runtime API answers below a folder alone, which the client's native part takes as it comes.
        host, _, self._folder = address.partition("/")
        super().__init__(host, use_thread_for_polling_next=True)  # as Lambda does from Python 3.12 on
        self._request_id = ""
        self._wall_start_seconds = time.perf_counter()
        self._processor_start_seconds = 0.0
        self._initialisation: dict[str, float] | None = None

    def wait_next_invocation(self) -> Any:  # noqa: ANN401  # the client's own, untyped
        """Report the invocation before, and return the next."""
        if self._request_id:
            self._report()
        elif self._initialisation is None:
            wall = milliseconds_since(self._wall_start_seconds)
            self._initialisation = {"initDurationMs": wall, "initProcessorMs": round(time.process_time() * 1000, 1)}
        invocation = super().wait_next_invocation()
        self._request_id = invocation.invoke_id
        self._wall_start_seconds = time.perf_counter()
        self._processor_start_seconds = time.process_time()
        write_platform_line("platform.start", {"requestId": self._request_id, "processId": os.getpid()})
        return invocation

    def call_rapid(self, http_method: str, endpoint: str, *rest: Any, **named: Any) -> None:  # noqa: ANN401  # the client's own
        """Make one of the rare calls that the client's native part does not make."""
        super().call_rapid(http_method, f"/{self._folder}{endpoint}", *rest, **named)

    def _report(self) -> None:
        metrics = {
            "durationMs": milliseconds_since(self._wall_start_seconds),
            "processorMs": round((time.process_time() - self._processor_start_seconds) * 1000, 1),
            "maxMemoryUsedMB": peak_memory_megabytes(),
            "memorySizeMB": int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")),
        }
        metrics |= self._initialisation or {}
        self._initialisation = {}
        record = {"requestId": self._request_id, "processId": os.getpid(), "metrics": metrics}
        write_platform_line("platform.report", record)


def write_platform_line(kind: str, record: dict[str, Any]) -> None:
    """Write one of the platform's own lines, at once, so that a process that is killed has said what it began."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "type": kind, "record": record}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def milliseconds_since(start_seconds: float) -> float:
    """Return the time since *start_seconds* of the performance counter."""
    return round((time.perf_counter() - start_seconds) * 1000, 1)


def peak_memory_megabytes() -> float:
    """Return the most memory that this process ever held, of 10^6 bytes.

    Linux hands `ru_maxrss` on from the emulator, which started this process, so the kernel's own mark is read where
    there is one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (mark,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(mark.split()[1]) * 1024 / BYTES_PER_MEGABYTE, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / BYTES_PER_MEGABYTE, 1)


def main() -> None:
    """Serve the function named by _HANDLER, its output added to the file named by the argument."""
    with Path(sys.argv[1]).open("ab", buffering=0) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    bootstrap.run(os.environ["_HANDLER"], ReportingClient(os.environ["AWS_LAMBDA_RUNTIME_API"]))


if __name__ == "__main__":
    main()
