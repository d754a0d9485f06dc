"""Polls, each minute: the only driver of progress.

Each tick: read what is under way; wake what needs no provider, by a message to the queue of the function that does it; look at
the provider's list once and move shards by what it shows; admit what there is quota for; wake the rest of what is due.

Rule: a tick does no long work and loses nothing when it stops half-way: the next one sees the same rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.reasons import Reason, WaitingFor
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.operations.backlog import backlog
from batchdrop.core.operations.progress import stalled
from batchdrop.flow.admission.admit import Admission, admit, note_waiting
from batchdrop.flow.delivery.status import rewrite_statuses, write_status
from batchdrop.flow.notification.waits import (
    end_common_wait,
    expire_holds,
    note_common_wait,
    note_day_wait,
    note_refusals,
    note_shard_waits,
)
from batchdrop.flow.operations.missed_uploads import reconcile
from batchdrop.flow.operations.provider_files import sweep_files
from batchdrop.flow.operations.wake import SUBMIT_STATES, Wakes
from batchdrop.flow.ports import Ports, Provider
from batchdrop.flow.submission.cancel import stop_shards
from batchdrop.flow.submission.circuit_breaker import (
    BreakerState,
    breaker_state,
    fetch_state,
    is_asking,
    provider_or_lack,
    upload_state,
)
from batchdrop.flow.submission.observe import Look, observe
from batchdrop.flow.submission.outage import forget_outages, note_look
from batchdrop.flow.unit_of_work import Work, begin, read_job


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did, for the log."""

    rows: int
    moved: int
    admitted: int
    wakeups: int
    is_open: bool = True  # creates may be made
    is_readable: bool = True  # the key is not refused for answers
    is_sending: bool = True  # creates may be made, and the provider answers
    is_outage: bool = False  # jobs wait because the provider does not answer


def tick(ports: Ports, limits: Limits) -> Tick:
    """Do one round. With nothing under way it costs one query, and the provider is not asked."""
    began_at = ports.clock.now()
    install, rows = ports.ledger.install_and_active()
    work = begin(ports, limits, install)
    if rows:
        work, done = _drive(work, rows)
    else:
        work, done = _may_ask_from_now(end_common_wait(forget_outages(work))), Tick(0, 0, 0, 0)
    reconcile(work)
    sweep_files(work)
    _report(work, rows, done, began_at)
    return done


def _report(work: Work, rows: Sequence[Job | Shard], done: Tick, began_at: int) -> None:
    """Log what the tick found and did; an idle one too, because its absence is what the alarm listens for."""
    found = backlog(rows, began_at, is_open=done.is_open, is_sending=done.is_sending, is_readable=done.is_readable)
    providers = work.ports.providers
    stuck = stalled(rows, began_at, work.limits, providers.dialects.of(providers.base_url))
    work.ports.log.info(
        "tick.done", rows=done.rows, moved=done.moved, admitted=done.admitted, wakeups=done.wakeups, due=found.due,
        oldest_due_seconds=found.oldest_due_seconds, uncertain=found.uncertain, held=found.is_held,
        outage=done.is_outage, stalled=len(stuck), approvals=found.approvals,
    )  # fmt: skip


def _drive(work: Work, rows: Sequence[Job | Shard]) -> tuple[Work, Tick]:
    """Move on whatever of *rows* is due, and return *work* as it is then."""
    listed = [row for row in rows if isinstance(row, Job)]
    jobs = expire_holds(work, listed)
    stopped, shards = _stop(work, jobs, [row for row in rows if isinstance(row, Shard)])
    wakes = Wakes(work)
    wakes.without_provider([*jobs, *shards])
    work = _may_ask_from_now(work)
    found = provider_or_lack(work)
    provider = None if isinstance(found, Reason) else found
    look = observe(work, provider, shards) if provider else Look(reads=BreakerState.OPEN)
    work = note_look(work, look)
    moved = [*stopped, *look.moved]
    shards = _newest(shards, moved)
    is_open = provider is not None and breaker_state(work, provider) is BreakerState.CLOSED
    way = _way(work, provider, shards, look)
    admission = _admit(work, jobs, shards, way)
    admitted = admission.shards
    waiting = _note_turns(work, jobs, shards, admission) if way is BreakerState.CLOSED else set()
    if len(admission.noted) <= work.limits.statuses_per_tick_max:  # else they are written again in turn
        waiting |= admission.noted
    waiting |= note_refusals(work, jobs, _newest(shards, admitted))
    note_shard_waits(work, jobs, shards)
    work = note_day_wait(note_common_wait(work, jobs, shards, found), jobs, admission)
    reads = _open_most(look.reads, fetch_state(work, provider)) if provider else look.reads
    wakes.all([*jobs, *moved, *admitted, *shards], creates=way, reads=reads)
    touched = {job.id for before, job in zip(listed, jobs, strict=True) if before.revision != job.revision}
    touched |= waiting | look.noted | {shard.job for shard in (*moved, *admitted)}
    for job in sorted(touched):  # the order of a set differs from process to process
        write_status(work, job)
    rewrite_statuses(work, jobs, touched)
    done = Tick(
        len(rows), len(moved), len(admitted), wakes.sent, is_open=way is BreakerState.CLOSED or is_open,
        is_readable=look.reads is BreakerState.CLOSED, is_sending=way is BreakerState.CLOSED,
        is_outage=work.install.wait is not None and work.install.wait.waits_for == WaitingFor.PROVIDER,
    )  # fmt: skip
    return work, done


def _may_ask_from_now(work: Work) -> Work:
    """Return *work* with so much time for calls of the provider."""
    return replace(work, asks_until=work.ports.clock.now() + work.limits.tick_calls_seconds)


def _way(work: Work, provider: Provider | None, shards: Sequence[Shard], look: Look) -> BreakerState:
    """Return whether creates may be made: while nothing is answered one probes for all, as after a refusal of the key."""
    if provider is None or is_asking(work, provider, shards):
        return BreakerState.OPEN
    way = _open_most(breaker_state(work, provider), upload_state(work, provider))
    is_down = look.was_asked and not look.is_answered
    return BreakerState.HALF_OPEN if is_down and way is BreakerState.CLOSED else way


def _open_most(*states: BreakerState) -> BreakerState:
    return max(states, key=list(BreakerState).index)


def _stop(work: Work, jobs: Sequence[Job], shards: Sequence[Shard]) -> tuple[list[Shard], list[Shard]]:
    """Stop the shards of cancelled jobs; return those that moved, and all *shards* as they are now."""
    cancelled = {job.id for job in jobs if job.cancelled_at}
    stopped = stop_shards(work, (shard for shard in shards if shard.job in cancelled))
    return stopped, _newest(shards, stopped)


def _newest(shards: Iterable[Shard], moved: Iterable[Shard]) -> list[Shard]:
    """Return *shards*, those of them that *moved* as they are now."""
    return list({(shard.job, shard.number): shard for shard in (*shards, *moved)}.values())


def _admit(work: Work, jobs: Sequence[Job], shards: Sequence[Shard], way: BreakerState) -> Admission:
    """Admit what there is quota for, if creating is of any use. During a probe nothing new is admitted while a shard is."""
    open_jobs = [job for job in jobs if job.state is JobState.RUNNING and not job.is_cut]
    is_probe_in = any(shard.state in SUBMIT_STATES for shard in shards)
    if way is BreakerState.CLOSED or (way is BreakerState.HALF_OPEN and not is_probe_in):
        now = work.ports.clock.now()
        held = {job.id for job in jobs if job.state is JobState.HELD}
        servable = [shard for shard in shards if shard.job not in held]
        waiting = [shard for shard in servable if shard.state is ShardState.WAITING and (shard.due_at or 0) <= now]
        count_max = 1 if way is BreakerState.HALF_OPEN else work.limits.admissions_per_tick_max
        return admit(work, list(map(work.open, open_jobs)), [*waiting, *_probe(servable, now)], count_max, shards)
    return Admission()


def _note_turns(work: Work, jobs: Sequence[Job], shards: Sequence[Shard], admission: Admission) -> set[str]:
    """Write which jobs wait for quota or for a next attempt now, and return those that began to.

    A job that was served waits again for the rest.
    """
    served, waiting = {shard.job for shard in admission.shards}, dict[str, list[Shard]]()
    for shard in _newest(shards, admission.shards):
        if shard.state is ShardState.WAITING:
            waiting.setdefault(shard.job, []).append(shard)
    noted = set()
    for job in jobs:
        if not work.may_go_on():
            break
        now = read_job(work, job.id) if job.id in served else job
        is_day_over = job.id in admission.roomless - admission.day_spent
        if note_waiting(work, now, waiting.get(job.id, ()), is_day_over=is_day_over).is_written:
            noted.add(job.id)
    return noted


def _probe(shards: Iterable[Shard], now: int) -> list[Shard]:
    """Return the one parked shard that may try again: while creates end uncertain, one probes for all."""
    listed = list(shards)
    if any(shard.attempt.parked_at and shard.state is not ShardState.PARKED for shard in listed):
        return []
    parked = [s for s in listed if s.state is ShardState.PARKED and not (s.attempt.is_unfenced or s.is_cancelled)]
    return [shard for shard in parked if (shard.due_at or 0) <= now][:1]
