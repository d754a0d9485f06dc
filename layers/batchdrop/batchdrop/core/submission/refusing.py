"""Decides who waits for what the provider refuses for good, over shards, jobs and models, and when its items fail.

Rule: a shard has its own day. What was refused of a job for a day, or of a model, is not waited for again by every other shard.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from batchdrop.core.model.job import Job
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.quota import Quota, QuotaEstimate
from batchdrop.core.model.reasons import Reason, Refusal, Scope
from batchdrop.core.model.shard import Shard, ShardState

# What the function's own disk refuses is waited for, said and given up like what the provider does.
DISK_FULL: Final = Reason(
    "disk_full",
    "No space is left in /tmp of the submit function for the requests of one batch. Raise its EphemeralStorage, or lower "
    "BATCHDROP_SHARD_BYTES_MAX; on your own machine, free some space.",
)
_UNDER_REFUSAL = frozenset({ShardState.WAITING, ShardState.RESERVED, ShardState.UPLOADED, ShardState.CREATING})


def of_model(quota_estimate: QuotaEstimate, refusal: Refusal) -> Refusal:
    """Return *refusal*, just now, as the model's: counted with those before it."""
    known = quota_estimate.refusal
    return refusal if known is None else replace(refusal, count=known.count + 1, since=known.since)


def is_model_given_up(refusal: Refusal, job: Job, now: int, limits: Limits) -> bool:
    """Whether *job*, too, has waited for its model for a day."""
    since = max(refusal.since, job.created_at)
    return refusal.count > limits.refused_tries_max and now - since >= limits.refused_seconds_max


def given_up(job: Job, refusal: Refusal, now: int) -> Job:
    """Return *job* with one shard more that failed because *refusal* lasted for a day."""
    known = job.given_up
    is_same = known and (known.reason.code, known.scope) == (refusal.reason.code, refusal.scope)
    count = known.count if known and is_same else 0
    return replace(job, given_up=Refusal(refusal.reason, count + 1, now, refusal.scope))


def is_refused_again(job: Job, reason: Reason, scope: Scope, now: int, limits: Limits) -> bool:
    """Whether a shard of *job* that was refused for *reason* need not wait for a day: others of it did, just before.

    Of lone requests that are too large, many did.
    """
    known = job.given_up
    if known is None or (known.reason.code, known.scope) != (reason.code, scope):
        return False
    is_enough = scope is not Scope.LINE or known.count >= limits.refused_lines_max
    return is_enough and now - known.since < limits.refused_seconds_max


def hopeless_reason(job: Job, quota_estimate: QuotaEstimate, now: int, limits: Limits) -> Reason | None:
    """Return why what is left of *job* and a model fails without being asked for; None where it is asked for.

    The provider has refused it for a day, several times, and did so again within the last hour. That requests are too large
    says nothing about others, unless none was ever taken.
    """
    known = job.given_up
    if known and now - known.since < limits.refused_retry_seconds and _is_of_all(job, known, limits):
        return known.reason
    refusal = quota_estimate.refusal
    if refusal and now < quota_estimate.cool_down_until and is_model_given_up(refusal, job, now, limits):
        return refusal.reason
    return None


def _is_of_all(job: Job, known: Refusal, limits: Limits) -> bool:
    if known.scope is Scope.LINE:
        return known.count >= limits.refused_lines_max and not job.succeeded
    return known.count >= limits.refused_shards_max


def is_under_refusal(shard: Shard) -> bool:
    """Whether *shard* was refused for good and is to be sent nevertheless."""
    return shard.attempt.refusal is not None and shard.attempt.refusal.count > 0 and shard.state in _UNDER_REFUSAL


def is_waited_for(shard: Shard, now: int, limits: Limits) -> bool:
    """Whether *shard* was refused so often, or for so long, or for its model, that a notification says what its job waits for."""
    refusal = shard.attempt.refusal
    if refusal is None or not is_under_refusal(shard):
        return False
    is_often = refusal.count >= limits.refused_tries_max or now - refusal.since >= limits.refused_told_seconds
    return refusal.scope is Scope.MODEL or is_often


type Place = tuple[str, str]  # a job and a model


def refused_places(jobs: Iterable[Job], shards: Sequence[Shard], limits: Limits) -> frozenset[Place]:
    """Return the *jobs* and models of which enough *shards* are refused that no other is tried.

    Lone requests that are too large hold up others only where nothing of their job was ever taken.
    """
    counts = Counter(
        ((shard.job, shard.model), shard.attempt.refusal.scope)
        for shard in shards
        if shard.attempt.refusal and is_under_refusal(shard)
    )
    taken = {shard.job for shard in shards if shard.attempt.file.id or shard.attempt.batch} | {
        job.id for job in jobs if job.succeeded
    }
    return frozenset(
        place
        for (place, scope), count in counts.items()
        if (scope is Scope.SHARD and count >= limits.refused_shards_max)
        or (scope is Scope.LINE and count >= limits.refused_lines_max and place[0] not in taken)
    )


def to_be_tried(waiting: Iterable[Shard], refused: frozenset[Place], limits: Limits) -> list[Shard]:
    """Return which of *waiting*, which are due, may be tried, the first first: of those that were refused only a few.

    Likewise of the parts of what was too large: the smallest first, so that what no size can help is soon known.
    """
    fresh, retries, parts = list[Shard](), list[Shard](), list[Shard]()
    for shard in waiting:
        if is_under_refusal(shard):
            retries.append(shard)
        elif (shard.job, shard.model) not in refused:
            (parts if shard.attempt.refusal else fresh).append(shard)
    parts.sort(key=lambda shard: shard.items)
    most = limits.refused_retries_per_tick_max
    return [*fresh, *retries[:most], *parts[:most]]


def is_asked_for(quota: Quota, now: int) -> bool:
    """Whether a model that is refused is not to be asked for now: it was just before, or a shard of it asks for all."""
    return quota.quota_estimate.refusal is not None and (
        now < quota.quota_estimate.cool_down_until or quota.used > quota.taken
    )


def accepted(quota_estimate: QuotaEstimate, intent_at: int) -> QuotaEstimate:
    """Return *quota_estimate* after the provider took a batch of the model whose create was intended at that time."""
    refusal = quota_estimate.refusal
    is_over = refusal is not None and intent_at > refusal.since
    return replace(quota_estimate, refusal=None, cool_down_until=0) if is_over else quota_estimate


type Models = Mapping[tuple[str, str], Refusal]


def refused_models(shards: Iterable[Shard]) -> Models:
    """Return what is refused of whole models, by account and model, as *shards* of any job show it: the latest of each."""
    found: dict[tuple[str, str], Refusal] = {}
    for shard in shards:
        refusal = shard.attempt.refusal
        if refusal and refusal.scope is Scope.MODEL and is_under_refusal(shard):
            known = found.setdefault((shard.account, shard.model), refusal)
            if refusal.count > known.count:
                found[shard.account, shard.model] = refusal
    return found


def waited_for(job: Job, shards: Sequence[Shard], models: Models, now: int, limits: Limits) -> Refusal | None:
    """Return the refusal that *job*, with these *shards* under way, waits for; None where it waits for none.

    *models* are those that are refused as a whole: a job that has work of one of them waits for it, tried or not.
    """
    wanted = {shard.model for shard in shards if shard.state is ShardState.WAITING}
    wanted |= {group.model for group in job.groups if group.cut_lines < group.lines}
    refusals = [refusal for (_, model), refusal in models.items() if model in wanted]
    refusals += [
        shard.attempt.refusal for shard in shards if shard.attempt.refusal and is_waited_for(shard, now, limits)
    ]
    return min(refusals, key=lambda refusal: (refusal.since, refusal.reason.code), default=None)
