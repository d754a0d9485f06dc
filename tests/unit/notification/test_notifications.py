import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from batchdrop.core.delivery.summary import FailureCount, Results
from batchdrop.core.model.install import CommonWait
from batchdrop.core.model.job import Job
from batchdrop.core.model.outcomes import Usage
from batchdrop.core.model.reasons import NotificationEvent, Reason, WaitingFor
from batchdrop.core.model.wording import printable
from batchdrop.core.notification.notifications import Notification, render, render_common_wait, render_wait
from batchdrop.edge.aws.sns import check_notification

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schemas" / "notification.schema.json").read_text())
PLACE = "s3://results/results/sentiment/r.csv/0123456789abcdef0123/"
EVENTS = ["completed", "completed_with_failures", "rejected", "cancelled", "failed"]

JOB = Job(
    id="0123456789abcdef0123", bucket="inbox", key="inbox/sentiment/r.csv", version="v1", created_at=1_795_305_600,
    task="sentiment", items=1_003, succeeded=1_000, failed=3,
)  # fmt: skip
RESULTS = Results(
    succeeded=1_000, failed=3, usage={"gpt-4.1-mini": Usage(20_000, 3_000)},
    failures=(FailureCount("context_length_exceeded", 2, ("R-1",)), FailureCount("incomplete", 1, ("R-3",))),
)  # fmt: skip


def rendered(event: str, job: Job = JOB, results: Results = RESULTS) -> Notification:
    """Return the notification of *job* as it ended with *event*, which SNS would take."""
    notification = render(replace(job, event=NotificationEvent(event)), results, PLACE)
    check_notification(notification)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(notification.json))
    return notification


@pytest.mark.parametrize("event", EVENTS)
def test_every_end_has_its_notification(event: str) -> None:
    """However a job ends there is a subject, a text, JSON with the deduplication id, and attributes to filter by."""
    notification = rendered(event)

    document = json.loads(notification.json)
    assert document["id"] == f"0123456789abcdef0123/{event}"
    assert document["event"] == event
    assert notification.attributes == {"event": event, "task": "sentiment", "job": "0123456789abcdef0123"}
    assert event.replace("_", " ") in notification.subject
    assert "inbox/sentiment/r.csv" in notification.subject
    assert "inbox/sentiment/r.csv" in notification.text


def test_an_email_says_what_a_person_asks() -> None:
    """How many, why the rest failed, which items, what it took, where the results are and what to do."""
    notification = rendered("completed_with_failures")

    for said in (
        "Items: 1,003, of these 1,000 succeeded and 3 failed.",
        "context_length_exceeded: 2 (R-1 and 1 more)",
        "incomplete: 1 (R-3)",
        "Tokens of gpt-4.1-mini: 20,000 in, 3,000 out.",
        PLACE,
        "drop it again",
        "2026-11-22T00:00:00Z",
    ):
        assert said in notification.text


def test_the_notification_s_counts_are_the_summary_s() -> None:
    """A notification repeats the counts that were merged, not those of the ledger."""
    notification = rendered("completed_with_failures", replace(JOB, succeeded=1, failed=1))

    assert json.loads(notification.json)["counts"] == {"items": 1_003, "succeeded": 1_000, "failed": 3}


def test_a_job_that_never_merged_has_the_ledger_s_counts() -> None:
    """Without a summary the notification says what is known."""
    notification = rendered("failed", replace(JOB, reason=Reason("broken_state", "A row has no outcome.")), Results())

    assert json.loads(notification.json)["counts"] == {"items": 1_003, "succeeded": 1_000, "failed": 3}
    assert "A row has no outcome. (broken_state)" in notification.text


def test_a_rejected_upload_is_told_why_and_what_to_do() -> None:
    """The notification repeats line, column and reason, says that nothing was spent, and how to go on."""
    reason = Reason("bad_csv", "line 3, column 7: a quote is never closed")

    notification = rendered("rejected", replace(JOB, reason=reason, succeeded=0, failed=0), Results())

    assert "line 3, column 7: a quote is never closed" in notification.text
    assert "nothing was spent" in notification.text
    assert "tasks/sentiment.yaml" in notification.text
    assert json.loads(notification.json)["reason"] == {"code": "bad_csv", "message": reason.message}


def test_a_wait_has_its_notification() -> None:
    """It says what to put right and that nothing is lost; its id bears the number of the wait."""
    job = replace(JOB, succeeded=10, failed=1)

    notification = render_wait(job, 2, Reason("insufficient_quota", "No money."), PLACE)

    check_notification(notification)
    document = json.loads(notification.json)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert (document["id"], document["event"]) == (f"{JOB.id}/waiting/2", "waiting")
    assert document["counts"] == {"items": 1_003, "succeeded": 10, "failed": 1}
    assert document["reason"] == {"code": "insufficient_quota", "message": "No money."}
    assert "No money. (insufficient_quota)" in notification.text
    assert "Nothing is lost" in notification.text
    assert notification.attributes["event"] == "waiting"


@pytest.mark.parametrize(("jobs", "said"), [(1, "1 job waits"), (3_000, "3,000 jobs wait")])
def test_a_common_wait_has_one_notification_for_all(jobs: int, said: str) -> None:
    """It names no job but how many wait, the provider's code, and since when; SNS and the schema take it."""
    wait = CommonWait(WaitingFor.ACCOUNT, Reason("insufficient_quota", "No money."), 1_795_305_600, number=4, jobs=jobs)

    notification = render_common_wait(wait)

    check_notification(notification)
    document = json.loads(notification.json)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert (document["id"], document["event"]) == ("install/account/4", "waiting")
    assert (document["job"], document["upload"], document["jobs"]) == (None, None, jobs)
    assert document["reason"] == {"code": "insufficient_quota", "message": "No money."}
    assert said in notification.text
    assert said in notification.subject
    assert "2026-11-22T00:00:00Z" in notification.text
    assert notification.attributes == {"event": "waiting"}


@pytest.mark.parametrize("changes", [{"job": None}, {"jobs": 3}, {"upload": None}, {"id": "install/key/1"}])
def test_the_schema_knows_what_a_notification_is_about(changes: dict[str, object]) -> None:
    """A job's notification that lacks its job, or an installation's that names one, is neither."""
    document = json.loads(rendered("completed").json) | changes

    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


def test_nothing_to_do_is_done() -> None:
    """A job of 0 items ends with a notification like any other."""
    notification = rendered("completed", replace(JOB, items=0, succeeded=0, failed=0), Results())

    assert "Items: 0" in notification.text


@pytest.mark.parametrize("task", ["-", "", "\n", "   "])
def test_no_task_is_a_dash(task: str) -> None:
    """The attribute is never empty, because SNS refuses that."""
    notification = rendered("completed", replace(JOB, task=task))

    assert notification.attributes["task"].strip()


def test_a_key_cannot_command_a_mail_program() -> None:
    """Line ends, control and direction characters of a name appear as escapes, in one line."""
    key = "inbox/sentiment/a\r\nBcc: x@example.com\u202e\x1b[31m.csv"

    notification = rendered("completed", replace(JOB, key=key))

    assert "Bcc" in notification.text
    for forbidden in "\r\x1b\u202e":
        assert forbidden not in notification.text + notification.subject
    assert "\nBcc" not in notification.text
    assert "\n" not in notification.subject
    assert json.loads(notification.json)["upload"]["key"] == key


def test_a_long_key_keeps_its_end_in_the_subject() -> None:
    """Files are told apart by the end of their key, so that is what a cut subject shows."""
    key = "inbox/sentiment/" + "folder/" * 90 + "reviews-of-may.csv"

    notification = rendered("completed_with_failures", replace(JOB, key=key))

    assert len(notification.subject) == 100
    assert notification.subject.endswith("/reviews-of-may.csv")


def test_a_provider_s_words_stay_out() -> None:
    """A notification names codes alone: a provider's message may quote the prompt."""
    job = replace(JOB, reason=None)

    notification = rendered("completed_with_failures", job)

    assert {entry for failure in json.loads(notification.json)["failures"] for entry in failure} == {
        "code",
        "count",
        "names",
    }


def test_readable_names_stay_readable() -> None:
    """Only what cannot be seen is escaped."""
    assert printable("Bewertungen für Mai 😀\t.csv") == "Bewertungen für Mai 😀\\t.csv"
