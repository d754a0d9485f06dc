"""Finds out what became of a create call whose answer is unknown: the poller's side of the protocol.

    CREATING ──(older than the grace, nothing listed)──► FENCING ──(input file deleted)──► wait ──(a list that began after
    the wait shows nothing)──► RESERVED, a new try with a new file; after five of them PARKED, one call an hour

A provider that has no list, while it answers other calls, shows nothing: what is uncertain there is PARKED, with no new try, and
continues from FENCING once there is a list.

Rule: a batch that has a ticket of the attempt is adopted whatever the state of the shard. Nothing is sent again before the file
of every uncertain try is gone and a list that began a quarter of an hour later shows no batch of the attempt. Where it is not
known that a deleted file stops a create (`Dialect.is_fence_known`) nothing is sent again at all: the shard is PARKED.
"""

from batchdrop.core.model.errors import ProviderRefused, ProviderUnavailable
from batchdrop.core.model.reasons import Reason
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.batch_signals import find_batch
from batchdrop.core.submission.shard_events import (
    BatchFound,
    FenceBegun,
    Fenced,
    FenceFailed,
    GivenUp,
    InputMissed,
    NothingFound,
    Unlisted,
)
from batchdrop.core.submission.shard_lifecycle import CANCELLED
from batchdrop.core.submission.waits import NO_LIST, UNCERTAIN
from batchdrop.flow.notification.waits import note_wait
from batchdrop.flow.ports import Provider
from batchdrop.flow.submission.batch_list import Sweep
from batchdrop.flow.submission.circuit_breaker import believe, close_circuit
from batchdrop.flow.unit_of_work import Work, move_shard


def recover(work: Work, provider: Provider, shard: Shard, seen: Sweep) -> Shard | None:
    """Take one step for a *shard* that may have a batch without our knowledge; return it, or None where it waits.

    *provider* must be the one that *seen* was listed with, and *shard* must have been read before the list began.
    """
    believed = believe(work, provider, shard)
    if believed is None:
        return None
    found = find_batch(believed, seen.by_ticket)
    if isinstance(found, BatchFound):
        close_circuit(work, provider)
        return move_shard(work, believed, found)
    if isinstance(found, InputMissed) and believed.state is not ShardState.PARKED:
        return move_shard(work, believed, found)
    return _without_batch(work, provider, believed, seen)


def _without_batch(work: Work, provider: Provider, shard: Shard, seen: Sweep) -> Shard | None:
    match shard.state:
        case ShardState.CREATING:
            return _from_creating(work, shard, seen)
        case ShardState.FENCING:
            return _from_fencing(work, provider, shard, seen)
        case ShardState.PARKED:
            return _from_parked(work, shard, seen)
        case _:
            return None


def _from_creating(work: Work, shard: Shard, seen: Sweep) -> Shard | None:
    """Begin the fence once a full list that began after the grace shows nothing.

    An incomplete list isn't a reason: the input file of a batch that runs must not be deleted. Nor is the grace alone: as long
    as a new file may be invisible, a 404 to its deletion does not say that it is gone.
    """
    limits, file = work.limits, shard.attempt.file
    ripe_at = max(file.intent_at + limits.grace_seconds, file.uploaded_at + limits.file_visible_seconds_max)
    if seen.began_at < ripe_at:
        return None
    if seen.is_missing:
        return _park(work, shard)
    return move_shard(work, shard, FenceBegun(shard.attempt.ticket)) if seen.shows_all_since(file.intent_at) else None


def _park(work: Work, shard: Shard) -> Shard:
    """Park *shard*, whose create is uncertain: without a list it will not be seen whether a batch came of it."""
    work.ports.log.warning("create.parked", job_id=shard.job, shard=shard.number, ticket=shard.attempt.ticket)
    parked = move_shard(work, shard, Unlisted(shard.attempt.ticket))
    note_wait(work, shard.job, NO_LIST)
    return parked


def _from_fencing(work: Work, provider: Provider, shard: Shard, seen: Sweep) -> Shard | None:
    if shard.attempt.file.fenced_at:
        return _from_fenced(work, shard, seen)
    if not provider.dialect.is_fence_known:
        return _park_unfenced(work, shard)
    if work.ports.clock.now() - shard.attempt.file.fencing_at > work.limits.fence_attempts_seconds_max:
        return _park_unfenced(work, shard)
    try:
        if shard.attempt.file.id:  # never uploaded is fenced
            provider.delete_file(shard.attempt.file.id)
    except (ProviderRefused, ProviderUnavailable) as error:
        work.ports.log.warning(
            "fence.failed", job_id=shard.job, shard=shard.number, ticket=shard.attempt.ticket, cause=str(error)
        )
        return None
    return move_shard(work, shard, Fenced(shard.attempt.ticket))


def _from_fenced(work: Work, shard: Shard, seen: Sweep) -> Shard | None:
    if seen.began_at < shard.attempt.file.fenced_at + work.limits.fence_wait_seconds:
        return None
    if seen.is_missing:
        return _park(work, shard)
    # Earlier create calls of the attempt were shown not to be there before this one began.
    return (
        move_shard(work, shard, NothingFound(shard.attempt.ticket))
        if seen.shows_all_since(shard.attempt.file.intent_at)
        else None
    )


def _park_unfenced(work: Work, shard: Shard) -> Shard:
    """Give the call up as one whose batch may still run: the file stays, because it may be in use, and nothing is sent again.

    A notification is pending: a batch that shows itself within a week is collected, and a person may know more.
    """
    work.ports.log.warning("shard.unfenced", job_id=shard.job, shard=shard.number, ticket=shard.attempt.ticket)
    parked = move_shard(work, shard, FenceFailed(shard.attempt.ticket))
    note_wait(work, shard.job, UNCERTAIN)
    return parked


def _from_parked(work: Work, shard: Shard, seen: Sweep) -> Shard | None:
    if shard.attempt.is_unlisted and seen.shows_all_since(shard.attempt.first_intent_at):
        # There is a list now, and no batch in it: from here on as if there had always been one.
        return move_shard(work, shard, FenceBegun(shard.attempt.ticket))
    if shard.is_cancelled and seen.is_complete and not shard.attempt.is_unfenced:
        return move_shard(work, shard, GivenUp(shard.attempt.ticket, CANCELLED))
    if work.ports.clock.now() - shard.attempt.parked_at < work.limits.parked_seconds_max:
        return None
    message = "The provider never said whether it took these requests, for a week; they are not sent again."
    return move_shard(work, shard, GivenUp(shard.attempt.ticket, Reason("submission_unknown", message)))
