"""Estimates a model's quota: how many tokens the provider takes at one time, and how far off our token counts are.

Rule: the limit is between what was taken and what was refused. Both are counted in our own estimates. So a wrong estimate, or
another program on the same account, shifts the limit and breaks nothing.
Nothing here is certain: other programs' usage and the provider's own limit may change at any time.
"""

from dataclasses import dataclass, replace
from typing import Final

from batchdrop.core.model.answer_bounds import ANSWER_TOKENS_ASSUMED
from batchdrop.core.model.keys import NO_TASK
from batchdrop.core.model.limits import HOUR, LEARNED_ANSWER_TOKENS_MAX, Limits
from batchdrop.core.model.quota import EVERY_TASK, Lengths, QuotaEstimate, Ratio

# If the smallest refused total is within this share of the largest accepted one, probing isn't worth another refusal.
_CLOSE: Final = 15
# After this many accepted shards near the limit, one larger total is tried: another program may have freed quota, or the
# tier may have risen. A create is refused for it at most that often.
_STREAK_SHARDS: Final = 64
# A tiny batch that was refused says nothing about the limit. It bounds the limit for this many shards, of any size.
_STREAK_OF_TINY_BATCHES: Final = 4
_PROBE: Final = 16  # a probe exceeds the limit by this share of it: half a shard
# The first refusal of hardly less than was taken before counts as noise: estimates are sums of unlike requests.
_NOISE: Final = 8

# A stated limit below this share of what was taken before belongs to another quota, or was misread.
_FAR_BELOW: Final = 4

# Tasks remembered for each model: the row stays below 9 KB.
TASKS_MAX: Final = 50
# What was learned is halved at this many tokens, so that the newest weigh as much as all before them.
_WINDOW_TOKENS: Final = 2_000_000
# Likewise for lengths of answers.
_WINDOW_ANSWERS: Final = 10_000
# An estimate that is off by more is an accident (a failed batch, nonsense usage), and nothing is learned from it.
_RATIO_MAX: Final = 20


def after_taken(quota_estimate: QuotaEstimate, limit: int, total: int, first: int, tiny: int = 0) -> QuotaEstimate:
    """Return *quota estimate* after the provider was seen to hold *total* at one time, under a *limit* of ours.

    Before the first refusal, the limit is a third above the largest accepted total, and at least *first* above it. After a
    refusal, bisect between the largest accepted and the smallest refused total. A refused total of at most *sliver* only says
    that others filled the queue, so it is forgotten soon.
    """
    high_water, most = max(quota_estimate.high_water, total), max(quota_estimate.most, quota_estimate.high_water, total)
    refused = quota_estimate.refused if quota_estimate.refused > high_water else 0
    is_of_tiny = quota_estimate.limit + 1 < refused <= tiny  # a stated limit is one below its bound, and stays
    streak = quota_estimate.streak + (is_of_tiny or 4 * total >= 3 * limit)
    if is_of_tiny and streak >= _STREAK_OF_TINY_BATCHES:
        limit, refused, streak = high_water + first, 0, 0
    elif refused and streak >= _STREAK_SHARDS:
        # If more than half of the probe is accepted, the bound is dropped and the limit grows as at first.
        limit, refused, streak = limit + limit // _PROBE + 1, limit + limit // (2 * _PROBE), 0
    elif not refused:
        limit = max(limit, high_water + max(first, high_water // 3))
    elif refused - high_water > limit // _CLOSE:
        limit = max(limit, (high_water + refused) // 2)
    return replace(quota_estimate, limit=limit, high_water=high_water, refused=refused, streak=streak, most=most)


def after_refused(quota_estimate: QuotaEstimate, total: int, stated: int) -> QuotaEstimate:
    """Return *quota estimate* after the provider refused what would have made *total*; *stated* is its own limit, 0 for none.

    A stated limit below *total* explains the refusal and is used as it is. Otherwise others use the quota, or our estimates are
    too low: the limit is halved, but not below the largest accepted total. If even that is refused now, it is forgotten.
    """
    calm_before = quota_estimate.streak
    quota_estimate = replace(quota_estimate, streak=0)
    if 0 < stated < total:
        return replace(
            quota_estimate, limit=stated, high_water=min(quota_estimate.high_water, stated), refused=stated + 1
        )
    if total > quota_estimate.high_water:
        refused = min(quota_estimate.refused or total, total)
        return replace(quota_estimate, limit=max(1, total // 2, quota_estimate.high_water), refused=refused)
    if calm_before and total * _NOISE >= quota_estimate.high_water * (_NOISE - 1):
        less = max(1, total - total // _CLOSE)
        return replace(quota_estimate, limit=less, high_water=less, refused=total)
    return replace(quota_estimate, limit=max(1, total // 2), high_water=0, refused=total)


def believed_limit(quota_estimate: QuotaEstimate, stated: int) -> int:
    """Return the limit that a refusal stated; 0 (unknown) if it is far below what the provider has taken before."""
    return stated if stated * _FAR_BELOW >= max(quota_estimate.most, quota_estimate.high_water) else 0


def cooled_down(quota_estimate: QuotaEstimate, until: int) -> QuotaEstimate:
    """Return *quota estimate* with no admission before *until*."""
    return replace(quota_estimate, cool_down_until=max(quota_estimate.cool_down_until, until))


# ------------------------------------------------------------------ creates an hour


def after_create(quota_estimate: QuotaEstimate, now: int, limits: Limits) -> QuotaEstimate | None:
    """Return *quota estimate* with one create more, or None if the account has reached its rate limit.

    A quarter of an hour's creates may come in one burst, and three quarters per hour after it, so no hour exceeds the limit.
    """
    spacing_ms = HOUR * 1_000 * 4 // (3 * limits.creates_per_hour_max)
    burst_ms = spacing_ms * limits.creates_per_hour_max // 4
    until_ms = max(quota_estimate.creates_until_ms, now * 1_000) + spacing_ms
    return replace(quota_estimate, creates_until_ms=until_ms) if until_ms - now * 1_000 <= burst_ms else None


# ------------------------------------------------------------------ tokens


def ratio_of(quota_estimate: QuotaEstimate, task: str) -> Ratio | None:
    """Return what is known of *task*, else of all tasks of the model, else None."""
    return quota_estimate.ratios.get(task) or quota_estimate.ratios.get(EVERY_TASK)


def expected_tokens(ratio: Ratio | None, base_tokens: int) -> int:
    """Return how many tokens the provider will count for what bytes say are *base_tokens*; at least 1."""
    if ratio is None:
        return max(1, base_tokens)
    return max(1, -(-base_tokens * ratio.counted_tokens // ratio.base_tokens))


def base_tokens_for(ratio: Ratio | None, tokens: int) -> int:
    """Return the most base tokens for which at most *tokens* are expected; negative if there are none."""
    if tokens < 1 or ratio is None:
        return tokens if tokens > 0 else -1
    return tokens * ratio.base_tokens // ratio.counted_tokens


def after_usage(
    quota_estimate: QuotaEstimate, task: str, base_tokens: int, counted_tokens: int, now: int
) -> QuotaEstimate:
    """Return *quota estimate* after the provider counted *counted_tokens* for what bytes said are *base_tokens*, of *task*."""
    if not is_usage(base_tokens, counted_tokens):
        return quota_estimate
    ratios = dict(quota_estimate.ratios)
    for name in (EVERY_TASK, task):
        ratios[name] = _weighed(ratios.get(name), base_tokens, counted_tokens, now)
    while len(ratios) > TASKS_MAX:
        del ratios[min(ratios.keys() - {EVERY_TASK, task}, key=lambda name: (ratios[name].learned_at, name))]
    return replace(quota_estimate, ratios=ratios)


def _weighed(known: Ratio | None, base_tokens: int, counted_tokens: int, now: int) -> Ratio:
    if known is None:
        return Ratio(base_tokens, counted_tokens, now)
    halves = 2 if known.base_tokens + base_tokens > _WINDOW_TOKENS else 1
    return Ratio(known.base_tokens // halves + base_tokens, known.counted_tokens // halves + counted_tokens, now)


# ------------------------------------------------------------------ answers


@dataclass(frozen=True, slots=True)
class Expected:
    """How many tokens answers are expected to have, and of how many answers that was learned, or merely assumed."""

    tokens: int
    learned: int = 0
    assumed: int = 0


def lengths_of(quota_estimate: QuotaEstimate, task: str) -> Lengths | None:
    """Return what is known of the answers of *task*; None for ready-made requests, which have only their folder in common."""
    return None if task == NO_TASK else quota_estimate.lengths.get(task)


def expected_answers(lengths: Lengths | None, answers: int, limit_tokens: int, unlimited: int) -> Expected:
    """Return what is expected of *answers*, of which *unlimited* have no limit, and the others *limit_tokens* in all.

    A learned length counts, up to what a limit allows. If nothing was learned, the limit counts, or an assumed number.
    """
    limited = answers - unlimited
    if lengths is None:
        return Expected(limit_tokens + unlimited * ANSWER_TOKENS_ASSUMED, assumed=unlimited)
    learned, rest = (-(-count * lengths.tokens // lengths.answers) for count in (limited, unlimited))
    return Expected(min(limit_tokens, learned) + rest, learned=answers if learned < limit_tokens else unlimited)


def are_answer_tokens(answers: int, tokens: int) -> bool:
    """Whether *answers* may have had *tokens* in all."""
    return 0 <= tokens <= answers * LEARNED_ANSWER_TOKENS_MAX


def is_usage(base_tokens: int, counted_tokens: int) -> bool:
    """Whether a provider may have counted *counted_tokens* for what bytes said are *base_tokens*."""
    return 0 < base_tokens <= _RATIO_MAX * counted_tokens <= _RATIO_MAX * _RATIO_MAX * base_tokens


def after_answers(quota_estimate: QuotaEstimate, task: str, answers: int, tokens: int, now: int) -> QuotaEstimate:
    """Return *quota estimate* after *answers* of *task* had *tokens* in all; unchanged if the number can't be true."""
    if task == NO_TASK or answers <= 0 or not are_answer_tokens(answers, tokens):
        return quota_estimate
    known = quota_estimate.lengths.get(task, Lengths(0, 0, now))
    halves = 2 if known.answers + answers > _WINDOW_ANSWERS else 1
    lengths = dict(quota_estimate.lengths)
    lengths[task] = Lengths(known.answers // halves + answers, known.tokens // halves + tokens, now)
    while len(lengths) > TASKS_MAX:
        del lengths[min(lengths.keys() - {task}, key=lambda name: (lengths[name].learned_at, name))]
    return replace(quota_estimate, lengths=lengths)
