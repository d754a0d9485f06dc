"""From a clone to a first drop, in the words of the README: `make deploy`, `key set`, `doctor`, `drop`, by the real SAM CLI.

The account is the embedded AWS. What is deployed is what `sam build` made, on the runtime that the template names: the
functions run in the emulator's own interpreter, with the built layer's packages before its own.
"""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

import boto3
import pytest

from batchdrop_cli.aws.layer import check_layer
from batchdrop_cli.local.emulator import Address, running_emulator
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.provider import running_simulator
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.ticker import ticking
from batchdrop_cli.stack import read_site

STACK = "first-stack"
KEY = "sk-simulated"
ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
OTHER = {"arm64": "x86_64", "x86_64": "arm64"}[ARCHITECTURE]
# Not where a person's own deployment is built: what a test leaves there would be taken for valid.
PACKAGE = REPOSITORY / "layers" / "batchdrop" / "batchdrop"
BUILDS = REPOSITORY / ".aws-sam" / "tests"
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
            "AWS_REGION": self.address.region,  # which botocore does not read, and every other SDK does
            "AWS_CONFIG_FILE": os.devnull,
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

    def make_deploy(self, *variables: str) -> subprocess.CompletedProcess[str]:
        """Run `make deploy`, built where tests build, with nobody who is asked."""
        return self.run(
            "make", "deploy", f"BUILDS={BUILDS}", "SAM_OPTIONS=--no-confirm-changeset", *variables,
            timeout_seconds=DEPLOY_TIMEOUT_SECONDS,
        )  # fmt: skip


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
    parameters = f"OpenAIBaseUrl={account.base_url} NotificationEmail=operator@example.org"
    return account.make_deploy(f"STACK={STACK}", f"ARCHITECTURE={ARCHITECTURE}", f"PARAMETERS={parameters}")


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
    layer = BUILDS / ARCHITECTURE / "build" / "Layer"
    flags_unchecked_hash = 0b01  # https://peps.python.org/pep-0552/

    sources = [path for path in (layer / "python" / "batchdrop").rglob("*.py") if path.stat().st_size]
    flags = [Path(cache_from_source(str(path))).read_bytes()[4:8] for path in sources]

    assert len(sources) > 50
    assert {int.from_bytes(flag, "little") for flag in flags} == {flags_unchecked_hash}


@pytest.mark.emulator
@pytest.mark.usefixtures("deployed")
def test_the_built_layer_has_every_file_of_the_package() -> None:
    """The report's template and style sheet travel with the code."""
    built, ours = (
        {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        for folder in (BUILDS / ARCHITECTURE / "build" / "Layer" / "python" / "batchdrop", PACKAGE)
    )

    assert built == ours
    assert {"core/delivery/report.html.j2", "core/delivery/style.css"} <= ours


@pytest.mark.emulator
def test_ten_lines_come_first(deployed: subprocess.CompletedProcess[str], account: Account) -> None:
    """Before anything is built a person reads which account, which region, which stack, what is made and what it costs."""
    said, _, built = deployed.stdout.partition("Build Succeeded")
    lines = [line for line in said.strip().splitlines() if not line.startswith("Installing")]  # once in a clone

    assert built, deployed.stdout + deployed.stderr
    assert len(lines) == 10
    assert f"Region      {account.address.region} (from AWS_REGION)" in lines
    assert f"Stack       {STACK}: new" in lines
    assert f"Processor   {ARCHITECTURE}, as asked" in lines
    assert lines[0].startswith("Account     000000000000, as arn:aws:iam::")


@pytest.mark.emulator
@pytest.mark.usefixtures("deployed")
def test_a_layer_is_for_the_processor_that_was_asked_for(account: Account) -> None:
    """Right after a build for one processor, one for the other is not taken from SAM's cache, which would hold it valid."""
    other = account.make_deploy("STACK=other-stack", f"ARCHITECTURE={OTHER}")

    assert other.returncode == 0, other.stdout + other.stderr
    for architecture in (ARCHITECTURE, OTHER):
        assert check_layer(BUILDS / architecture / "build" / "Layer", architecture) > 3


@pytest.mark.emulator
@pytest.mark.usefixtures("deployed")
def test_a_stack_keeps_its_processor(account: Account) -> None:
    """A second deployment that names none, and no parameter, keeps both: it says so, and CloudFormation has them still."""
    again = account.make_deploy(f"STACK={STACK}")
    stacks = boto3.client("cloudformation", **account.address.client_options())
    (stack,) = stacks.describe_stacks(StackName=STACK)["Stacks"]
    parameters = {given["ParameterKey"]: given["ParameterValue"] for given in stack["Parameters"]}

    assert again.returncode == 0, again.stdout + again.stderr
    assert f"Processor   {ARCHITECTURE}, as the stack has it" in again.stdout.splitlines()
    assert (parameters["Architecture"], parameters["OpenAIBaseUrl"]) == (ARCHITECTURE, account.base_url)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}, "No AWS region set."),
        ({"AWS_REGION": "eu-central-1"}, "No AWS credentials found."),
        ({"AWS_REGION": "eu-central-1", "AWS_PROFILE": "nobody"}, "could not be found"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_built(
    environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    """Without a region or credentials `make deploy` ends in a sentence, and nothing was built or installed for it."""
    nowhere = {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}

    done = subprocess.run(  # noqa: S603  # ours
        ["make", "deploy", f"BUILDS={tmp_path / 'builds'}"], cwd=REPOSITORY, env=kept | nowhere | environment,  # noqa: S607
        capture_output=True, text=True, check=False, timeout=DEPLOY_TIMEOUT_SECONDS,
    )  # fmt: skip

    assert done.returncode != 0
    assert words in done.stderr
    assert "Starting Build" not in done.stdout + done.stderr
    assert not (tmp_path / "builds").exists()


@pytest.mark.emulator
@pytest.mark.usefixtures("deployed")
def test_the_layer_is_as_large_as_the_page_says() -> None:
    """Lambda takes 250 MB unzipped, and docs/decisions/0005-one-template.md says how much of it is used."""
    page = (REPOSITORY / "docs" / "decisions" / "0005-one-template.md").read_text()
    said = {"arm64": r"is (\d+) MB unzipped for arm64", "x86_64": r"and (\d+) MB for x86_64"}[ARCHITECTURE]
    (megabytes,) = re.findall(said, page)
    block_bytes = 4_096  # as a file system counts, folders too
    paths = list((BUILDS / ARCHITECTURE / "build" / "Layer").rglob("*"))

    measured = sum(path.stat().st_size if path.is_file() else block_bytes for path in paths)

    assert measured / 1e6 == pytest.approx(int(megabytes), rel=0.1)
    assert measured < 250e6


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

    assert "do key           There is no API key yet." in without_key.stdout
    assert key.returncode == 0, key.stderr
    assert dropped.returncode == 0, dropped.stdout + dropped.stderr
    assert "completed inbox/first.jsonl (1 of 1 succeeded)" in dropped.stdout
    assert with_key.returncode == 0, with_key.stdout
