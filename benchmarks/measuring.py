"""How processor time and memory are taken, for the benchmarks that take either.

Rule: a process's peak stays with it, so memory is that of a process of its own, which prints it.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from table import Row, at_most

MEMORY_MB_MAX: Final = 160
MORE_BYTES_MAX: Final = 64  # that each further row or item may take


def cpu_seconds(work: Callable[[], None]) -> float:
    """Return the CPU time of all threads that *work* takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def own_peak_mb() -> float:
    """Return the most memory that this process held. What getrusage says is at least what its parent held when it was started."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def printed(script: str, *arguments: str) -> float:
    """Return the number that a benchmark's *script* prints, run as a process of its own."""
    command = [sys.executable, script, *arguments]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)  # noqa: S603 - a file of this folder


def memory_rows(script: str, name: str, what: str, counts: tuple[int, int]) -> Sequence[Row]:
    """Return the peak with the fewer of *counts*, and what each of *what* takes more; `script --peak COUNT` prints a peak."""
    few, many = counts
    small, large = (printed(script, "--peak", str(count)) for count in counts)
    each = max(0.0, (large - small) * (1 << 20) / (many - few))
    return [
        at_most(f"{name}: peak memory, {few:,} {what}s", small, MEMORY_MB_MAX, "MB"),
        at_most(
            f"{name}: memory of each {what} more, up to {many:,}", each, MORE_BYTES_MAX, "bytes", f"{large:.0f} MB then"
        ),
    ]  # fmt: skip
