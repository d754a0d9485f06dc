"""Decides how much may be enqueued at the provider, and cuts shards to fit that quota.

Rule: an idle model always admits one shard, however small the limit. Otherwise work could wait for ever for quota that only
the provider knows about. `quota_estimator` learns the limit; a deployment may pin it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from batchdrop.core.admission.quota_estimator import base_tokens_for, expected_tokens
from batchdrop.core.model.endpoints import AnswerSize, endpoint_of
from batchdrop.core.model.job import Group
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.quota import Quota, Ratio
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.plan import Chunk

_ACCOUNT_CHARS = 12
# A model's quota is shared by several shards: when one ends, another can follow while the others run.
_SHARES = 8


def account_of(base_url: str) -> str:
    """Return the name under which quota at *base_url* is counted.

    It is not the key's fingerprint: the provider counts by organization, and after a key is rotated its batches still count.
    """
    return hashlib.sha256(base_url.encode()).hexdigest()[:_ACCOUNT_CHARS]


def token_limit(quota: Quota, limits: Limits) -> int:
    """Return how many tokens of a model may be enqueued: as many as was learned; at first, one modest shard.

    A pinned limit is used at once and never exceeded. Less is used only after the provider refused it.
    """
    pinned, quota_estimate = limits.enqueued_tokens_per_model, quota.quota_estimate
    if pinned:
        return min(pinned, quota_estimate.limit) if quota_estimate.refused else pinned
    return quota_estimate.limit or limits.first_shard_tokens


def input_limit(account: Quota, limits: Limits) -> int:
    """Return how many embedding inputs of an account may be enqueued: the documented limit, or less after a refusal."""
    return min(account.quota_estimate.limit or limits.quota_embedding_inputs, limits.quota_embedding_inputs)


@dataclass(frozen=True, slots=True)
class Space:
    """What is free of a model's quota. None: nothing is enqueued, so one shard is admitted, whatever its size."""

    tokens: int | None
    inputs: int | None
    limit: int
    share: int  # tokens that a new shard of this model should have

    @property
    def budget(self) -> int:
        """How many tokens a new shard may have."""
        return min(self.share, self.limit if self.tokens is None else self.tokens)

    @property
    def is_scant(self) -> bool:
        """Whether less is free than half a shard: waiting costs less than a tiny batch."""
        return self.tokens is not None and 2 * self.tokens < self.share


def space(quota: Quota, account: Quota, now: int, limits: Limits) -> Space | None:
    """Return what is free, or None while nothing may be admitted: the model is full, or in the cool-down after a refusal."""
    limit = token_limit(quota, limits)
    if (
        max(quota.quota_estimate.cool_down_until, account.quota_estimate.cool_down_until) > now
        or 0 < limit <= quota.used
    ):
        return None
    share = max(limit // _SHARES, min(limit, limits.first_shard_tokens))
    inputs = max(0, input_limit(account, limits) - account.used) if account.used else None
    return Space(limit - quota.used if quota.used else None, inputs, limit, share)


def whole_space(limits: Limits) -> Space:
    """Return the space of a batch that needs no quota because it is never sent: as much as a batch may hold."""
    return Space(None, None, limits.shard_bytes_max, limits.shard_bytes_max)


@dataclass(frozen=True, slots=True)
class Cut:
    """Consecutive lines of a group that fit one batch and the free quota."""

    first_line: int
    end_line: int
    tokens: int
    base_tokens: int
    inputs: int
    answer_tokens: int = 0  # the most that answers may have, of the requests that limit them
    unlimited: int = 0  # answers that have no limit
    extra_answers: int = 0  # beyond one a request


def next_cut(group: Group, chunks: Sequence[Chunk], free: Space, ratio: Ratio | None, limits: Limits) -> Cut | None:
    """Return the next shard to cut from *group*, or None where nothing is left or nothing fits.

    *chunks* are the group's, in order. Whole chunks are taken while the batch's limits and the quota allow it. Of the last
    one, as many lines are taken as fit, in proportion. On an idle model at least one line is taken.
    """
    first, taken = group.cut_lines, _Lines()
    chunk_end = 0
    for chunk in chunks:
        chunk_end += chunk.lines
        line = first + taken.lines
        if chunk_end <= line:
            continue
        part = _rest_of(chunk, chunk_end - line)
        if taken.lines and not _fits_batch(taken + part, limits):
            break
        lines = min(_fitting_lines(part, taken, free, ratio), _answers_left(group.endpoint, taken, part, limits))
        if lines == part.lines:
            taken += part
            continue
        if not taken.lines and free.tokens is None and free.inputs != 0:
            lines = max(1, lines)
        taken += _shared(part, lines)
        break
    if not taken.lines or (free.is_scant and first + taken.lines < group.lines):
        return None
    return Cut(
        first, first + taken.lines, expected_tokens(ratio, taken.base_tokens), max(1, taken.base_tokens), taken.inputs,
        taken.answer_tokens, taken.unlimited, taken.extra_answers,
    )  # fmt: skip


def fitting_items(shard: Shard, free: Space) -> int:
    """Return how many of a waiting *shard*'s first items may be admitted: all, some, or 0 for none."""
    tokens, inputs = free.limit if free.tokens is None else free.tokens, free.inputs
    if shard.sent_tokens <= tokens and (inputs is None or shard.sent_inputs <= inputs):
        return shard.items
    is_idle = free.tokens is None and free.inputs != 0
    if shard.sent_items == 1:  # every part of it would send the same request again
        return shard.items if is_idle else 0
    # What repeats within a part is not known before the part is uploaded.
    items = _share_of(shard.items, shard.tokens, tokens)
    if inputs is not None:
        items = min(items, _share_of(shard.items, shard.inputs, inputs))
    if is_idle:
        return max(1, items)
    return 0 if free.is_scant else items


@dataclass(frozen=True, slots=True)
class _Lines:
    """Some lines, and what they come to."""

    lines: int = 0
    size_bytes: int = 0
    base_tokens: int = 0
    inputs: int = 0
    answer_tokens: int = 0
    unlimited: int = 0
    extra_answers: int = 0

    def __add__(self, other: "_Lines") -> "_Lines":
        return _Lines(
            self.lines + other.lines, self.size_bytes + other.size_bytes, self.base_tokens + other.base_tokens,
            self.inputs + other.inputs, self.answer_tokens + other.answer_tokens, self.unlimited + other.unlimited,
            self.extra_answers + other.extra_answers,
        )  # fmt: skip


def _rest_of(chunk: Chunk, lines: int) -> _Lines:
    """Return the last *lines* lines of *chunk*."""
    whole = _Lines(
        chunk.lines, chunk.size_bytes, chunk.tokens, chunk.inputs, chunk.answer_tokens, chunk.unlimited,
        chunk.extra_answers,
    )  # fmt: skip
    return _shared(whole, lines)


def _shared(part: _Lines, lines: int) -> _Lines:
    """Return *lines* lines of *part*, its sums shared in proportion and rounded up."""
    if lines == part.lines:
        return part
    amounts = (part.size_bytes, part.base_tokens, part.inputs, part.answer_tokens, part.unlimited, part.extra_answers)
    return _Lines(lines, *(-(-amount * lines // part.lines) for amount in amounts))


def _fits_batch(part: _Lines, limits: Limits) -> bool:
    return (
        part.lines <= limits.shard_requests_max
        and part.size_bytes <= limits.shard_bytes_max
        and part.inputs <= limits.shard_embedding_inputs_max
    )


def _answers_left(endpoint: str, taken: _Lines, part: _Lines, limits: Limits) -> int:
    """Return how many lines of *part* may follow what is *taken* so that the answers of the batch can be collected in time."""
    return (
        limits.shard_image_requests_max - taken.lines
        if endpoint_of(endpoint).answer_size is AnswerSize.PICTURES
        else part.lines
    )


def _fitting_lines(part: _Lines, taken: _Lines, free: Space, ratio: Ratio | None) -> int:
    """Return how many lines of *part* fit beside what is *taken*."""
    tokens_left = free.budget - (expected_tokens(ratio, taken.base_tokens) if taken.lines else 0)
    # By bytes, as estimates are shared: sharing what is expected would round a share over what is left.
    lines = _share_of(part.lines, part.base_tokens, base_tokens_for(ratio, tokens_left))
    if free.inputs is None:
        return lines
    return min(lines, _share_of(part.lines, part.inputs, free.inputs - taken.inputs))


def _share_of(lines: int, amount: int, left: int) -> int:
    """Return how many of *lines*, which come to *amount*, fit into what is *left*."""
    return lines if amount <= left else max(0, lines * left // amount)
