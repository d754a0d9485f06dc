"""Moves a job from state to state, by a table.

               ┌──► HELD ──────►│ (over, or cancelled)
               │      ▲▼        │
    PLANNING ──┴─► RUNNING ──► FINISHING ──► NOTIFYING ──► ENDED
      ▲ │  └───────────────────►│               ▲           │
      │ └───────────────────────┼───────────────┘ (rejected)│
      └─────────────────────────────────────────────────────┘ (a person retries what was rejected)

`EDGES` names, for each state, the events it knows and the states they may lead to; a pair that is missing is an error, and
an error changes nothing. NOTIFYING is the outbox: the notification is pending until it is known to be published.

A cancelled job ends as any other does, after its shards are done and its results written. No more shards are cut from it.
No shards are cut from a held job either, and none of its shards is admitted; those admitted before continue. An approval makes
it RUNNING, and a cancellation ends it from either state. Whichever is written second finds a state that does not know it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchdrop.core.admission.budget import approved_of, is_to_be_held
from batchdrop.core.model.errors import IllegalTransition
from batchdrop.core.model.job import Hold, Job, JobState, JobWait, Quote, StalledAttempts, TaskOptions
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.reasons import NotificationEvent, Reason, WaitingFor
from batchdrop.core.planning.plan import PlanPage
from batchdrop.core.submission.shard_lifecycle import Now

_J = JobState
_W = WaitingFor
_E = NotificationEvent

# A person may have put these right without a new upload. They come before anything is planned, or the file isn't at fault:
# then what was planned stays as it is.
RETRIABLE_CODES = frozenset({
    "no_such_task", "task_invalid", "too_old", "unreadable", "restored", "could_not_be_planned",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class TaskAwaited:
    """The task that the drop names is not there yet; a sync may send it after the drop."""

    wait_seconds: int


@dataclass(frozen=True, slots=True)
class UploadAwaited:
    """S3 refuses to give the upload for now."""


@dataclass(frozen=True, slots=True)
class TaskPinned:
    """The task was copied: from here on the job uses this snapshot."""

    digest: str
    options: TaskOptions


@dataclass(frozen=True, slots=True)
class PagePlanned:
    """A page of the upload became chunks, all of them written. After the last page the job's cost can be quoted."""

    page: PlanPage
    quote: Quote | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The upload cannot be used; nothing was sent."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class ShardCut:
    """The next *lines* lines of a group became a shard, which holds some of the job's money."""

    group: int
    lines: int
    microdollars: int = 0


@dataclass(frozen=True, slots=True)
class ShardSplit:
    """One shard became two."""


@dataclass(frozen=True, slots=True)
class ShardServed:
    """A shard that waited got quota, or the first part of it: then it became two."""

    group: int
    is_split: bool
    microdollars: int = 0  # what it holds of the job's money beyond what it held before


@dataclass(frozen=True, slots=True)
class ShardDone:
    """All items of a shard have an outcome."""

    succeeded: int
    failed: int
    is_last_attempt: bool
    unsent: int = 0  # of the failed, those that no batch ever held
    spent_microdollars: int = 0
    released_microdollars: int = 0  # what the shard held


@dataclass(frozen=True, slots=True)
class Held:
    """The rest of the job would cost more than is allowed, or an unknown amount. *quote* is of the whole job."""

    quote: Quote


@dataclass(frozen=True, slots=True)
class HoldTold:
    """The notification about hold *number* is published."""

    number: int


@dataclass(frozen=True, slots=True)
class Approved:
    """A person approved the job's cost, up to half as much again as the hold's notification said."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Results and summary are written."""

    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Results cannot be merged. What was written stays, and the notification says so."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Notified:
    """The notification is published."""


@dataclass(frozen=True, slots=True)
class JobCancelled:
    """No more of it is wanted: nothing is planned or sent any more, what is at the provider is waited for.

    *reason* is None where a person said so.
    """

    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """A person starts a rejected upload again, old or not."""


type JobEvent = (
    TaskAwaited
    | UploadAwaited
    | TaskPinned
    | PagePlanned
    | Rejected
    | ShardCut
    | ShardSplit
    | ShardServed
    | ShardDone
    | Held
    | HoldTold
    | Approved
    | Merged
    | Broken
    | Notified
    | JobCancelled
    | Retried
)

EDGES: Mapping[JobState, Mapping[type, frozenset[JobState]]] = {
    _J.PLANNING: {
        TaskAwaited: frozenset({_J.PLANNING}),
        UploadAwaited: frozenset({_J.PLANNING}),
        TaskPinned: frozenset({_J.PLANNING}),
        PagePlanned: frozenset({_J.PLANNING, _J.HELD, _J.RUNNING, _J.FINISHING}),
        Rejected: frozenset({_J.NOTIFYING}),
        JobCancelled: frozenset({_J.FINISHING}),
    },
    _J.HELD: {
        HoldTold: frozenset({_J.HELD}),
        Approved: frozenset({_J.RUNNING}),
        ShardSplit: frozenset({_J.HELD}),
        ShardDone: frozenset({_J.HELD, _J.FINISHING}),
        JobCancelled: frozenset({_J.RUNNING, _J.FINISHING}),
    },
    _J.RUNNING: {
        Held: frozenset({_J.HELD}),
        ShardCut: frozenset({_J.RUNNING}),
        ShardSplit: frozenset({_J.RUNNING}),
        ShardServed: frozenset({_J.RUNNING}),
        ShardDone: frozenset({_J.RUNNING, _J.FINISHING}),
        JobCancelled: frozenset({_J.RUNNING, _J.FINISHING}),
    },
    _J.FINISHING: {
        UploadAwaited: frozenset({_J.FINISHING}),
        Merged: frozenset({_J.NOTIFYING}),
        Broken: frozenset({_J.NOTIFYING}),
    },
    _J.NOTIFYING: {
        Notified: frozenset({_J.ENDED}),
    },
    _J.ENDED: {
        Retried: frozenset({_J.PLANNING}),
    },
}


def may_be_cancelled(job: Job) -> bool:
    """Whether cancelling *job* would change anything: not once its results are merged, and not twice."""
    return JobCancelled in EDGES[job.state] and not job.cancelled_at


def may_be_approved(job: Job) -> bool:
    """Whether *job* is held and not cancelled."""
    return Approved in EDGES[job.state]


def may_expire(job: Job, now: Now) -> bool:
    """Whether *job* was held for the longest time in which it can be approved."""
    is_old = job.hold is not None and now.time - job.hold.since >= now.limits.hold_seconds_max
    return job.state is _J.HELD and is_old


def may_be_retried(job: Job) -> bool:
    """Whether *job* was rejected for a reason that may have passed."""
    code = job.reason.code if job.reason else ""
    return job.state is _J.ENDED and job.event == _E.REJECTED and code in RETRIABLE_CODES


# Events without progress: the job waits, or is tried again.
_NO_PROGRESS = (TaskAwaited, UploadAwaited, ShardSplit, ShardServed, HoldTold)


def advance_job(job: Job, event: JobEvent, now: Now) -> Job:
    """Return *job* after *event*. Raises IllegalTransition if the state does not know the event."""
    targets = EDGES[job.state].get(type(event))
    if targets is None:
        raise IllegalTransition(f"job {job.id} in {job.state} does not know {type(event).__name__}")
    after = _AFTER[type(event)](job, event, now)
    if not isinstance(event, _NO_PROGRESS):
        after = replace(after, progressed_at=now.time)
    assert after.state in targets, f"{job.state} -{type(event).__name__}-> {after.state}"  # noqa: S101 - our own table
    return after


def _after_task_awaited(job: Job, event: TaskAwaited, now: Now) -> Job:
    since = job.waiting.since if job.waiting.cause == _W.TASK else now.time
    return replace(
        job, waiting=JobWait(_W.TASK, since), withheld_at=0, due_at=now.time + event.wait_seconds, lease=None,
        stalled=StalledAttempts(),
    )  # fmt: skip


def _after_upload_awaited(job: Job, _event: UploadAwaited, now: Now) -> Job:
    since = job.withheld_at or now.time
    return replace(
        job, withheld_at=since, waiting=JobWait(_W.UPLOAD, since),
        due_at=now.time + now.limits.withheld_retry_seconds, lease=None, stalled=StalledAttempts(),
    )  # fmt: skip


def begun(job: Job, now: int, limits: Limits) -> Job:
    """Return *job* with one more attempt to plan or finish it, counted before it can die. A checkpoint resets the count."""
    if now - job.stalled.at < limits.stalled_count_seconds:
        return job
    return replace(job, stalled=StalledAttempts(job.stalled.attempts + 1, now))


def given_up(job: Job, limits: Limits) -> JobEvent | None:
    """Return what ends *job* after too many attempts died or ended without a checkpoint; None while another is due."""
    if job.stalled.attempts <= limits.stalled_attempts_max:
        return None
    tried = f"{limits.stalled_attempts_max} attempts in a row made no progress"
    if job.state is _J.PLANNING:
        message = (
            f"The upload could not be planned: {tried}, each in a function that was ended by its time or its memory, or failed. "
            "Nothing was sent. Split the file, or tell the operator, whose logs say more."
        )
        return Rejected(Reason("could_not_be_planned", message))
    if job.state is _J.FINISHING:
        message = (
            f"The results could not be written: {tried}. Every answer that came is kept below internal/{job.id}/ in the results "
            "bucket. Tell the operator, whose logs say more."
        )
        return Broken(Reason("could_not_be_finished", message))
    return None


def is_withheld_for_good(job: Job, now: int, limits: Limits) -> bool:
    """Whether S3 has refused to give *job*'s upload for so long that it counts as gone."""
    return bool(job.withheld_at) and now - job.withheld_at >= limits.withheld_seconds_max


def _given(job: Job) -> Job:
    """Return *job* after S3 gave its upload."""
    waiting = JobWait() if job.waiting.cause == _W.UPLOAD else job.waiting
    return replace(job, withheld_at=0, waiting=waiting, stalled=StalledAttempts())


def _after_task_pinned(job: Job, event: TaskPinned, _now: Now) -> Job:
    return replace(job, snapshot=event.digest, options=event.options, waiting=JobWait(), stalled=StalledAttempts())


def _after_page_planned(job: Job, event: PagePlanned, now: Now) -> Job:
    page = event.page
    planned = replace(
        _given(job),
        reading=page.reading,
        plan=page.cursor,
        groups=page.groups,
        items=page.items,
        refused=page.refused,
        failed=page.refused,
        due_at=now.time,
    )
    if not page.is_last:
        return planned
    ready = replace(planned, state=_J.RUNNING, money=replace(job.money, quote=event.quote), lease=None)
    if not any(group.lines for group in page.groups):
        return replace(ready, state=_J.FINISHING)
    is_held = event.quote is not None and is_to_be_held(ready, event.quote, now.limits)
    return _after_held(ready, Held(event.quote), now) if event.quote and is_held else ready


def _after_held(job: Job, event: Held, now: Now) -> Job:
    number = job.hold.number + 1 if job.hold else 1
    # Due at once: the notification is pending.
    return replace(
        job, state=_J.HELD, hold=Hold(number, now.time, event.quote), waiting=JobWait(_W.APPROVAL, now.time),
        due_at=now.time, lease=None,
    )  # fmt: skip


def _after_hold_told(job: Job, event: HoldTold, now: Now) -> Job:
    assert job.hold is not None, job.id  # noqa: S101 - a held job has one
    if job.hold.number != event.number:
        return job
    return replace(
        job, hold=replace(job.hold, is_told=True), due_at=job.hold.since + now.limits.hold_seconds_max, lease=None
    )


def _after_approved(job: Job, _event: Approved, now: Now) -> Job:
    assert job.hold is not None, job.id  # noqa: S101 - a held job has one
    quote, money = job.hold.quote, job.money
    approved = replace(
        money,
        approved=max(money.approved, approved_of(quote)),
        is_unpriced_approved=money.is_unpriced_approved or bool(quote.unpriced),
    )
    return replace(job, state=_J.RUNNING, money=approved, waiting=JobWait(), due_at=now.time, lease=None)


def _after_rejected(job: Job, event: Rejected, now: Now) -> Job:
    return replace(
        job, state=_J.NOTIFYING, event=_E.REJECTED, reason=event.reason, waiting=JobWait(), lease=None, due_at=now.time,
    )  # fmt: skip


def _after_shard_cut(job: Job, event: ShardCut, now: Now) -> Job:
    return _served(_reserving(replace(job, shards=job.shards + 1), event.microdollars), event.group, event.lines, now)


def _reserving(job: Job, microdollars: int) -> Job:
    return replace(job, money=replace(job.money, reserved=job.money.reserved + microdollars))


def _served(job: Job, index: int, cut_lines: int, now: Now) -> Job:
    """A group of it got quota: it now waits after the groups that have had none for longer."""
    group = job.groups[index]
    served = replace(group, cut_lines=group.cut_lines + cut_lines, served_at=now.time)
    assert served.cut_lines <= served.lines, (job.id, served)  # noqa: S101 - a shard takes planned lines only
    waited_seconds = now.time - job.waiting.since if job.waiting.cause == _W.QUOTA else 0
    return replace(
        job, groups=(*job.groups[:index], served, *job.groups[index + 1 :]), waiting=JobWait(),
        waited_seconds=job.waited_seconds + waited_seconds,
    )  # fmt: skip


def _after_shard_served(job: Job, event: ShardServed, now: Now) -> Job:
    return _served(
        _reserving(replace(job, shards=job.shards + event.is_split), event.microdollars), event.group, 0, now
    )


def _after_shard_split(job: Job, _event: ShardSplit, _now: Now) -> Job:
    return replace(job, shards=job.shards + 1)


def _after_shard_done(job: Job, event: ShardDone, now: Now) -> Job:
    money = replace(
        job.money,
        spent=job.money.spent + event.spent_microdollars,
        reserved=job.money.reserved - event.released_microdollars,
    )
    counted = replace(
        _given(job), succeeded=job.succeeded + event.succeeded, failed=job.failed + event.failed,
        unsent=job.unsent + event.unsent,
        shards_done=job.shards_done + event.is_last_attempt, money=money,
    )  # fmt: skip
    assert money.reserved >= 0, job.id  # noqa: S101 - every shard holds what it reserved
    assert counted.shards_done <= counted.shards, job.id  # noqa: S101 - every shard is counted once
    if not event.is_last_attempt and job.is_cut and not (counted.waiting.cause or job.cancelled_at):
        return replace(counted, waiting=JobWait(_W.NEXT_ATTEMPT, now.time))
    return _finishing(counted, now) if _is_settled(counted) else counted


def _is_settled(job: Job) -> bool:
    """Whether every item of *job* has its outcome, or will never be sent."""
    return job.is_cut and job.shards_done == job.shards


def _finishing(job: Job, now: Now) -> Job:
    return replace(job, state=_J.FINISHING, lease=None, due_at=now.time, stalled=StalledAttempts())


def _after_merged(job: Job, event: Merged, now: Now) -> Job:
    # The lease stays: the worker that merged also notifies, and no other worker should do so at the same time.
    end = _E.CANCELLED if job.cancelled_at else _E.COMPLETED_WITH_FAILURES if event.failed else _E.COMPLETED
    items = event.succeeded + event.failed
    uncut = items - job.refused - sum(group.cut_lines for group in job.groups) if job.cancelled_at else 0
    return replace(
        job, state=_J.NOTIFYING, event=end, items=items, succeeded=event.succeeded, failed=event.failed,
        unsent=job.unsent + uncut, waiting=JobWait(), due_at=now.time, stalled=StalledAttempts(),
    )  # fmt: skip


def _after_broken(job: Job, event: Broken, now: Now) -> Job:
    return replace(job, state=_J.NOTIFYING, event=_E.FAILED, reason=event.reason, waiting=JobWait(), due_at=now.time)


def _after_notified(job: Job, _event: Notified, now: Now) -> Job:
    expires_at = now.time + now.limits.ended_rows_kept_seconds
    return replace(job, state=_J.ENDED, ended_at=now.time, due_at=None, lease=None, expires_at=expires_at)


def _after_cancelled(job: Job, event: JobCancelled, now: Now) -> Job:
    # Due at once: the next tick stops its shards, or finishes it where there are none.
    state = _J.RUNNING if job.state is _J.HELD else job.state
    cancelled = replace(
        job, state=state, reason=event.reason, cancelled_at=now.time, waiting=JobWait(_W.CANCELLATION, now.time),
        due_at=now.time, lease=None,
    )  # fmt: skip
    return _finishing(cancelled, now) if _is_settled(cancelled) else cancelled


def _after_retried(job: Job, _event: Retried, now: Now) -> Job:
    assert may_be_retried(job), (job.id, job.event)  # noqa: S101 - the caller asked first
    return replace(
        job, state=_J.PLANNING, event=_E.NOTHING, reason=None, retries=job.retries + 1, withheld_at=0, ended_at=0,
        expires_at=None, due_at=now.time, lease=None, stalled=StalledAttempts(),
    )  # fmt: skip


# Any: each function takes the event of its key, which a mapping cannot say.
_AFTER: Mapping[type, Callable[[Job, Any, Now], Job]] = {
    TaskAwaited: _after_task_awaited,
    UploadAwaited: _after_upload_awaited,
    TaskPinned: _after_task_pinned,
    PagePlanned: _after_page_planned,
    Rejected: _after_rejected,
    ShardCut: _after_shard_cut,
    ShardSplit: _after_shard_split,
    ShardServed: _after_shard_served,
    ShardDone: _after_shard_done,
    Held: _after_held,
    HoldTold: _after_hold_told,
    Approved: _after_approved,
    Merged: _after_merged,
    Broken: _after_broken,
    Notified: _after_notified,
    JobCancelled: _after_cancelled,
    Retried: _after_retried,
}
