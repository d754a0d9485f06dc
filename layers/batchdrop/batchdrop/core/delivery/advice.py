"""Says what a reason means and what a person can do about it, in the words of a notification.

Rule: only our own codes are explained. The provider documents its codes.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from batchdrop.core.delivery.job_lifecycle import RETRIABLE_CODES
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import NO_TASK

_RENAME: Final = "Give the file another name and drop it again."
_OPERATOR: Final = "An operator has to put it right; then drop the file again."
_BY_CODE: Final[Mapping[str, str]] = {
    "no_such_task": "Write the task, or drop the file below a task that exists.",
    "task_invalid": "Correct the task and drop the file again.",
    "key_too_long": _RENAME,
    "key_unusable": _RENAME,
    "key_of_results": "Results need not be dropped again; a file of your own may be renamed and dropped.",
    "csv_without_task": "Write the task and drop the file below its folder.",
    "unknown_format": "Drop it in a format that is taken: .csv (with a task), .jsonl or .json.",
    "unversioned": _OPERATOR,
    "unreadable": "See that the object is there, not archived, and not encrypted with a key of your own; then drop it again.",
    "too_old": "If it was not done before, drop it again.",
}
# Most are of items that were never sent. Codes of answers are the provider's, except for a few of our own.
_MEANINGS: Final[Mapping[str, str]] = {
    "bad_record": "the record isn't a JSON object",
    "bad_request": "the record isn't a request that the Batch API takes",
    "answers_missing": "the provider ended the batch and shows no answer; it may be paid for",
    "answers_gone": "the provider no longer gives the answers; they may be paid for",
    "batch_gone": "the provider no longer shows the batch; it may be paid for",
    "batch_stuck": "the batch never ended and may still run; it may be paid for",
    "duplicate_id": "an earlier record has the same id",
    "empty_answer": "the model answered with nothing; it ran and is paid for",
    "foreign_format": "the record is in the batch format of another provider",
    "incomplete": "the answer is not the whole object that was asked for; it ran and is paid for",
    "no_id": "the id is missing or empty",
    "not_json": "the record isn't JSON",
    "ambiguous": "the record has a column that is called as the task calls the whole record",
    "no_text": "the record gives null where the request takes a text",
    "ragged_row": "the row has more or fewer fields than the header",
    "request_too_large": "the request is longer than the limit",
    "template_failed": "a template of the task fails on the record",
    "template_too_large": "a template of the task makes a text from the record that is too long",
    "too_many_groups": "the upload names too many models",
    "too_many_inputs": "the request has too many embedding inputs",
    "undefined": "the record lacks what the task names",
}


def rejection_advice(job: Job) -> Iterator[str]:
    """Yield what to do about a rejected upload, one sentence a line. The task's name is not escaped."""
    code = job.reason.code if job.reason else ""
    if code in _BY_CODE:
        yield _BY_CODE[code]
    elif job.task != NO_TASK:
        yield f"Correct the file, or tasks/{job.task}.yaml if the reason names it, and drop the file again."
    else:
        yield "Correct the file and drop it again."
    if code in RETRIABLE_CODES:
        yield f"Or, once the reason is gone, start the same upload again: batchdrop retry {job.id}"


def meaning(code: str) -> str:
    """Return what the *code* of a failed item means; empty for a code that is not ours."""
    return _MEANINGS.get(code, "")
