"""What experience teaches of a room: how much the provider takes at one time, and what our estimates are worth.

Rule: what was taken proves, what was refused bounds, and the limit lies between the two. Both are counted in our own
estimates, so that an estimate that is off, or somebody else who shares the account, shifts the limit and breaks nothing.
Nothing here is certain: who else is in, and what the provider's own limit is, changes at any time.
"""

from dataclasses import dataclass, replace
from typing import Final

from batchdrop.core.model.answer_bounds import ANSWER_TOKENS_ASSUMED
from batchdrop.core.model.keys import NO_TASK
from batchdrop.core.model.limits import HOUR, LEARNED_ANSWER_TOKENS_MAX, Limits
from batchdrop.core.model.rows import EVERY_TASK, Lengths, Lesson, Ratio

# A bound that is so close to what was proven (a share of the limit) is not worth another refusal.
_CLOSE: Final = 15
# After so many shards near the limit one more is tried: so seldom is a create refused for it, in search of room that
# somebody else has given back, or that a higher tier brought.
_CALM_SHARDS: Final = 64
# A sliver that was refused says nothing about the limit; as a bound it holds for so many shards, of any size.
_CALM_SHARDS_OF_SLIVERS: Final = 4
_PROBE: Final = 16  # the share of the limit that is tried beyond it: half a shard
# A refusal of hardly less than was taken before is noise the first time: estimates are sums of unlike requests.
_NOISE: Final = 8

# A stated limit below this share of what was taken before is none of this room, or was read wrongly.
_FAR_BELOW: Final = 4

# Tasks that something is kept of, of each model: the row stays below 9 KB.
TASKS_MAX: Final = 50
# What was learned is forgotten by halves: of so many tokens the newest weigh as much as all before.
_WINDOW_TOKENS: Final = 2_000_000
# Answers are forgotten alike.
_WINDOW_ANSWERS: Final = 10_000
# An estimate that is off by more is no lesson but an accident (a batch that failed, usage that is no usage).
_RATIO_MAX: Final = 20


def after_taken(lesson: Lesson, limit: int, total: int, first: int, sliver: int = 0) -> Lesson:
    """Return *lesson* after the provider was seen to hold *total* at one time, under a *limit* of ours.

    Before the first refusal the limit is a third more than what was proven, but at least *first* more. Afterwards it goes
    half the way to what was refused, until that is close. A refusal of no more than *sliver* says that others filled the queue,
    and nothing of what it takes without them: it is forgotten soon.
    """
    proven, most = max(lesson.proven, total), max(lesson.most, lesson.proven, total)
    refused = lesson.refused if lesson.refused > proven else 0
    is_of_sliver = lesson.limit + 1 < refused <= sliver  # a limit that was stated lies right below its bound, and stays
    calm = lesson.calm + (is_of_sliver or 4 * total >= 3 * limit)
    if is_of_sliver and calm >= _CALM_SHARDS_OF_SLIVERS:
        limit, refused, calm = proven + first, 0, 0
    elif refused and calm >= _CALM_SHARDS:
        # Taken beyond the half of it, the bound is gone and the limit grows as at first.
        limit, refused, calm = limit + limit // _PROBE + 1, limit + limit // (2 * _PROBE), 0
    elif not refused:
        limit = max(limit, proven + max(first, proven // 3))
    elif refused - proven > limit // _CLOSE:
        limit = max(limit, (proven + refused) // 2)
    return replace(lesson, limit=limit, proven=proven, refused=refused, calm=calm, most=most)


def after_refused(lesson: Lesson, total: int, stated: int) -> Lesson:
    """Return *lesson* after the provider refused what would have made *total*; *stated* is its own limit, 0 for none.

    A stated limit below *total* explains the refusal and is taken as it is. Otherwise others are in, or our estimates are too
    low: the limit is halved, but not below what was proven; and where what was proven is refused now, it is proven no more.
    """
    calm_before = lesson.calm
    lesson = replace(lesson, calm=0)
    if 0 < stated < total:
        return replace(lesson, limit=stated, proven=min(lesson.proven, stated), refused=stated + 1)
    if total > lesson.proven:
        refused = min(lesson.refused or total, total)
        return replace(lesson, limit=max(1, total // 2, lesson.proven), refused=refused)
    if calm_before and total * _NOISE >= lesson.proven * (_NOISE - 1):
        less = max(1, total - total // _CLOSE)
        return replace(lesson, limit=less, proven=less, refused=total)
    return replace(lesson, limit=max(1, total // 2), proven=0, refused=total)


def believed_limit(lesson: Lesson, stated: int) -> int:
    """Return the limit that a refusal stated, 0 (unknown) where it is far below what the provider was seen to take before."""
    return stated if stated * _FAR_BELOW >= max(lesson.most, lesson.proven) else 0


def cooled(lesson: Lesson, until: int) -> Lesson:
    """Return *lesson* with no admission before *until*."""
    return replace(lesson, cool_until=max(lesson.cool_until, until))


# ------------------------------------------------------------------ creates an hour


def after_create(lesson: Lesson, now: int, limits: Limits) -> Lesson | None:
    """Return *lesson* with one create more, or None where the account has made too many of late.

    A quarter of an hour's creates may come at once and three quarters an hour after that, so that no hour has more than allowed.
    """
    spacing_ms = HOUR * 1_000 * 4 // (3 * limits.creates_per_hour_max)
    burst_ms = spacing_ms * limits.creates_per_hour_max // 4
    until_ms = max(lesson.creates_until_ms, now * 1_000) + spacing_ms
    return replace(lesson, creates_until_ms=until_ms) if until_ms - now * 1_000 <= burst_ms else None


# ------------------------------------------------------------------ tokens


def ratio_of(lesson: Lesson, task: str) -> Ratio | None:
    """Return what is known of *task*, else of all tasks of the model; None where nothing is."""
    return lesson.ratios.get(task) or lesson.ratios.get(EVERY_TASK)


def expected_tokens(ratio: Ratio | None, base_tokens: int) -> int:
    """Return how many tokens the provider will count for what bytes say are *base_tokens*; at least 1."""
    if ratio is None:
        return max(1, base_tokens)
    return max(1, -(-base_tokens * ratio.counted_tokens // ratio.base_tokens))


def base_tokens_for(ratio: Ratio | None, tokens: int) -> int:
    """Return the most base tokens for which no more than *tokens* are expected; less than 0 where there are none."""
    if tokens < 1 or ratio is None:
        return tokens if tokens > 0 else -1
    return tokens * ratio.base_tokens // ratio.counted_tokens


def after_usage(lesson: Lesson, task: str, base_tokens: int, counted_tokens: int, now: int) -> Lesson:
    """Return *lesson* after the provider counted *counted_tokens* for what bytes said are *base_tokens*, of *task*."""
    if not is_usage(base_tokens, counted_tokens):
        return lesson
    ratios = dict(lesson.ratios)
    for name in (EVERY_TASK, task):
        ratios[name] = _weighed(ratios.get(name), base_tokens, counted_tokens, now)
    while len(ratios) > TASKS_MAX:
        del ratios[min(ratios.keys() - {EVERY_TASK, task}, key=lambda name: (ratios[name].learned_at, name))]
    return replace(lesson, ratios=ratios)


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


def lengths_of(lesson: Lesson, task: str) -> Lengths | None:
    """Return what is known of the answers of *task*; ready-made requests have no more in common than their place."""
    return None if task == NO_TASK else lesson.lengths.get(task)


def expected_answers(lengths: Lengths | None, answers: int, limit_tokens: int, unlimited: int) -> Expected:
    """Return what is expected of *answers*, of which *unlimited* have no limit, and the others *limit_tokens* in all.

    What was learned counts, but never more than a limit allows; where nothing was, the limit does, or a number is assumed.
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


def after_answers(lesson: Lesson, task: str, answers: int, tokens: int, now: int) -> Lesson:
    """Return *lesson* after *answers* of *task* had *tokens* in all; as it was where nobody can mean so many."""
    if task == NO_TASK or answers <= 0 or not are_answer_tokens(answers, tokens):
        return lesson
    known = lesson.lengths.get(task, Lengths(0, 0, now))
    halves = 2 if known.answers + answers > _WINDOW_ANSWERS else 1
    lengths = dict(lesson.lengths)
    lengths[task] = Lengths(known.answers // halves + answers, known.tokens // halves + tokens, now)
    while len(lengths) > TASKS_MAX:
        del lengths[min(lengths.keys() - {task}, key=lambda name: (lengths[name].learned_at, name))]
    return replace(lesson, lengths=lengths)
