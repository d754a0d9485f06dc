"""The table of a job's life: every state meets every event."""

import itertools
from typing import get_args

import pytest

from batchdrop.core import job_lifecycle as on
from batchdrop.core.errors import IllegalTransition
from batchdrop.core.job_lifecycle import EDGES, advance_job
from batchdrop.core.ledger_rows import Group, Job, JobState, Lease, PlanCursor, Reason
from batchdrop.core.lifecycle import Now
from batchdrop.core.limits import DAY, Limits
from batchdrop.core.planning import PlanPage

J = JobState
NOW = Now(1_000_000, "install", Limits())
EVENT_TYPES = get_args(on.JobEvent.__value__)
GROUPS = (Group("/v1/embeddings", "m", chunks=1, lines=10), Group("/v1/chat/completions", "n", chunks=1, lines=4))


def job_in(state: JobState) -> Job:
    """A job of fifteen items, one refused, as it may stand in *state*."""
    return Job(
        id="j", bucket="b", key="inbox/t/x.csv", version="v", created_at=1, state=state, groups=GROUPS, items=15, refused=1,
        failed=1, shards=1, lease=Lease("w", NOW.time + 60), due_at=NOW.time, event="completed",
    )  # fmt: skip


def page(*, is_last: bool, groups: tuple[Group, ...] = GROUPS) -> PlanPage:
    """A page of the plan."""
    return PlanPage(PlanCursor(500, 15, 1), groups, (), items=15, refused=1, is_last=is_last)


SAMPLES: dict[type, on.JobEvent] = {
    on.TaskAwaited: on.TaskAwaited(30),
    on.TaskPinned: on.TaskPinned("digest"),
    on.PagePlanned: on.PagePlanned(page(is_last=True)),
    on.Rejected: on.Rejected(Reason("code", "message")),
    on.ShardCut: on.ShardCut(0, 5),
    on.ShardSplit: on.ShardSplit(),
    on.ShardDone: on.ShardDone(4, 1, is_last_attempt=True),
    on.Merged: on.Merged(14, 1),
    on.Broken: on.Broken(Reason("code", "message")),
    on.Notified: on.Notified(),
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
def test_the_notice_is_named_by_what_was_merged(failed: int, event: str) -> None:
    """Counts of the merge, not of the way there, decide what the notice says."""
    after = advance_job(job_in(J.FINISHING), on.Merged(14, failed), NOW)

    assert (after.state, after.event, after.succeeded, after.failed) == (J.NOTIFYING, event, 14, failed)


def test_a_claim_outlives_every_redelivery() -> None:
    """The row of an ended job stays for 45 days."""
    after = advance_job(job_in(J.NOTIFYING), on.Notified(), NOW)

    assert (after.ended_at, after.expires_at) == (NOW.time, NOW.time + 45 * DAY)
