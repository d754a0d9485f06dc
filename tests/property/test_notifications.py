import json
from dataclasses import replace
from pathlib import Path

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.delivery.summary import Tally
from batchdrop.core.model.job import Job
from batchdrop.core.model.outcomes import Failure, Outcome, Usage
from batchdrop.core.model.reasons import NotificationEvent, Reason
from batchdrop.core.notification.notifications import render
from batchdrop.edge.aws.sns import check_notification

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "notification.schema.json").read_text())
)
JOB = Job(id="0123456789abcdef0123", bucket="inbox", key="inbox/a.csv", version="v", created_at=1_795_305_600)
EVENTS = st.sampled_from(["completed", "completed_with_failures", "rejected", "cancelled", "failed", "waiting"])
# What S3 takes in a key: any text in UTF-8.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(event=EVENTS, key=TEXTS, task=TEXTS, message=TEXTS, code=TEXTS)
def test_any_name_gives_a_notification_that_sns_takes(event: str, key: str, task: str, message: str, code: str) -> None:
    """Whatever a person calls a file or a task, the notification about it can be sent and keeps the published schema."""
    job = replace(JOB, event=NotificationEvent(event), key=f"inbox/{key}", task=task, reason=Reason(code, message))

    notification = render(job, Tally().results(()), "s3://results/")

    check_notification(notification)
    SCHEMA.validate(json.loads(notification.json))


@given(length=st.integers(100, 3_000), filler=st.sampled_from(["x", "\n", "é", "😀", "\x00", "\u202e"]))
def test_the_largest_notification_is_small(length: int, filler: str) -> None:
    """With every bound reached at once a notification stays below 200 KB."""
    long = filler * length
    tally = Tally()
    for number in range(300):
        outcome = Outcome(
            name=f"{number:0200d}", row=1, status="failed", model=f"{number}-{long[:60]}", usage=Usage(1, 1),
            error=Failure(f"code_{number:059d}", long),
        )  # fmt: skip
        tally.add([outcome])
    job = replace(
        JOB, event=NotificationEvent.COMPLETED_WITH_FAILURES, key=f"inbox/{long[:1_000]}", reason=Reason("bad", long)
    )

    notification = render(job, tally.results(()), "s3://results/")

    check_notification(notification)
