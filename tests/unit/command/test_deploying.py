"""What `make deploy` asks and says before it builds: account, region, processor, and what was built afterwards."""

import re
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    SSOError,
    TokenRetrievalError,
)
from click.testing import CliRunner

from batchdrop_cli import account
from batchdrop_cli.account import AwsAccount, chosen_region, explained
from batchdrop_cli.aws.deploying import PLAN_LINES_MAX, Plan, Wish, make_plan, plan_lines, resource_counts
from batchdrop_cli.aws.layer import MACHINES, check_layer, machine_of
from batchdrop_cli.failures import CommandFailed, MisusedCommand
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import parse
from batchdrop_cli.main import main

ACCOUNT = AwsAccount("111122223333", "arn:aws:iam::111122223333:user/ada", "eu-central-1", "AWS_REGION")

type Stacks = Callable[..., None]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person's environment names no account, no region and no profile."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID",
                 "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def stack_is(monkeypatch: pytest.MonkeyPatch) -> Stacks:
    """Return what says which stack there is: its parameters, None for no stack, and its status."""

    class Client:
        """boto3's, as much as is asked."""

        def __init__(self, parameters: dict[str, str] | None, status: str) -> None:
            self._parameters, self._status = parameters, status

        def describe_stacks(self, StackName: str) -> object:  # noqa: N803  # AWS's name
            if self._parameters is None:
                message = f"Stack with id {StackName} does not exist"
                raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
            given = [{"ParameterKey": key, "ParameterValue": value} for key, value in self._parameters.items()]
            return {"Stacks": [{"StackStatus": self._status, "Parameters": given}]}

    def become(parameters: dict[str, str] | None, status: str = "CREATE_COMPLETE") -> None:
        monkeypatch.setattr(boto3, "client", lambda _service, **_options: Client(parameters, status))

    return become


def elf(machine: int) -> bytes:
    """Return the first bytes of a library for *machine*."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine)


@pytest.mark.parametrize(("built", "wanted"), [("x86_64", "arm64"), ("arm64", "x86_64")])
def test_a_layer_for_the_other_processor_is_not_deployed(tmp_path: Path, built: str, wanted: str) -> None:
    """One library of the wrong kind among right ones stops, with its name and both processors."""
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "a.so").write_bytes(elf(MACHINES[wanted]))
    (tmp_path / "python" / "b.abi3.so").write_bytes(elf(MACHINES[built]))

    with pytest.raises(
        CommandFailed, match=rf"is for {built}.*will have {wanted} \(python/b\.abi3\.so\).*Nothing was deployed"
    ):
        check_layer(tmp_path, wanted)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"not a library", elf(8)])
def test_what_is_no_library_of_either_processor_is_not_deployed(tmp_path: Path, content: bytes) -> None:
    """A cut file, another format and a third processor are as wrong as the other of ours."""
    (tmp_path / "a.so").write_bytes(content)

    with pytest.raises(CommandFailed, match="another processor"):
        check_layer(tmp_path, "arm64")


def test_a_layer_without_libraries_is_not_deployed(tmp_path: Path) -> None:
    """A build that ended early leaves a folder that is valid to SAM."""
    (tmp_path / "a.py").touch()

    with pytest.raises(CommandFailed, match="no compiled library"):
        check_layer(tmp_path, "arm64")


def test_the_header_is_read_as_this_machine_writes_it() -> None:
    """An installed library of this very machine is recognized, so that the numbers are ELF's."""
    library = next((REPOSITORY / ".local" / "layer").rglob("_obstore*.so"), None)
    if library is None:
        pytest.skip("the layer's packages are not installed here")

    assert machine_of(library) in MACHINES.values()


def test_each_processor_is_built_in_a_folder_of_its_own() -> None:
    """SAM's cache cannot take the one for the other."""
    plan = Plan(Wish("s"), ACCOUNT, None, "arm64", "")

    assert len({plan.build, replace(plan, architecture="x86_64").build}) == 2
    assert "cached" not in (REPOSITORY / "samconfig.toml").read_text().replace("No `cached = true`", "")


@pytest.mark.parametrize(
    ("before", "asked", "parameters", "expected", "said"),
    [
        (None, None, (), "arm64", "the default"),
        (None, "x86_64", (), "x86_64", "as asked"),
        (None, None, ("Architecture=x86_64",), "x86_64", "as asked"),
        ("x86_64", None, (), "x86_64", "as the stack has it"),
        ("x86_64", "", ("PollMinutes=5",), "x86_64", "as the stack has it"),
        ("x86_64", "arm64", (), "arm64", "as asked; the stack has x86_64 now"),
    ],
)
def test_a_stack_keeps_its_processor_until_another_is_asked_for(
    stack_is: Stacks, before: str | None, asked: str | None, parameters: tuple[str, ...], expected: str, said: str
) -> None:
    """The layer is built for what the functions will have, and a second deployment without a word changes neither."""
    stack_is({"Architecture": before} if before else None, "CREATE_COMPLETE")

    plan = make_plan(Wish("s", asked, parameters), ACCOUNT)

    assert (plan.architecture, plan.architecture_source) == (expected, said)
    assert [given for given in plan.overrides if given.startswith("Architecture=")] == [f"Architecture={expected}"]
    assert f"Processor   {expected}, {said}" in plan_lines(plan)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish("s", "mips"), "arm64 or x86_64, not mips"),
        (Wish("s", "arm64", ("Architecture=x86_64",)), "Two processors"),
        (Wish("s", None, ("NotificationEmail",)), "Name=Value"),
        (Wish("s", None, (), ("--region", "eu-west-1")), "AWS_REGION"),
        (Wish("s", None, (), ("--stack-name=t",)), "STACK"),
    ],
)
def test_a_wish_that_contradicts_itself_is_refused(stack_is: Stacks, wish: Wish, words: str) -> None:
    """Nothing is deployed elsewhere, or otherwise, than what is shown."""
    stack_is(None, "")

    with pytest.raises(MisusedCommand, match=words):
        make_plan(wish, ACCOUNT)


@pytest.mark.parametrize(
    ("parameters", "status", "words"),
    [
        ({"VpcId": "v"}, "CREATE_COMPLETE", "isn't a Batchdrop stack"),
        ({"Architecture": "arm64"}, "ROLLBACK_COMPLETE", "delete-stack --region eu-central-1 --stack-name s"),
        ({"Architecture": "arm64"}, "UPDATE_IN_PROGRESS", "Wait until that has ended"),
    ],
)
def test_a_stack_that_cannot_be_deployed_to_is_told_before_anything_is_built(
    stack_is: Stacks, parameters: dict[str, str], status: str, words: str
) -> None:
    """Another's stack, one whose first deployment failed, and one that is being changed."""
    stack_is(parameters, status)

    with pytest.raises(CommandFailed, match=words):
        make_plan(Wish("s"), ACCOUNT)


OLD, NEW, OLDER = (f"arn:aws:kms:eu-central-1:111122223333:key/{number}" for number in range(3))


@pytest.mark.parametrize(
    ("before", "given", "instead"),
    [
        ({"KmsKeyArn": OLD}, [f"KmsKeyArn={NEW}"], f"FormerKmsKeyArns={OLD}"),
        ({"KmsKeyArn": OLD}, ["KmsKeyArn="], f"FormerKmsKeyArns={OLD}"),
        ({"KmsKeyArn": OLD, "FormerKmsKeyArns": OLDER}, [f"KmsKeyArn={NEW}"], f"FormerKmsKeyArns={OLDER},{OLD}"),
        ({"KmsKeyArn": OLD}, [f"KmsKeyArn={NEW}", f"FormerKmsKeyArns={OLD}"], None),
        ({"KmsKeyArn": OLD, "FormerKmsKeyArns": OLD}, [f"KmsKeyArn={NEW}"], None),
        ({"KmsKeyArn": OLD}, ["PollMinutes=5"], None),
        ({"KmsKeyArn": OLD}, [f"KmsKeyArn={OLD}"], None),
        ({"KmsKeyArn": ""}, [f"KmsKeyArn={NEW}"], None),
    ],
)
def test_a_key_that_still_has_to_read_is_not_forgotten(
    stack_is: Stacks, before: dict[str, str], given: list[str], instead: str | None
) -> None:
    """Whoever replaces or removes the KMS key is told to name it as a former one, with the words to add."""
    stack_is({"Architecture": "arm64", **before})
    wish = Wish("s", None, tuple(given))

    if instead is None:
        assert make_plan(wish, ACCOUNT).status == "CREATE_COMPLETE"
    else:
        with pytest.raises(MisusedCommand, match=f"Add to PARAMETERS: {instead}$"):
            make_plan(wish, ACCOUNT)


def test_a_change_set_that_nobody_agreed_to_is_no_stack(stack_is: Stacks) -> None:
    """Whoever said no at the first deployment can begin anew."""
    stack_is({}, "REVIEW_IN_PROGRESS")

    assert make_plan(Wish("s"), ACCOUNT).status is None


def test_ten_lines_say_where_what_and_how_dear() -> None:
    """The figures are the template's: what it has of each kind stands there, and what stays when the stack is deleted."""
    plan = Plan(Wish("s", None, ("NotificationEmail=a@b.example",)), ACCOUNT, None, "arm64", "the default")

    lines = plan_lines(plan)

    text, counts = "\n".join(lines), resource_counts(REPOSITORY)
    assert len(lines) <= PLAN_LINES_MAX == 10
    assert max(len(line) for line in lines) <= 130
    for word in (
        "111122223333",
        "user/ada",
        "eu-central-1 (from AWS_REGION)",
        "s: new",
        "NotificationEmail=a@b.example",
    ):
        assert word in text
    kinds = Counter(
        resource["Type"] for resource in parse((REPOSITORY / "template.yaml").read_text())["Resources"].values()
    )
    assert counts["alarm"] == kinds["AWS::CloudWatch::Alarm"] > 10
    for kind in ("bucket", "table", "function", "queue", "topic", "alarm"):
        assert f"{counts[kind]} " in text
        assert kind in text


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AWS_REGION": "eu-west-1"}, ("eu-west-1", "AWS_REGION")),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, ("eu-west-2", "AWS_DEFAULT_REGION")),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, ("eu-west-1", "AWS_REGION")),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-2"}, ("eu-west-2", "AWS_DEFAULT_REGION")),
        ({"AWS_PROFILE": "team"}, ("eu-west-3", "profile team")),
    ],
)
def test_the_region_is_found_as_every_aws_client_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], expected: tuple[str, str]
) -> None:
    """AWS_REGION counts, which botocore by itself ignores; a profile's region counts where neither variable is set."""
    (tmp_path / "config").write_text("[profile team]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert chosen_region() == expected


@pytest.mark.parametrize("words", ["status", "doctor", "deploy", "drop template.yaml", "key set", "results 0 --to d"])
def test_without_a_region_every_command_says_so(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to set, and not that a stack did something."""
    monkeypatch.chdir(REPOSITORY)

    result = CliRunner().invoke(main, ["--stack", "x", *words.split()])

    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Error: No AWS region set. Set AWS_DEFAULT_REGION or use a profile with a region."
    ]


@pytest.mark.parametrize("words", ["status", "doctor", "deploy"])
def test_without_credentials_every_command_says_so(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to run is in the sentence."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")

    result = CliRunner().invoke(main, ["--stack", "x", *words.split()])

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: No AWS credentials found. Run `aws configure`")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "GetObject"), r"\(ExpiredToken\)\. Renew"),
        (ClientError({"Error": {"Code": "InvalidClientTokenId"}}, "GetCallerIdentity"), "refuses these credentials"),
        (ClientError({"Error": {"Code": "NoSuchBucket"}}, "GetObject"), None),
        (NoRegionError(), "No AWS region set"),
        (NoCredentialsError(), "No AWS credentials found"),
        (SSOError(), "aws sso login"),
        (TokenRetrievalError(provider="sso", error_msg="x"), "aws sso login"),
        (EndpointConnectionError(endpoint_url="https://sts.eu-central-9.amazonaws.com"), "Is there such a region"),
        (ValueError(), None),
    ],
)
def test_what_the_environment_causes_is_explained(error: Exception, words: str | None) -> None:
    """Expired and wrong credentials, an ended login and a region that is none say what to do; nothing else is guessed at."""
    said = explained(error)

    if words is None:
        assert said is None
    else:
        assert said is not None
        assert re.search(words, said)


def test_the_account_is_asked_in_the_chosen_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who acts where is what STS says, in the region that is deployed to."""
    asked: list[str] = []

    class Identities:
        def get_caller_identity(self) -> dict[str, str]:
            return {"Account": ACCOUNT.id, "Arn": ACCOUNT.caller}

    def client(service: str, region_name: str) -> Identities:
        asked.append(f"{service} in {region_name}")
        return Identities()

    monkeypatch.setattr(boto3, "client", client)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")

    assert account.identify() == ACCOUNT
    assert asked == ["sts in eu-central-1"]
