"""From a clone to a first drop, in the words of the README: `make deploy`, `key set`, `doctor`, `drop`, by the real SAM CLI.

The account is the embedded AWS. What is deployed is what `sam build` made, on the runtime that the template names: the
functions run in the emulator's own interpreter, with the built layer's packages before its own.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

import boto3
import pytest

from batchdrop_cli.deployed import read_site
from batchdrop_cli.local.emulator import Address, running_emulator
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.provider import running_simulator
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.ticker import ticking

STACK = "first-stack"
KEY = "sk-simulated"
ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
# A build from nothing takes half a minute on an idle machine; sam itself is installed once, which takes longer.
DEPLOY_TIMEOUT_SECONDS = 600
TICK_SECONDS = 1.0  # nobody waits for the schedule's minute

pytestmark = pytest.mark.slow

REQUEST = {
    "custom_id": "q-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "What is 7 squared?"}]},
}


@dataclass(frozen=True, slots=True)
class Account:
    """A person's shell in a clone, whose environment leads to an AWS account."""

    address: Address
    base_url: str

    def run(self, *command: str, typed: str = "", timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        """Run *command* to its end."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        environment = kept | {
            "AWS_ENDPOINT_URL": self.address.endpoint_url,
            "AWS_DEFAULT_REGION": self.address.region,
            "AWS_REGION": self.address.region,
            "AWS_ACCESS_KEY_ID": self.address.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.address.secret_access_key,
        }
        return subprocess.run(  # noqa: S603  # ours
            command, cwd=REPOSITORY, env=environment, input=typed, capture_output=True, text=True, check=False,
            timeout=timeout_seconds,
        )  # fmt: skip

    def batchdrop(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command for the deployed stack."""
        command = str(Path(sys.executable).with_name("batchdrop"))
        return self.run(command, "--stack", STACK, *words, typed=typed, timeout_seconds=180)


@pytest.fixture(scope="module")
def account(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account with nothing in it, and a provider that knows one key."""
    folder = tmp_path_factory.mktemp("account")
    quick = ("--validate-seconds", "0.1", "--run-seconds", "0.2", "--finalize-seconds", "0.1")
    simulator = running_simulator(
        options=("--key", f"{KEY}=project", *quick), files=folder / "simulator", log=folder / "simulator.log"
    )
    emulator = running_emulator(environments.emulator_python, files=folder / "files", log=folder / "emulator.log")
    with simulator as provider, emulator as address:
        yield Account(address, provider.base_url)


@pytest.fixture(scope="module")
def deployed(account: Account) -> subprocess.CompletedProcess[str]:
    """What `make deploy` said."""
    return account.run(
        "make", "deploy", f"STACK={STACK}", f"ARCHITECTURE={ARCHITECTURE}",
        f"PARAMETERS=OpenAIBaseUrl={account.base_url} NotificationEmail=operator@example.org",
        "SAM_OPTIONS=--no-confirm-changeset",
        timeout_seconds=DEPLOY_TIMEOUT_SECONDS,
    )  # fmt: skip


@pytest.mark.emulator
def test_deploy_makes_the_stack(account: Account, deployed: subprocess.CompletedProcess[str]) -> None:
    """`make deploy` builds and deploys with nothing but the account's keys in the environment."""
    stacks = boto3.client("cloudformation", **account.address.client_options())

    (stack,) = stacks.describe_stacks(StackName=STACK)["Stacks"]

    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


@pytest.mark.emulator
@pytest.mark.usefixtures("deployed")
def test_the_built_layer_has_byte_code_that_is_not_checked() -> None:
    """Compiling at each cold start would cost more than all else; a time stamp in a zip would be that of no source."""
    layer = REPOSITORY / ".aws-sam" / "build" / "Layer"
    flags_unchecked_hash = 0b01  # https://peps.python.org/pep-0552/

    sources = [path for path in (layer / "python" / "batchdrop").rglob("*.py") if path.stat().st_size]
    flags = [Path(cache_from_source(str(path))).read_bytes()[4:8] for path in sources]

    assert len(sources) > 50
    assert {int.from_bytes(flag, "little") for flag in flags} == {flags_unchecked_hash}


@pytest.mark.emulator
@pytest.mark.usefixtures("deployed")
def test_first_drop_on_a_new_stack(account: Account, tmp_path: Path) -> None:
    """Doctor asks for the key, `key set` takes it, and the first drop comes back answered by what was built."""
    drop = tmp_path / "first.jsonl"
    drop.write_text(json.dumps(REQUEST) + "\n")
    poll = read_site(account.address.client_options(), STACK, is_local=False).named("PollFunction")

    without_key = account.batchdrop("doctor")
    key = account.batchdrop("key", "set", typed=KEY)
    with ticking(account.address, poll, TICK_SECONDS):
        dropped = account.batchdrop("drop", str(drop), "--wait")
    with_key = account.batchdrop("doctor")

    assert "do key           there is none" in without_key.stdout
    assert key.returncode == 0, key.stderr
    assert dropped.returncode == 0, dropped.stdout + dropped.stderr
    assert "completed inbox/first.jsonl (1 of 1 succeeded)" in dropped.stdout
    assert with_key.returncode == 0, with_key.stdout
