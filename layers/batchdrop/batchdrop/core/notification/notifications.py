"""Renders the notifications about a job, at its end or while it waits, and about the installation, when jobs wait for one cause.
Each has a subject and lines for people, JSON for programs, and attributes to filter by.

Rule: a notification names counts, codes and items, never a prompt or an answer. The provider's words about an item may quote
either, so only its codes are repeated. A file name is shown without anything that a mail program could obey.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import msgspec

from batchdrop.core.admission.quote_text import approval_words, hold_reason, quote_document, quote_lines
from batchdrop.core.delivery.advice import meaning, rejection_advice
from batchdrop.core.delivery.receipt import Receipt, receipt_document
from batchdrop.core.delivery.receipt_text import receipt_lines
from batchdrop.core.delivery.summary import Results, failure_document, read_as
from batchdrop.core.model.install import CommonWait
from batchdrop.core.model.job import Hold, ItemAccess, Job
from batchdrop.core.model.keys import NO_TASK, Keys
from batchdrop.core.model.reading import AS_EVER
from batchdrop.core.model.reasons import NotificationEvent, Reason, WaitingFor
from batchdrop.core.model.wording import iso_time, printable

_E = NotificationEvent
SCHEMA: Final = 2
# What the id of a notification about the installation begins with, where others have the job.
INSTALLATION: Final = "install"
# SNS refuses longer subjects (https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, read 2026-11-22).
SUBJECT_CHARS_MAX: Final = 100
# With at most NAMES_MAX names these keep every body below 200 KB, however it is encoded on its way.
SHOWN_MAX: Final = 20  # models, and reasons; the summary has all
MESSAGE_CHARS_MAX: Final = 2_000
KEY_CHARS_MAX: Final = 1_024
ATTRIBUTE_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Notification:
    """A message about a job, as SNS takes it: subject, a text for people, JSON for programs, attributes to filter by."""

    subject: str
    text: str
    json: str
    attributes: Mapping[str, str]


def render(job: Job, results: Results, location: str) -> Notification:
    """Return the notification of `job.event`. *location* is the folder of the results, such as `s3://bucket/results/…/`.

    *results* are those of the summary. They are empty if the job has none; then the ledger's counts are used.
    The deduplication id in the JSON is the same for every copy.
    """
    if not results.items and job.event != _E.REJECTED:
        results = replace(results, succeeded=job.succeeded, failed=job.failed)
    return _notification(job, results, location, deduplication_id(job))


def _notification(job: Job, results: Results, location: str, identity: str) -> Notification:
    return Notification(
        subject=_subject(job),
        text="\n".join(_lines(job, results, location)) + "\n",
        json=_json(job, results, location, identity),
        attributes={
            "event": job.event,
            "task": printable(job.task)[:ATTRIBUTE_CHARS_MAX].strip() or NO_TASK,
            "job": job.id,
        },
    )


def render_wait(job: Job, number: int, reason: Reason, location: str) -> Notification:
    """Return the notification that *job* waits, for the *number*-th time, for *reason*; *location* as in `render`."""
    waiting = replace(job, event=_E.WAITING, reason=reason)
    return _notification(waiting, Results(job.succeeded, job.failed), location, f"{job.id}/{_E.WAITING}/{number}")


def render_common_wait(wait: CommonWait) -> Notification:
    """Return the notification that jobs of the whole installation wait for one cause: one for all of them."""
    reason = wait.reason
    are = "1 job waits" if wait.jobs == 1 else f"{wait.jobs:,} jobs wait"
    is_for_a_day = wait.waits_for == WaitingFor.DAILY_CAP
    lines = (
        f"{are} {_FOR_ANOTHER_DAY if is_for_a_day else _FOR_A_PERSON if wait.is_for_a_person else _FOR_THE_PROVIDER}",
        "",
        f"Reason: {_message(reason)} ({printable(reason.code)})",
        f"Since {iso_time(wait.since)}.",
        "",
        "They continue automatically once this is over. Nothing is lost, and nothing is sent twice.",
        f"No other notification about it follows{' today' if is_for_a_day else ''}, however many jobs come to wait.",
        "What to do about it: batchdrop doctor",
        "Which jobs wait: batchdrop status",
    )
    document = {
        "schema": SCHEMA,
        "id": f"{INSTALLATION}/{wait.waits_for.replace(' ', '_')}/{wait.number}",
        "event": _E.WAITING,
        "job": None,
        "jobs": wait.jobs,
        "task": None,
        "upload": None,
        "results": None,
        "counts": None,
        "usage": {},
        "receipt": None,
        "failures": [],
        "reason": {"code": reason.code, "message": _message(reason)},
        "created_at": iso_time(wait.since),
    }
    return Notification(
        subject=f"Batchdrop waiting: {are}",
        text="\n".join(lines) + "\n",
        json=msgspec.json.encode(document).decode(),
        attributes={"event": _E.WAITING},
    )


def render_hold(job: Job, hold: Hold, allowed_microdollars: int | None, expires_at: int, location: str) -> Notification:
    """Return the notification that *job* is held, with its quote; without an answer it ends at *expires_at*. Else as `render`."""
    held = replace(job, event=_E.HELD, hold=hold, reason=hold_reason(hold, allowed_microdollars), due_at=expires_at)
    return _notification(held, Results(job.succeeded, job.failed), location, f"{job.id}/{_E.HELD}/{hold.number}")


def deduplication_id(job: Job) -> str:
    """Return the id that all copies of the notification about this end of *job* have; it is numbered from the second end on."""
    return f"{job.id}/{job.event}/{job.retries + 1}" if job.retries else f"{job.id}/{job.event}"


def _subject(job: Job) -> str:
    """Return what happened and to which file; a long key loses its middle, because its end tells files apart."""
    prefix = f"Batchdrop {job.event.replace('_', ' ')}: "
    key = "".join(char if char.isascii() else "?" for char in printable(job.key))
    left = SUBJECT_CHARS_MAX - len(prefix)
    if len(key) > left:
        kept = left - 3
        key = f"{key[: kept // 3]}...{key[len(key) - (kept - kept // 3) :]}"
    return prefix + key


def _lines(job: Job, results: Results, location: str) -> Iterator[str]:
    """Yield the lines of the e-mail."""
    yield f"{printable(job.key)[:KEY_CHARS_MAX]} {_sentence(job, results)}"
    yield ""
    if job.event != _E.REJECTED:
        yield f"Items: {_items(job, results):,}, of these {results.succeeded:,} succeeded and {results.failed:,} failed."
    if job.reading != AS_EVER:
        yield f"Read as: {read_as(job)}."
    if job.reason is not None:
        yield f"Reason: {_message(job.reason)} ({printable(job.reason.code)})"
    for model, usage in _shown(results.usage.items()) if results.receipt is None else ():
        yield f"Tokens of {printable(model)}: {usage.input_tokens:,} in, {usage.output_tokens:,} out."
    yield from _failure_lines(results)
    yield ""
    yield from _ADVICE[job.event](job, printable(location))
    yield ""
    yield from _receipt_lines(results)
    yield f"Job {job.id}, dropped {iso_time(job.created_at)}."


def _sentence(job: Job, results: Results) -> str:
    """Return what happened to the file."""
    if job.event == _E.COMPLETED and not results.items:
        return _EMPTY
    return _SENTENCES[job.event]


def _receipt_lines(results: Results) -> Iterator[str]:
    """Yield the receipt, where anything was or may have been paid."""
    if results.receipt is not None and (results.receipt.lines or results.receipt.unknown):
        yield from map(printable, receipt_lines(results.receipt))
        yield ""


def _items(job: Job, results: Results) -> int:
    """Return how many items there are: of a job under way those that were read, of one that ended those with an outcome."""
    return job.items if job.event in (_E.WAITING, _E.HELD) else results.items


def _failure_lines(results: Results) -> Iterator[str]:
    """Yield each reason with its first items."""
    if results.failures:
        yield "Failed items by reason:"
    for failure in _shown(results.failures):
        names = ", ".join(printable(name) for name in failure.names)
        rest = failure.count - len(failure.names)
        more = f" and {rest:,} more" if names and rest else ""
        means = f": {meaning(failure.code)}" if meaning(failure.code) else ""
        yield f"  {printable(failure.code)}: {failure.count:,}{' (' + names + more + ')' if names else ''}{means}"


def _shown[Entry](entries: Iterable[Entry]) -> list[Entry]:
    """Return as many of *entries* as a notification shows."""
    return list(islice(entries, SHOWN_MAX))


def _json(job: Job, results: Results, location: str, identity: str) -> str:
    document: dict[str, object] = {
        "schema": SCHEMA,
        "id": identity,
        "event": job.event,
        "job": job.id,
        "jobs": None,
        "task": job.task,
        "upload": {"bucket": job.bucket, "key": job.key, "version": job.version},
        "results": location,
        "read_as": read_as(job),
        "counts": {"items": _items(job, results), "succeeded": results.succeeded, "failed": results.failed},
        "usage": dict(_shown(results.usage.items())),
        "receipt": results.receipt and _brief_receipt(results.receipt),
        "failures": [failure_document(failure) for failure in _shown(results.failures)],
        "reason": None if job.reason is None else {"code": job.reason.code, "message": _message(job.reason)},
        "created_at": iso_time(job.created_at),
    }
    if job.event == _E.HELD and job.hold:
        document["quote"] = quote_document(job.hold.quote)
    return msgspec.json.encode(document).decode()


def _brief_receipt(receipt: Receipt) -> dict[str, object]:
    """Return what a program wants to know of the bill; the summary has its lines."""
    document = receipt_document(receipt)
    names = ("number", "currency", "list_dollars", "discount_dollars", "total_dollars", "failed_dollars")
    return {name: document[name] for name in names} | {"is_complete": not receipt.unknown}


def _message(reason: Reason) -> str:
    """Return a job's reason; it is in our words, but may hold a name from the upload."""
    message = printable(reason.message)
    return message if len(message) <= MESSAGE_CHARS_MAX else f"{message[:MESSAGE_CHARS_MAX]}…"


def _advise_results(_job: Job, location: str) -> Iterator[str]:
    yield f"Results: {location}"


def _advise_failures(_job: Job, location: str) -> Iterator[str]:
    yield f"Results: {location}"
    yield "`failures` there holds only the failed records: correct it if need be, and drop it again as it is."
    yield "`outcomes.jsonl` says why each one failed."


def _advise_rejected(job: Job, _location: str) -> Iterator[str]:
    yield "Nothing was sent and nothing was spent."
    yield from map(printable, rejection_advice(job))


def _advise_cancelled(_job: Job, location: str) -> Iterator[str]:
    yield f"Results: {location}"
    yield "`failures` there holds the records that were not finished: drop it as it is to continue with them."


def _advise_waiting(job: Job, location: str) -> Iterator[str]:
    if job.reason:
        yield "It continues automatically when this is put right. Nothing is lost, and nothing is sent twice."
    yield f"To give it up instead: batchdrop cancel {job.id}"
    yield f"Its state: {location}status.json"


def _advise_held(job: Job, location: str) -> Iterator[str]:
    if job.hold:
        yield from quote_lines(job.hold.quote)
        yield f"To approve it, {printable(approval_words(job.hold.quote))}: batchdrop approve {job.id}"
    yield f"or put an empty object into {printable(job.bucket)}: control/{job.id}/approve"
    yield f"To give it up: batchdrop cancel {job.id}"
    yield f"Nothing more of it is sent until then. Without an answer it ends at {iso_time(job.due_at or 0)}."
    yield f"Its state: {location}status.json"


def _advise_failed(job: Job, location: str) -> Iterator[str]:
    if job.options.items is ItemAccess.OBJECTS:
        yield f"What was written until then is kept, one object for each item: {location}"
    else:
        yield f"What was written until then is kept in the results bucket below {Keys(job.id, job.key).internal}"
    yield "An operator has to look at it. Nothing is sent again automatically."


_FOR_A_PERSON: Final = "for something that a person has to put right."
_FOR_THE_PROVIDER: Final = "for the provider, which does not answer."
_EMPTY: Final = "holds no records: nothing was asked, and nothing was spent."
_FOR_ANOTHER_DAY: Final = "for another day: what jobs may cost today is used up."
_SENTENCES: Final[Mapping[NotificationEvent, str]] = {
    _E.COMPLETED: "is done: every item succeeded.",
    _E.COMPLETED_WITH_FAILURES: "is done, but some of its items failed.",
    _E.REJECTED: "cannot be used.",
    _E.CANCELLED: "was cancelled; what had been answered by then is kept, and paid for.",
    _E.FAILED: "could not be finished.",
    _E.WAITING: "waits for something that a person has to put right.",
    _E.HELD: "is held until a person approves what it may cost.",
}
_ADVICE: Final[Mapping[NotificationEvent, Callable[[Job, str], Iterator[str]]]] = {
    _E.COMPLETED: _advise_results,
    _E.COMPLETED_WITH_FAILURES: _advise_failures,
    _E.REJECTED: _advise_rejected,
    _E.CANCELLED: _advise_cancelled,
    _E.FAILED: _advise_failed,
    _E.WAITING: _advise_waiting,
    _E.HELD: _advise_held,
}
