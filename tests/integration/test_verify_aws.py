"""`batchdrop verify-aws` on the embedded AWS, which does not read metrics off logs: all else is looked at, and all is deleted.

How it deploys is the one thing that differs: as a local stack does, and not by SAM, which test_deployment.py does.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from batchdrop_cli.account import AwsAccount
from batchdrop_cli.aws import deploying
from batchdrop_cli.aws.deploying import Plan
from batchdrop_cli.commands.verify_aws import AskedTrial, planned_trial
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.local.deployment import ARTIFACTS_BUCKET, DeploymentFailed, Sources, deploy
from batchdrop_cli.local.emulator import Address, running_emulator
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.provider import LocalProvider, running_simulator
from batchdrop_cli.local.stack import REPOSITORY, parameters
from batchdrop_cli.local.ticker import ticking
from batchdrop_cli.main import main
from batchdrop_cli.verify import account_cleaning, account_trial
from batchdrop_cli.verify.account_cleaning import kept_parts
from batchdrop_cli.verify.account_trial import AFTER, BEFORE, Trial, look_at_all
from batchdrop_cli.verify.seen import Seen, SeenVerdict

NAME = "batchdrop-verify-0123abcd"
QUICK = ("--validate-seconds", "0.1", "--run-seconds", "0.2", "--finalize-seconds", "0.1")
# The emulator keeps what functions log, and reads no metrics off it.
NOT_MODELLED = "metrics are read off the logs"

pytestmark = pytest.mark.emulator

type Spoil = Callable[[Trial], object]


@dataclass(slots=True)
class Ground:
    """An account of the emulator, and what deploys a trial's stack to it."""

    address: Address
    provider: LocalProvider
    sources: Sources
    exits: ExitStack = field(default_factory=ExitStack)

    def trial(self, spoil: Spoil | None = None) -> Trial:
        """Return a trial that waits briefly; *spoil* is done to its stack as soon as it stands."""

        def deploy_here() -> None:
            outputs = deploy(self.address, self.sources, parameters(self.provider), NAME)
            self.exits.enter_context(ticking(self.address, outputs["PollFunction"], 0.5))
            functions = boto3.client("lambda", **self.address.client_options())
            functions.invoke(FunctionName=outputs["PollFunction"], Payload=b"{}")  # as the schedule's first minute does
            if spoil is not None:
                spoil(trial)

        trial = Trial(
            NAME, self.address.client_options(), deploy_here, self.provider.api_key, "gpt-4.1-mini", patience_seconds=60.0,
            metrics_seconds=1.0, gone_seconds=5.0, look_seconds=0.2,
        )  # fmt: skip
        return trial

    def left(self) -> list[str]:
        """Return what bears the trial's name, of any kind that can be listed."""
        stacks = boto3.client("cloudformation", **self.address.client_options()).describe_stacks()["Stacks"]
        named = [stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"]
        return named + [part for parts in kept_parts(self.address.client_options(), NAME).values() for part in parts]


@pytest.fixture(scope="module")
def account(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """An account with nothing in it, and a provider."""
    folder = tmp_path_factory.mktemp("account")
    (folder / "logs").mkdir()
    simulator = running_simulator(options=QUICK, files=folder / "simulator", log=folder / "simulator.log")
    emulator = running_emulator(environments.emulator_python, files=folder / "files", log=folder / "emulator.log")
    with simulator as provider, emulator as address:
        made = Ground(address, provider, Sources(REPOSITORY, environments, folder / "logs"))
        yield made
        made.exits.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is deleted is looked at each tenth of a second, and what does not come is not waited for."""
    monkeypatch.setattr(account_cleaning, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(account_trial, "ANNOUNCED_SECONDS_MAX", 20.0)


def verdicts(seen: list[Seen]) -> dict[str, SeenVerdict]:
    """Return what was found of each assumption."""
    return {one.assumption: one.verdict for one in seen}


def test_a_good_account_keeps_every_assumption(account: Ground) -> None:
    """Deployed, dropped, answered, told, deleted, and nothing left: each is seen, but for what the emulator does not do."""
    seen = list(look_at_all(account.trial()))

    found = verdicts(seen)
    assert list(found) == [*BEFORE, *AFTER]
    assert found.pop(NOT_MODELLED) is SeenVerdict.NOT_SEEN
    assert set(found.values()) == {SeenVerdict.HOLDS}, seen
    assert account.left() == []
    buckets = boto3.client("s3", **account.address.client_options()).list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == [ARTIFACTS_BUCKET]


def announce_nothing(trial: Trial) -> None:
    """S3 is told to announce nothing."""
    trial.client("s3").put_bucket_notification_configuration(
        Bucket=bucket_of(trial, "inbox"), NotificationConfiguration={}
    )


def bucket_of(trial: Trial, kind: str) -> str:
    """Return the bucket of the trial's stack that is called so."""
    (found,) = [name for name in kept_parts(trial.options, trial.name)["buckets"] if f"-{kind}-" in name]
    return found


def silence_alarms(trial: Trial) -> None:
    """No alarm may do anything."""
    alarms = trial.client("cloudwatch")
    names = [alarm["AlarmName"] for alarm in alarms.describe_alarms()["MetricAlarms"]]
    alarms.disable_alarm_actions(AlarmNames=names)


def sound_an_alarm(trial: Trial) -> None:
    """Some alarm that nobody made to sound does."""
    alarms = trial.client("cloudwatch")
    name = next(
        alarm["AlarmName"]
        for alarm in alarms.describe_alarms()["MetricAlarms"]
        if "DuplicateBatch" not in alarm["AlarmName"]
    )
    alarms.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="spoilt")


def stop_the_schedule(trial: Trial) -> None:
    """Somebody disables the schedule."""
    schedules: Any = trial.client("scheduler")
    (name,) = [schedule["Name"] for schedule in schedules.list_schedules()["Schedules"]]
    found = schedules.get_schedule(Name=name)
    same = {part: found[part] for part in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
    schedules.update_schedule(**same, State="DISABLED")


def forget_the_policy(trial: Trial) -> None:
    """One bucket loses its policy."""
    trial.client("s3").delete_bucket_policy(Bucket=bucket_of(trial, "results"))


def test_what_does_not_hold_is_seen_and_everything_is_deleted(account: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look can fail, says what it saw, and keeps nothing from being deleted."""
    monkeypatch.setattr(account_trial, "MESSAGE_SECONDS_MAX", 10.0)

    def spoil(trial: Trial) -> None:
        for one in (silence_alarms, sound_an_alarm, stop_the_schedule, forget_the_policy):
            one(trial)

    seen = {one.assumption: one for one in look_at_all(account.trial(spoil))}

    for assumption, verdict, said in (
        ("both files come back answered", SeenVerdict.HOLDS, "completed: 2 of 2, completed: 3 of 3"),
        ("an alarm is sent to its topic", SeenVerdict.BREACHED, "did not hear of"),
        ("no alarm sounds on a stack that is well", SeenVerdict.NOT_SEEN, "not within"),
        ("doctor finds all well", SeenVerdict.BREACHED, "schedule: disabled"),
        ("what holds work outlives the stack", SeenVerdict.BREACHED, "2 buckets, 1 with a policy"),
        ("nothing is left after cleaning up", SeenVerdict.HOLDS, "nothing"),
    ):
        assert (seen[assumption].verdict, said in seen[assumption].seen) == (verdict, True), seen[assumption]
    assert account.left() == []


def test_a_deployment_that_fails_leaves_nothing_either(account: Ground) -> None:
    """What cannot be looked at is not seen; what was made until then is deleted."""
    trial = account.trial()

    def fail() -> None:
        try:
            deploy(account.address, account.sources, parameters(account.provider) | {"KmsKeyArn": "alias/x"}, NAME)
        except (DeploymentFailed, boto3.client("cloudformation", **trial.options).exceptions.ClientError) as error:
            trial.client("s3").create_bucket(Bucket=f"{NAME}-inbox-1")
            raise CommandFailed("`sam deploy` failed") from error

    trial.deploy = fail
    seen = {one.assumption: one for one in look_at_all(trial)}

    assert seen["the template deploys as it is"].seen == "`sam deploy` failed"
    assert {one.verdict for assumption, one in seen.items() if assumption in BEFORE} == {SeenVerdict.NOT_SEEN}
    assert seen["what holds work outlives the stack"].verdict is SeenVerdict.NOT_SEEN
    assert account.left() == []


def test_a_drop_that_is_not_announced_and_a_table_that_stays_are_named(
    account: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody believes that nothing is paid for while a table stays; `--clean` deletes it by the stack's name."""
    monkeypatch.setattr(account_trial, "ANNOUNCED_SECONDS_MAX", 3.0)
    monkeypatch.setattr(account_trial, "MESSAGE_SECONDS_MAX", 1.0)
    monkeypatch.setattr(account_trial, "delete_tables", lambda _options, _name: None)
    trial = account.trial(announce_nothing)
    trial.patience_seconds = 1.0

    seen = {one.assumption: one for one in look_at_all(trial)}
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    cleaned = CliRunner().invoke(main, ["verify-aws", "--clean", NAME], env=environment(account))

    assert seen["S3 announces a drop, and submit takes it"].verdict is SeenVerdict.NOT_SEEN
    assert seen["each job's notification arrives"].verdict is SeenVerdict.BREACHED
    assert seen["nothing is left after cleaning up"].verdict is SeenVerdict.BREACHED
    assert f"tables: {NAME}-Table-" in seen["nothing is left after cleaning up"].seen
    assert (cleaned.exit_code, cleaned.stdout) == (0, f"Nothing of {NAME} is left in us-east-1.\n"), cleaned.output
    assert account.left() == []


def environment(account: Ground) -> dict[str, str]:
    """Return a person's environment that leads to the account."""
    return {
        "AWS_ENDPOINT_URL": account.address.endpoint_url, "AWS_REGION": account.address.region,
        "AWS_ACCESS_KEY_ID": account.address.access_key_id, "AWS_SECRET_ACCESS_KEY": account.address.secret_access_key,
    }  # fmt: skip


def test_whoever_interrupts_leaves_nothing(account: Ground) -> None:
    """Ctrl-C after the deployment: the stack and what it keeps are deleted all the same."""
    looks = look_at_all(account.trial())

    first = next(looks)
    standing = account.left()
    with pytest.raises(KeyboardInterrupt):
        looks.throw(KeyboardInterrupt)

    assert first.verdict is SeenVerdict.HOLDS
    assert NAME in standing
    assert account.left() == []


@pytest.mark.parametrize("name", ["batchdrop", "batchdrop-verify-", "batchdrop-verify-0123abcd-x", "prod"])
def test_clean_deletes_no_other_stack(name: str, monkeypatch: pytest.MonkeyPatch, account: Ground) -> None:
    """A name that verify-aws cannot have given is refused before anything is looked at."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    result = CliRunner().invoke(main, ["verify-aws", "--clean", name], env=environment(account))

    assert result.exit_code == 2
    assert "isn't a stack of verify-aws" in result.stderr


@pytest.mark.parametrize(
    ("words", "variables", "complaint"),
    [
        ([], {"OPENAI_API_KEY": "sk-canary"}, "Pass --yes to accept the cost"),
        ([], {"OPENAI_API_KEY": ""}, "needs OPENAI_API_KEY"),
        (
            ["--provider", "http://localhost:9/v1"],
            {"OPENAI_API_KEY": "sk-canary", "AWS_ENDPOINT_URL": ""},
            "cannot reach",
        ),
    ],
)
def test_nothing_is_made_before_somebody_agreed(
    account: Ground, monkeypatch: pytest.MonkeyPatch, words: list[str], variables: dict[str, str], complaint: str
) -> None:
    """The account, what will be made and what it costs are shown; where nobody answers nothing is deployed."""
    made: list[Plan] = []
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(deploying, "carry_out", lambda plan, _report: made.append(plan))

    result = CliRunner().invoke(main, ["verify-aws", *words], env=environment(account) | variables)

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert made == []
    assert account.left() == []
    assert "sk-canary" not in result.output
    if "Pass --yes" in complaint:
        assert (
            "Account 000000000000 as arn:aws:iam::000000000000:root, region us-east-1 (from AWS_REGION)."
            in result.stdout
        )
        assert "AWS charges about $0.01" in result.stdout


def test_the_trial_is_deployed_as_make_deploy_does(
    account: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By SAM, asking nobody, its code apart from other stacks', with the provider and the parameters that were named."""
    made: list[Plan] = []
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(deploying, "carry_out", lambda plan, _report: made.append(plan))
    for variable, value in environment(account).items():
        monkeypatch.setenv(variable, value)
    asked = AskedTrial(NAME, "sk-canary", "https://provider.example/v1", "gpt-4.1-mini", 5, ("ProviderDialect=ogx",))

    trial = planned_trial(AwsAccount("0", "root", "us-east-1", "AWS_REGION"), asked, tmp_path)
    trial.deploy()

    (plan,) = made
    assert (plan.wish.stack, trial.patience_seconds) == (NAME, 300)
    assert {"OpenAIBaseUrl=https://provider.example/v1", "ProviderDialect=ogx"} <= set(plan.overrides)
    assert plan.wish.options == ("--no-confirm-changeset", "--s3-prefix", NAME)
    assert "sk-canary" not in repr(asked) + repr(plan)
