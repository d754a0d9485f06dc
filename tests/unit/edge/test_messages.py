"""What arrives at a function: every shape that AWS delivers, and every one that it does not."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes.memory import FakeClock, MemoryLedger, MemoryLog, MemoryNotifications, MemoryStorage, MemoryWakeups
from fakes.prices import TablePrices
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.keys import Upload
from batchdrop.edge.aws.messages import Control, Drop, Ignored, Tell, Wakeup, read_body, read_messages
from batchdrop.edge.aws.sqs import SqsWakeups
from batchdrop.edge.openai.opening import SecretProviders
from batchdrop.flow.ports import Ports

EVENTS = Path(__file__).parents[3] / "events"
INBOX = "INBOX_BUCKET"
JOB = "0123456789abcdef0123"


def read(name: str) -> tuple[list[Drop | Wakeup | Tell | Control], MemoryLog]:
    """Read the event file called *name* as its function would."""
    log, clock = MemoryLog(), FakeClock()

    def no_client() -> Any:  # noqa: ANN401 - never called
        raise AssertionError

    ports = Ports(
        clock=clock, ledger=MemoryLedger(), wakeups=MemoryWakeups(), storage=MemoryStorage(),
        notifications=MemoryNotifications(), log=log, prices=TablePrices(),
        providers=SecretProviders(no_client, "", "", clock, create_timeout_seconds=1),
        inbox_bucket=INBOX, results_bucket="results", writer="w",
    )  # fmt: skip
    return list(read_messages(json.loads((EVENTS / name).read_text()), ports)), log


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("submit/s3-key-with-spaces-and-plus.json", "inbox/sentiment/my reviews + notes 100%.csv"),
        ("submit/eventbridge-object-created.json", "inbox/sentiment/my reviews + 100%.csv"),
        ("submit/missed-drop.json", "inbox/sentiment/missed reviews + 100%.csv"),
    ],
)
def test_a_key_is_decoded_exactly_once(name: str, key: str) -> None:
    """S3's own events carry it form-encoded, EventBridge's as it is."""
    (arrival,), log = read(name)

    assert isinstance(arrival, Drop)
    assert arrival.upload.key == key
    assert log.lines == []


def test_an_object_without_a_version_is_a_drop() -> None:
    """A person waits for it: the flow gives a notification."""
    (arrival,), _ = read("submit/s3-unversioned.json")

    assert arrival == Drop(Upload(INBOX, "inbox/nightly.jsonl", ""))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("submit/s3-test-event.json", "test event"),
        ("submit/s3-foreign-bucket.json", "foreign bucket"),
        ("submit/s3-removed.json", "no creation"),
        ("submit/not-json.json", "not understood"),
        ("submit/json-of-another-shape.json", "not understood"),
        ("complete/not-json.json", "not understood"),
    ],
)
def test_what_is_not_for_us_is_logged_and_left(name: str, reason: str) -> None:
    """It never raises, because a message that raises comes again."""
    arrivals, log = read(name)

    assert arrivals == []
    assert [(event, fields["reason"]) for _, event, fields in log.lines] == [("message.ignored", reason)]


@pytest.mark.parametrize("name", sorted(str(path.relative_to(EVENTS)) for path in EVENTS.glob("*/*.json")))
def test_every_event_is_read_without_raising(name: str) -> None:
    """Those of the schedule too, which are no messages."""
    arrivals, log = read(name)

    assert arrivals or log.lines


def test_two_records_are_two_drops() -> None:
    """In their order."""
    arrivals, _ = read("submit/s3-two-records.json")

    assert len({arrival.upload.key for arrival in arrivals if isinstance(arrival, Drop)}) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"job": JOB, "shard": 3}, Wakeup(JOB, 3)),
        ({"job": JOB, "shard": None}, Wakeup(JOB, None)),
        ({"job": JOB}, Wakeup(JOB, None)),
        ({"tell": "installation"}, Tell()),
        ({"tell": "somebody"}, Ignored("not understood")),
        ({"drop": {"bucket": INBOX, "key": "inbox/a+b%20", "version": "v"}}, Drop(Upload(INBOX, "inbox/a+b%20", "v"))),
        ({"drop": {"bucket": "other", "key": "inbox/a", "version": "v"}}, Ignored("foreign bucket")),
        ({"drop": {"bucket": INBOX}}, Ignored("not understood")),
        ({"job": "x", "shard": 3}, Ignored("not understood")),
        ({"job": JOB, "shard": -1}, Ignored("not understood")),
        ({"Records": []}, Ignored("no records")),
        ({"Records": [{"eventSource": "aws:s3"}]}, Ignored("not understood")),
        ([], Ignored("not understood")),
        (None, Ignored("not understood")),
    ],
)
def test_a_body_is_understood_or_ignored(body: object, expected: Drop | Wakeup | Tell | Ignored) -> None:
    """Nothing in between."""
    assert read_body(json.dumps(body), INBOX) == [expected]


def created(key: str, bucket: str = INBOX) -> str:
    """The body of S3's event for a new object."""
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "versionId": "v"}},
    }
    return json.dumps({"Records": [record]})


@pytest.mark.parametrize("word", ["cancel", "retry", "approve", "anything"])
def test_a_word_to_a_job_is_told_from_a_drop(word: str) -> None:
    """Whether it is known is for the flow to say, which logs what it ignores."""
    assert read_body(created(f"control/{JOB}/{word}"), INBOX) == [Control(JOB, word)]


@pytest.mark.parametrize(
    "key", ["control/", "control/x", f"control/{JOB}", f"control/{JOB}/", f"control/{JOB}/cancel/x", f"control/{JOB}/Cancel",
            f"control/{JOB[1:]}/cancel", f"control/{JOB}/cancel%0A", f"control/../{JOB}/cancel"],
)  # fmt: skip
def test_what_only_looks_like_a_word_is_ignored(key: str) -> None:
    """No other shape below control/ is a word, and none is a drop."""
    assert read_body(created(key), INBOX) == [Ignored("no control word")]


def test_a_word_in_another_bucket_is_nobody_s() -> None:
    """Only who may write into the inbox bucket may speak to its jobs."""
    assert read_body(created(f"control/{JOB}/cancel", "another"), INBOX) == [Ignored("foreign bucket")]


@pytest.mark.parametrize("version", ["v1", ""])
@pytest.mark.parametrize("key", ["inbox/plain.csv", "inbox/t/a b+c%20é#?&=~.csv", "inbox/日本\x01/x"])
def test_a_drop_that_is_told_is_the_drop_that_is_read(key: str, version: str) -> None:
    """What the reconciler sends comes back as the same upload, in characters that SQS takes."""
    sent: list[str] = []
    client: Any = SimpleNamespace(send_message=lambda **message: sent.append(message["MessageBody"]))
    upload = Upload(INBOX, key, version)

    SqsWakeups(lambda: client, submissions="queue", completions="").drop(upload)

    assert [read_body(body, INBOX) for body in sent] == [[Drop(upload)]]
    assert all(body.isascii() and body.isprintable() for body in sent)


def test_what_asks_for_a_notification_is_understood() -> None:
    """It goes to the completions queue."""
    sent: list[dict[str, str]] = []
    client: Any = SimpleNamespace(send_message=lambda **message: sent.append(message))

    SqsWakeups(lambda: client, submissions="s", completions="c").tell()

    (message,) = sent
    assert (message["QueueUrl"], read_body(message["MessageBody"], INBOX)) == ("c", [Tell()])


@pytest.mark.parametrize("key", ["inbox/%FF", "inbox/%C3%28"])
def test_a_key_that_is_no_text_is_ignored(key: str) -> None:
    """S3 keys are UTF-8; a forged one is not guessed at."""
    assert read_body(created(key), INBOX) == [Ignored("key is not UTF-8")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Records", "s3", "job", "Event", "detail", "source", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(json_values | st.text())
def test_nothing_that_arrives_can_raise(arrived: object) -> None:
    """Whatever it is, it becomes one arrival at least."""
    assert read_body(arrived if isinstance(arrived, str) else json.dumps(arrived), INBOX)
