"""The table of a job's life: every state meets every event."""

import itertools
from dataclasses import replace
from typing import get_args

import pytest

from batchdrop.core.delivery import job_lifecycle as on
from batchdrop.core.delivery.job_lifecycle import EDGES, advance_job, may_be_cancelled, may_be_retried
from batchdrop.core.model.errors import IllegalTransition
from batchdrop.core.model.job import Group, Hold, Job, JobState, JobWait, PlanCursor, Quote, TaskOptions
from batchdrop.core.model.limits import DAY, Limits
from batchdrop.core.model.reasons import NotificationEvent, Reason, Refusal, WaitingFor
from batchdrop.core.model.row import Lease
from batchdrop.core.planning.plan import PlanPage
from batchdrop.core.submission.shard_lifecycle import Now
from batchdrop.core.submission.waits import waited_reason, waits_for_refused

J = JobState
NOW = Now(1_000_000, "install", Limits())
EVENT_TYPES = get_args(on.JobEvent.__value__)
GROUPS = (Group("/v1/embeddings", "m", chunks=1, lines=10), Group("/v1/chat/completions", "n", chunks=1, lines=4))


def job_in(state: JobState) -> Job:
    """A job of fifteen items, one refused, as it may stand in *state*."""
    return Job(
        id="j", bucket="b", key="inbox/t/x.csv", version="v", created_at=1, state=state, groups=GROUPS, items=15, refused=1,
        failed=1, shards=0 if state is J.PLANNING else 1, lease=Lease("w", NOW.time + 60), due_at=NOW.time,
        event=NotificationEvent.REJECTED, reason=Reason("no_such_task", "There is no task."), ended_at=9, expires_at=99,
        hold=Hold(1, NOW.time - 60, Quote(1_000)),
    )  # fmt: skip


def page(*, is_last: bool, groups: tuple[Group, ...] = GROUPS) -> PlanPage:
    """A page of the plan."""
    return PlanPage(PlanCursor(500, 15, 1), groups, (), items=15, refused=1, is_last=is_last)


SAMPLES: dict[type, on.JobEvent] = {
    on.TaskAwaited: on.TaskAwaited(30),
    on.UploadAwaited: on.UploadAwaited(),
    on.TaskPinned: on.TaskPinned("digest", TaskOptions()),
    on.PagePlanned: on.PagePlanned(page(is_last=True)),
    on.Rejected: on.Rejected(Reason("code", "message")),
    on.ShardCut: on.ShardCut(0, 5),
    on.ShardSplit: on.ShardSplit(),
    on.ShardServed: on.ShardServed(0, is_split=True),
    on.ShardDone: on.ShardDone(4, 1, is_last_attempt=True),
    on.Held: on.Held(Quote(1_000)),
    on.HoldTold: on.HoldTold(1),
    on.Approved: on.Approved(),
    on.Merged: on.Merged(14, 1),
    on.Broken: on.Broken(Reason("code", "message")),
    on.Notified: on.Notified(),
    on.JobCancelled: on.JobCancelled(),
    on.Retried: on.Retried(),
}


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(J, EVENT_TYPES)))
def test_every_pair_is_an_edge_or_an_error(state: JobState, kind: type) -> None:
    """A pair of state and event leads where the table says, or is refused by name."""
    job = job_in(state)

    if kind in EDGES[state]:
        after = advance_job(job, SAMPLES[kind], NOW)
        assert after.state in EDGES[state][kind]
        assert (after.due_at is None) == (after.state is J.ENDED)
    else:
        with pytest.raises(IllegalTransition, match=f"job j in {state} does not know {kind.__name__}"):
            advance_job(job, SAMPLES[kind], NOW)


@pytest.mark.parametrize(
    ("state", "kind"), [(state, kind) for state in J for kind, ends in EDGES[state].items() if ends == {J.NOTIFYING}]
)
def test_a_job_that_ends_waits_for_nothing(state: JobState, kind: type) -> None:
    """Whatever it waited for, a job whose end is decided says no more that it waits."""
    job = replace(job_in(state), waiting=JobWait(WaitingFor.TASK, 5, "code"))

    after = advance_job(job, SAMPLES[kind], NOW)

    assert after.waiting == JobWait()


def test_a_held_job_gives_no_reason_of_an_earlier_wait() -> None:
    """What a job waits for is replaced whole: the reason of what it waited for before goes with it."""
    refused = waits_for_refused(job_in(J.RUNNING), Refusal(Reason("too_fast", "Slow down."), 3, NOW.time))

    held = advance_job(refused, on.Held(Quote(1_000)), NOW)

    assert waited_reason(refused)
    assert waited_reason(held) is None


def test_a_job_without_lines_goes_straight_to_its_results() -> None:
    """An empty file, or one whose every record was refused, is finished without the provider."""
    planning = job_in(J.PLANNING)

    assert advance_job(planning, on.PagePlanned(page(is_last=True, groups=())), NOW).state is J.FINISHING
    assert advance_job(planning, on.PagePlanned(page(is_last=False)), NOW).state is J.PLANNING


def test_a_job_is_finished_by_its_last_shard_and_not_before_it_is_cut() -> None:
    """Lines that no shard took keep the job running, however many shards are done."""
    job = job_in(J.RUNNING)
    done = on.ShardDone(10, 0, is_last_attempt=True)

    assert advance_job(job, done, NOW).state is J.RUNNING
    cut = advance_job(advance_job(job, on.ShardCut(0, 10), NOW), on.ShardCut(1, 4), NOW)
    first = advance_job(cut, done, NOW)
    second = advance_job(first, done, NOW)
    third = advance_job(second, done, NOW)

    assert [first.state, second.state, third.state] == [J.RUNNING, J.RUNNING, J.FINISHING]
    assert (cut.shards, cut.is_cut, third.shards_done) == (3, True, 3)


def test_an_attempt_that_is_not_the_last_counts_items_but_no_shard() -> None:
    """Progress shows what was answered, and the job still waits for the rest."""
    after = advance_job(job_in(J.RUNNING), on.ShardDone(3, 2, is_last_attempt=False), NOW)

    assert (after.succeeded, after.failed, after.shards_done) == (3, 3, 0)


@pytest.mark.parametrize(("failed", "event"), [(0, "completed"), (1, "completed_with_failures")])
def test_the_notification_is_named_by_what_was_merged(failed: int, event: str) -> None:
    """Counts of the merge, not of the way there, decide what the notification says."""
    after = advance_job(job_in(J.FINISHING), on.Merged(14, failed), NOW)

    assert (after.state, after.event, after.succeeded, after.failed) == (J.NOTIFYING, event, 14, failed)


def test_cancelling_waits_for_shards_and_for_nothing_else() -> None:
    """A job with a shard goes on until that is done; lines that nobody cut do not keep it."""
    running = advance_job(job_in(J.RUNNING), on.JobCancelled(), NOW)

    done = advance_job(running, on.ShardDone(4, 1, is_last_attempt=True), NOW)

    assert (running.state, running.is_cut, running.waiting.cause) == (J.RUNNING, True, "cancellation")
    assert (done.state, done.lease) == (J.FINISHING, None)


def test_a_job_without_shards_is_cancelled_at_once() -> None:
    """While it is planned, or waits for quota, nothing is at the provider."""
    waiting = replace(job_in(J.RUNNING), shards=0)

    assert advance_job(job_in(J.PLANNING), on.JobCancelled(), NOW).state is J.FINISHING
    assert advance_job(waiting, on.JobCancelled(), NOW).state is J.FINISHING


def test_a_cancelled_job_ends_as_one_with_all_its_items() -> None:
    """The merge counts items that the plan never saw, and the notification says cancelled whatever succeeded."""
    finishing = replace(job_in(J.FINISHING), cancelled_at=5)

    after = advance_job(finishing, on.Merged(40, 60), NOW)

    assert (after.event, after.items, after.succeeded, after.failed) == ("cancelled", 100, 40, 60)


@pytest.mark.parametrize("state", J)
def test_a_job_is_cancelled_once_and_in_time(state: JobState) -> None:
    """Once its items have outcomes it is too late, and a second word changes nothing."""
    assert may_be_cancelled(job_in(state)) == (state in (J.PLANNING, J.HELD, J.RUNNING))
    assert not may_be_cancelled(replace(job_in(state), cancelled_at=5))


@pytest.mark.parametrize("state", J)
@pytest.mark.parametrize(("event", "code"), [("rejected", "not_utf8"), ("completed", "too_old"), ("cancelled", "")])
def test_only_what_was_rejected_for_a_passing_reason_is_retried(state: JobState, event: str, code: str) -> None:
    """A file that is wrong stays wrong, and what was sent is never sent again by a word."""
    assert may_be_retried(job_in(state)) == (state is J.ENDED)
    assert not may_be_retried(replace(job_in(state), event=NotificationEvent(event), reason=Reason(code, "")))


def test_a_retried_job_is_as_it_was_before_it_was_rejected() -> None:
    """Its row is kept for as long as it works, its end is forgotten, and a plan that was begun stands."""
    rejected = replace(job_in(J.ENDED), plan=PlanCursor(500, 15, 1), snapshot="digest")

    after = advance_job(rejected, on.Retried(), NOW)

    assert (after.state, after.event, after.reason, after.ended_at, after.expires_at) == (J.PLANNING, "", None, 0, None)
    assert (after.retries, after.plan, after.snapshot, after.due_at) == (1, rejected.plan, "digest", NOW.time)


def test_a_claim_outlives_every_redelivery() -> None:
    """The row of an ended job stays for 45 days."""
    after = advance_job(job_in(J.NOTIFYING), on.Notified(), NOW)

    assert (after.ended_at, after.expires_at) == (NOW.time, NOW.time + 45 * DAY)
