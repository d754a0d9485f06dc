"""Defines the row of a model's quota: what is enqueued, and what was learned about its limit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchdrop.core.model.reasons import Refusal


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of finished batches: what their requests were estimated at by bytes, and how many tokens the provider counted."""

    base_tokens: int
    counted_tokens: int
    learned_at: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of finished batches: how many answers the provider counted, and how many tokens they had."""

    answers: int
    tokens: int
    learned_at: int


@dataclass(frozen=True, slots=True)
class QuotaEstimate:
    """What experience says of one quota. All amounts are in our own estimates, which need not be the provider's."""

    limit: int = 0  # how much may be used; 0 while nothing was learned
    high_water: int = 0  # the most that the provider was seen to take at one time
    refused: int = 0  # the least that it was seen to refuse; 0 where it refused nothing
    streak: int = 0  # shards that were taken near the limit since the last refusal
    cool_down_until: int = 0  # until then no shard is admitted
    creates_until_ms: int = (
        0  # creates of an account: when the ones until now are paid off, at the rate that is allowed
    )
    ratios: Mapping[str, Ratio] = field(default_factory=dict)  # by task; for the model as a whole by `EVERY_TASK`
    lengths: Mapping[str, Lengths] = field(default_factory=dict)  # by task
    most: int = 0  # the most that was ever proven, whatever was refused since
    refusal: Refusal | None = None  # of the model as a whole; `cool_down_until` says when it is asked again


EVERY_TASK = ""  # no task is called so


WHOLE_ACCOUNT = ""  # no model is called so


@dataclass(frozen=True, slots=True)
class Quota:
    """What one model of one account may still take, in tokens; or WHOLE_ACCOUNT, in embedding inputs.

    `used` is the sum of what shards hold; `taken` of that what the provider was seen to have taken.
    """

    account: str
    model: str
    used: int = 0
    taken: int = 0
    quota_estimate: QuotaEstimate = QuotaEstimate()
    revision: int = 0  # of the quota estimate
