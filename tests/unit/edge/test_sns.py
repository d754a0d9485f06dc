"""What SNS would refuse is refused before it is sent; what is sent has a form for people and one for programs."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from batchdrop.edge.aws.sns import SnsNotifications
from batchdrop.flow.ports import Notification

NOTICE = Notification(
    "completed: reviews.csv", "Done.\n3 items", '{"event":"completed"}', {"event": "completed", "task": "-"}
)


@dataclass
class Topic:
    """SNS, as far as it is called."""

    published: list[dict[str, Any]] = field(default_factory=list)

    def publish(self, **message: object) -> None:
        """Keep what came."""
        self.published.append(message)

    def notifications(self) -> SnsNotifications:
        """Return an adapter to this."""
        return SnsNotifications(lambda: self, "arn:topic")  # type: ignore[arg-type, return-value]  # one method of many


def test_people_read_text_and_programs_json() -> None:
    """By protocol, with the attributes beside it."""
    topic = Topic()

    topic.notifications().publish(NOTICE)

    (sent,) = topic.published
    message = json.loads(sent["Message"])
    assert (sent["TopicArn"], sent["MessageStructure"], sent["Subject"]) == ("arn:topic", "json", NOTICE.subject)
    assert (message["email"], message["default"]) == (NOTICE.text, NOTICE.json)
    assert sent["MessageAttributes"]["event"] == {"DataType": "String", "StringValue": "completed"}


@pytest.mark.parametrize(
    "bad",
    [
        replace(NOTICE, subject=""),
        replace(NOTICE, subject=" begins with a space"),
        replace(NOTICE, subject="x" * 101),
        replace(NOTICE, subject="two\nlines"),
        replace(NOTICE, subject="ümlaut"),
        replace(NOTICE, text=""),
        replace(NOTICE, json=""),
        replace(NOTICE, text="x" * 200_000),
        replace(NOTICE, text="\x00" * 40_000),
        replace(NOTICE, attributes={"task": ""}),
    ],
)
def test_what_sns_refuses_is_not_sent(bad: Notification) -> None:
    """The flow learns it at once, and falls back."""
    topic = Topic()

    with pytest.raises(ValueError, match=r"."):
        topic.notifications().publish(bad)

    assert topic.published == []
