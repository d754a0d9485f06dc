"""A message whose invocation fails comes again soon, and a table that is busy is not taken for a job that is known."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from fakes.memory import MemoryLog
from fakes.world import World

from batchdrop.core.model.change import Change
from batchdrop.core.model.errors import Conflict
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.edge import bootstrap
from batchdrop.edge.aws.redelivery import Redelivery
from batchdrop.flow import submit

FUNCTIONS = Path(__file__).parents[3] / "functions"
URLS = (
    "https://sqs.us-east-1.amazonaws.com/1/stack-Submissions-X",
    "https://sqs.us-east-1.amazonaws.com/1/stack-Completions-Y",
)
HINT = '{"job": "00000000000000000000", "shard": null}'


class Queues:
    """Keeps what it was asked, or refuses it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.hidden: list[dict[str, Any]] = []
        self.failure = failure

    def change_message_visibility(self, **asked: object) -> None:
        """Take the call as boto3's client does."""
        if self.failure is not None:
            raise self.failure
        self.hidden.append(asked)


def event_of(receives: int, queue: str = "stack-Submissions-X") -> Mapping[str, Any]:
    """Return an event as Lambda gives it (docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, 2026-11-22)."""
    return {
        "Records": [
            {
                "messageId": "m-1",
                "receiptHandle": "handle",
                "body": HINT,
                "attributes": {"ApproximateReceiveCount": f"{receives}", "SentTimestamp": "1"},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:1:{queue}",
                "awsRegion": "us-east-1",
            }
        ]
    }


def redelivery(queues: Queues, log: MemoryLog) -> Redelivery:
    """Return what is tested, over *queues*."""
    return Redelivery(lambda: cast(Any, queues), URLS, 60, log)


@pytest.mark.parametrize(("receives", "seconds"), [(1, 60), (2, 120), (4, 240)])
@pytest.mark.parametrize(("queue", "url"), [("stack-Submissions-X", URLS[0]), ("stack-Completions-Y", URLS[1])])
def test_a_failed_message_comes_again_soon(receives: int, seconds: int, queue: str, url: str) -> None:
    """By a minute for each time that it was received, and the error goes on."""
    queues, log = Queues(), MemoryLog()

    with pytest.raises(RuntimeError, match="boom"), redelivery(queues, log).soon(event_of(receives, queue)):
        raise RuntimeError("boom")

    assert queues.hidden == [{"QueueUrl": url, "ReceiptHandle": "handle", "VisibilityTimeout": seconds}]
    assert log.events == ["message.failed"]
    assert "boom" not in repr(log.lines)


def test_a_message_that_was_dealt_with_is_left_alone() -> None:
    """Lambda deletes it."""
    queues, log = Queues(), MemoryLog()

    with redelivery(queues, log).soon(event_of(1)):
        pass

    assert (queues.hidden, log.lines) == ([], [])


@pytest.mark.parametrize(
    "failure",
    [
        ClientError({"Error": {"Code": "AccessDenied"}}, "ChangeMessageVisibility"),
        EndpointConnectionError(endpoint_url="https://sqs"),
    ],
)
def test_the_first_error_is_the_one_that_is_seen(failure: Exception) -> None:
    """Where the queue cannot be asked its own time-out is left, and the log says so."""
    log = MemoryLog()

    with pytest.raises(RuntimeError, match="boom"), redelivery(Queues(failure), log).soon(event_of(1)):
        raise RuntimeError("boom")

    assert log.events == ["message.stays_hidden"]


@pytest.mark.parametrize("event", [{}, {"Records": "x"}, {"Records": [{"body": "no handle"}]}, event_of(1, "other")])
def test_what_comes_from_no_queue_of_ours_is_left_alone(event: Mapping[str, Any]) -> None:
    """A test event of a person, or a queue that this function was not told of."""
    queues = Queues()

    with pytest.raises(RuntimeError, match="boom"), redelivery(queues, MemoryLog()).soon(event):
        raise RuntimeError("boom")

    assert not queues.hidden


@pytest.mark.parametrize(("function", "queue"), [("submit", URLS[0]), ("complete", URLS[1])])
def test_each_handler_hands_its_messages_back(monkeypatch: pytest.MonkeyPatch, function: str, queue: str) -> None:
    """The real handler, whose ledger fails as a throttled table does."""
    queues, world = Queues(), World()
    settings = SimpleNamespace(submissions_queue_url=URLS[0], completions_queue_url=URLS[1], limits=world.limits)
    monkeypatch.setattr(bootstrap, "_settings", lambda: settings)
    monkeypatch.setattr(bootstrap, "_sqs", lambda: queues)
    monkeypatch.setattr(bootstrap, "ports", lambda _context: world.ports())

    def throttled(_job: str) -> Job | None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GetItem")

    monkeypatch.setattr(world.ledger, "job", throttled)
    handler = runpy.run_path(str(FUNCTIONS / function / "app.py"))["handler"]

    with pytest.raises(ClientError):
        handler(event_of(3, queue.rpartition("/")[2]), None)

    assert queues.hidden == [
        {"QueueUrl": queue, "ReceiptHandle": "handle", "VisibilityTimeout": 3 * world.limits.redelivery_seconds}
    ]


@pytest.mark.parametrize("kind", [Job, Install])
def test_a_throttle_on_the_first_write_is_an_error(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """Nothing is logged as known, and nothing ends as "has no row": the message comes again, and then it goes its way."""
    world = World()
    upload = world.storage.drop("inbox/x.jsonl", b'{"model": "gpt-4.1-mini", "messages": []}\n')
    write = world.ledger.write

    def busy(change: Change) -> Change:
        if isinstance(change.writes[0].after, kind):
            raise Conflict("the rows stay busy")
        return write(change)

    monkeypatch.setattr(world.ledger, "write", busy)
    with pytest.raises(Conflict, match="stay busy"):
        submit.handle_upload(world.ports(), world.limits, upload)
    assert not {"job.known", "install.found"} & set(world.log.events)

    monkeypatch.undo()
    submit.handle_upload(world.ports(), world.limits, upload)
    assert "job.began" in world.log.events
