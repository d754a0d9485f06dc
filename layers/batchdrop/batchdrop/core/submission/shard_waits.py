"""Decides what a job waits for because of one of its shards: word of a create, of a batch, or of the answers.

Rule: it is derived from the shards whenever a status is written, so that no job's row has to follow them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from batchdrop.core.model.limits import Limits
from batchdrop.core.model.reasons import Outage, Reason, WaitingFor
from batchdrop.core.model.shard import Attempt, Shard, ShardState
from batchdrop.core.model.wording import provider_words
from batchdrop.core.submission.refusing import is_under_refusal
from batchdrop.core.submission.waits import refused_words

_W = WaitingFor

_UNCERTAIN: Final = Reason(
    "create_uncertain",
    "The provider did not say whether it took a batch. It is looked for, and nothing is sent again until it is known that none "
    "runs.",
)
_PARKED: Final = Reason(
    "create_parked",
    "The provider never said whether it took a batch. If the batch shows itself within a week its answers are collected; else "
    "these requests fail as submission_unknown.",
)


_UNREACHABLE: Final = Reason(
    "key_of_another_project",
    "The API key in use sees no batch or file of this job: it is of another project, or of another account. Put back the former "
    "key, or one of the same project. After a week the items fail as unreachable.",
)


@dataclass(frozen=True, slots=True)
class ShardWait:
    """What is waited for, since when, and why."""

    waits_for: WaitingFor
    since: int
    reason: Reason


def shard_wait(shards: Iterable[Shard]) -> ShardWait | None:
    """Return what that of *shards* waits for that has waited longest; None where none is held up.

    What was refused or not answered is said from the first time on, before a notification about it is due.
    """
    waits = [wait for shard in shards if (wait := _wait_of(shard) or _wait_to_send(shard)) is not None]
    return min(waits, key=lambda wait: wait.since, default=None)


def reason_to_tell(shards: Iterable[Shard], now: int, limits: Limits) -> Reason | None:
    """Return the reason of a notification about what one of *shards* waits for, because it lasts; None if none is due.

    A parked one had its notification while its create was uncertain.
    """
    for shard in shards:
        wait = None if shard.state is ShardState.PARKED else _wait_of(shard)
        if wait is None:
            continue
        usual_seconds = (
            limits.unavailable_seconds if wait.waits_for in (_W.ANSWERS, _W.KEY) else limits.wait_told_seconds
        )
        if now - wait.since >= usual_seconds:
            return wait.reason
    return None


def _wait_of(shard: Shard) -> ShardWait | None:
    if shard.unreachable_at:
        return ShardWait(_W.KEY, shard.unreachable_at, _UNREACHABLE)
    attempt = shard.attempt
    if shard.state is ShardState.PARKED:
        return ShardWait(_W.CREATE, attempt.parked_at, _PARKED)
    if shard.state is ShardState.FENCING or (attempt.uncertain and attempt.first_intent_at and not attempt.batch):
        return ShardWait(_W.CREATE, attempt.first_intent_at, _UNCERTAIN)
    if shard.state is ShardState.RUNNING:
        return _wait_of_running(attempt, is_cancelled=shard.is_cancelled)
    if attempt.gone is None:
        return None
    reason = _not_shown("answers_not_shown", "the answers of a batch", attempt.gone)
    return ShardWait(_W.ANSWERS, attempt.gone.since, reason)


def _wait_to_send(shard: Shard) -> ShardWait | None:
    if shard.attempt.refusal and is_under_refusal(shard):
        waits_for, message = refused_words(shard.attempt.refusal)
        return ShardWait(waits_for, shard.attempt.refusal.since, Reason(shard.attempt.refusal.reason.code, message))
    if shard.state is ShardState.RESERVED and shard.unanswered:
        message = f"The provider did not answer an upload. It is tried again. {provider_words(shard.unanswered.cause)}"
        return ShardWait(_W.PROVIDER, shard.unanswered.since, Reason("upload_unanswered", message))
    return None


def _wait_of_running(attempt: Attempt, *, is_cancelled: bool) -> ShardWait | None:
    batch = f"the batch {attempt.batch}"
    if attempt.gone is not None:
        return ShardWait(_W.BATCH, attempt.gone.since, _not_shown("batch_not_shown", batch, attempt.gone))
    if attempt.cancel_asked_at and not is_cancelled:
        message = f"T{batch[1:]} did not end in its window. It was asked to stop; what it answered is collected then."
        return ShardWait(_W.BATCH, attempt.cancel_asked_at, Reason("batch_late", message))
    return None


def _not_shown(code: str, what: str, gone: Outage) -> Reason:
    return Reason(code, f"The provider does not show {what}. It is looked for, for a day. {provider_words(gone.cause)}")
