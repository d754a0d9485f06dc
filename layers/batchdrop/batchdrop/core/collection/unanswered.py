"""Decides which answers of a batch are missing, and what becomes of items that it did not answer.

Rule: an item in neither file is unknown, not failed. It is sent again only where the provider shows every answer that it
counted and did not run the rest; otherwise it is waited for, and given up without being sent again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from batchdrop.core.collection.answers import MESSAGE_CHARS_MAX, code_of
from batchdrop.core.collection.verdicts import Verdict
from batchdrop.core.model.batches import Batch, BatchError
from batchdrop.core.model.outcomes import Failure
from batchdrop.core.model.reasons import Reason
from batchdrop.core.submission.refusals import is_money_code
from batchdrop.core.submission.shard_lifecycle import CANCELLED

# A batch with one of these ended before it ran all of its requests.
_CUT_OFF: Final = frozenset({"expired", "cancelled"})
# A batch that failed for these would have run (https://developers.openai.com/api/docs/guides/batch, read 2026-09-26; the others
# are what compatible servers say of themselves).
_PASSING_CODES: Final = frozenset(
    {"internal_error", "internal_server_error", "server_error", "service_unavailable", "timeout"}
)
_UNEXPLAINED: Final = "batch_failed"


def answers_outstanding(batch: Batch, sent_items: int, output_answers: int, error_lines: int) -> bool:
    """Whether *batch*, which was sent *sent_items*, shows fewer answers than that: its files may still appear or grow.

    *output_answers* are the items that its output file answers now, *error_lines* the lines of its error file; 0 for a
    file that is not there. A line that comes twice is one answer, or it would hide one that is missing. Some servers count
    nothing, as null or as zeros; then a line is expected for each item that was sent.
    """
    if batch.status == "failed":
        return False
    if batch.completed is not None and output_answers < batch.completed:
        return True
    if batch.completed is None or batch.status == "completed":
        return output_answers + error_lines < (batch.total or sent_items)
    return False


def missing_verdict(
    batch: Batch | None, output_answers: int, reason: Reason | None, *, give_up: bool
) -> Verdict | None:
    """Return what becomes of an item that no line answers, or None where it is to be waited for.

    *output_answers* counts the items that the output file answers; *reason* is why nothing more can come, if known.
    """
    if reason is not None:
        return Verdict(failure=Failure(reason.code, reason.message))
    if (
        batch is not None
        and batch.status in _CUT_OFF
        and batch.completed is not None
        and output_answers >= batch.completed
    ):
        failure = Failure(f"batch_{batch.status}", f"The batch was {batch.status} before this request was executed.")
        return Verdict(failure=failure, may_be_sent_again=True)
    if give_up:
        message = "The provider says that the batch ended, but shows no answer to this request."
        return Verdict(failure=Failure("answers_missing", message))
    return None


def rank(verdict: Verdict) -> int:
    """Return which verdict counts where several lines answer one item: the lowest, and among equals the first.

    A success, then a final failure; a failure that may pass comes last, because sending again after a paid answer would
    pay twice.
    """
    return (verdict.failure is not None) + verdict.may_be_sent_again


def verdicts_of_failed(batch: Batch, items: int) -> tuple[Mapping[int, Verdict], Verdict]:
    """Return what becomes of the items of a batch that failed in validation: of those it names, and of all others.

    The mapping is by 1-based position in the batch's input. Nothing of such a batch ran; where lines are named the
    others may be sent again without them. Where none is, the cause concerns them all: they may be sent again if it is the
    server's own, or if none is given.
    """
    named: dict[int, Verdict] = {}
    for error in batch.errors:
        if error.line is not None and 1 <= error.line <= items:
            named.setdefault(error.line, Verdict(failure=_refusal(error, "This request")))
    cause = _cause(batch.errors)
    may_pass = bool(named) or _is_nobodys_fault(cause)
    return named, Verdict(failure=_refusal(cause, "The batch"), may_be_sent_again=may_pass)


def _is_nobodys_fault(error: BatchError) -> bool:
    return not error.code or error.code.lower() in _PASSING_CODES or is_money_code(error.code)


def _cause(errors: Sequence[BatchError]) -> BatchError:
    """Return which of *errors* says most: the first with a code, else with words; an empty one where none says anything."""
    said = [error for error in errors if error.code] or [error for error in errors if error.message]
    return said[0] if said else BatchError("", "", None)


def _refusal(error: BatchError, refused: str) -> Failure:
    message = error.message[:MESSAGE_CHARS_MAX] or (
        "the provider gave no message." if error.code else "the provider gave neither a code nor a message."
    )
    code = code_of(error.code)
    if error.code and code is None:  # a sentence where a code belongs: kept as it came
        message = f"{error.code[:MESSAGE_CHARS_MAX]}: {message}"
    what = "failed before it ran" if _is_nobodys_fault(error) else "was refused in validation"
    return Failure(code or _UNEXPLAINED, f"{refused} {what}: {message}")


def stopped(verdict: Verdict) -> Verdict:
    """Return *verdict*, final where the job was cancelled before the request could be sent again."""
    if verdict.failure is None or not verdict.may_be_sent_again:
        return verdict
    message = f"The job was cancelled, so this request was not sent again. {verdict.failure.message}"
    return msgspec.structs.replace(verdict, failure=Failure(CANCELLED.code, message), may_be_sent_again=False)


def is_unpaid(verdict: Verdict) -> bool:
    """Whether the request may be sent again, and only money is why it was not answered: such an attempt does not count."""
    return verdict.failure is not None and verdict.may_be_sent_again and is_money_code(verdict.failure.code)


def left_running(verdict: Verdict) -> Verdict:
    """Return *verdict*, final because the batch that it is of may still run: what is sent again could be paid twice."""
    if verdict.failure is None or not verdict.may_be_sent_again:
        return verdict
    message = f"{verdict.failure.message} Its batch never ended, so this request was not sent again."
    return msgspec.structs.replace(verdict, failure=Failure(verdict.failure.code, message), may_be_sent_again=False)


def capped(verdict: Verdict, attempt: int, attempts_max: int) -> Verdict:
    """Return *verdict*, final where there is no attempt left."""
    if verdict.failure is None or not verdict.may_be_sent_again or attempt < attempts_max:
        return verdict
    message = f"{verdict.failure.message} It was sent {attempt} times; the cap is {attempts_max}."
    return msgspec.structs.replace(verdict, failure=Failure(verdict.failure.code, message), may_be_sent_again=False)
