"""Two stacks side by side in one account and one project: one by default, the other with everything of one's own."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from fakes.memory import FakeClock, MemoryLog

from batchdrop.edge.aws.dynamodb import DynamoLedger
from batchdrop_cli.local.deployment import Sources, deploy
from batchdrop_cli.local.emulator import Address, running_emulator
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.provider import LocalProvider, running_simulator
from batchdrop_cli.local.stack import REPOSITORY, parameters, put_key
from batchdrop_cli.local.ticker import Ticker, ticking

QUICK = ("--validate-seconds", "0.1", "--run-seconds", "0.2", "--finalize-seconds", "0.1")
TIMEOUT_SECONDS = 60.0  # it takes 4 s on an idle machine
LINE = b'{"messages": [{"role": "user", "content": "Name a ferry."}], "model": "gpt-4.1-mini"}\n'
# What a careful organization may bound roles by: every service that the functions use, and no other.
BOUNDARY_ACTIONS = [
    "dynamodb:*", "kms:Decrypt", "kms:GenerateDataKey", "lambda:InvokeFunction", "logs:*", "s3:*", "secretsmanager:*", "sns:*",
    "sqs:*",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """Two stacks of one account, by name, and the provider of both."""

    address: Address
    provider: LocalProvider
    outputs: dict[str, dict[str, str]]
    tickers: dict[str, Ticker]
    parameters: dict[str, str]  # those of the stack "own"
    logs: Path  # a folder a stack

    def client(self, service: str) -> Any:  # noqa: ANN401  # boto3's
        """Return a client with the keys of the account's owner."""
        return boto3.client(service, **self.address.client_options())  # type: ignore[call-overload]  # any service

    def batches(self) -> list[dict[str, Any]]:
        """Return every batch of the project, as the provider lists them."""
        request = urllib.request.Request(  # noqa: S310  # the simulator's address, on loopback
            f"{self.provider.base_url}/batches", headers={"Authorization": f"Bearer {self.provider.api_key}"}
        )
        with urllib.request.urlopen(request) as reply:  # noqa: S310  # as above
            listed: list[dict[str, Any]] = json.load(reply)["data"]
        return listed

    def install(self, name: str) -> str:
        """Return the id of the installation in the stack's ledger."""
        ledger = DynamoLedger(self.client("dynamodb"), self.outputs[name]["Table"], FakeClock(), MemoryLog())
        install = ledger.install()
        assert install is not None
        return install.id

    def results(self, name: str) -> list[str]:
        """Return the keys of the stack's finished jobs' summaries, one a job, once there are any."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        storage, bucket = self.client("s3"), self.outputs[name]["ResultsBucket"]
        while time.monotonic() < deadline:
            listed = storage.list_objects_v2(Bucket=bucket, Prefix="results/").get("Contents", [])
            if found := [entry["Key"] for entry in listed if entry["Key"].endswith("/summary.json")]:
                return found
            time.sleep(0.1)
        pytest.fail(f"no job of {name} was finished")


def own_things(address: Address, provider: LocalProvider) -> dict[str, str]:
    """Make a secret with the key, a KMS key and a boundary, as an organization would, and return them as parameters."""
    options = address.client_options()
    secret = boto3.client("secretsmanager", **options).create_secret(Name="ours", SecretString=provider.api_key)
    keys = boto3.client("kms", **options)
    key, *older = [keys.create_key() for _ in range(3)]
    former = [one["KeyMetadata"]["Arn"] for one in older]
    statement = {"Effect": "Allow", "Action": BOUNDARY_ACTIONS, "Resource": "*"}
    boundary = boto3.client("iam", **options).create_policy(
        PolicyName="boundary", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    return {
        "OwnSecretArn": secret["ARN"],
        "KmsKeyArn": key["KeyMetadata"]["Arn"],
        "FormerKmsKeyArns": ",".join(former),
        "PermissionsBoundaryArn": boundary["Policy"]["Arn"],
        "ResultsRetentionDays": "90",
        "PollMinutes": "5",
        "LogRetentionDays": "7",
        "MaximumConcurrency": "5",
        "NotificationEmail": "ada@example.com",
        "AlarmEmail": "operator@example.com",
        "ShowDashboard": "no",
    }


@pytest.fixture(scope="module")
def pair(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both stacks, ticking, their functions the real ones."""
    folder: Path = tmp_path_factory.mktemp("pair")
    with ExitStack() as exits:
        address = exits.enter_context(
            running_emulator(environments.emulator_python, files=folder / "files", log=folder / "emulator.log")
        )
        provider = exits.enter_context(
            running_simulator(options=QUICK, files=folder / "simulator", log=folder / "simulator.log")
        )
        own = own_things(address, provider)
        outputs, tickers = {}, {}
        for name, given in {"plain": {}, "own": own}.items():
            logs = folder / name
            logs.mkdir()
            sources = Sources(REPOSITORY, environments, logs)
            outputs[name] = deploy(address, sources, parameters(provider) | given, name)
            tickers[name] = exits.enter_context(ticking(address, outputs[name]["PollFunction"], 0.5))
        put_key(address, outputs["plain"]["SecretArn"], provider.api_key)
        yield Pair(address, provider, outputs, tickers, own, folder)


def test_stacks_of_one_account_and_project_do_not_see_each_other(pair: Pair) -> None:
    """Each finishes its own drop with one batch under its own name, though both list the other's batches too."""
    for name in pair.outputs:
        pair.client("s3").put_object(Bucket=pair.outputs[name]["InboxBucket"], Key=f"inbox/{name}.jsonl", Body=LINE)

    finished = {name: pair.results(name) for name in pair.outputs}

    assert {name: [key.split("/")[1] for key in keys] for name, keys in finished.items()} == {
        "plain": ["plain.jsonl"],
        "own": ["own.jsonl"],
    }
    installs = {pair.install(name) for name in pair.outputs}
    assert len(installs) == 2
    batches = pair.batches()
    assert {batch["metadata"]["ticket"].partition(".")[0] for batch in batches} == installs
    assert [batch["status"] for batch in batches] == ["completed", "completed"]
    assert {name: ticker.failed for name, ticker in pair.tickers.items()} == {"plain": 0, "own": 0}


def metrics(log: Path) -> dict[str, list[float]]:
    """Return the values of each metric in a function's log, by `service/name`."""
    found: dict[str, list[float]] = {}
    for line in log.read_text().splitlines():
        written = json.loads(line)
        for directive in written.get("_aws", {}).get("CloudWatchMetrics", []):
            assert (directive["Namespace"], directive["Dimensions"]) == ("Batchdrop", [["service"]])
            for metric in directive["Metrics"]:
                found.setdefault(f"{written['service']}/{metric['Name']}", []).extend(written[metric["Name"]])
    return found


@pytest.mark.parametrize("name", ["plain", "own"])
def test_metrics_are_told_apart_by_the_stack(pair: Pair, name: str) -> None:
    """What the functions write is what CloudWatch reads metrics from, under their own stack's name: no alarm hears another's."""
    pair.results(name)  # the summary is written a moment before the job is counted
    logs = {function: pair.logs / name / f"{function}.log" for function in ("poll", "complete")}
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while "ItemsSucceeded" not in logs["complete"].read_text() and time.monotonic() < deadline:
        time.sleep(0.1)

    ticks, merged = metrics(logs["poll"]), metrics(logs["complete"])

    assert sum(ticks[f"{name}/Ticks"]) >= 1
    assert merged[f"{name}/ItemsSucceeded"] == [1]
    assert merged[f"{name}/InputTokens"][0] > 0
    assert {service.partition("/")[0] for service in (*ticks, *merged)} == {name}


def test_what_is_one_s_own_is_used(pair: Pair) -> None:
    """A stack with a secret of one's own makes none, nor a dashboard that nobody wants; each topic has its reader.

    Bounded roles and lifecycle rules are not modelled here; the unit tests assert them on the template.
    """
    resources = pair.client("cloudformation").list_stack_resources(StackName="own")["StackResourceSummaries"]
    topics = pair.outputs["own"]
    readers = {
        topic: pair.client("sns").list_subscriptions_by_topic(TopicArn=topics[topic])["Subscriptions"]
        for topic in ("TopicArn", "AlarmsTopicArn")
    }

    assert pair.outputs["own"]["SecretArn"] == pair.parameters["OwnSecretArn"]
    made = {found["ResourceType"] for found in resources}
    assert not made & {"AWS::SecretsManager::Secret", "AWS::CloudWatch::Dashboard"}
    assert {topic: [reader["Endpoint"] for reader in found] for topic, found in readers.items()} == {
        "TopicArn": ["ada@example.com"],
        "AlarmsTopicArn": ["operator@example.com"],
    }
