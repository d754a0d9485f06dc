"""Decides what work is expected to cost, and how much is allowed.

Rule: money is whole millionths of a US dollar, rounded up: sums are exact, and rounding never lets a cost pass a cap.
A missing price is called unknown, and never counts as zero.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from batchdrop.core.admission.quota import Cut
from batchdrop.core.admission.quota_estimator import Expected, expected_answers, expected_tokens, lengths_of, ratio_of
from batchdrop.core.model.job import Group, Job, Quote, Rate
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.prices import MILLION
from batchdrop.core.model.quota import QuotaEstimate

# Approving a cost approves half as much again: lengths of answers are guesses until some are known.
_APPROVED_HALVES: Final = 3
# A part is cut smaller than its price allows, by this share of it, because its estimates are rounded up.
_PART_SHARES: Final = 49
# Models without a price that a quote names; a job may have a hundred.
UNPRICED_NAMED_MAX: Final = 20


def allowed_microdollars(job: Job, limits: Limits) -> int | None:
    """Return how much *job* may cost: the smaller cap of its task and of the deployment, or what was approved if that is more.

    None if nothing bounds it.
    """
    caps = [cap for cap in (job.options.microdollars_max, limits.max_cost_microdollars) if cap]
    return max(min(caps), job.money.approved) if caps else None


def is_to_be_held(job: Job, quote: Quote, limits: Limits) -> bool:
    """Whether a person has to approve before *job*, which would cost *quote* in all, continues."""
    allowed = allowed_microdollars(job, limits)
    is_counted = allowed is not None or limits.daily_cost_microdollars_max > 0
    if quote.unpriced and is_counted and not job.money.is_unpriced_approved:
        return True
    return allowed is not None and quote.microdollars > allowed


def needs_approval(job: Job, model: str, microdollars: int | None, limits: Limits) -> bool:
    """Whether a person has to approve before a shard of *model* with this cost is admitted; None stands for an unknown cost."""
    so_far = Quote(job.money.spent + job.money.reserved)
    return microdollars != 0 and is_to_be_held(job, with_cost(so_far, model, microdollars), limits)


def approved_of(quote: Quote) -> int:
    """Return up to how much a job may cost once a person approves of *quote*."""
    return -(-quote.microdollars * _APPROVED_HALVES // 2)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many tokens some requests and their answers are expected to have."""

    input_tokens: int
    answers: Expected


def answers_of_cut(cut: Cut, quota_estimate: QuotaEstimate, task: str) -> Expected:
    """Return what is expected of the answers to *cut*, by what was learned of its model."""
    answers = cut.end_line - cut.first_line + cut.extra_answers
    return expected_answers(lengths_of(quota_estimate, task), answers, cut.answer_tokens, cut.unlimited)


def estimate_of_rest(group: Group, quota_estimate: QuotaEstimate, task: str) -> Estimate:
    """Return the estimate for those lines of *group* that are in no shard yet."""
    lines = group.lines - group.cut_lines
    base_tokens, limit_tokens, unlimited, extra = (
        -(-amount * lines // group.lines)
        for amount in (group.tokens, group.answer_tokens, group.unlimited, group.extra_answers)
    )
    answers = expected_answers(lengths_of(quota_estimate, task), lines + extra, limit_tokens, unlimited)
    return Estimate(expected_tokens(ratio_of(quota_estimate, task), base_tokens), answers)


def cost_of(rate: Rate | None, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int | None:
    """Return what tokens cost in a batch; None if the price is unknown. *cached_tokens* are some of the *input_tokens*."""
    if rate is None:
        return None
    total = (input_tokens - cached_tokens) * rate.input + cached_tokens * rate.cached + output_tokens * rate.output
    return -(-total // MILLION)


def quote_of_rest(job: Job, quota_estimates: Mapping[str, QuotaEstimate]) -> Quote:
    """Return what those lines of *job* are expected to cost that are in no shard yet. *quota estimates* are by model."""
    quote = Quote()
    for group in job.groups:
        if group.cut_lines < group.lines:
            estimate = estimate_of_rest(group, quota_estimates[group.model], job.task)
            quote = _with_estimate(quote, group, estimate)
    return quote


def unpriced_sent(job: Job) -> bool:
    """Whether requests of *job* with an unknown price were admitted: then what it has spent is unknown too."""
    return any(group.rate is None and group.cut_lines for group in job.groups)


def _with_estimate(quote: Quote, group: Group, estimate: Estimate) -> Quote:
    answers = estimate.answers
    counted = replace(
        quote, input_tokens=quote.input_tokens + estimate.input_tokens, output_tokens=quote.output_tokens + answers.tokens,
        learned_answers=quote.learned_answers + answers.learned, assumed_answers=quote.assumed_answers + answers.assumed,
    )  # fmt: skip
    return with_cost(counted, group.model, cost_of(group.rate, estimate.input_tokens, answers.tokens))


def _named(models: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(models))[:UNPRICED_NAMED_MAX]


def with_cost(quote: Quote, model: str, microdollars: int | None) -> Quote:
    """Return *quote* plus the cost of more work for *model*; None stands for an unknown cost."""
    if microdollars is None:
        return replace(quote, unpriced=_named((*quote.unpriced, model)))
    return replace(quote, microdollars=quote.microdollars + microdollars)


# ------------------------------------------------------------------ a day's money


def day_of(now: int) -> str:
    """Return the day in UTC, such as `2026-11-22`."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def affordable(amount: int, microdollars: int, left: int, limit: int) -> int:
    """Return how much of *amount*, which costs *microdollars*, may be admitted while *left* of a day's *limit* is unspent.

    It is all or nothing, to avoid tiny batches. There are two exceptions: the day has spent nothing yet, or at least half is
    affordable. So work that costs more than a day's limit is admitted in parts.
    """
    if microdollars <= left:
        return amount
    if left < limit and 2 * left < microdollars:
        return 0
    return amount * max(0, left) * _PART_SHARES // (microdollars * (_PART_SHARES + 1))
