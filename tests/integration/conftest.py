"""The embedded AWS, bare and with the whole stack on it, started once for all tests that ask for it.

Each is a process of its own and belongs to one worker of xdist, which is given whole files (`--dist loadfile`).
"""

import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.subscriber import Subscriber

from batchdrop_cli.local.emulator import Address, free_port, running_emulator
from batchdrop_cli.local.environments import Environments, prepare, prepare_tool
from batchdrop_cli.local.processes import Child
from batchdrop_cli.local.provider import LocalProvider
from batchdrop_cli.local.stack import REPOSITORY, LocalSettings, LocalStack

PROBE = Path(__file__).with_name("probe")
NOBODY = LocalProvider(
    "http://127.0.0.1:9/v1", "sk-nobody", simulated=True, control_token="none"
)  # the discard port: nothing listens there

# A batch takes half a second instead of some seconds.
QUICK = ("--validate-seconds", "0.1", "--run-seconds", "0.2", "--finalize-seconds", "0.1")

SHARED_PROCESSES = {"local_stack", "probe_stack", "emulator", "second_emulator"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the emulator, so that `-m "not emulator"` leaves them out."""
    for item in items:
        if SHARED_PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.emulator)


@pytest.fixture(scope="session")
def environments() -> Environments:
    """The private environments below the repository's `.local`, installed if they are not."""
    return prepare(REPOSITORY / ".local", REPOSITORY / "requirements", print)


@pytest.fixture(scope="session")
def emulator(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A bare AWS with IAM enforced. Tests make buckets and tables of their own names in it."""
    folder = tmp_path_factory.mktemp("emulator")
    with running_emulator(environments.emulator_python, files=folder / "files", log=folder / "emulator.log") as address:
        yield address


@pytest.fixture(scope="session")
def second_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Another AWS, by other people: what one of the two forgives by accident, the other need not (moto, bare, without IAM)."""
    commands = prepare_tool("moto", REPOSITORY / ".local", REPOSITORY / "requirements", print)
    log = tmp_path_factory.mktemp("moto") / "moto.log"
    address = Address(f"http://127.0.0.1:{free_port()}", "us-east-1", "test", "test")
    port = address.endpoint_url.rpartition(":")[2]
    environment = {"PATH": f"{commands}:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
    server = Child.start(
        "moto", [str(commands / "moto_server"), "-H", "127.0.0.1", "-p", port], environment=environment, log=log
    )
    try:
        server.wait_until_ready(lambda: answers(f"{address.endpoint_url}/moto-api/"), timeout_seconds=30)
        yield address
    finally:
        server.stop()


def answers(url: str) -> bool:
    """Return whether *url* answers."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture(scope="session")
def stack_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the shared stack's `stack.json` and logs."""
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def local_stack(environments: Environments, stack_state: Path) -> Iterator[LocalStack]:
    """The whole stack with the simulator, as `batchdrop local` runs it, but for its own state and quicker batches and ticks."""
    assert environments.emulator_python.exists()
    with LocalStack(LocalSettings(state=stack_state, simulator_options=QUICK, tick_seconds=0.5)) as stack:
        yield stack


@pytest.fixture(scope="session")
def subscriber(local_stack: LocalStack) -> Subscriber:
    """A subscriber to the topic of the whole stack."""
    return Subscriber(local_stack, "a-subscriber")


@pytest.fixture(scope="session")
def probe_settings(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> LocalSettings:
    """How a stack is made whose functions are probes and whose provider is nobody; everything else is the repository's."""
    assert environments.emulator_python.exists()
    repository = tmp_path_factory.mktemp("probe")
    for name in ("template.yaml", "requirements", "layers"):
        (repository / name).symlink_to(REPOSITORY / name)
    for name in ("submit", "poll", "complete"):
        shutil.copytree(PROBE, repository / "functions" / name)
    return LocalSettings(repository=repository, state=repository / "state", provider=NOBODY, tick_seconds=0.5)


@pytest.fixture(scope="session")
def probe_stack(probe_settings: LocalSettings) -> Iterator[LocalStack]:
    """A running stack of probes: `tests/integration/probe` says what they do."""
    with LocalStack(probe_settings) as stack:
        yield stack
