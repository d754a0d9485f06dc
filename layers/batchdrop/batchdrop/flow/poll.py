"""poll: the only driver of progress.

Each tick: read what is under way; wake what needs no provider, by a message to the queue of the function that does it; look at
the provider's list once and move shards by what it shows; admit what there is room for; wake the rest of what is due.

Rule: a tick does no long work and loses nothing when it stops half-way: the next one sees the same rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batchdrop.core.backlog import backlog
from batchdrop.core.errors import (
    Conflict,
    IllegalTransition,
    KeyRefused,
    LeaseLost,
    ProviderRefused,
    ProviderUnavailable,
    Superseded,
)
from batchdrop.core.ledger_rows import Job, JobState, Reason, Shard, ShardState
from batchdrop.core.limits import Limits
from batchdrop.flow.admit import admit, note_waiting
from batchdrop.flow.cancel import stop_batch, stop_shards, stop_stuck
from batchdrop.flow.duplicates import report_duplicates
from batchdrop.flow.key import Passage, is_asking, is_key_refused, note_answers, note_refusal, passage, provider_or_lack
from batchdrop.flow.ports import Ports, Provider
from batchdrop.flow.reconcile import reconcile
from batchdrop.flow.recover import recover
from batchdrop.flow.status import rewrite_statuses, write_status
from batchdrop.flow.steps import Work, begin, read_job
from batchdrop.flow.sweep import Sweep, is_sought, sweep
from batchdrop.flow.tidy import sweep_files
from batchdrop.flow.waiting import end_common_wait, expire_holds, note_common_wait, note_refusals
from batchdrop.flow.wake import SUBMIT_STATES, Wakes
from batchdrop.flow.watch import has_failed, look_up, note_taken, watch


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did, for the log."""

    rows: int
    moved: int
    admitted: int
    hints: int
    is_open: bool = True  # creates may be made
    is_readable: bool = True  # the key is not refused for answers


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the provider moved, and whether its answers may be fetched."""

    moved: list[Shard]
    reads: Passage


def tick(ports: Ports, limits: Limits) -> Tick:
    """Do one round. With nothing under way it costs one query, and the provider is not asked."""
    began_at = ports.clock.now()
    install, rows = ports.ledger.install_and_active()
    work = begin(ports, limits, install)
    done = _drive(work, rows) if rows else Tick(0, 0, 0, 0)
    if not rows:
        work = end_common_wait(work)
    reconcile(work)
    sweep_files(work)
    _report(work, rows, done, began_at)
    return done


def _report(work: Work, rows: Sequence[Job | Shard], done: Tick, began_at: int) -> None:
    """Log what the tick found and did; an idle one too, because its absence is what the alarm listens for."""
    found = backlog(rows, began_at, is_open=done.is_open, is_readable=done.is_readable)
    work.ports.log.info(
        "tick.done", rows=done.rows, moved=done.moved, admitted=done.admitted, hints=done.hints, due=found.due,
        oldest_due_seconds=found.oldest_due_seconds, uncertain=found.uncertain, held=found.is_held,
        approvals=found.approvals,
    )  # fmt: skip


def _drive(work: Work, rows: Sequence[Job | Shard]) -> Tick:
    """Move on whatever of *rows* is due."""
    listed = [row for row in rows if isinstance(row, Job)]
    jobs = expire_holds(work, listed)
    stopped, shards = _stop(work, jobs, [row for row in rows if isinstance(row, Shard)])
    wakes = Wakes(work)
    wakes.without_provider([*jobs, *shards])
    found = provider_or_lack(work)
    provider = None if isinstance(found, Reason) else found
    look = _observe(work, provider, shards) if provider else Look([], Passage.CLOSED)
    moved = [*stopped, *look.moved]
    shards = _newest(shards, moved)
    way = passage(work, provider) if provider and not is_asking(work, provider, shards) else Passage.CLOSED
    admitted = _admit(work, jobs, shards, way)
    waiting = _note_turns(work, jobs, shards, admitted) if way is Passage.OPEN else set()
    waiting |= note_refusals(work, jobs, _newest(shards, admitted))
    work = note_common_wait(work, jobs, shards, found)
    wakes.all([*jobs, *moved, *admitted, *shards], creates=way, reads=look.reads)
    touched = {job.id for before, job in zip(listed, jobs, strict=True) if before.revision != job.revision}
    touched |= waiting | {shard.job for shard in (*moved, *admitted)}
    for job in touched:
        write_status(work, job)
    rewrite_statuses(work, jobs, touched)
    return Tick(
        len(rows),
        len(moved),
        len(admitted),
        wakes.sent,
        is_open=way is Passage.OPEN,
        is_readable=look.reads is Passage.OPEN,
    )


def _stop(work: Work, jobs: Sequence[Job], shards: Sequence[Shard]) -> tuple[list[Shard], list[Shard]]:
    """Stop the shards of cancelled jobs; return those that moved, and all *shards* as they are now."""
    cancelled = {job.id for job in jobs if job.cancelled_at}
    stopped = stop_shards(work, (shard for shard in shards if shard.job in cancelled))
    return stopped, _newest(shards, stopped)


def _newest(shards: Iterable[Shard], moved: Iterable[Shard]) -> list[Shard]:
    """Return *shards*, those of them that *moved* as they are now."""
    return list({(shard.job, shard.number): shard for shard in (*shards, *moved)}.values())


def _observe(work: Work, provider: Provider, shards: Sequence[Shard]) -> Look:
    """Move every shard that the provider shows to have moved."""
    at_provider = [shard for shard in shards if is_sought(shard) or shard.state is ShardState.RUNNING]
    if not at_provider:
        # Nothing was asked: where the key was refused, whoever fetches answers next asks for all.
        return Look([], Passage.PROBE if is_key_refused(work, provider) else Passage.OPEN)
    moved = []
    reads = Passage.OPEN
    try:
        seen = sweep(work, provider, at_provider)
        look_ups = work.limits.retrieves_per_tick_max
        for shard in _taken_first(work, at_provider, seen):
            if not work.may_go_on():
                break
            is_unseen = shard.state is ShardState.RUNNING and shard.batch not in seen.by_id
            if is_unseen and (look_ups := look_ups - 1) < 0:
                continue
            after = _observe_one(work, provider, shard, seen)
            if after:
                moved.append(after)
        report_duplicates(work, provider, shards, seen)
    except KeyRefused as error:
        note_refusal(work, provider, error)
        reads = Passage.CLOSED
    except (ProviderRefused, ProviderUnavailable) as error:
        work.ports.log.warning("provider.unavailable", cause=str(error))
    return Look(moved, reads)


def _taken_first(work: Work, shards: Iterable[Shard], seen: Sweep) -> list[Shard]:
    """Note which batches the provider took, and return *shards* with those of failed batches first.

    Whatever was refused was refused beside those that were taken, and beside those that ended since. Once there is no time
    left nothing more is noted, and so nothing is moved either.
    """
    noted = [note_taken(work, shard, seen.by_id.get(shard.batch)) if work.may_go_on() else shard for shard in shards]
    return sorted(noted, key=lambda shard: not has_failed(seen.by_id.get(shard.batch)))


def _observe_one(work: Work, provider: Provider, shard: Shard, seen: Sweep) -> Shard | None:
    """Take one shard's step. What somebody else moved meanwhile is left to them: the row that we read was old."""
    try:
        if shard.state is not ShardState.RUNNING:
            return recover(work, provider, shard, seen)
        batch = seen.by_id.get(shard.batch)
        if batch is None and (shard.due_at or 0) <= work.ports.clock.now():
            batch = look_up(work, provider, shard)
            shard = work.ports.ledger.shard(shard.job, shard.number) or shard
        if batch and shard.is_cancelled:
            stop_batch(work, provider, shard, batch)
        if batch:
            stop_stuck(work, provider, shard, batch)
        if batch and batch.completed:
            note_answers(work, provider, shard)
        return watch(work, provider, shard, batch) if batch else None
    except (Conflict, IllegalTransition, LeaseLost, Superseded) as error:
        work.ports.log.info("shard.left", job_id=shard.job, shard=shard.number, cause=str(error))
        return None


def _admit(work: Work, jobs: Sequence[Job], shards: Sequence[Shard], way: Passage) -> list[Shard]:
    """Let in what there is room for, if creating is of any use; of a probe's turn nothing new is let in while one is in."""
    open_jobs = [job for job in jobs if job.state is JobState.RUNNING and not job.is_cut]
    is_probe_in = any(shard.state in SUBMIT_STATES for shard in shards)
    admitted = []
    if way is Passage.OPEN or (way is Passage.PROBE and not is_probe_in):
        now = work.ports.clock.now()
        held = {job.id for job in jobs if job.state is JobState.HELD}
        servable = [shard for shard in shards if shard.job not in held]
        waiting = [shard for shard in servable if shard.state is ShardState.WAITING and (shard.due_at or 0) <= now]
        count_max = 1 if way is Passage.PROBE else work.limits.admissions_per_tick_max
        admitted = admit(work, open_jobs, [*waiting, *_probe(servable, now)], count_max, shards)
    return admitted


def _note_turns(work: Work, jobs: Sequence[Job], shards: Sequence[Shard], admitted: Sequence[Shard]) -> set[str]:
    """Write which jobs wait for room or for a next attempt now, and return those that began to.

    Whoever was served waits anew for the rest.
    """
    served, waiting = {shard.job for shard in admitted}, dict[str, list[Shard]]()
    for shard in _newest(shards, admitted):
        if shard.state is ShardState.WAITING:
            waiting.setdefault(shard.job, []).append(shard)
    noted = set()
    for job in jobs:
        if not work.may_go_on():
            break
        now = read_job(work, job.id) if job.id in served else job
        if note_waiting(work, now, waiting.get(job.id, ())):
            noted.add(job.id)
    return noted


def _probe(shards: Iterable[Shard], now: int) -> list[Shard]:
    """Return the one parked shard that may try again: while creates end uncertain, one probes for all."""
    listed = list(shards)
    if any(shard.parked_at and shard.state is not ShardState.PARKED for shard in listed):
        return []
    parked = [s for s in listed if s.state is ShardState.PARKED and not (s.is_unfenced or s.is_cancelled)]
    return [shard for shard in parked if (shard.due_at or 0) <= now][:1]
