"""The object graph on an embedded AWS: every port of an invocation reaches what its settings name."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import pytest

from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.errors import KeyMissing
from batchdrop.core.model.job import Job
from batchdrop.edge import bootstrap
from batchdrop.edge.settings import BadSetting
from batchdrop.flow.ports import Notification
from batchdrop_cli.local.emulator import Address

JOB = Job(id="0" * 20, bucket="b", key="k", version="v", created_at=1)


@dataclass
class Invocation:
    """What Lambda gives a handler."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return some time."""
        return 5_000


@pytest.fixture
def fresh() -> Iterator[None]:
    """A process that has built nothing yet, before and after."""
    built = (bootstrap._process, bootstrap._settings, bootstrap._sqs, bootstrap._sns, bootstrap._secrets)  # noqa: SLF001 - a new process
    for part in built:
        part.cache_clear()
    yield
    for part in built:
        part.cache_clear()


@pytest.fixture
def deployed(emulator: Address, monkeypatch: pytest.MonkeyPatch, fresh: None) -> dict[str, str]:  # noqa: ARG001 - its effect
    """Resources as the template has them, and an environment that names them."""
    name = f"graph-{uuid.uuid4()}"
    options = emulator.client_options()
    s3 = boto3.client("s3", **options)
    sqs = boto3.client("sqs", **options)
    s3.create_bucket(Bucket=f"{name}-in")
    s3.create_bucket(Bucket=f"{name}-out")
    boto3.client("dynamodb", **options).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
    )
    environment = {
        "INBOX_BUCKET": f"{name}-in",
        "RESULTS_BUCKET": f"{name}-out",
        "TABLE": name,
        "TOPIC_ARN": boto3.client("sns", **options).create_topic(Name=name)["TopicArn"],
        "SECRET_ARN": boto3.client("secretsmanager", **options).create_secret(Name=name)["ARN"],
        "SUBMISSIONS_QUEUE_URL": sqs.create_queue(QueueName=f"{name}-s")["QueueUrl"],
        "COMPLETIONS_QUEUE_URL": sqs.create_queue(QueueName=f"{name}-c")["QueueUrl"],
        "BATCHDROP_ATTEMPTS_MAX": "2",
        "AWS_ENDPOINT_URL": emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": emulator.access_key_id,
        "AWS_SECRET_ACCESS_KEY": emulator.secret_access_key,
        "AWS_REGION": emulator.region,
        "AWS_DEFAULT_REGION": emulator.region,
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    return environment


def test_every_port_reaches_what_its_settings_name(deployed: dict[str, str], emulator: Address) -> None:
    """Rows, objects, messages and notifications arrive; a secret without a value is told; the clock is the context's."""
    ports = bootstrap.ports(Invocation("request-1"))
    sqs = boto3.client("sqs", **emulator.client_options())

    ports.ledger.write(Change((Write(None, JOB),)))
    ports.storage.put("results/x.json", b"{}")
    ports.wakeups.submit(JOB.id)
    ports.wakeups.complete(JOB.id, 3)
    ports.notifications.publish(Notification("subject", "text", "{}", {"event": "completed"}))

    def wakeup(queue: str) -> object:
        return json.loads(sqs.receive_message(QueueUrl=deployed[queue])["Messages"][0]["Body"])

    assert (ports.writer, ports.inbox_bucket, ports.results_bucket) == (
        "request-1", deployed["INBOX_BUCKET"], deployed["RESULTS_BUCKET"],
    )  # fmt: skip
    assert ports.ledger.job(JOB.id) is not None
    assert ports.storage.read("results/x.json") == b"{}"
    assert wakeup("SUBMISSIONS_QUEUE_URL") == {"job": JOB.id, "shard": None}
    assert wakeup("COMPLETIONS_QUEUE_URL") == {"job": JOB.id, "shard": 3}
    with pytest.raises(KeyMissing):
        ports.providers.open()
    assert ports.clock.remaining_seconds() == 5.0
    assert bootstrap.limits().attempts_max == 2


def test_clients_outlive_an_invocation(deployed: dict[str, str]) -> None:
    """Only the writer and the time that is left are the invocation's own."""
    first = bootstrap.ports(Invocation("request-1"))

    second = bootstrap.ports(Invocation("request-2"))

    assert deployed
    assert (first.writer, second.writer) == ("request-1", "request-2")
    assert first.ledger is second.ledger
    assert first.storage is second.storage


def test_a_missing_setting_stops_the_function_with_its_name(
    deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its start, not in the middle of a job."""
    assert deployed
    monkeypatch.delenv("TABLE")

    with pytest.raises(BadSetting, match="TABLE"):
        bootstrap.ports(Invocation("request-1"))
