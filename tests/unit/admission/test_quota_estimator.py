"""What experience teaches of a quota, and of estimates."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.admission.quota_estimator import (
    TASKS_MAX,
    after_create,
    after_refused,
    after_taken,
    after_usage,
    expected_tokens,
    ratio_of,
)
from batchdrop.core.model.limits import HOUR, Limits
from batchdrop.core.model.quota import EVERY_TASK, QuotaEstimate, Ratio

FIRST = 50_000
NOW = 1_800_000_000


def grown(
    quota_estimate: QuotaEstimate, limit: int, foreign: int = 0, *, states: bool = False, shards: int = 300
) -> tuple[QuotaEstimate, int]:
    """The estimate after *shards*, each cut to fill what is free beside *foreign* in a queue of *limit*; and the refusals."""
    refused = 0
    for _ in range(shards):
        ours = quota_estimate.limit or FIRST
        if ours + foreign <= limit:
            quota_estimate = after_taken(quota_estimate, ours, ours, FIRST)
        else:
            quota_estimate, refused = after_refused(quota_estimate, ours, limit if states else 0), refused + 1
    return quota_estimate, refused


@pytest.mark.parametrize("limit", [60_000, 90_000, 2_000_000, 5_000_000_000])
@pytest.mark.parametrize("states", [True, False])
@pytest.mark.parametrize("foreign", [0, 2])
def test_a_limit_that_nobody_told_us_is_found(limit: int, foreign: int, *, states: bool) -> None:
    """Within a tenth, by few refusals, whether it is stated or not, and beside another user of the account."""
    share = limit // foreign if foreign else 0

    quota_estimate, refused = grown(QuotaEstimate(), limit, share, states=states)

    assert 0.88 * (limit - share) <= quota_estimate.high_water <= limit - share
    assert refused <= 15


@pytest.mark.parametrize("states", [True, False])
def test_a_limit_that_falls_or_rises_is_followed(*, states: bool) -> None:
    """To a quarter, and back again once the shards that were let in since then ask for it."""
    high, _ = grown(QuotaEstimate(), 2_000_000, states=states)
    low, refused = grown(high, 500_000, states=states)
    again, _ = grown(low, 2_000_000, states=states)

    assert 440_000 <= low.high_water <= 500_000
    assert refused <= 15
    assert 1_760_000 <= again.high_water <= 2_000_000


def test_a_refusal_of_a_sliver_is_soon_forgotten() -> None:
    """Who fills the queue while a single request is tried may not keep the next job to single requests."""
    high, _ = grown(QuotaEstimate(), 2_000_000)
    tiny = after_refused(high, 184, 0)

    again = tiny
    for _ in range(4):
        again = after_taken(again, again.limit, 60, FIRST, FIRST // 10)

    assert tiny.limit == 92
    assert again.limit >= FIRST


def test_a_small_limit_that_was_stated_is_kept() -> None:
    """It is the provider's own word, and no sliver that somebody else kept out."""
    stated = after_refused(QuotaEstimate(), 9_000, 3_000)

    again = stated
    for _ in range(9):
        again = after_taken(again, again.limit, 900, FIRST, FIRST // 10)

    assert again.limit == stated.limit == 3_000


def test_a_stated_limit_is_taken_as_it_is() -> None:
    """Where it explains the refusal; where less was refused than it says, others are in and the limit is halved."""
    quota_estimate = QuotaEstimate(limit=3_000, high_water=500)

    assert after_refused(quota_estimate, 2_500, 2_000).limit == 2_000
    assert after_refused(quota_estimate, 1_600, 2_000).limit == 800


def test_a_limit_is_halved_but_not_below_what_was_proven() -> None:
    """Unless what was proven is refused as well: then it is proven no more."""
    quota_estimate = QuotaEstimate(limit=3_000, high_water=2_000)

    assert after_refused(quota_estimate, 2_500, 0) == QuotaEstimate(limit=2_000, high_water=2_000, refused=2_500)
    assert after_refused(quota_estimate, 1_000, 0) == QuotaEstimate(limit=500, high_water=0, refused=1_000)


def test_refusals_of_one_moment_count_once() -> None:
    """Shards that were let in together are refused together."""
    quota_estimate = QuotaEstimate(limit=3_000, high_water=2_000)
    once = after_refused(quota_estimate, 1_000, 0)

    assert after_refused(after_refused(once, 1_000, 0), 1_000, 0) == once


def test_a_small_contradiction_is_noise() -> None:
    """Estimates are sums of unlike requests: after shards that were taken, a little less is tried before half."""
    quota_estimate = QuotaEstimate(limit=1_600, high_water=1_600, streak=3)

    noise = after_refused(quota_estimate, 1_600, 0)

    assert noise == QuotaEstimate(limit=1_494, high_water=1_494, refused=1_600)
    assert after_refused(noise, 1_494, 0).limit == 747


@given(events=st.lists(st.tuples(st.booleans(), st.integers(1, 10**9), st.integers(0, 10**9)), max_size=40))
def test_a_limit_is_always_one_and_cools_never(events: list[tuple[bool, int, int]]) -> None:
    """Whatever happens there is quota for a token, and what is proven was not refused since."""
    quota_estimate = QuotaEstimate()

    for is_taken, total, stated in events:
        limit = quota_estimate.limit or FIRST
        quota_estimate = (
            after_taken(quota_estimate, limit, total, FIRST)
            if is_taken
            else after_refused(quota_estimate, total, stated)
        )

        assert quota_estimate.limit >= 1
        assert not quota_estimate.refused or quota_estimate.high_water <= quota_estimate.refused


@given(gaps=st.lists(st.integers(0, 30), min_size=1, max_size=400), most=st.integers(4, 100))
def test_no_hour_has_more_creates_than_are_allowed(gaps: list[int], most: int) -> None:
    """However they bunch, and the account is never shut for good."""
    limits, quota_estimate, made, now = Limits(creates_per_hour_max=most), QuotaEstimate(), [], NOW

    for gap in gaps:
        now += gap * 20
        counted = after_create(quota_estimate, now, limits)
        if counted:
            quota_estimate = counted
            made.append(now)

    assert made[0] == NOW + gaps[0] * 20
    assert all(sum(start <= at < start + HOUR for at in made) <= most for start in made)
    assert after_create(quota_estimate, now + HOUR, limits) is not None


def test_estimates_learn_what_the_provider_counts() -> None:
    """By task, and for a new task by all tasks of the model; whatever is rounded is rounded up."""
    quota_estimate = after_usage(QuotaEstimate(), "sentiment", 1_000, 900, NOW)
    quota_estimate = after_usage(quota_estimate, "titles", 1_000, 1_500, NOW)

    assert expected_tokens(ratio_of(quota_estimate, "sentiment"), 1_000) == 900
    assert expected_tokens(ratio_of(quota_estimate, "titles"), 1_000) == 1_500
    assert expected_tokens(ratio_of(quota_estimate, "new"), 1_000) == 1_200
    assert expected_tokens(ratio_of(QuotaEstimate(), "new"), 1_000) == 1_000
    assert expected_tokens(Ratio(3, 1, 0), 1) == 1


def test_ten_batches_teach_a_task_within_a_twentieth() -> None:
    """Also where the records are of another kind than before."""
    quota_estimate = after_usage(QuotaEstimate(), "t", 5_000_000, 10_000_000, NOW)

    for batch in range(10):
        quota_estimate = after_usage(quota_estimate, "t", 400_000 + batch, 440_000, NOW)

    assert abs(expected_tokens(ratio_of(quota_estimate, "t"), 100_000) - 110_000) <= 5_500


def test_what_cannot_be_usage_teaches_nothing() -> None:
    """Nothing counted, or twenty times what bytes say."""
    assert after_usage(QuotaEstimate(), "t", 1_000, 0, NOW) == QuotaEstimate()
    assert after_usage(QuotaEstimate(), "t", 0, 10, NOW) == QuotaEstimate()
    assert after_usage(QuotaEstimate(), "t", 1_000, 20_001, NOW) == QuotaEstimate()
    assert after_usage(QuotaEstimate(), "t", 1_000, 49, NOW) == QuotaEstimate()


def test_a_bounded_number_of_tasks_is_remembered() -> None:
    """The one that was learned of longest ago is forgotten, never what holds for all."""
    quota_estimate = QuotaEstimate()

    for number in range(2 * TASKS_MAX):
        quota_estimate = after_usage(quota_estimate, f"task-{number:03}", 1_000, 1_000, NOW + number)

    assert len(quota_estimate.ratios) == TASKS_MAX
    assert EVERY_TASK in quota_estimate.ratios
    assert "task-000" not in quota_estimate.ratios
    assert replace(quota_estimate, ratios={}) == QuotaEstimate()
