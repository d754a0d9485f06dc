"""Money: what work is expected to cost, and how much is allowed.

Rule: money is whole millionths of a US dollar, rounded up, so that sums are exact and no rounding lets anything slip through.
What has no price is called unknown and never counts as nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from batchdrop.core.admission.quota import Cut
from batchdrop.core.admission.quota_estimator import Expected, expected_answers, expected_tokens, lengths_of, ratio_of
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.prices import MILLION
from batchdrop.core.model.rows import Group, Job, Lesson, Quote, Rate

# Who approves of a cost approves of half as much again: lengths of answers are guesses until some are known.
_APPROVED_HALVES: Final = 3
# A part is cut this much (a share of it) smaller than its price allows: its estimates are rounded up.
_PART_SHARES: Final = 49
# Models without a price that are named; a job may have a hundred.
UNPRICED_NAMED_MAX: Final = 20


def allowed_microdollars(job: Job, limits: Limits) -> int | None:
    """Return how much *job* may cost: what its task and the deployment allow, the smaller of both, or what was approved.

    None where nothing bounds it.
    """
    caps = [cap for cap in (job.options.microdollars_max, limits.max_cost_microdollars) if cap]
    return max(min(caps), job.approved_microdollars) if caps else None


def is_to_be_held(job: Job, quote: Quote, limits: Limits) -> bool:
    """Whether a person has to approve before *job*, which would cost *quote* in all, goes on."""
    allowed = allowed_microdollars(job, limits)
    is_counted = allowed is not None or limits.daily_cost_microdollars_max > 0
    if quote.unpriced and is_counted and not job.is_unpriced_approved:
        return True
    return allowed is not None and quote.microdollars > allowed


def needs_approval(job: Job, model: str, microdollars: int | None, limits: Limits) -> bool:
    """Whether somebody has to approve before a shard of *model* is let in that costs so much; None where nobody knows."""
    so_far = Quote(job.spent_microdollars + job.reserved_microdollars)
    return microdollars != 0 and is_to_be_held(job, with_cost(so_far, model, microdollars), limits)


def approved_of(quote: Quote) -> int:
    """Return up to how much a job may cost once a person approves of *quote*."""
    return -(-quote.microdollars * _APPROVED_HALVES // 2)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many tokens some requests are expected to have, and their answers."""

    input_tokens: int
    answers: Expected


def answers_of_cut(cut: Cut, lesson: Lesson, task: str) -> Expected:
    """Return what is expected of the answers to *cut*, by what was learned of its model."""
    answers = cut.end_line - cut.first_line + cut.extra_answers
    return expected_answers(lengths_of(lesson, task), answers, cut.answer_tokens, cut.unlimited)


def estimate_of_rest(group: Group, lesson: Lesson, task: str) -> Estimate:
    """Return what is expected of those lines of *group* that are in no shard yet."""
    lines = group.lines - group.cut_lines
    base_tokens, limit_tokens, unlimited, extra = (
        -(-amount * lines // group.lines)
        for amount in (group.tokens, group.answer_tokens, group.unlimited, group.extra_answers)
    )
    answers = expected_answers(lengths_of(lesson, task), lines + extra, limit_tokens, unlimited)
    return Estimate(expected_tokens(ratio_of(lesson, task), base_tokens), answers)


def cost_of(rate: Rate | None, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int | None:
    """Return what tokens cost in a batch; None where nobody knows. *cached_tokens* are some of the *input_tokens*."""
    if rate is None:
        return None
    total = (input_tokens - cached_tokens) * rate.input + cached_tokens * rate.cached + output_tokens * rate.output
    return -(-total // MILLION)


def quote_of_rest(job: Job, lessons: Mapping[str, Lesson]) -> Quote:
    """Return what those lines of *job* are expected to cost that are in no shard yet. *lessons* are by model."""
    quote = Quote()
    for group in job.groups:
        if group.cut_lines < group.lines:
            estimate = estimate_of_rest(group, lessons[group.model], job.task)
            quote = _with_estimate(quote, group, estimate)
    return quote


def unpriced_sent(job: Job) -> bool:
    """Whether requests of *job* were let in whose price nobody knows: then what it has spent is not known either."""
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
    """Return *quote* with a piece of work more, of *model*; None where nobody knows what it costs."""
    if microdollars is None:
        return replace(quote, unpriced=_named((*quote.unpriced, model)))
    return replace(quote, microdollars=quote.microdollars + microdollars)


# ------------------------------------------------------------------ a day's money


def day_of(now: int) -> str:
    """Return the day in UTC, such as `2026-11-22`."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def affordable(amount: int, microdollars: int, left: int, limit: int) -> int:
    """Return how much of *amount*, which costs *microdollars*, may be let in where *left* of a day's *limit* is left.

    All or nothing, but where nothing was counted yet, or half of it is affordable: slivers are batches of their own, and
    what a whole day cannot pay is let in in parts.
    """
    if microdollars <= left:
        return amount
    if left < limit and 2 * left < microdollars:
        return 0
    return amount * max(0, left) * _PART_SHARES // (microdollars * (_PART_SHARES + 1))
