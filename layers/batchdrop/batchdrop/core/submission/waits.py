"""Decides what one job waits for: what a person can put right, an approval, or its turn. What all jobs wait for is
in `common_waits`.

Rule: a job sends one notification for each cause, however often it comes back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from batchdrop.core.model.job import Hold, Job, JobState, JobWait
from batchdrop.core.model.limits import HOUR, Limits
from batchdrop.core.model.reasons import Reason, Refusal, Scope, Wait, WaitingFor
from batchdrop.core.model.shard import Shard
from batchdrop.core.model.wording import provider_words
from batchdrop.core.submission.common_waits import NOT_WAITING
from batchdrop.core.submission.refusing import DISK_FULL, is_under_refusal

_W = WaitingFor

UNCERTAIN: Final = Reason(
    "submission_unknown",
    "The provider never said whether it took a batch of this job, and nothing is known to stop a batch that comes late, so its "
    "requests are not sent again. If the batch shows itself within a week its answers are collected; else these items fail.",
)

NO_LIST: Final = Reason(
    "no_list",
    "The provider never said whether it took a batch of this job, and has no list of batches in which it would be seen, so these "
    "requests are not sent again. Once there is a list it is looked for; without one these items fail after a week.",
)

REFUSALS: Final = frozenset({_W.REFUSED, _W.MODEL, _W.DISK})
_REFUSED: Final = "The provider refuses what is sent to it."
_MODEL_REFUSED: Final = "The provider refuses this model to the account; other models continue."
_ASKED_AGAIN: Final = (
    "It is tried again a few times, then once an hour, and after a day the requests fail with its words, unsent and "
    "unpaid."
)
# What is said of a day's money.
DAILY_CAP_CODE: Final = "daily_cap"
# A row holds each cause once, and codes are the provider's.
WAITS_MAX: Final = 20

_TURNS: Final = NOT_WAITING | {_W.NEXT_ATTEMPT}


def _noted(job: Job, cause: Reason) -> tuple[Wait, ...]:
    """Return the waits of *job*, *cause* among them unless there are too many."""
    is_known = any(wait.reason.code == cause.code for wait in job.waits) or len(job.waits) >= WAITS_MAX
    return job.waits if is_known else (*job.waits, Wait(cause))


def waits_for_one(job: Job, cause: Reason) -> Job:
    """Return *job* with a pending notification for *cause*, which holds up some of it while the rest continues."""
    is_over = job.state is not JobState.RUNNING or job.cancelled_at
    return job if is_over else replace(job, waits=_noted(job, cause))


def waits_for_refused(job: Job, refusal: Refusal | None) -> Job:
    """Return *job* waiting for what *refusal* names, with a pending notification if that cause is new to it.

    Without a refusal the job no longer waits for one.
    """
    if job.state is not JobState.RUNNING or job.cancelled_at:
        return job
    if refusal is None:
        return replace(job, waiting=JobWait()) if job.waiting.cause in REFUSALS else job
    waits_for, message = refused_words(refusal)
    cause = Reason(refusal.reason.code, message)
    waiting = JobWait(waits_for, max(refusal.since, job.created_at), cause.code)
    return replace(job, waiting=waiting, waits=_noted(job, cause))


def refused_words(refusal: Refusal) -> tuple[WaitingFor, str]:
    """Return what a job waits for whose sending is refused, and the words of its notification."""
    if refusal.reason == DISK_FULL:
        return (
            _W.DISK,
            f"{DISK_FULL.message} It is tried again at most once an hour, and after a day the requests fail, unsent.",
        )
    is_of_model = refusal.scope is Scope.MODEL
    ours = _MODEL_REFUSED if is_of_model else _REFUSED
    return (
        _W.MODEL if is_of_model else _W.REFUSED,
        f"{ours} {provider_words(refusal.reason.message)} {_ASKED_AGAIN}",
    )


def waited_reason(job: Job) -> Reason | None:
    """Return why *job* waits, where it is more than a turn that comes automatically."""
    if job.waiting.cause in _TURNS or job.waiting.cause == _W.QUOTA:
        return None
    return next((wait.reason for wait in job.waits if wait.reason.code == job.waiting.code), None)


def turn_waited_for(job: Job, waiting: Iterable[Shard], now: int, *, is_day_over: bool = False) -> WaitingFor:
    """Return what *job* waits for, of whose shards those *waiting* are admitted as soon as they may be.

    A shard whose next attempt is not due yet would not be admitted however much quota there were. *is_day_over*: the day's money
    that it waited for is there, and it is not admitted for want of quota.
    """
    is_turn = job.waiting.cause in _TURNS or (is_day_over and job.waiting.cause == _W.DAILY_CAP)
    if job.state is not JobState.RUNNING or job.cancelled_at or not is_turn:
        return job.waiting.cause
    listed = [shard for shard in waiting if not is_under_refusal(shard)]
    if not job.is_cut or not all(_rests(shard, now) for shard in listed):
        return _W.QUOTA
    return _W.NEXT_ATTEMPT if listed else job.waiting.cause


def _rests(shard: Shard, now: int) -> bool:
    return shard.attempt.number > 1 and not shard.attempt.refused_count and (shard.due_at or 0) > now


def owed(job: Job) -> Mapping[int, Reason]:
    """Return the waits whose notification is pending, by their number, which counts from 1. Over once the job goes to its end.

    What older releases wrote of a day's money is the installation's to tell (`day_waits`).
    """
    if job.state is not JobState.RUNNING or job.cancelled_at:
        return {}
    untold = {number: wait.reason for number, wait in enumerate(job.waits, 1) if not wait.is_told}
    return {number: reason for number, reason in untold.items() if reason.code != DAILY_CAP_CODE}


def told(job: Job, number: int) -> Job:
    """Return *job* with the notification sent for its wait *number*."""
    waits = tuple(replace(wait, is_told=wait.is_told or index == number) for index, wait in enumerate(job.waits, 1))
    return replace(job, waits=waits)


def owed_hold(job: Job) -> Hold | None:
    """Return the hold of *job* whose notification is pending; over once it continues, or ends."""
    return job.hold if job.state is JobState.HELD and job.hold and not job.hold.is_told else None


def hold_expired(limits: Limits) -> Reason:
    """Return why a job ends that was not approved."""
    days, hours = divmod(limits.hold_seconds_max // HOUR, 24)
    waited = f"{days} days" if not hours else f"{24 * days + hours} hours"
    return Reason("hold_expired", f"It was not approved within {waited}, so it was cancelled.")
