"""Requests that repeat are sent once, and everybody gets the answer."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes.answered import AnsweredJob, answer_line, chat_request, error_line, json_lines, success
from fakes.shards import changed
from fakes.world import World

from batchdrop.core.admission.quota import Space, fitting_items
from batchdrop.core.model.batches import BatchError
from batchdrop.core.model.job import TaskOptions
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Outcome
from batchdrop.core.model.reasons import Reason
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.planning.requests import row_of_line
from batchdrop.core.submission.dedupe import SentOnce
from batchdrop.core.submission.shard_events import Admitted, Harvested, InputUploaded, NoQuota, Saving
from batchdrop.core.submission.shard_lifecycle import Now, advance, split
from batchdrop.flow.collection.collect import archive, derive
from batchdrop.flow.planned_job import PlannedJob

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
TASK = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages: [{role: user, content: "Rate: {{ review }}"}]
id: review_id
dedupe: true
"""
SMALL = Limits(chunk_lines_max=2)
NOW = Now(1_000_000, "install", Limits())


def rows(*reviews: str) -> bytes:
    """A CSV of these reviews, called r1, r2 and so on."""
    return b"review_id,review\r\n" + b"".join(f"r{row},{text}\r\n".encode() for row, text in enumerate(reviews, 1))


def world(limits: Limits = SMALL) -> World:
    """A world whose one task sends once what repeats."""
    made = World(limits=limits)
    made.storage.put_task("sentiment", TASK)
    return made


def outcomes(here: World, job: str) -> list[dict[str, Any]]:
    """The job's outcomes."""
    return [json.loads(line) for line in here.result(job, "outcomes.jsonl").splitlines()]


def repeating_job(*texts: str) -> AnsweredJob:
    """A job of a chat body for each of *texts*, which sends once what repeats."""
    job = AnsweredJob("inbox/questions.jsonl", json_lines(map(chat_request, texts)))
    job.job = replace(job.job, options=TaskOptions(dedupe=True))
    return job


def sent_rows(job: AnsweredJob, shard: Shard) -> list[int]:
    """The rows whose requests *shard* sends."""
    return [row_of_line(line) for line in SentOnce(PlannedJob(job.storage, job.job).lines(shard))]


def told(found: list[Outcome]) -> list[tuple[int, str, bool]]:
    """Of each outcome its row, its text or its failure, and whether its usage is its own."""
    return [
        (one.row, one.error.code if one.error else json.loads(bytes(one.output)), one.usage is not None)
        for one in found
    ]


def test_what_repeats_is_sent_once_and_answered_for_all() -> None:
    """Each item has its own object, name and record, and the answer to the one request; tokens stand with that alone."""
    here = world()
    job = here.drop("inbox/sentiment/a.csv", rows("good", "bad", "good", "good"))

    ended = here.run(job)

    found = outcomes(here, job)
    assert (ended.event, ended.succeeded) == ("completed", 4)
    assert [outcome["name"] for outcome in found] == ["r1", "r2", "r3", "r4"]
    assert [outcome["record"]["review"] for outcome in found] == ["good", "bad", "good", "good"]
    assert [outcome.get("same_as") for outcome in found] == [None, None, "r1", "r1"]
    assert [outcome["usage"] is None for outcome in found] == [False, False, True, True]
    assert found[0]["output"] == found[2]["output"] == found[3]["output"] != found[1]["output"]
    assert json.loads(here.result(job, "items/r3.json")) == found[2]
    assert sorted(charge.custom_id for charge in here.simulator.ledger.charges()) == ["1", "2"]


def test_outcomes_of_repeats_keep_their_schema() -> None:
    """Programs that read outcomes are told of `same_as`, and of the count in the summary."""
    here = world()
    job = here.drop("inbox/sentiment/a.csv", rows("good", "good"))
    here.run(job)

    for schema, documents in {
        "item": outcomes(here, job),
        "summary": [json.loads(here.result(job, "summary.json"))],
    }.items():
        with (SCHEMAS / f"{schema}.schema.json").open() as file:
            validator = jsonschema.Draft202012Validator(json.load(file))
        for document in documents:
            validator.validate(document)


def test_the_summary_says_what_was_saved_and_sums_up_what_was_billed() -> None:
    """The usage over all outcomes is what the provider counted; what a repeat would have cost stands beside the total."""
    here = world()
    job = here.drop("inbox/sentiment/a.csv", rows("good", "bad", "good"))
    here.run(job)

    summary = json.loads(here.result(job, "summary.json"))

    own = Counter[str]()
    for outcome in outcomes(here, job):
        own.update(outcome["usage"] or {})
    assert summary["usage"] == {"gpt-4.1-mini": dict(own)}
    assert summary["deduplicated"] == summary["receipt"]["deduplicated_items"] == 1
    assert summary["receipt"]["unknown"] == []
    assert float(summary["receipt"]["deduplicated_dollars"]) > 0
    assert "Saved, items that asked the same as another: 1" in here.notifications.published[-1].text


def test_without_the_option_what_repeats_is_sent_as_often() -> None:
    """Some repeat on purpose."""
    here = World()
    here.storage.put_task("sentiment", TASK.replace(b"dedupe: true", b"dedupe: false"))
    job = here.drop("inbox/sentiment/a.csv", rows("good", "good"))

    here.run(job)

    assert len(list(here.simulator.ledger.charges())) == 2
    assert not any("same_as" in outcome for outcome in outcomes(here, job))


def test_quota_is_given_back_for_what_is_not_sent() -> None:
    """Once its input is uploaded a shard holds quota for the requests that it sends."""
    here, all_of_them = world(), World(limits=SMALL)
    all_of_them.storage.put_task("sentiment", TASK.replace(b"dedupe: true", b""))
    for one in (here, all_of_them):
        one.drop("inbox/sentiment/a.csv", rows(*["good"] * 10))

    held = [sum(quota.used for quota in one.ledger.quotas.values()) for one in (here, all_of_them)]

    assert held[0] == -(-held[1] // 10)


def test_an_input_made_twice_is_the_same() -> None:
    """Which line is sent follows from the lines alone: a worker that dies before it notes the upload is repeated."""
    here = world()
    job = here.drop("inbox/sentiment/a.csv", rows("a", "b", "a", "c", "b"))
    lines = list(PlannedJob(here.storage, here.job(job)).lines(here.shard(job)))

    once, again = list(SentOnce(lines)), list(SentOnce(list(lines)))

    (file,) = here.simulator.account.files.by_id.values()
    with file.content.open() as stream:
        assert stream.read() == b"".join(once) == b"".join(again)


def test_the_answer_of_one_that_was_sent_again_counts_for_all() -> None:
    """What is retried is the request, once for all that asked it; each of them then was part of two batches."""
    job = repeating_job("a", "b", "a")
    first = job.shard()
    harvest = job.harvest(first, success(2, "B"), error_line(1, "batch_expired"), status="expired")
    second = job.next_attempt(first, harvest)

    last = job.harvest(second, success(1, "A"))

    assert (harvest.again_lines, sent_rows(job, second)) == (2, [1])
    assert (last.again_lines, last.succeeded, last.usage.input_tokens) == (0, 2, 20)
    assert told(job.part()) == [(1, "A", True), (2, "B", True), (3, "A", False)]
    assert [(one.attempts, one.same_as if one.is_copy else None) for one in job.part()] == [
        (2, None), (1, None), (2, "000000001"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("output", "errors", "status", "fate"),
    [
        (None, answer_line(1, {"error": {"code": "bad_value"}}, 400), "completed", "bad_value"),
        (None, None, "cancelled", "cancelled"),
    ],
)
def test_a_failure_is_that_of_all(output: bytes | None, errors: bytes | None, status: str, fate: str) -> None:
    """No copy is left without an outcome, whatever became of the request."""
    job = repeating_job("a", "a", "a")
    shard = replace(job.shard(), is_cancelled=status == "cancelled")

    harvest = job.harvest(shard, output, errors, status=status, counts=(1, 0, 0))

    assert (harvest.failed, harvest.again_lines, harvest.missing) == (3, 0, 0)
    assert told(job.part()) == [(row, fate, False) for row in (1, 2, 3)]


def test_a_line_that_is_refused_in_validation_is_the_line_that_was_sent() -> None:
    """The provider counts lines of the file that it was given; the others may be sent again without it."""
    job = repeating_job("a", "a", "b", "b")
    shard = replace(job.shard(), saved_items=2)

    harvest = job.harvest(shard, status="failed", batch_errors=(BatchError("bad", "no", 2),))

    assert (harvest.failed, harvest.again_lines) == (2, 2)
    (decided,) = [key for key in job.storage.objects if key.endswith("decided.jsonl")]
    assert [json.loads(line)["row"] for line in job.storage.objects[decided].splitlines()] == [3, 4]


def test_copies_wait_with_the_one_that_was_sent() -> None:
    """An answer that is not shown yet is owed to all of them."""
    job = repeating_job("a", "a")

    harvest = job.harvest(job.shard(), None, counts=(1, 1, 0))

    assert (harvest.missing, harvest.must_wait) == (2, True)


def test_what_was_never_sent_is_no_copy() -> None:
    """Items of a batch that never was failed each for themselves."""
    job = repeating_job("a", "a")
    shard = changed(job.shard(), batch="", reason=Reason("cancelled", "x"))

    with archive(job.ports, job.limits, job.job, shard, None) as answers:
        derive(job.ports, job.planned, shard, answers, None)

    assert [(one.row, one.is_copy) for one in job.part()] == [(1, False), (2, False)]


def test_a_shard_knows_what_it_sends_until_its_lines_change() -> None:
    """Quota is taken for what is sent, also when it waits and comes back; other lines are looked at anew."""
    shard = Shard(
        job="j",
        number=1,
        account="a",
        endpoint="e",
        model="m",
        group=0,
        end_line=10,
        tokens=100,
        base_tokens=100,
        inputs=20,
    )
    reserved = advance(shard, Admitted(), NOW)

    uploaded = advance(reserved, InputUploaded(reserved.attempt.ticket, "f", "u", "p", Saving(8, 80, 16)), NOW)

    assert (reserved.quota_tokens, reserved.quota_inputs) == (100, 20)
    assert (uploaded.quota_tokens, uploaded.quota_inputs, uploaded.sent_items) == (20, 4, 2)
    waiting = advance(replace(uploaded, state=ShardState.RUNNING), NoQuota(uploaded.attempt.ticket, is_idle=False), NOW)
    assert advance(waiting, Admitted(), NOW).quota_tokens == 20
    assert [part.sent_items for part in split(waiting, 2, 4)] == [4, 6]
    harvesting = replace(uploaded, state=ShardState.HARVESTING)
    again = advance(harvesting, Harvested(uploaded.attempt.ticket, 5, counted_tokens=9, counted_items=1), NOW)
    assert (again.sent_items, again.tokens, again.expected_tokens) == (5, 50, 10)


@pytest.mark.parametrize(("saved_items", "tokens_free", "items"), [(8, 20, 10), (8, 19, 1), (9, 19, 0), (0, 20, 2)])
def test_a_shard_is_let_in_by_what_it_sends(saved_items: int, tokens_free: int, items: int) -> None:
    """What fits as it is sent is let in whole; one request for all of them cannot be shared."""
    shard = Shard(
        job="j", number=1, account="a", endpoint="e", model="m", group=0, end_line=10, tokens=100, saved_items=saved_items,
        saved_tokens=80 if saved_items else 0,
    )  # fmt: skip

    assert fitting_items(shard, Space(tokens=tokens_free, inputs=None, limit=1_000, share=10)) == items


def test_each_shard_asks_for_itself() -> None:
    """Batches do not wait for each other: what repeats in another shard is sent there once more."""
    here = world(Limits(chunk_lines_max=2, shard_requests_max=2))
    job = here.drop("inbox/sentiment/a.csv", rows("a", "a", "a", "a"))

    here.run(job)

    assert [outcome.get("same_as") for outcome in outcomes(here, job)] == [None, "r1", None, "r3"]
    assert len(list(here.simulator.ledger.charges())) == 2
