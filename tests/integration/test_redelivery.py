"""A message whose invocation failed is back within seconds, in what stands for SQS."""

import time
import uuid

import boto3
import pytest
from fakes.memory import MemoryLog

from batchdrop.edge.aws.redelivery import Redelivery
from batchdrop_cli.local.emulator import Address

VISIBILITY_SECONDS = 5_400  # template.yaml


@pytest.mark.parametrize("aws", ["emulator", "second_emulator"])
def test_a_failed_message_is_received_again(request: pytest.FixtureRequest, aws: str) -> None:
    """As Lambda does it: receive, fail, and leave the message alone."""
    address: Address = request.getfixturevalue(aws)
    client = boto3.client("sqs", **address.client_options())
    made = client.create_queue(QueueName=f"q-{uuid.uuid4()}", Attributes={"VisibilityTimeout": f"{VISIBILITY_SECONDS}"})
    url = made["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client.send_message(QueueUrl=url, MessageBody="{}")
    (message,) = client.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "eventSourceARN": arn,
        "attributes": message["Attributes"],
    }

    redelivery = Redelivery(lambda: client, (url,), 1, MemoryLog())
    with pytest.raises(RuntimeError), redelivery.soon({"Records": [record]}):
        raise RuntimeError
    assert "Messages" not in client.receive_message(QueueUrl=url)
    time.sleep(1.2)

    (again,) = client.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
