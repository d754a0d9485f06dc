"""What mutants of the rules about refusals are made of: functions of the production code with a rule less.

Rule: a mutation is a patch in this process, never an edit of a file.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from batchdrop.core.collection.verdicts import Verdict
from batchdrop.core.model.batches import Declined, NotSent, Uncertain
from batchdrop.core.model.job import Job
from batchdrop.core.model.limits import MINUTE
from batchdrop.core.model.outcomes import Failure
from batchdrop.core.model.shard import Shard
from batchdrop.core.submission.shard_events import InputMissed
from batchdrop.flow.unit_of_work import Work, move_shard, postpone


def never(_original: object) -> Callable[..., bool]:
    """The answer is always no."""
    return lambda *_arguments, **_options: False


def unsaid(_original: object) -> Callable[..., Job]:
    """The job does not say what it waits for."""
    return lambda job, *_arguments: job


def sent_again(_original: object) -> Callable[[Work, Shard], object]:
    """A batch that is gone is made once more, from a new file."""
    return lambda work, shard: move_shard(work, shard, InputMissed(shard.attempt.ticket))


def forgotten(_original: object) -> Callable[..., None]:
    """That somebody was told is not remembered."""
    return lambda _install, _number: None


def only_unanswered(_original: object) -> Callable[[Shard], bool]:
    """Only a call without an answer failed."""
    return lambda shard: shard.unanswered is not None


def asked_each_minute(_original: object) -> Callable[..., object]:
    """What is refused for good is taken for an outage."""
    return lambda work, shard, _error: postpone(work, shard, MINUTE)


def ending(original: Callable[..., Verdict]) -> Callable[[Verdict], Verdict]:
    """What may be sent again may be although its batch never ended."""
    del original
    return lambda verdict: msgspec.structs.replace(verdict, may_be_sent_again=verdict.failure is not None)


def wordless(original: Callable[..., Failure]) -> Callable[..., Failure]:
    """The reason is its code alone."""
    return lambda *arguments: Failure(original(*arguments).code, "")


def first_digits(_original: object) -> Callable[[str], int]:
    """A limit is the first digits of the refusal."""

    def stated(message: str) -> int:
        digits = "".join(sign if sign.isdecimal() else " " for sign in message).split()
        return int(digits[0]) if digits else 0

    return stated


def unsent_as_uncertain(original: Callable[..., Shard]) -> Callable[..., Shard]:
    """A connection that was never made may have carried the create."""

    def record(work: Work, provider: Any, shard: Shard, answer: object) -> Shard:  # noqa: ANN401 - handed on
        said = Uncertain(answer.cause) if isinstance(answer, NotSent) else answer
        return original(work, provider, shard, said)

    return record


def about_the_key(original: Callable[..., Shard]) -> Callable[..., Shard]:
    """A refusal that names a model is taken for one of the key."""

    def record(work: Work, provider: Any, shard: Shard, answer: object) -> Shard:  # noqa: ANN401 - handed on
        is_refusal = isinstance(answer, Declined) and answer.status == 403
        return original(work, provider, shard, Declined(403, "", "no") if is_refusal else answer)

    return record
