"""The example subscriptions and the alarms, deployed and used on the embedded AWS beside the stack."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest

from batchdrop.core.delivery.summary import Results
from batchdrop.core.model.job import Job
from batchdrop.core.model.reasons import NotificationEvent, Reason
from batchdrop.core.notification.notifications import render
from batchdrop.core.operations.metrics import NAMESPACE, OLDEST_DUE, UNCERTAIN_CREATES, Metric
from batchdrop.edge.aws.sns import SnsNotifications
from batchdrop_cli.local.description import STACK_NAME
from batchdrop_cli.local.stack import LocalStack

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "subscriptions"
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "notification.schema.json").read_text())
TIMEOUT_SECONDS = 30.0  # each takes a second or two

JOB = Job(id="0123456789abcdef0123", bucket="inbox", key="inbox/a.csv", version="v", created_at=1_795_305_600)
ENDS = {
    "completed": (JOB, Results(succeeded=2)),
    "rejected": (replace(JOB, id="1" * 20, reason=Reason("bad_csv", "line 3: a quote is never closed")), Results()),
    "completed_with_failures": (replace(JOB, id="2" * 20), Results(succeeded=1, failed=1)),
}


def client(stack: LocalStack, service: str) -> Any:  # noqa: ANN401  # boto3's
    """Return a client for the stack's AWS."""
    return boto3.client(service, **stack.description.client_options())  # type: ignore[call-overload]  # any service


def outputs(stack: LocalStack, name: str) -> dict[str, str]:
    """Return the outputs of the stack called *name*."""
    (found,) = client(stack, "cloudformation").describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


@pytest.fixture(autouse=True)
def others_hear_nothing(probe_stack: LocalStack) -> Iterator[None]:
    """Take these notifications out of the stack's own queue again: other tests share it."""
    yield
    client(probe_stack, "sqs").purge_queue(QueueUrl=probe_stack.description.notifications_queue_url)


@contextmanager
def deployed(stack: LocalStack, name: str, **parameters: str) -> Iterator[dict[str, str]]:
    """Deploy the example called *name* beside the stack, give its outputs, and delete it."""
    cloudformation = client(stack, "cloudformation")
    given = {"TopicArn": stack.description.topic_arn, **parameters}
    cloudformation.create_stack(
        StackName=f"example-{name}",
        TemplateBody=(EXAMPLES / f"{name}.yaml").read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    try:
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=f"example-{name}", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
        )
        yield outputs(stack, f"example-{name}")
    finally:
        cloudformation.delete_stack(StackName=f"example-{name}")


def publish_every_end(stack: LocalStack) -> None:
    """Publish one notification of each of ENDS through the adapter that complete uses."""
    notifications = SnsNotifications(lambda: client(stack, "sns"), stack.description.topic_arn)
    for event, (job, results) in ENDS.items():
        notifications.publish(
            render(replace(job, event=NotificationEvent(event)), results, "s3://results/results/a.csv/")
        )


def received(stack: LocalStack, queue_url: str, count: int) -> list[dict[str, Any]]:
    """Return *count* messages of a queue, and whatever came with them."""
    queues, messages = client(stack, "sqs"), list[dict[str, Any]]()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while len(messages) < count and time.monotonic() < deadline:
        reply = queues.receive_message(
            QueueUrl=queue_url, WaitTimeSeconds=1, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        messages += reply.get("Messages", [])
    return messages


@contextmanager
def chat_room() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Give the address of a webhook on loopback, and what was posted to it."""
    posted: list[dict[str, str]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the base class calls it so
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", posted
        server.shutdown()
        thread.join()


def test_queue_receives_the_events_that_it_asked_for(probe_stack: LocalStack) -> None:
    """Each message is the notification's JSON alone, its attributes beside it; other events stay away."""
    with deployed(probe_stack, "queue", Events="completed,completed_with_failures") as example:
        publish_every_end(probe_stack)

        messages = received(probe_stack, example["QueueUrl"], 2)

    notifications = [json.loads(message["Body"]) for message in messages]
    for notification in notifications:
        jsonschema.validate(notification, SCHEMA)
    assert sorted(notification["event"] for notification in notifications) == ["completed", "completed_with_failures"]
    assert {message["MessageAttributes"]["event"]["StringValue"] for message in messages} == {
        "completed",
        "completed_with_failures",
    }


def test_function_tells_a_chat_room(probe_stack: LocalStack) -> None:
    """The function is invoked with the notification and posts one sentence; it has no permission but to log."""
    with (
        chat_room() as (address, posted),
        deployed(probe_stack, "function", WebhookUrl=address, Events="rejected"),
    ):
        publish_every_end(probe_stack)

        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not posted and time.monotonic() < deadline:
            time.sleep(0.05)

    (message,) = posted
    assert message["text"].startswith("inbox/a.csv: rejected, 0 of 0 succeeded. line 3: a quote is never closed")


def test_person_is_asked_before_the_first_letter(probe_stack: LocalStack) -> None:
    """The subscription is made with its filter; AWS sends nothing else until the person has agreed."""
    with deployed(probe_stack, "email", Email="ada@example.com", Events="failed,rejected"):
        listed = client(probe_stack, "sns").list_subscriptions_by_topic(TopicArn=probe_stack.description.topic_arn)

    (letter,) = [found for found in listed["Subscriptions"] if found["Protocol"] == "email"]
    assert letter["Endpoint"] == "ada@example.com"


def attach_queue(stack: LocalStack, name: str) -> str:
    """Subscribe a queue called *name* to the alarms' topic, as an operator's tool would; return its address."""
    queues = client(stack, "sqs")
    url: str = queues.create_queue(QueueName=name)["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = outputs(stack, STACK_NAME)["AlarmsTopicArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    queues.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    client(stack, "sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url


@pytest.mark.parametrize(
    ("metric", "quiet", "loud", "page"),
    [
        (UNCERTAIN_CREATES, 0, 1, "docs/runbooks/uncertain-creates.md"),
        (OLDEST_DUE, 900, 901, "docs/runbooks/oldest-due-work.md"),
    ],
)
def test_a_metric_of_this_stack_wakes_its_operator(
    probe_stack: LocalStack, metric: Metric, quiet: int, loud: int, page: str
) -> None:
    """An alarm names the page to read; a figure at the threshold wakes nobody. (Dimensions are not modelled here.)"""
    url = attach_queue(probe_stack, f"heard-{metric.name}")
    metrics = client(probe_stack, "cloudwatch")

    def state_after(value: int) -> str:
        dimensions = [{"Name": "service", "Value": STACK_NAME}]
        measured = {"MetricName": metric.name, "Value": value, "Unit": metric.unit, "Dimensions": dimensions}
        metrics.put_metric_data(Namespace=NAMESPACE, MetricData=[measured])
        alarms = metrics.describe_alarms()["MetricAlarms"]
        (state,) = [alarm["StateValue"] for alarm in alarms if alarm["MetricName"] == metric.name]
        return str(state)

    states = [state_after(quiet), state_after(loud)]

    assert states == ["OK", "ALARM"]
    heard = [json.loads(json.loads(message["Body"])["Message"]) for message in received(probe_stack, url, 1)]
    (alarm,) = [alarm for alarm in heard if alarm["Trigger"]["MetricName"] == metric.name]
    assert alarm["NewStateValue"] == "ALARM"
    assert alarm["AlarmDescription"].endswith(page)
