"""Moves rows: read, decide, write on condition, and again if another worker was first.

Rule: what a write is based on is what was read; a conflict means reading again and deciding again, never writing anyway. What
is written comes back as it was written, so that no caller reads after a write.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from batchdrop.core.delivery.job_lifecycle import JobEvent, advance_job, begun
from batchdrop.core.model.change import Change, Row, Write
from batchdrop.core.model.errors import BrokenState, Conflict, LeaseLost, ProviderError
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job, StalledAttempts
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.reasons import Outage
from batchdrop.core.model.row import Lease
from batchdrop.core.model.shard import Shard
from batchdrop.core.submission.shard_events import Cancelled, CreateIntended, ShardEvent
from batchdrop.core.submission.shard_lifecycle import Now, advance, again
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.ports import Ports

# Each conflict means that another worker made progress; this many in a row mean that something is wrong.
CONFLICTS_MAX = 12


@dataclass(frozen=True, slots=True)
class Work:
    """What every flow is given: the ports, the limits and the installation.

    A tick asks the provider until *asks_until* and no longer; None for a worker, which may take its own time.
    """

    ports: Ports
    limits: Limits
    install: Install
    asks_until: int | None = None

    def now(self) -> Now:
        """Return the circumstances of a transition at this moment."""
        return Now(self.ports.clock.now(), self.install.id, self.limits)

    def open(self, job: Job) -> PlannedJob:
        """Return *job*, opened: nothing is read before it is needed."""
        return PlannedJob(self.ports.storage, job, self.limits)

    def may_go_on(self) -> bool:
        """Whether there is time for another step before the function must stop."""
        return self.ports.clock.remaining_seconds() > self.limits.stop_margin_seconds

    def may_ask(self) -> bool:
        """Whether there is time for another call of the provider."""
        return self.may_go_on() and (self.asks_until is None or self.ports.clock.now() < self.asks_until)

    def call_seconds(self) -> float:
        """Return how long a call of the provider may take in this tick."""
        clock = self.ports.clock
        left = clock.remaining_seconds() - self.limits.stop_margin_seconds
        if self.asks_until is not None:
            left = min(left, self.asks_until - clock.now())
        return min(left, self.limits.tick_call_seconds)


def begin(ports: Ports, limits: Limits, seen: Install | None = None) -> Work:
    """Return the work of this invocation; the first one of all writes the installation's row.

    *seen* is that row where it was read already.
    """
    install = seen or ports.ledger.install()
    if install is None:
        started_at = ports.clock.now() - limits.installation_slack_seconds
        fresh = Install(id=ports.clock.new_id(), started_at=started_at, writer=ports.writer)
        try:
            install = _written(ports.ledger.write(Change((Write(None, fresh),))), fresh)
        except Conflict:
            install = ports.ledger.install()
            if install is None:
                raise  # the table was too busy to take the row
            ports.log.info("install.found")
    return Work(ports, limits, install)


@dataclass(frozen=True, slots=True)
class Settled[R: (Job, Shard, Install)]:
    """What `transact` came to: the row as it is now, and what was written; None where nothing was wanted."""

    row: R
    change: Change | None = None

    @property
    def is_written(self) -> bool:
        """Whether anything was."""
        return self.change is not None

    def beside[S: (Job, Shard, Install)](self, kind: type[S]) -> S | None:
        """Return the row of *kind* that was written with it, if any was."""
        return (
            next((write.after for write in self.change.writes if isinstance(write.after, kind)), None)
            if self.change
            else None
        )


def transact[R: (Job, Shard, Install)](work: Work, row: R, decide: Callable[[R], R | Change | None]) -> Settled[R]:
    """Write what *decide* makes of *row*, or, after a conflict, of the row as it is then; the one way to move rows that exist.

    It may return the row as it is to be, or a change of several rows, of which it reads the others itself; nothing is written
    where it returns the row as it was, or None. Raises Conflict after too many, and whatever *decide* raises.
    """
    for attempt in range(CONFLICTS_MAX):
        wanted = decide(row)
        if wanted is None or wanted == row:
            return Settled(row)
        change = write(work, wanted if isinstance(wanted, Change) else Change((Write(row, wanted),)))
        if change is not None:
            return Settled(_written(change, row), change)
        work.ports.clock.pause(attempt)
        found = _read_again(work, row)
        if found is None:
            return Settled(row)  # the table was lost
        row = found
    raise Conflict(f"{CONFLICTS_MAX} conflicts in a row")


def write(work: Work, change: Change) -> Change | None:
    """Write *change*, every row of it signed by this invocation, and return it as written; None if another worker was first."""
    signed = tuple(Write(one.before, replace(one.after, writer=work.ports.writer)) for one in change.writes)
    try:
        return work.ports.ledger.write(replace(change, writes=signed))
    except Conflict:
        return None


def write_new[R: (Job, Shard, Install)](work: Work, row: R) -> R | None:
    """Write *row*, which there is none of yet, and return it as written; None where there is one."""
    change = write(work, Change((Write(None, row),)))
    return _written(change, row) if change else None


def _written[R: (Job, Shard, Install)](change: Change, row: R) -> R:
    """Return *row* as *change* wrote it."""
    place = _place_of(row)
    for one in change.writes:
        if isinstance(one.after, type(row)) and _place_of(one.after) == place:
            return one.after
    return row


def _place_of(row: Row) -> tuple[str, int]:
    match row:
        case Job(id=job):
            return job, -1
        case Shard(job=job, number=number):
            return job, number
        case Install():
            return "", -1


def _read_again[R: (Job, Shard, Install)](work: Work, row: R) -> R | None:
    """Return *row* as it is now; None where the installation has none any more. Raises BrokenState where a job has none."""
    match row:
        case Job(id=job):
            return read_job(work, job)
        case Shard():
            return read_shard(work, row)
        case Install():
            return work.ports.ledger.install()


def change_install(work: Work, change: Callable[[Install], Install | None]) -> Install | None:
    """Write what *change* makes of the installation's row as it is now, and return that; None where it wants nothing."""
    install = work.ports.ledger.install()
    settled = transact(work, install, change) if install else None
    return settled.row if settled and settled.is_written else None


def move_job(work: Work, job: Job, event: JobEvent) -> Job:
    """Move *job* by *event* and return it as written; reads it again after a conflict.

    Raises IllegalTransition where the job has moved on meanwhile.
    """
    return transact(work, job, lambda read: advance_job(read, event, work.now())).row


def move_shard(work: Work, shard: Shard, event: ShardEvent) -> Shard:
    """Move *shard* by *event* and return it as written; reads it again after a conflict.

    For the events that concern the shard alone. Raises IllegalTransition or Superseded where it has moved on meanwhile.
    """
    after = transact(work, shard, lambda read: advance(read, event, work.now())).row
    log_transition(work, after, event)
    return after


def intend_create(work: Work, shard: Shard, job: Job) -> Shard:
    """Write the intent to create *shard*'s batch, unless its *job* was cancelled: then it is stopped instead.

    The one write looks at both rows, so that no intent is ever written after a cancellation. Raises as `move_shard`.
    """
    jobs = iter([job])
    event: ShardEvent = CreateIntended(shard.attempt.ticket)

    def intended(read: Shard) -> Change:
        nonlocal event
        job = next(jobs, None) or read_job(work, shard.job)
        event = Cancelled() if job.cancelled_at else event
        return Change((Write(read, advance(read, event, work.now())),), unchanged=(job,))

    after = transact(work, shard, intended).row
    log_transition(work, after, event)
    return after


def log_transition(work: Work, after: Shard, event: ShardEvent) -> None:
    """Record a shard's transition once, where it was decided."""
    work.ports.log.info(
        "shard.moved", job_id=after.job, shard=after.number, cause=type(event).__name__, state=after.state,
        ticket=after.attempt.ticket, batch_id=after.attempt.batch, attempt=after.attempt.number,
    )  # fmt: skip


def read_job(work: Work, job: str) -> Job:
    """Return the job's row, which must be there."""
    row = work.ports.ledger.job(job)
    if row is None:
        raise BrokenState(f"job {job} has no row")
    return row


def read_shard(work: Work, shard: Shard) -> Shard:
    """Return the shard's row as it is now, which must be there."""
    row = work.ports.ledger.shard(shard.job, shard.number)
    if row is None:
        raise BrokenState(f"shard {shard.job}/{shard.number} has no row")
    return row


def leased(work: Work, job: Job) -> Job:
    """Return *job* as it is to be written by the worker that has it from that write on: leased, its attempt counted."""
    return replace(begun(job, work.ports.clock.now(), work.limits), lease=_lease(work, None))


def take_job_lease(work: Work, job: Job) -> Job:
    """Return *job* leased to this invocation for as long as it may run, its attempt counted.

    Nothing is written where the write that brought it here leased it. Raises LeaseLost where another holds it.
    """
    if _is_leased(work, job.lease):
        return job
    counted = begun(job, work.ports.clock.now(), work.limits)
    return keep_job(work, job, lease=_lease(work, job.lease), stalled=counted.stalled)


# What a defect of ours raises, which will raise it again; everything else is an outage of what is behind a port.
_DEFECTS = (
    ArithmeticError, AssertionError, AttributeError, BrokenState, LookupError, MemoryError, RecursionError, TypeError, ValueError,
)  # fmt: skip


@contextmanager
def attempted(work: Work, job: Job) -> Iterator[Job]:
    """Yield *job* leased, its attempt counted until a checkpoint; an attempt that an outage ended is not counted.

    Raises LeaseLost where another worker holds it.
    """
    taken = take_job_lease(work, job)
    try:
        yield taken
    except _DEFECTS:
        raise
    except Exception:
        with suppress(Exception):  # the outage may be the ledger's; what matters is the error that is raised on
            read = read_job(work, job.id)
            if read.stalled.attempts and read.lease and read.lease.owner == work.ports.writer:
                keep_job(work, read, stalled=StalledAttempts(read.stalled.attempts - 1))
        raise


def take_shard_lease(work: Work, shard: Shard, **changes: Any) -> Shard:  # noqa: ANN401 - fields of Shard, as `keep_shard`
    """Return *shard* leased to this invocation for as long as it may run, with *changes*.

    Nothing is written where the write that brought it here leased it. Raises LeaseLost where another holds it.
    """
    if _is_leased(work, shard.lease):
        return shard
    return keep_shard(work, shard, lease=_lease(work, shard.lease), **changes)


def new_lease(work: Work) -> Lease:
    """Return the lease of a row that this invocation writes and continues with."""
    return _lease(work, None)


def _is_leased(work: Work, held: Lease | None) -> bool:
    """Whether this invocation holds a row."""
    return held is not None and held.owner == work.ports.writer and held.until > work.ports.clock.now()


def _lease(work: Work, held: Lease | None) -> Lease:
    now = work.ports.clock.now()
    if held and held.until > now and held.owner != work.ports.writer:
        raise LeaseLost(f"{held.owner} works on it until {held.until}")
    return Lease(work.ports.writer, now + int(work.ports.clock.remaining_seconds()))


def keep_job(work: Work, job: Job, **changes: Any) -> Job:  # noqa: ANN401 - fields of Job, checked by `replace`
    """Change fields without a transition: who works on *job*, when it is due, what it waits for.

    Raises LeaseLost if another worker wrote the row first: it has the work now.
    """
    return _keep(work, job, replace(job, **changes))


def keep_shard(work: Work, shard: Shard, **changes: Any) -> Shard:  # noqa: ANN401 - fields of Shard, checked by `replace`
    """Change fields without a transition: who works on *shard*, when it is due, under which key it is known.

    Raises LeaseLost if another worker wrote the row first: it has the work now.
    """
    return _keep(work, shard, replace(shard, **changes))


def _keep[R: (Job, Shard)](work: Work, before: R, after: R) -> R:
    assert before.state == after.state, before  # noqa: S101 - states move by the tables alone
    change = write(work, Change((Write(before, after),)))
    if change is None:
        raise LeaseLost("the row was written by another worker")
    return _written(change, after)


def unanswered(work: Work, shard: Shard, error: ProviderError) -> Outage:
    """Return since when calls for *shard* are not answered, the one that *error* is of counted."""
    return again(shard.unanswered, str(error), work.ports.clock.now())


def postpone(work: Work, shard: Shard, seconds: int, **changes: Any) -> Shard:  # noqa: ANN401 - fields of Shard, as `keep_shard`
    """Return *shard* without a worker, due again in *seconds*."""
    return keep_shard(work, shard, lease=None, due_at=work.ports.clock.now() + seconds, **changes)
