"""Who answers the requests: the simulator, or a provider that the person named.

Rule: nothing is sent to a provider that costs money unless it was asked for by name; the environment alone is never
enough here.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchdrop_cli.local.processes import Child

START_TIMEOUT_SECONDS = 15.0  # it takes 0.3 s
SIMULATOR_KEY = "sk-simulated"  # opens nothing


@dataclass(frozen=True, slots=True, repr=False)
class Provider:
    """An address of a Files and Batches API, and the key for it. Not shown in logs: it has no repr."""

    base_url: str
    api_key: str
    simulated: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Provider | None":
        """Return the provider that OPENAI_BASE_URL and OPENAI_API_KEY name; None unless both are set."""
        base_url, api_key = environment.get("OPENAI_BASE_URL"), environment.get("OPENAI_API_KEY")
        return cls(base_url.rstrip("/"), api_key, simulated=False) if base_url and api_key else None


@contextmanager
def running_simulator(*, ready_file: Path, log: Path) -> Iterator[Provider]:
    """Run the simulator on a free port of loopback. Raises ChildFailed."""
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "openai_batch_simulator.main", "--port", "0", "--ready-file", str(ready_file)]
    # A name that the code sees nothing of the host by: PATH for the interpreter, no keys.
    child = Child.start("The simulator", command, environment={"PATH": os.defpath, "LANG": "C.UTF-8"}, log=log)
    try:
        child.wait_until_ready(lambda: is_written(ready_file), timeout_seconds=START_TIMEOUT_SECONDS)
        yield Provider(ready_file.read_text().strip(), SIMULATOR_KEY, simulated=True)
    finally:
        child.stop()
        ready_file.unlink(missing_ok=True)


def is_written(ready_file: Path) -> bool:
    """Say whether the simulator has told its whole address, a line."""
    return ready_file.exists() and bool(ready_file.read_text().strip())
