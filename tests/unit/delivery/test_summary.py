import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import msgspec
import pytest
from fakes.shards import changed, new_shard

from batchdrop.core.delivery.receipt import MODELS_MAX
from batchdrop.core.delivery.summary import (
    NAMES_MAX,
    REASONS_MAX,
    FailureCount,
    Results,
    Tally,
    WrittenFile,
    results_of_summary,
    status_document,
    summary_document,
)
from batchdrop.core.model.job import Group, Job, JobState, JobWait
from batchdrop.core.model.outcomes import NO_USAGE, Failure, Outcome, Usage
from batchdrop.core.model.reasons import NotificationEvent, Reason, WaitingFor
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.model.wording import iso_time

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
CREATED_AT = 1_795_305_600  # 2026-11-22T00:00:00Z

JOB = Job(
    id="0123456789abcdef0123", bucket="inbox", key="inbox/sentiment/r.csv", version="v1", created_at=CREATED_AT,
    state=JobState.RUNNING, task="sentiment", items=12, refused=2, failed=3, succeeded=4,
    groups=(Group("/v1/responses", "m", lines=10, cut_lines=9),),
)  # fmt: skip
RESULTS = Results(
    succeeded=4, failed=3, usage={"m": Usage(20, 3)}, failures=(FailureCount("bad", 3, ("a", "b")),),
    files=(WrittenFile("outcomes.jsonl", 9, "0" * 64),),
)  # fmt: skip


def shard(number: int, state: ShardState, lines: int = 1, batch: str = "") -> Shard:
    """Return a shard of the job."""
    return new_shard(
        job=JOB.id, number=number, account="a", endpoint="/v1/responses", model="m", group=0, end_line=lines, state=state,
        batch=batch, batches=(batch,) if batch else (), tokens=100,
    )  # fmt: skip


def outcome(name: str, code: str | None = None, model: str = "m", usage: Usage | None = None) -> Outcome:
    """Return an outcome, failed where there is a code."""
    return Outcome(
        name=name, row=1, status="failed" if code else "succeeded", model=model, usage=usage,
        error=Failure(code, "m") if code else None,
    )  # fmt: skip


def validate(document: bytes, schema: str) -> None:
    """Raise where *document* breaks the published schema."""
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{schema}.schema.json").read_text())).validate(
        json.loads(document)
    )


def test_the_status_says_where_the_job_stands() -> None:
    """The status counts records, requests written, sent and answered, and shards by state."""
    shards = [
        shard(1, ShardState.DONE, 5, "batch_1"),
        shard(2, ShardState.RUNNING, 3, "batch_2"),
        shard(3, ShardState.WAITING, 1),
        shard(4, ShardState.HARVESTING, 1),
    ]

    document = status_document(JOB, shards, CREATED_AT + 60)

    status = json.loads(document)
    validate(document, "status")
    assert status["counts"] == {"items": 12, "planned": 10, "sent": 8, "succeeded": 4, "failed": 3}
    assert status["shards"] == {"WAITING": 1, "RUNNING": 1, "HARVESTING": 1, "DONE": 1}
    assert (status["state"], status["waiting"], status["event"]) == ("RUNNING", None, None)
    assert (status["created_at"], status["updated_at"]) == ("2026-11-22T00:00:00Z", "2026-11-22T00:01:00Z")


@pytest.mark.parametrize("ends", [(100, 200), (200, 100), (200, 100, 0)])
def test_a_summary_names_the_end_of_the_last_batch(ends: tuple[int, ...]) -> None:
    """Whatever the number of the shard whose batch that was."""
    shards = [
        changed(shard(n, ShardState.DONE), batch_ended_at=after and CREATED_AT + after)
        for n, after in enumerate(ends, 1)
    ]

    summary = json.loads(summary_document(JOB, shards, RESULTS))

    assert summary["last_batch_ended_at"] == "2026-11-22T00:03:20Z"


def test_the_status_says_what_is_waited_for() -> None:
    """A job that waits says for what and since when, one that was rejected says why."""
    job = replace(
        JOB, state=JobState.ENDED, event=NotificationEvent.REJECTED, waiting=JobWait(WaitingFor.TASK, CREATED_AT),
        reason=Reason("task_missing", "There is no task."), ended_at=CREATED_AT,
    )  # fmt: skip

    document = status_document(job, [], CREATED_AT)

    status = json.loads(document)
    validate(document, "status")
    assert status["waiting"] == {"for": "task", "since": "2026-11-22T00:00:00Z"}
    assert status["reason"] == {"code": "task_missing", "message": "There is no task."}
    assert status["ended_at"] == "2026-11-22T00:00:00Z"


def test_the_summary_reads_back() -> None:
    """What a summary says is what was merged, so that a notification may be written from it alone."""
    document = summary_document(JOB, [shard(2, ShardState.DONE, 3, "batch_2"), shard(1, ShardState.DONE)], RESULTS)

    read = results_of_summary(document)

    validate(document, "summary")
    assert read == RESULTS
    assert [entry["number"] for entry in json.loads(document)["shards"]] == [1, 2]
    assert json.loads(document)["shards"][1]["batches"] == ["batch_2"]


def test_the_summary_says_why_files_are_missing() -> None:
    """A summary without result files in the upload's format gives the reason."""
    results = replace(RESULTS, unreadable=Reason("unreadable", "It is gone."))

    document = summary_document(JOB, [], results)

    validate(document, "summary")
    assert results_of_summary(document) == results


def test_the_summary_has_no_clock() -> None:
    """Equal rows give equal bytes, in whatever order the shards come."""
    shards = [shard(number, ShardState.DONE) for number in range(3)]

    first, second = summary_document(JOB, shards, RESULTS), summary_document(JOB, reversed(shards), RESULTS)

    assert first == second


def test_reasons_are_counted_and_named() -> None:
    """Failures are listed most frequent first, each with its first items."""
    tally = Tally()
    for name, code in [("a", "x"), ("b", "y"), ("c", None), ("d", "y")]:
        tally.add([outcome(name, code)])

    results = tally.results(())

    assert results.failures == (FailureCount("y", 2, ("b", "d")), FailureCount("x", 1, ("a",)))
    assert (results.succeeded, results.failed) == (1, 3)


def test_tokens_are_summed_by_model() -> None:
    """Usage adds up by model, also of answers that were of no use; what was never answered has none."""
    tally = Tally()
    for one in (outcome("a", usage=Usage(1, 2)), outcome("b", "x", usage=Usage(3, 4)), outcome("c", "x")):
        tally.add([one])
    tally.add([outcome("d", model="n", usage=Usage(5, 6))])

    results = tally.results(())

    assert results.usage == {"m": Usage(4, 6), "n": Usage(5, 6)}


def test_what_the_provider_invents_is_bounded() -> None:
    """However many codes, models and failures there are, a tally stays small and loses no count."""
    tally = Tally()
    for number in range(1_000):
        tally.add([outcome(f"item-{number}", f"code-{number}", f"model-{number}", Usage(1, 1))])

    results = tally.results(())

    assert len(results.failures) == REASONS_MAX + 1
    assert len(results.usage) == MODELS_MAX + 1
    assert sum(len(failure.names) for failure in results.failures) == NAMES_MAX
    assert sum(failure.count for failure in results.failures) == 1_000
    assert sum(results.usage.values(), NO_USAGE) == Usage(1_000, 1_000)


@pytest.mark.parametrize(("seconds", "text"), [(0, None), (CREATED_AT, "2026-11-22T00:00:00Z")])
def test_times_are_iso_in_utc(seconds: int, text: str | None) -> None:
    """Times are written for people and programs alike; never is null."""
    assert iso_time(seconds) == text


def test_documents_are_for_people() -> None:
    """A document has a line for each field and ends with a line end."""
    document = status_document(JOB, [], CREATED_AT)

    assert document.startswith(b"{\n  ")
    assert document.endswith(b"}\n")
    assert msgspec.json.decode(document)
