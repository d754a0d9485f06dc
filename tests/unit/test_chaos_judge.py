"""The judge of the chaos run: a clean run is clean, and each promise is missed when it is broken."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from chaos.drops import Drop
from chaos.evidence import Batch, Dropped, Evidence, File, Line, Notification, Outcome, Results
from chaos.judge import judge

JOB, BAD = "a" * 20, "b" * 20
GOOD = Dropped(Drop("inbox/table.csv", b"", ("d1", "d2", None)), JOB)
USELESS = Dropped(Drop("inbox/broken.json", b"", (), is_rejected=True), BAD)


def batch(name: str, attempt: int, status: str = "completed", job: str = JOB) -> Batch:
    """A batch of the only shard."""
    return Batch(name, job, 0, attempt, f"i.{job}.0.{attempt}.1", status, 100 * attempt, f"file-of-{name}")


FIRST, SECOND = batch("batch_1", 1), batch("batch_2", 2)
PAID = Line("batch_1", 1, 1, "d1", 200, is_charged=True, is_delivered=True)
PASSING = Line("batch_1", 2, 2, "d2", 429, is_charged=False, is_delivered=True)
PAID_LATER = Line("batch_2", 1, 2, "d2", 200, is_charged=True, is_delivered=True)
OUTCOMES = (
    Outcome(1, "one", is_success=True, code="", batch="batch_1", line="batch_req_00000000", digest="m1"),
    Outcome(2, "two", is_success=True, code="", batch="batch_2", line="batch_req_00000000", digest="m2"),
    Outcome(3, "3~no-id", is_success=False, code="no_id", batch="", line="", digest="m3"),
)
RESULTS = Results(
    OUTCOMES,
    {"one": "m1", "two": "m2", "3~no-id": "m3"},
    {"outcomes.jsonl": File(3, "s1"), "results.csv": File(3, "s2"), "failures.csv": File(1, "s3")},
    {"outcomes.jsonl": "s1", "results.csv": "s2", "failures.csv": "s3"},
    (3, 2, 1),
    "csv",
)
ENDED = Notification(f"{JOB}/completed_with_failures", "completed_with_failures", JOB, (3, 2, 1))
REJECTED = Notification(f"{BAD}/rejected", "rejected", BAD, (0, 0, 0))
CLEAN = Evidence(
    (GOOD, USELESS), (FIRST, SECOND), (PAID, PASSING, PAID_LATER), {JOB: RESULTS}, (ENDED, ENDED, REJECTED),
    {"submissions": 0, "dead letters": 0},
)  # fmt: skip


def with_results(**changes: object) -> Evidence:
    """The clean run, but for what lies in the bucket."""
    return replace(CLEAN, results={JOB: replace(RESULTS, **changes)})  # type: ignore[arg-type]  # fields of Results


def with_outcome(number: int, **changes: object) -> Evidence:
    """The clean run, but for one outcome."""
    outcomes = list(OUTCOMES)
    outcomes[number] = replace(outcomes[number], **changes)  # type: ignore[arg-type]  # fields of Outcome
    return with_results(outcomes=tuple(outcomes))


def with_line(line: Line, *batches: Batch) -> Evidence:
    """The clean run, and one more request that ran."""
    return replace(CLEAN, lines=(*CLEAN.lines, line), batches=(*CLEAN.batches, *batches))


THIRD = batch("batch_3", 3)
BROKEN: Mapping[str, Callable[[], Evidence]] = {
    "every job and every batch ends": lambda: replace(CLEAN, notifications=(REJECTED,)),
    "no item is missing": lambda: with_results(outcomes=OUTCOMES[:2]),
    "no item is doubled": lambda: with_results(outcomes=(*OUTCOMES, OUTCOMES[2])),
    "`outcomes.jsonl` is in the order of the input": lambda: with_results(outcomes=OUTCOMES[::-1]),
    "no request is paid twice": lambda: with_line(replace(PAID, batch="batch_2", number=2)),
    "a request is sent again only after a failure that may pass, three times at most": lambda: with_line(
        replace(PAID, batch="batch_3", status=500, is_charged=False), THIRD
    ),
    "an attempt of a shard has one batch that ran": lambda: replace(
        CLEAN, batches=(FIRST, SECOND, batch("batch_4", 2))
    ),
    "an input file has one batch that ran": lambda: replace(
        CLEAN, batches=(FIRST, SECOND, replace(THIRD, file=FIRST.file))
    ),
    "each record is asked as it was dropped": lambda: replace(
        CLEAN, lines=(replace(PAID, digest="d2"), *CLEAN.lines[1:])
    ),
    "each answer that was paid for arrives at its own item": lambda: with_outcome(
        0, is_success=False, code="batch_expired"
    ),
    "each item's object is its outcome": lambda: with_results(items={"one": "m1", "two": "m1", "3~no-id": "m3"}),
    "merged files are whole, and what the summary's checksums say": lambda: with_results(
        checksums={**RESULTS.checksums, "results.csv": "s9"}
    ),
    "summary and notifications count what there is": lambda: with_results(counts=(3, 3, 0)),
    "one deduplication id for each job and event": lambda: replace(
        CLEAN, notifications=(*CLEAN.notifications, replace(ENDED, id=f"{JOB}/completed_with_failures/2"))
    ),
    "a file that is no use is rejected and sends nothing": lambda: replace(
        CLEAN, batches=(*CLEAN.batches, batch("batch_5", 1, job=BAD))
    ),
    "a second delivery of every event changes nothing": lambda: replace(CLEAN, changed=("a batch was made",)),
    "nothing is left in the queues, nothing lies outside its job": lambda: replace(
        CLEAN, waiting_messages={"dead letters": 1}
    ),
    "no prompt in a log or a notification": lambda: replace(CLEAN, told=("poll.log holds a prompt or an answer",)),
}


def test_a_clean_run_is_clean() -> None:
    """A failure that passed, a record that was refused and a notification that came twice break no promise."""
    verdicts = judge(CLEAN)

    assert [verdict for verdict in verdicts if verdict.violations] == []
    assert {verdict.promise for verdict in verdicts} == set(BROKEN)


@pytest.mark.parametrize("promise", BROKEN)
def test_a_broken_promise_is_missed(promise: str) -> None:
    """Each verdict bites."""
    broken = BROKEN[promise]()

    found = {verdict.promise for verdict in judge(broken) if verdict.violations}

    assert promise in found


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: with_outcome(0, line="batch_req_00000001"),
        lambda: with_outcome(0, batch="batch_2"),
        lambda: with_outcome(2, is_success=True, code=""),
        lambda: with_outcome(0, is_success=False, code="answers_missing"),
    ],
    ids=["another line", "another batch", "never asked", "delivered, and said to be missing"],
)
def test_an_outcome_is_the_answer_to_its_own_item(wrong: Callable[[], Evidence]) -> None:
    """An answer of somebody else, or none, is no success; an answer that came is not given up."""
    found = [verdict.promise for verdict in judge(wrong()) if verdict.violations]

    assert "each answer that was paid for arrives at its own item" in found


def test_what_was_paid_and_never_shown_is_not_sent_again() -> None:
    """An answer in neither file fails its item, and that is the provider's doing."""
    lines = (replace(PAID, is_delivered=False), *CLEAN.lines[1:])
    given_up = with_outcome(0, is_success=False, code="answers_missing", batch="batch_1", line="")

    verdicts = judge(replace(given_up, lines=lines))

    answers = next(one for one in verdicts if one.promise == "each answer that was paid for arrives at its own item")
    assert answers.violations == ()


def test_a_batch_that_never_ran_is_no_second_sending() -> None:
    """A create that came late and failed for want of its file shows that the fence held."""
    late = replace(batch("batch_6", 1, "failed"), file=FIRST.file)

    verdicts = judge(replace(CLEAN, batches=(*CLEAN.batches, late)))

    assert not any(verdict.violations for verdict in verdicts)
