import pytest

from batchdrop.core.collection.unanswered import answers_outstanding, capped, missing_verdict, rank, verdicts_of_failed
from batchdrop.core.collection.verdicts import Verdict
from batchdrop.core.model.batches import Batch, BatchError
from batchdrop.core.model.outcomes import Failure
from batchdrop.core.model.reasons import Reason

SUCCEEDED = Verdict()
FAILED = Verdict(failure=Failure("bad", "m"))
PASSING = Verdict(failure=Failure("batch_expired", "m"), may_be_sent_again=True)


def batch(status: str, total: int | None = None, completed: int | None = None, *errors: BatchError) -> Batch:
    """Return a batch that ended so."""
    return Batch("batch_1", status, 1, total=total, completed=completed, errors=errors)


@pytest.mark.parametrize(
    ("status", "counts", "lines", "outstanding"),
    [
        ("completed", (3, 3), (3, 0), False),
        ("completed", (3, 2), (2, 1), False),
        ("completed", (3, 3), (0, 0), True),  # the output file's id comes late
        ("completed", (3, 2), (2, 0), True),  # the error file's
        ("completed", (3, 3), (2, 1), True),  # fewer successes than counted
        ("completed", (None, None), (0, 0), True),  # nothing is counted: each of the ten that were sent is owed a line
        ("completed", (None, None), (7, 2), True),
        ("completed", (None, None), (7, 3), False),
        ("completed", (0, 0), (9, 0), True),
        ("expired", (None, None), (7, 2), True),
        ("completed", (3, None), (2, 0), True),
        ("completed", (3, None), (2, 1), False),
        ("expired", (10, 1), (1, 0), False),  # counts that do not add up, seen in the field
        ("expired", (10, 2), (1, 9), True),
        ("expired", (10, None), (1, 8), True),
        ("cancelled", (10, 0), (0, 0), False),
        ("cancelled", (10, 4), (3, 6), True),
        ("failed", (10, 4), (0, 0), False),
    ],
)
def test_answers_that_are_counted_but_not_shown_are_owed(
    status: str,
    counts: tuple[int | None, int | None],
    lines: tuple[int, int],
    outstanding: bool,  # noqa: FBT001  a column of the table
) -> None:
    """Whatever a batch's status, what it counted as completed must be seen before anything else is concluded."""
    owed = answers_outstanding(batch(status, *counts), 10, *lines)

    assert owed is outstanding


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_what_a_cut_off_batch_did_not_run_may_be_sent_again(status: str) -> None:
    """Items in neither file are sent again once all counted answers are there."""
    verdict = missing_verdict(batch(status, 10, 4), 4, None, give_up=False)

    assert verdict is not None
    assert verdict.may_be_sent_again


@pytest.mark.parametrize(
    ("ended", "answers"),
    [(batch("completed", 10, 4), 4), (batch("expired", 10, 4), 3), (batch("cancelled", 10, None), 9), (None, 0)],
)
def test_a_missing_answer_is_waited_for_then_given_up(ended: Batch | None, answers: int) -> None:
    """An item that may have been answered is never sent again: it waits, and fails in the end."""
    waiting = missing_verdict(ended, answers, None, give_up=False)
    given_up = missing_verdict(ended, answers, None, give_up=True)

    assert waiting is None
    assert given_up is not None
    assert given_up.failure is not None
    assert (given_up.failure.code, given_up.may_be_sent_again) == ("answers_missing", False)


def test_a_known_reason_is_the_reason() -> None:
    """Where it is known why there is no answer, the item fails with that at once."""
    verdict = missing_verdict(batch("expired", 1, 0), 0, Reason("answers_gone", "m"), give_up=False)

    assert verdict == Verdict(failure=Failure("answers_gone", "m"))


def test_a_success_counts_before_a_final_failure_before_a_passing_one() -> None:
    """Of several lines for one item the paid one counts, so that it is not sent and paid again."""
    ordered = sorted([PASSING, FAILED, SUCCEEDED], key=rank)

    assert ordered == [SUCCEEDED, FAILED, PASSING]


def test_a_named_line_fails_and_its_neighbours_go_on() -> None:
    """In a batch that failed in validation the named items are at fault, and nothing of it ran."""
    error = BatchError("invalid_url", "The URL is wrong.", 2)

    named, others = verdicts_of_failed(batch("failed", None, None, error), 3)

    assert named.keys() == {2}
    assert named[2].failure == Failure("invalid_url", "This request was refused in validation: The URL is wrong.")
    assert not named[2].may_be_sent_again
    assert others.may_be_sent_again


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ((BatchError("empty_file", "m", None),), "empty_file"),
        ((BatchError("invalid_url", "m", 4),), "invalid_url"),
        ((BatchError("invalid_url", "m", 0),), "invalid_url"),
        ((BatchError("no code\nbut a sentence", "m", None),), "batch_failed"),
    ],
)
def test_a_batch_that_failed_as_a_whole_fails_all(errors: tuple[BatchError, ...], code: str) -> None:
    """Where no line of ours is named the cause concerns every item, and sending them again would loop."""
    named, others = verdicts_of_failed(batch("failed", None, None, *errors), 3)

    assert not named
    assert others.failure is not None
    assert (others.failure.code, others.may_be_sent_again) == (code, False)


@pytest.mark.parametrize("code", ["internal_error", "server_error", "SERVER_ERROR", "service_unavailable"])
def test_a_server_error_in_validation_passes(code: str) -> None:
    """A batch that the server could not validate may be sent again."""
    _, others = verdicts_of_failed(batch("failed", None, None, BatchError(code, "m", None)), 3)

    assert others.may_be_sent_again


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ((), "The batch failed before it ran: the provider gave neither a code nor a message."),
        (
            (BatchError("", "", None),),
            "The batch failed before it ran: the provider gave neither a code nor a message.",
        ),
        ((BatchError("", "", None), BatchError("", "Try later.", None)), "The batch failed before it ran: Try later."),
    ],
)
def test_a_batch_that_failed_without_a_code_never_ran(errors: tuple[BatchError, ...], message: str) -> None:
    """Nobody is at fault, as far as anybody knows: it is sent again, up to the cap, and says what is known."""
    named, others = verdicts_of_failed(batch("failed", None, None, *errors), 3)

    assert not named
    assert others.failure == Failure("batch_failed", message)
    assert others.may_be_sent_again


def test_a_sentence_in_the_place_of_a_code_is_kept() -> None:
    """It tells a person more than what we would put in its place."""
    _, others = verdicts_of_failed(batch("failed", None, None, BatchError("no code\nbut words", "m", None)), 3)

    assert others.failure == Failure("batch_failed", "The batch was refused in validation: no code\nbut words: m")


def test_attempts_end() -> None:
    """The last attempt's failures are final; they say so and keep their code."""
    last = capped(PASSING, 3, 3)

    assert capped(PASSING, 2, 3) is PASSING
    assert last.failure is not None
    assert (last.failure.code, last.may_be_sent_again) == ("batch_expired", False)
    assert "3 times" in last.failure.message
