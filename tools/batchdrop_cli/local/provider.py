"""Who answers the requests: the simulator, or a provider that the person named.

Rule: nothing is sent to a provider that costs money unless it was asked for by name; the environment alone is never
enough here.
"""

import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchdrop.core.model.dialects import BY_HOST, OPENAI
from batchdrop_cli.local.private import private_folder
from batchdrop_cli.local.processes import Child

OPENAI_BASE_URL = "https://api.openai.com/v1"
START_TIMEOUT_SECONDS = 15.0  # it takes 0.3 s
RUN_SIMULATOR = "from openai_batch_simulator.main import main; main()"
SIMULATOR_KEY_PREFIX = "sk-simulated-"


@dataclass(frozen=True, slots=True, repr=False)
class LocalProvider:
    """An address of a Files and Batches API, and the key for it. Not shown in logs: it has no repr.

    *control_token* is what the simulator's control calls need; others have none.
    """

    base_url: str
    api_key: str
    simulated: bool
    dialect: str = BY_HOST
    control_token: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "LocalProvider | None":
        """Return the provider that OPENAI_BASE_URL and OPENAI_API_KEY name; None unless both are set.

        PROVIDER_DIALECT says what kind of server it is, where its host does not.
        """
        base_url, api_key = environment.get("OPENAI_BASE_URL"), environment.get("OPENAI_API_KEY")
        dialect = environment.get("PROVIDER_DIALECT") or BY_HOST
        return cls(base_url.rstrip("/"), api_key, simulated=False, dialect=dialect) if base_url and api_key else None


@contextmanager
def running_simulator(*, options: tuple[str, ...], files: Path, log: Path) -> Iterator[LocalProvider]:
    """Run the simulator on a free port of loopback, with *options* of its command. Its key and its token are new each time.

    *files* is its folder, emptied before and after. Raises ChildFailed.
    """
    private_folder(files)
    key, token = f"{SIMULATOR_KEY_PREFIX}{secrets.token_hex(16)}", secrets.token_hex(16)
    ready_file = files / "url"
    command = [sys.executable, "-c", RUN_SIMULATOR, "--port", "0", "--ready-file", str(ready_file)]
    environment = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "TMPDIR": str(files),
        "OPENAI_BATCH_SIMULATOR_KEYS": f"{key}=local",
        "OPENAI_BATCH_SIMULATOR_CONTROL_TOKEN": token,
    }
    child = Child.start("The simulator", [*command, *options], environment=environment, log=log)
    try:
        child.wait_until_ready(lambda: is_written(ready_file), timeout_seconds=START_TIMEOUT_SECONDS)
        url = ready_file.read_text().strip()
        yield LocalProvider(url, key, simulated=True, dialect=_spoken(options), control_token=token)
    finally:
        child.stop()
        shutil.rmtree(files, ignore_errors=True)


def _spoken(options: tuple[str, ...]) -> str:
    """Return the dialect that *options* make the simulator speak: an address on loopback does not tell it."""
    return options[options.index("--dialect") + 1] if "--dialect" in options else OPENAI.name


def is_written(ready_file: Path) -> bool:
    """Say whether the simulator has written its whole address, a line."""
    return ready_file.exists() and bool(ready_file.read_text().strip())
