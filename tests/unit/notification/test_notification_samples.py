"""The samples in docs/samples/notifications are what the code sends. Run this file as a script to write them anew."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from fakes.prices import TABLE
from fakes.shards import new_shard

from batchdrop.core.collection.outcome_groups import run_of
from batchdrop.core.delivery.receipt import Receipt, open_bill
from batchdrop.core.delivery.summary import FailureCount, Results
from batchdrop.core.model.install import CommonWait
from batchdrop.core.model.job import Hold, Job, JobState, Quote
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Outcome, Usage
from batchdrop.core.model.reasons import NotificationEvent, Reason, Refusal, Scope, WaitingFor
from batchdrop.core.notification.notifications import Notification, render, render_common_wait, render_hold, render_wait
from batchdrop.core.submission.day_waits import day_reason
from batchdrop.core.submission.waits import waits_for_refused

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "samples" / "notifications"
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "notification.schema.json").read_text())
EVENTS = SCHEMA["properties"]["event"]["enum"]
# A sample of each event, and of what is said of the installation.
SAMPLES = [*EVENTS, "waiting_installation", "waiting_daily_cap"]

PLACE = "s3://results-bucket/results/sentiment/reviews.csv/2b9c41d07e5f3a6b8c10/"
JOB = Job(
    id="2b9c41d07e5f3a6b8c10", bucket="inbox-bucket", key="inbox/sentiment/reviews.csv", version="3HL4kqtJlcpXroDTDmJ",
    created_at=1_795_376_400, task="sentiment", items=3,
)  # fmt: skip
MODEL = "gpt-4.1-mini-2025-04-14"
SHARD = new_shard(
    job=JOB.id, number=1, account="a", endpoint="/v1/chat/completions", model="gpt-4.1-mini", group=0, batches=("batch_1",),
    base_url="https://api.openai.com/v1", batch_ended_at=JOB.created_at + 2_700,
)  # fmt: skip


def receipt(usage: Usage) -> Receipt:
    """Return the receipt of answers that took *usage*."""
    bill = open_bill(JOB, [SHARD], lambda model, _base_url: TABLE.get(model))
    answer = Outcome(name="a", row=1, status="succeeded", model=MODEL, usage=usage, batch_id="batch_1")
    bill.add(run_of([answer]))
    return bill.receipt()


DONE = Results(succeeded=3, usage={MODEL: Usage(61, 3)}, receipt=receipt(Usage(61, 3)))
IN_PART = Results(
    succeeded=2, failed=1, usage={MODEL: Usage(41, 2)}, failures=(FailureCount("undefined", 1, ("R-1043",)),),
    receipt=receipt(Usage(41, 2)),
)  # fmt: skip
STOPPED = replace(IN_PART, failures=(FailureCount("cancelled", 1, ("R-1043",)),))
NO_TASK = Reason(
    "no_such_task",
    "There is no task `sentiment`: tasks/sentiment.yaml is not in the inbox bucket, and did not come while it was waited for. "
    "The tasks there are: `classify`, `translate`. Ready-made requests need no task: they go directly below inbox/.",
)
BROKEN = Reason("broken_state", "row 2 has no outcome")
QUOTE = Quote(
    12_345_600, input_tokens=20_864_000, output_tokens=10_210_000, learned_answers=30_000, assumed_answers=700
)
WEEK = 7 * 86_400
REFUSED = Reason(
    "invalid_api_key",
    "The provider refuses the API key: nothing is sent or fetched until it is put right. The provider says: "
    "Incorrect API key provided: [key]. You can find your API key at https://platform.openai.com/account/api-keys.",
)
NO_MODEL = (
    waits_for_refused(
        replace(JOB, state=JobState.RUNNING),
        Refusal(
            Reason("model_not_found", "The project does not have access to the model gpt-4.1-mini."),
            since=JOB.created_at,
            count=1,
            scope=Scope.MODEL,
        ),
    )
    .waits[0]
    .reason
)


def sample(event: str) -> Notification:
    """Return the notification of *event*."""
    if event == "waiting_installation":
        return render_common_wait(CommonWait(WaitingFor.KEY, REFUSED, JOB.created_at + 60, number=1, jobs=3_000))
    if event == "waiting_daily_cap":
        ten_dollars = day_reason(Limits(daily_cost_microdollars_max=10_000_000))
        return render_common_wait(CommonWait(WaitingFor.DAILY_CAP, ten_dollars, JOB.created_at + 60, number=2, jobs=40))
    job = replace(JOB, event=NotificationEvent(event))
    if event == "held":
        large, since = replace(job, items=30_700), job.created_at + 60
        return render_hold(large, Hold(1, since, QUOTE), 10_000_000, since + WEEK, PLACE)
    return render_wait(job, 1, NO_MODEL, PLACE) if event == "waiting" else end(job)


def end(job: Job) -> Notification:
    """Return the notification that *job* ends with its event."""
    match job.event:
        case "rejected":
            return render(replace(job, items=0, reason=NO_TASK), Results(), PLACE)
        case "failed":
            return render(replace(job, succeeded=2, failed=0, reason=BROKEN), Results(), PLACE)
        case "completed":
            return render(job, DONE, PLACE)
        case "cancelled":
            return render(job, STOPPED, PLACE)
        case _:
            return render(job, IN_PART, PLACE)


def files(event: str) -> dict[Path, str]:
    """Return both files of *event*: what programs receive, and what people read."""
    notification = sample(event)
    return {
        FOLDER / f"{event}.json": json.dumps(json.loads(notification.json), indent=2, ensure_ascii=False) + "\n",
        FOLDER / f"{event}.txt": f"Subject: {notification.subject}\n\n{notification.text}",
    }


@pytest.mark.parametrize("event", SAMPLES)
def test_a_sample_is_what_is_sent(event: str) -> None:
    """Whoever writes a subscriber against a sample has written it against the code."""
    written = files(event)

    assert {path: path.read_text() for path in written} == written


@pytest.mark.parametrize("event", SAMPLES)
def test_a_sample_keeps_the_schema(event: str) -> None:
    """The JSON is what the schema promises, and says which event it is."""
    document = json.loads((FOLDER / f"{event}.json").read_text())

    jsonschema.Draft202012Validator(SCHEMA).validate(document)

    assert document["event"] == event.removesuffix("_installation").removesuffix("_daily_cap")


def test_there_is_no_sample_of_anything_else() -> None:
    """A sample of an event that is not sent any more would mislead."""
    assert {path.stem for path in FOLDER.iterdir()} == set(SAMPLES)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in SAMPLES:
        for path, text in files(name).items():
            path.write_text(text)
