"""Moves shards on by what the list of batches shows, and what the provider says of single ones.

Rule: the tick does not depend on one call. What the list showed until a page failed holds; what it did not show is asked for, in
turn; a call that fails leaves its own shard for later, and a few of them end the asking but not the tick.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.errors import (
    Conflict,
    IllegalTransition,
    KeyRefused,
    LeaseLost,
    NotAtProvider,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    Superseded,
)
from batchdrop.core.model.install import Asked, Install, circuit_key
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.flow.ports import Provider
from batchdrop.flow.submission.batch_list import Sweep, is_sought, sweep
from batchdrop.flow.submission.cancel import stop_batch, stop_stuck
from batchdrop.flow.submission.circuit_breaker import (
    BreakerState,
    is_fetching_refused,
    is_key_refused,
    note_answers,
    note_good_key,
    note_refusal,
)
from batchdrop.flow.submission.duplicates import report_duplicates
from batchdrop.flow.submission.recover import recover
from batchdrop.flow.submission.watch import has_failed, look_up, note_shown, note_taken, watch
from batchdrop.flow.unit_of_work import Work


@dataclass(slots=True)
class Look:
    """What one look moved, and how the provider answered. *noted* are jobs whose statuses have something new to say.

    *was_asked*: something was; *is_answered*: at least one call was, be it with a refusal; else *failed* is why the last one was
    not. *list_failed* is why the list did not come, empty where it did. *reads* is whether answers may be fetched under this key.
    *install* is the installation's row where the look wrote it.
    """

    moved: list[Shard] = field(default_factory=list)
    noted: set[str] = field(default_factory=set)
    reads: BreakerState = BreakerState.CLOSED
    was_asked: bool = False
    is_answered: bool = False
    failed: str = ""
    list_failed: str = ""
    failures: int = 0
    look_ups: int = 0
    install: Install | None = None

    def note(self, error: ProviderError) -> None:
        """Count a call that failed; a refusal is an answer all the same."""
        self.failures += 1
        self.is_answered = self.is_answered or not isinstance(error, ProviderUnavailable)
        self.failed = str(error)


def observe(work: Work, provider: Provider, shards: Sequence[Shard]) -> Look:
    """Move every shard that the provider shows to have moved."""
    at_provider = [shard for shard in shards if is_sought(shard) or shard.state is ShardState.RUNNING]
    look = Look()
    if not at_provider:
        # Nothing is asked: where the key was refused, the next worker that fetches answers asks for all.
        look.reads = BreakerState.HALF_OPEN if is_key_refused(work, provider) else BreakerState.CLOSED
        return look
    look.was_asked = True
    try:
        seen = sweep(work, provider, at_provider)
        look.is_answered = seen.failed is None
        if seen.failed:
            look.note(seen.failed)
            look.list_failed = str(seen.failed)
            seen.is_missing = _is_list_missing(work)
        for shard in _taken_first(work, at_provider, seen):
            if not work.may_go_on():
                break
            after = _observe_one(work, provider, shard, seen, look)
            if after:
                look.moved.append(after)
        if not look.is_answered:
            _probe(work, provider, at_provider, look)
        if work.may_ask():
            report_duplicates(work, provider, shards, seen)
        if look.is_answered:
            _note_read(work, provider, shards, look)
    except KeyRefused as error:
        note_refusal(work, provider, error, Asked.LOOK)
        look.reads, look.is_answered = BreakerState.OPEN, True
    return look


def _note_read(work: Work, provider: Provider, shards: Iterable[Shard], look: Look) -> None:
    """Write that the key may read again, if it was refused; where answers were refused, one that is fetched shows it."""
    is_to_be_fetched = any(shard.state is ShardState.HARVESTING for shard in (*shards, *look.moved))
    kinds = {Asked.LOOK} if is_to_be_fetched else {Asked.LOOK, Asked.FETCH}
    noted = note_good_key(work, provider, kinds)
    look.install = noted.install if noted is not work else None
    if is_fetching_refused(noted, provider):
        look.reads = BreakerState.HALF_OPEN


def _taken_first(work: Work, shards: Iterable[Shard], seen: Sweep) -> list[Shard]:
    """Note which batches the provider took, and return *shards* with those of failed batches first.

    Whatever was refused was refused beside those that were taken, and beside those that ended since. Once there is no time
    left nothing more is noted, and so nothing is moved either.
    """
    noted = [
        note_taken(work, shard, seen.by_id.get(shard.attempt.batch)) if work.may_go_on() else shard for shard in shards
    ]
    return sorted(noted, key=lambda shard: not has_failed(seen.by_id.get(shard.attempt.batch)))


def _observe_one(work: Work, provider: Provider, shard: Shard, seen: Sweep, look: Look) -> Shard | None:
    """Take one shard's step. What another worker moved meanwhile is left to it: the row that we read was old."""
    try:
        if shard.state is not ShardState.RUNNING:
            return recover(work, provider, shard, seen)
        batch = seen.by_id.get(shard.attempt.batch)
        if batch is None:
            if not _may_look_up(work, shard, look):
                return None
            look.look_ups += 1
            batch = look_up(work, provider, shard)
            look.is_answered = True
            before, shard = shard, work.ports.ledger.shard(shard.job, shard.number) or shard
            if bool(before.attempt.gone) != bool(shard.attempt.gone):
                look.noted.add(shard.job)
        return _with_batch(work, provider, shard, batch, look) if batch else None
    except (Conflict, IllegalTransition, LeaseLost, Superseded) as error:
        work.ports.log.info("shard.left", job_id=shard.job, shard=shard.number, cause=str(error))
    except (ProviderRefused, ProviderUnavailable) as error:
        look.note(error)
        work.ports.log.warning("provider.unavailable", job_id=shard.job, shard=shard.number, cause=str(error))
    return None


def _with_batch(work: Work, provider: Provider, shard: Shard, batch: Batch, look: Look) -> Shard | None:
    """Take the step of a RUNNING *shard* whose *batch* is shown."""
    shard = note_shown(work, shard)
    if batch.completed:
        note_answers(work, provider, shard)
    ended = watch(work, provider, shard, batch)
    if ended is None:
        if shard.is_cancelled:
            stop_batch(work, provider, shard, batch)
        if stop_stuck(work, provider, shard, batch):
            look.noted.add(shard.job)
    return ended


def _may_look_up(work: Work, shard: Shard, look: Look) -> bool:
    """Whether the batch of a RUNNING *shard*, which the list did not show, is to be asked for now.

    With a list that is now and then; without one it is all that there is.
    """
    limits = work.limits
    early = 0 if not look.list_failed else limits.retrieve_interval_seconds - limits.unlisted_interval_seconds
    is_due = (shard.due_at or 0) - early <= work.ports.clock.now()
    may = look.look_ups < limits.retrieves_per_tick_max and look.failures < limits.tick_failures_max
    return is_due and may and work.may_ask()


def _is_list_missing(work: Work) -> bool:
    """Whether the list has failed for long while the provider answered other calls."""
    no_list, now = work.install.no_list, work.ports.clock.now()
    is_lasting = no_list is not None and now - no_list.since >= work.limits.unavailable_seconds
    return is_lasting and work.install.unanswered is None


def _probe(work: Work, provider: Provider, shards: Iterable[Shard], look: Look) -> None:
    """Ask for anything that is known, to tell a provider that is down from one that has no list."""
    if look.look_ups or not work.may_ask():
        return
    try:
        proof = work.install.proofs.get(circuit_key(provider.base_url, provider.fingerprint))
        file = next((shard.attempt.file.id for shard in shards if shard.attempt.file.id), "")
        if proof:
            provider.batch(proof)
        elif file:
            provider.file_exists(file)
        look.is_answered = bool(proof or file)
    except NotAtProvider:
        look.is_answered = True
    except (ProviderRefused, ProviderUnavailable) as error:
        look.note(error)
