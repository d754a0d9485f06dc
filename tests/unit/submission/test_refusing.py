"""What is refused for good, over shards, jobs and models: who is tried, who waits, and whose day is over."""

from dataclasses import replace

import pytest
from fakes.shards import changed, new_shard

from batchdrop.core.model.job import Group, Job, JobState
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.model.quota import Quota, QuotaEstimate
from batchdrop.core.model.reasons import Reason, Refusal, Scope
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.refusing import (
    accepted,
    given_up,
    hopeless_reason,
    is_asked_for,
    is_model_given_up,
    is_refused_again,
    of_model,
    refused_models,
    refused_places,
    to_be_tried,
    waited_for,
)

NOW = 10 * DAY
LIMITS = Limits()
NO = Reason("quota", "No.")
JOB = Job(
    id="j", bucket="b", key="k", version="v", created_at=NOW - 2 * DAY, state=JobState.RUNNING,
    groups=(Group("/v1/chat/completions", "m", lines=9, cut_lines=9),),
)  # fmt: skip


def shard(number: int = 0, *, job: str = "j", count: int = 0, scope: Scope | None = None, lines: int = 5) -> Shard:
    """A shard that waits, refused so often."""
    refusal = Refusal(NO, count, NOW - HOUR, scope) if scope else None
    return new_shard(
        job=job,
        number=number,
        account="a",
        endpoint="e",
        model="m",
        group=0,
        end_line=lines,
        refusal=refusal,
        due_at=NOW,
    )


@pytest.mark.parametrize(
    ("scope", "most"), [(Scope.SHARD, LIMITS.refused_shards_max), (Scope.LINE, LIMITS.refused_lines_max)]
)
def test_so_many_that_are_refused_hold_up_the_others_of_their_job_and_model(scope: Scope, most: int) -> None:
    """Not fewer, and not those of another job."""
    refused = [shard(number, count=1, scope=scope) for number in range(most)]

    assert refused_places([JOB], refused, LIMITS) == {("j", "m")}
    assert refused_places([JOB], refused[1:], LIMITS) == frozenset()
    assert refused_places([JOB], [replace(refused[0], job="k"), *refused[1:]], LIMITS) == frozenset()


def test_large_requests_hold_up_nobody_where_something_was_taken() -> None:
    """An answer, a batch or a file shows that others are not too large."""
    refused = [shard(number, count=1, scope=Scope.LINE) for number in range(LIMITS.refused_lines_max)]

    assert not refused_places([replace(JOB, succeeded=1)], refused, LIMITS)
    assert not refused_places([JOB], [*refused, changed(shard(99), batch="b")], LIMITS)
    assert not refused_places([JOB], [*refused, changed(shard(99), file="f")], LIMITS)


def test_only_a_few_of_what_was_refused_are_tried_in_a_tick() -> None:
    """Whoever was never refused comes first; parts of what was too large come smallest first."""
    fresh = [shard(number) for number in range(9)]
    again = [shard(number, count=2, scope=Scope.SHARD) for number in range(10, 30)]
    parts = [shard(number, count=0, scope=Scope.SHARD, lines=number) for number in range(50, 30, -1)]

    tried = to_be_tried([*parts, *again, *fresh], frozenset(), LIMITS)

    most = LIMITS.refused_retries_per_tick_max
    assert tried[:9] == fresh
    assert tried[9:] == [*again[:most], *sorted(parts, key=lambda part: part.items)[:most]]
    assert 2 * most < 10


def test_where_many_are_refused_they_alone_are_tried() -> None:
    """The others wait for what becomes of them."""
    again, fresh = shard(1, count=3, scope=Scope.SHARD), shard(2)

    assert to_be_tried([fresh, again], frozenset({("j", "m")}), LIMITS) == [again]


def test_a_model_is_given_up_after_a_day_by_jobs_that_are_as_old() -> None:
    """And after several tries: one that was refused once, a day ago, is asked again."""
    refusal = Refusal(NO, LIMITS.refused_tries_max + 1, NOW - DAY, Scope.MODEL)

    assert is_model_given_up(refusal, JOB, NOW, LIMITS)
    assert not is_model_given_up(refusal, replace(JOB, created_at=NOW - DAY + 1), NOW, LIMITS)
    assert not is_model_given_up(replace(refusal, since=NOW - DAY + 1), JOB, NOW, LIMITS)
    assert not is_model_given_up(replace(refusal, count=1), JOB, NOW, LIMITS)


def test_refusals_of_a_model_are_counted_together() -> None:
    """Whichever shard asked; the words are the last ones."""
    known = QuotaEstimate(refusal=Refusal(NO, 2, 5, Scope.MODEL))
    latest = Refusal(Reason("other", "Still no."), 1, NOW, Scope.MODEL)

    assert of_model(QuotaEstimate(), latest) == latest
    assert of_model(known, latest) == Refusal(latest.reason, 3, 5, Scope.MODEL)


def test_a_model_is_asked_for_by_one_shard_at_a_time() -> None:
    """Once its time is over, and nobody asks already; what runs since before asks nothing."""
    quota_estimate = QuotaEstimate(refusal=Refusal(NO, 2, 5, Scope.MODEL), cool_down_until=NOW)

    assert is_asked_for(Quota("a", "m", quota_estimate=quota_estimate), NOW - 1)
    assert not is_asked_for(Quota("a", "m", quota_estimate=quota_estimate), NOW)
    assert is_asked_for(Quota("a", "m", used=9, taken=5, quota_estimate=quota_estimate), NOW)
    assert not is_asked_for(Quota("a", "m", used=5, taken=5, quota_estimate=quota_estimate), NOW)
    assert not is_asked_for(Quota("a", "m", used=9), NOW)


def test_only_a_batch_that_was_created_since_ends_a_models_refusal() -> None:
    """One from before was taken when the model was still allowed."""
    quota_estimate = QuotaEstimate(refusal=Refusal(NO, 2, NOW, Scope.MODEL), cool_down_until=NOW + HOUR, limit=7)

    assert accepted(quota_estimate, NOW) == quota_estimate
    assert accepted(quota_estimate, NOW + 1) == QuotaEstimate(limit=7)


def test_what_is_left_of_a_job_is_given_up_with_many_of_its_shards() -> None:
    """Within the hour after the last of them; later one asks again."""
    job = JOB
    for number in range(LIMITS.refused_shards_max):
        assert hopeless_reason(job, QuotaEstimate(), NOW, LIMITS) is None
        job = given_up(job, Refusal(NO, 9, 1), NOW)
        assert job.given_up == Refusal(NO, number + 1, NOW)

    assert hopeless_reason(job, QuotaEstimate(), NOW + HOUR - 1, LIMITS) == NO
    assert hopeless_reason(job, QuotaEstimate(), NOW + HOUR, LIMITS) is None
    other = given_up(job, Refusal(Reason("other", "x"), 9, 1), NOW)
    assert hopeless_reason(other, QuotaEstimate(), NOW, LIMITS) is None


def test_large_requests_give_up_the_rest_only_where_nothing_succeeded() -> None:
    """That one request is too large says nothing about another."""
    job = replace(JOB, given_up=Refusal(NO, LIMITS.refused_lines_max, NOW, Scope.LINE))

    assert hopeless_reason(job, QuotaEstimate(), NOW, LIMITS) == NO
    assert hopeless_reason(replace(job, succeeded=1), QuotaEstimate(), NOW, LIMITS) is None


def test_a_refused_model_gives_up_what_is_left_of_old_jobs() -> None:
    """As long as its last refusal is fresh."""
    refusal = Refusal(NO, 9, NOW - DAY, Scope.MODEL)
    quota_estimate = QuotaEstimate(refusal=refusal, cool_down_until=NOW + 1)

    assert hopeless_reason(JOB, quota_estimate, NOW, LIMITS) == NO
    assert hopeless_reason(JOB, quota_estimate, NOW + 1, LIMITS) is None
    assert hopeless_reason(replace(JOB, created_at=NOW), quota_estimate, NOW, LIMITS) is None


@pytest.mark.parametrize(("scope", "count"), [(Scope.SHARD, 1), (Scope.LINE, LIMITS.refused_lines_max)])
def test_the_day_is_waited_for_once_in_a_job(scope: Scope, count: int) -> None:
    """Whoever is refused for the same reason after others were for a day fails at once; for another reason it does not."""
    job = replace(JOB, given_up=Refusal(NO, count, NOW, scope))

    assert is_refused_again(job, NO, scope, NOW + DAY - 1, LIMITS)
    assert not is_refused_again(job, NO, scope, NOW + DAY, LIMITS)
    assert not is_refused_again(job, Reason("other", "x"), scope, NOW, LIMITS)
    other = Scope.LINE if scope is Scope.SHARD else Scope.SHARD
    assert not is_refused_again(job, NO, other, NOW, LIMITS)
    assert not is_refused_again(JOB, NO, scope, NOW, LIMITS)


def test_a_job_waits_for_a_model_that_another_job_asked_for() -> None:
    """Where it has lines of it to cut, or shards that wait; not for one that it does not use."""
    asking = shard(job="k", count=1, scope=Scope.MODEL)
    models = refused_models([asking])
    uncut = replace(JOB, groups=(Group("e", "m", lines=9), Group("e", "n", lines=9)))

    assert waited_for(uncut, (), models, NOW, LIMITS) == asking.attempt.refusal
    assert waited_for(JOB, [shard()], models, NOW, LIMITS) == asking.attempt.refusal
    assert waited_for(JOB, (), models, NOW, LIMITS) is None
    assert waited_for(replace(uncut, groups=uncut.groups[1:]), (), models, NOW, LIMITS) is None


@pytest.mark.parametrize(
    ("count", "minutes", "is_told"), [(1, 0, False), (2, 9, False), (3, 8, True), (1, 10, True), (2, 50, True)]
)
def test_people_are_told_after_three_tries_or_ten_minutes(count: int, minutes: int, is_told: bool) -> None:  # noqa: FBT001 - a column
    """A proxy that spoke for the provider is over by then; where thousands were refused the third try takes long to come."""
    waiting = changed(shard(), refusal=Refusal(NO, count, NOW - minutes * MINUTE))

    assert (waited_for(JOB, [waiting], {}, NOW, LIMITS) is not None) == is_told
    assert waited_for(JOB, [replace(waiting, state=ShardState.RUNNING)], {}, NOW, LIMITS) is None
