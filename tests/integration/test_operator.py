"""`batchdrop doctor` and `batchdrop key set` on the embedded AWS: what is spoilt is found, what is repaired is well again."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from access.permissions import Copy
from botocore.stub import Stubber
from click.testing import CliRunner, Result

from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.install import Circuit, CommonWait, Install, circuit_key
from batchdrop.core.model.job import Job
from batchdrop.core.model.reasons import Reason, WaitingFor
from batchdrop_cli.doctor.account_checks import POLL_TIMEOUT_MINUTES, side_by_side
from batchdrop_cli.doctor.checks import CHECKS, open_ledger, opened_provider
from batchdrop_cli.local.description import STACK_NAME
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.stack import REPOSITORY, LocalSettings, LocalStack
from batchdrop_cli.local.template import parse
from batchdrop_cli.main import main
from batchdrop_cli.stack import Site, read_site

KEY = "sk-simulated"  # what a local stack puts into the secret
# A terminal of its own for the command: the prompt must not be answered by whoever runs the tests.
ON_A_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from batchdrop_cli.main import main
main(sys.argv[1:])
"""

type Repair = Callable[[], object]
type Spoil = Callable[[Site], Repair]


@pytest.fixture(scope="module")
def stack(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack whose provider knows one key, and whose poll ran once."""
    assert environments.emulator_python.exists()
    settings = LocalSettings(
        state=tmp_path_factory.mktemp("stack"), simulator_options=("--key", f"{KEY}=project"), tick_seconds=None
    )
    with LocalStack(settings) as running:
        functions = boto3.client("lambda", **running.description.client_options())
        assert "FunctionError" not in functions.invoke(FunctionName=running.description.poll_function, Payload=b"{}")
        yield running


@pytest.fixture
def site(stack: LocalStack) -> Site:
    """Where the stack runs, as one that is deployed."""
    return read_site(stack.description.client_options(), STACK_NAME, is_local=False)


def run(stack: LocalStack, *words: str, typed: str | None = None) -> Result:
    """Run the command for the local stack, with *typed* on standard input."""
    file = str(stack.settings.description_file)
    return CliRunner().invoke(main, [*words, "--stack-file", file], input=typed)


def secret_of(site: Site) -> str:
    """Return the key as the functions read it."""
    secrets = boto3.client("secretsmanager", **site.options)
    return secrets.get_secret_value(SecretId=site.named("SecretArn"))["SecretString"]


def key_becomes(key: str) -> Spoil:
    """Return what puts *key* into the secret."""

    def spoil(site: Site) -> Repair:
        secrets, arn = boto3.client("secretsmanager", **site.options), site.named("SecretArn")
        secrets.put_secret_value(SecretId=arn, SecretString=key)
        return lambda: secrets.put_secret_value(SecretId=arn, SecretString=KEY)

    return spoil


def open_the_circuit(site: Site) -> Repair:
    """Write that the provider refused the last create."""
    ledger = open_ledger(site)
    with opened_provider(site) as provider:
        name = circuit_key(provider.base_url, provider.fingerprint)
    before = ledger.install()
    begun = before or Install(id=str(uuid.uuid4()), started_at=1)
    circuit = Circuit(open_until=2_000_000_000, reason=Reason("insufficient_quota", "no money"))
    written = ledger.write(Change((Write(before, replace(begun, circuits={name: circuit})),))).writes[0].after
    assert isinstance(written, Install)
    return lambda: ledger.write(Change((Write(written, replace(written, circuits={})),)))


def stop_the_schedule(site: Site) -> Repair:
    """Disable the schedule."""
    schedules: Any = boto3.client("scheduler", **site.options)
    found = schedules.get_schedule(Name=site.named("Schedule"))
    same = {name: found[name] for name in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
    schedules.update_schedule(**same, State="DISABLED")
    return lambda: schedules.update_schedule(**same, State="ENABLED")


def stop_a_reader(site: Site) -> Repair:
    """Disable the mapping from a queue to its function."""
    functions = boto3.client("lambda", **site.options)
    (mapping,) = functions.list_event_source_mappings(FunctionName=site.named("CompleteFunction"))[
        "EventSourceMappings"
    ]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    return lambda: functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def leave_a_dead_letter(site: Site) -> Repair:
    """Put a message into a dead-letter queue."""
    queues, url = boto3.client("sqs", **site.options), site.named("SubmissionsDeadLetterQueueUrl")
    queues.send_message(QueueUrl=url, MessageBody="x")
    return lambda: queues.purge_queue(QueueUrl=url)


def leave_work(site: Site) -> Repair:
    """Write a job that should have been planned long ago."""
    ledger = open_ledger(site)
    job = Job(id=uuid.uuid4().hex[:20], bucket="b", key="inbox/x", version="v", created_at=1, due_at=1)
    written = ledger.write(Change((Write(None, job),))).writes[0].after
    assert isinstance(written, Job)
    return lambda: ledger.write(Change((Write(written, replace(written, due_at=None)),)))


def wait_for_the_provider(site: Site) -> Repair:
    """Write that it has not answered for long."""
    ledger = open_ledger(site)
    before = ledger.install()
    begun = before or Install(id=str(uuid.uuid4()), started_at=1)
    reason = Reason("provider_unavailable", "It is down.")
    wait = CommonWait(WaitingFor.PROVIDER, reason, since=1, number=1, jobs=3)
    written = ledger.write(Change((Write(before, replace(begun, wait=wait)),))).writes[0].after
    assert isinstance(written, Install)
    return lambda: ledger.write(Change((Write(written, replace(written, wait=None)),)))


def forget_versions(site: Site) -> Repair:
    """Suspend the versions of the inbox."""
    storage, bucket = boto3.client("s3", **site.options), site.named("InboxBucket")
    storage.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    return lambda: storage.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def announce_nothing(site: Site) -> Repair:
    """Remove the notifications of the inbox."""
    storage, bucket = boto3.client("s3", **site.options), site.named("InboxBucket")
    found: Any = storage.get_bucket_notification_configuration(Bucket=bucket)
    same = {"QueueConfigurations": found["QueueConfigurations"]}
    storage.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    return lambda: storage.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=same)  # type: ignore[arg-type]


def tell_nobody_of_alarms(site: Site) -> Repair:
    """Leave the topic of the alarms as it is deployed: without an address nobody hears of it."""
    topics = boto3.client("sns", **site.options)
    queues = boto3.client("sqs", **site.options)
    url = queues.create_queue(QueueName="alarms")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return lambda: topics.subscribe(TopicArn=site.named("AlarmsTopicArn"), Protocol="sqs", Endpoint=arn)


@pytest.mark.emulator
@pytest.mark.parametrize(
    ("subject", "spoil", "seen"),
    [
        ("key", key_becomes(" "), "There is no API key yet."),
        ("key", key_becomes('{"key": "sk-canary"}'), "(key_is_json)"),
        ("key", key_becomes("sk-canary\u2011"), "(key_not_ascii)"),
        ("key", key_becomes("sk canary"), "(key_with_blanks)"),
        ("key", key_becomes("sk-wrong"), "invalid_api_key"),
        ("circuit", open_the_circuit, "no money (insufficient_quota)"),
        ("waits", wait_for_the_provider, "0 jobs wait for the provider since 1970-01-01T00:00:01Z: It is down."),
        ("schedule", stop_the_schedule, "disabled"),
        ("readers", stop_a_reader, "not reading: Complete"),
        ("dead letters", leave_a_dead_letter, "1 of submissions"),
        ("due work", leave_work, "the oldest of 1 is late"),
        ("progress", leave_work, "(PLANNING)"),
        ("versions", forget_versions, "not kept by"),
        ("announcements", announce_nothing, "not made of inbox/, control/"),
        ("subscriptions", tell_nobody_of_alarms, "alarms reach no subscriber"),
    ],
)
def test_what_is_spoilt_is_found_and_what_is_repaired_is_well(
    site: Site, subject: str, spoil: Spoil, seen: str
) -> None:
    """Each finding comes with what to do, and goes away once it was done."""
    repair = spoil(site)
    spoilt = CHECKS[subject](site)
    repair()
    repaired = CHECKS[subject](site)

    assert seen in spoilt.seen
    assert spoilt.advice
    assert repaired.advice == "", repaired


@pytest.mark.emulator
def test_a_poll_that_does_not_run_or_fails_is_found(site: Site) -> None:
    """No ticks, and ticks that end in an error, are told apart; complete stands in for a poll that is ill."""
    functions, ill = boto3.client("lambda", **site.options), site.named("CompleteFunction")
    variables = functions.get_function_configuration(FunctionName=ill)["Environment"]["Variables"]
    instead = replace(site, outputs={**site.outputs, "PollFunction": ill})

    silent = CHECKS["ticks"](instead)
    functions.update_function_configuration(FunctionName=ill, Environment={"Variables": {}})
    functions.invoke(FunctionName=ill, Payload=b"{}")
    failing = CHECKS["ticks"](instead)
    functions.update_function_configuration(FunctionName=ill, Environment={"Variables": variables})

    assert silent.seen == "none in the last 15 minutes"
    assert failing.seen == "1 of 1 failed in the last 15 minutes"
    assert silent.advice != failing.advice


@pytest.mark.emulator
def test_too_small_a_quota_is_found(site: Site) -> None:
    """A stack that may start more functions than the account runs is told before they are throttled."""
    functions = boto3.client("lambda", **site.options)
    free = functions.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    stacks = boto3.client("cloudformation", **site.options)
    (stack,) = stacks.describe_stacks(StackName=STACK_NAME)["Stacks"]
    outputs = {output["OutputKey"]: {"Value": output["OutputValue"]} for output in stack["Outputs"]}
    another = {
        "Parameters": {"MaximumConcurrency": {"Type": "Number"}, "PollMinutes": {"Type": "Number"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": outputs,
    }

    alone = CHECKS["concurrency"](site)
    stacks.create_stack(
        StackName="another", TemplateBody=json.dumps(another),
        Parameters=[{"ParameterKey": "MaximumConcurrency", "ParameterValue": "500"},
                    {"ParameterKey": "PollMinutes", "ParameterValue": "5"}],
    )  # fmt: skip
    stacks.get_waiter("stack_create_complete").wait(StackName="another", WaiterConfig={"Delay": 1})
    together = CHECKS["concurrency"](site)
    stacks.delete_stack(StackName="another")
    stacks.get_waiter("stack_delete_complete").wait(StackName="another", WaiterConfig={"Delay": 1})

    assert (alone.seen, alone.advice) == (f"the account runs {free:,} functions side by side, the stack up to 6", "")
    assert together.seen == f"the account runs {free:,} functions side by side, its 2 Batchdrop stacks up to 1,007"
    assert "L-B99A9384" in together.advice


def test_an_address_that_was_not_confirmed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gave an address and overlooked the mail of SNS is told so. The emulator confirms by itself; AWS does not."""
    topics = boto3.client("sns", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    pending = {"SubscriptionArn": "PendingConfirmation", "Endpoint": "a@example.org", "Protocol": "email"}
    answers = Stubber(topics)
    answers.add_response("list_subscriptions_by_topic", {"Subscriptions": [pending]})
    monkeypatch.setattr(boto3, "client", lambda _service: topics)

    with answers:
        found = CHECKS["subscriptions"](Site({}, {"TopicArn": "arn:aws:sns:us-east-1:0:t"}, {}, is_local=True))

    assert found.seen == "not confirmed for notifications: a@example.org"
    assert "Confirm by the link in the mail" in found.advice


@pytest.mark.parametrize(
    "left", [[], [{"SubscriptionArn": "Deleted", "Endpoint": "a@example.org", "Protocol": "email"}]]
)
def test_an_address_that_never_confirmed_is_found_after_sns_forgot_it(
    monkeypatch: pytest.MonkeyPatch, left: list[dict[str, str]]
) -> None:
    """After 48 hours there is no subscription to see, and deploying again makes none: the command that does is told."""
    topics = boto3.client("sns", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    answers = Stubber(topics)
    others: dict[str, str] = {
        "SubscriptionArn": "arn:aws:sns:us-east-1:0:t:1",
        "Endpoint": "arn:q",
        "Protocol": "sqs",
    }
    answers.add_response("list_subscriptions_by_topic", {"Subscriptions": [*left, others]})
    answers.add_response("list_subscriptions_by_topic", {"Subscriptions": [others]})
    monkeypatch.setattr(boto3, "client", lambda _service: topics)
    outputs = {"TopicArn": "arn:aws:sns:us-east-1:0:t", "AlarmsTopicArn": "arn:aws:sns:us-east-1:0:a"}

    with answers:
        found = CHECKS["subscriptions"](Site({}, outputs, {"NotificationEmail": "a@example.org"}, is_local=False))

    assert found.seen == (
        "a@example.org hears of no notifications: it never confirmed, or left; a@example.org hears of no alarms: it never"
        " confirmed, or left"
    )
    assert "aws sns subscribe --topic-arn arn:aws:sns:us-east-1:0:t --protocol email" in found.advice


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"MaximumConcurrency": "2", "PollMinutes": "1"}, 6),  # two of these are more than the 10 of a new account
        ({"MaximumConcurrency": "2", "PollMinutes": "2"}, 5),
        ({"MaximumConcurrency": "1000", "PollMinutes": "5"}, 2_001),
    ],
)
def test_a_stack_runs_so_many_functions(parameters: dict[str, str], expected: int) -> None:
    """Submit, complete, and as many rounds of poll as its time-out lets run beside each other."""
    timeout_seconds = parse((REPOSITORY / "template.yaml").read_text())["Resources"]["Poll"]["Properties"]["Timeout"]

    assert side_by_side(parameters) == expected
    assert timeout_seconds == 60 * POLL_TIMEOUT_MINUTES


@pytest.mark.emulator
def test_doctor_ends_well_or_not(stack: LocalStack, site: Site) -> None:
    """The exit code of `doctor` tells a script whether somebody has to act."""
    well = run(stack, "doctor")
    repair = leave_a_dead_letter(site)
    spoilt = run(stack, "doctor")
    repair()

    assert (well.exit_code, len(well.stdout.splitlines())) == (0, len(CHECKS))
    assert all(line.startswith("ok ") for line in well.stdout.splitlines())
    assert spoilt.exit_code == 1
    assert "do dead letters  1 of submissions" in spoilt.stdout


@pytest.mark.emulator
def test_doctor_without_the_right_to_look_says_so(stack: LocalStack, site: Site) -> None:
    """What the keys of the person may not look at is no finding of good health, and no traceback."""
    role = Copy(stack.description.address, f"stranger-{uuid.uuid4().hex[:8]}")
    role.attach(site.named("DropperPolicy"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        result = CliRunner().invoke(main, ["--stack", STACK_NAME, "doctor"], env=role.environment)

    assert result.exit_code == 1
    assert "do key           may not be looked at" in result.stdout
    assert "secretsmanager:GetSecretValue" in result.stdout
    assert "\nok " not in result.stdout.replace("\nok concurrency", "")  # quotas are anybody's to see, to the emulator


@pytest.mark.emulator
def test_a_key_from_standard_input_is_what_the_functions_read(stack: LocalStack, site: Site) -> None:
    """The line break of the pipe is no part of the key, and the key is shown nowhere."""
    result = run(stack, "key", "set", typed="sk-piped\n")
    stored = secret_of(site)
    run(stack, "key", "set", typed=KEY)

    assert (result.exit_code, stored) == (0, "sk-piped")
    assert "sk-piped" not in result.output


@pytest.mark.emulator
@pytest.mark.parametrize("typed", ["", " \n", "two words", "two\nlines", "schlüssel", "x" * 8_001, '{"key": "sk-x"}'])
def test_what_is_no_key_changes_nothing(stack: LocalStack, site: Site, typed: str) -> None:
    """An empty pipe, a file or a sentence does not take the place of a key that works."""
    result = run(stack, "key", "set", typed=typed)

    assert result.exit_code == 2
    assert "Nothing was changed." in result.stderr
    assert secret_of(site) == KEY


@pytest.mark.emulator
def test_a_key_is_no_argument(stack: LocalStack) -> None:
    """A key on the command line is refused, because others can read it there."""
    result = run(stack, "key", "set", "sk-argument")

    assert result.exit_code == 2


@pytest.mark.emulator
def test_a_key_that_is_typed_is_not_shown(stack: LocalStack, site: Site) -> None:
    """On a terminal the key is asked for, and what is typed is not echoed."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", ON_A_TERMINAL, "key", "set", "--stack-file", str(stack.settings.description_file)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)  # noqa: S603  # ours
    os.close(theirs)
    shown = b""
    while b"not shown" not in shown:
        shown += os.read(ours, 1_000)

    os.write(ours, b"sk-typed\n")
    code = process.wait(20)
    shown += read_rest(ours)
    stored = secret_of(site)
    run(stack, "key", "set", typed=KEY)

    assert (code, stored) == (0, "sk-typed")
    assert b"sk-typed" not in shown


def read_rest(terminal: int) -> bytes:
    """Return what is still to be read of a terminal whose other end is closed."""
    rest = b""
    try:
        while piece := os.read(terminal, 1_000):
            rest += piece
    except OSError:  # how Linux tells the end of a terminal
        pass
    finally:
        os.close(terminal)
    return rest
