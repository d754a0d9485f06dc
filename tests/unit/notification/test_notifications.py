import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from batchdrop.core.delivery.summary import FailureCount, Results
from batchdrop.core.model.outcomes import Usage
from batchdrop.core.model.rows import CommonWait, Job, Reason, WaitingFor
from batchdrop.core.model.wording import printable
from batchdrop.core.notification.notifications import Notice, render, render_common_wait, render_wait
from batchdrop.edge.aws.sns import check_notice

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schemas" / "notice.schema.json").read_text())
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


def rendered(event: str, job: Job = JOB, results: Results = RESULTS) -> Notice:
    """Return the notice of *job* as it ended with *event*, which SNS would take."""
    notice = render(replace(job, event=event), results, PLACE)
    check_notice(notice)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(notice.json))
    return notice


@pytest.mark.parametrize("event", EVENTS)
def test_every_end_has_its_notice(event: str) -> None:
    """However a job ends there is a subject, a text, JSON with the deduplication id, and attributes to filter by."""
    notice = rendered(event)

    document = json.loads(notice.json)
    assert document["id"] == f"0123456789abcdef0123/{event}"
    assert document["event"] == event
    assert notice.attributes == {"event": event, "task": "sentiment", "job": "0123456789abcdef0123"}
    assert event.replace("_", " ") in notice.subject
    assert "inbox/sentiment/r.csv" in notice.subject
    assert "inbox/sentiment/r.csv" in notice.text


def test_an_email_says_what_a_person_asks() -> None:
    """How many, why the rest failed, which items, what it took, where the results are and what to do."""
    notice = rendered("completed_with_failures")

    for said in (
        "Items: 1,003, of these 1,000 succeeded and 3 failed.",
        "context_length_exceeded: 2 (R-1 and 1 more)",
        "incomplete: 1 (R-3)",
        "Tokens of gpt-4.1-mini: 20,000 in, 3,000 out.",
        PLACE,
        "drop it again",
        "2026-11-22T00:00:00Z",
    ):
        assert said in notice.text


def test_the_notice_s_counts_are_the_summary_s() -> None:
    """A notice repeats the counts that were merged, not those of the ledger."""
    notice = rendered("completed_with_failures", replace(JOB, succeeded=1, failed=1))

    assert json.loads(notice.json)["counts"] == {"items": 1_003, "succeeded": 1_000, "failed": 3}


def test_a_job_that_never_merged_has_the_ledger_s_counts() -> None:
    """Without a summary the notice says what is known."""
    notice = rendered("failed", replace(JOB, reason=Reason("broken_state", "A row has no outcome.")), Results())

    assert json.loads(notice.json)["counts"] == {"items": 1_003, "succeeded": 1_000, "failed": 3}
    assert "A row has no outcome. (broken_state)" in notice.text


def test_a_rejected_upload_is_told_why_and_what_to_do() -> None:
    """The notice repeats line, column and reason, says that nothing was spent, and how to go on."""
    reason = Reason("bad_csv", "line 3, column 7: a quote is never closed")

    notice = rendered("rejected", replace(JOB, reason=reason, succeeded=0, failed=0), Results())

    assert "line 3, column 7: a quote is never closed" in notice.text
    assert "nothing was spent" in notice.text
    assert "tasks/sentiment.yaml" in notice.text
    assert json.loads(notice.json)["reason"] == {"code": "bad_csv", "message": reason.message}


def test_a_wait_has_its_notice() -> None:
    """It says what to put right and that nothing is lost; its id bears the number of the wait."""
    job = replace(JOB, succeeded=10, failed=1)

    notice = render_wait(job, 2, Reason("insufficient_quota", "No money."), PLACE)

    check_notice(notice)
    document = json.loads(notice.json)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert (document["id"], document["event"]) == (f"{JOB.id}/waiting/2", "waiting")
    assert document["counts"] == {"items": 1_003, "succeeded": 10, "failed": 1}
    assert document["reason"] == {"code": "insufficient_quota", "message": "No money."}
    assert "No money. (insufficient_quota)" in notice.text
    assert "Nothing is lost" in notice.text
    assert notice.attributes["event"] == "waiting"


@pytest.mark.parametrize(("jobs", "said"), [(1, "1 job waits"), (3_000, "3,000 jobs wait")])
def test_a_common_wait_has_one_notice_for_all(jobs: int, said: str) -> None:
    """It names no job but how many wait, the provider's code, and since when; SNS and the schema take it."""
    wait = CommonWait(WaitingFor.ACCOUNT, Reason("insufficient_quota", "No money."), 1_795_305_600, number=4, jobs=jobs)

    notice = render_common_wait(wait)

    check_notice(notice)
    document = json.loads(notice.json)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert (document["id"], document["event"]) == ("install/account/4", "waiting")
    assert (document["job"], document["upload"], document["jobs"]) == (None, None, jobs)
    assert document["reason"] == {"code": "insufficient_quota", "message": "No money."}
    assert said in notice.text
    assert said in notice.subject
    assert "2026-11-22T00:00:00Z" in notice.text
    assert notice.attributes == {"event": "waiting"}


@pytest.mark.parametrize("changes", [{"job": None}, {"jobs": 3}, {"upload": None}, {"id": "install/key/1"}])
def test_the_schema_knows_what_a_notice_is_about(changes: dict[str, object]) -> None:
    """A job's notice that lacks its job, or an installation's that names one, is neither."""
    document = json.loads(rendered("completed").json) | changes

    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


def test_nothing_to_do_is_done() -> None:
    """A job of 0 items ends with a notice like any other."""
    notice = rendered("completed", replace(JOB, items=0, succeeded=0, failed=0), Results())

    assert "Items: 0" in notice.text


@pytest.mark.parametrize("task", ["-", "", "\n", "   "])
def test_no_task_is_a_dash(task: str) -> None:
    """The attribute is never empty, because SNS refuses that."""
    notice = rendered("completed", replace(JOB, task=task))

    assert notice.attributes["task"].strip()


def test_a_key_cannot_command_a_mail_program() -> None:
    """Line ends, control and direction characters of a name appear as escapes, in one line."""
    key = "inbox/sentiment/a\r\nBcc: x@example.com\u202e\x1b[31m.csv"

    notice = rendered("completed", replace(JOB, key=key))

    assert "Bcc" in notice.text
    for forbidden in "\r\x1b\u202e":
        assert forbidden not in notice.text + notice.subject
    assert "\nBcc" not in notice.text
    assert "\n" not in notice.subject
    assert json.loads(notice.json)["upload"]["key"] == key


def test_a_long_key_keeps_its_end_in_the_subject() -> None:
    """Files are told apart by the end of their key, so that is what a cut subject shows."""
    key = "inbox/sentiment/" + "folder/" * 90 + "reviews-of-may.csv"

    notice = rendered("completed_with_failures", replace(JOB, key=key))

    assert len(notice.subject) == 100
    assert notice.subject.endswith("/reviews-of-may.csv")


def test_a_provider_s_words_stay_out() -> None:
    """A notice names codes alone: a provider's message may quote the prompt."""
    job = replace(JOB, reason=None)

    notice = rendered("completed_with_failures", job)

    assert {entry for failure in json.loads(notice.json)["failures"] for entry in failure} == {"code", "count", "names"}


def test_readable_names_stay_readable() -> None:
    """Only what cannot be seen is escaped."""
    assert printable("Bewertungen für Mai 😀\t.csv") == "Bewertungen für Mai 😀\\t.csv"
