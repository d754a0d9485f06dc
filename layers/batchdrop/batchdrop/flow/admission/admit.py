"""Admits shards while there is quota.

Rule: quota is reserved in the same write that makes a shard RESERVED, and a job's cursor moves in the same write that cuts a
shard from it. The admission lease only saves work: without it two admitters would collide, not send twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice

from batchdrop.core.admission.budget import answers_of_cut, cost_of, needs_approval
from batchdrop.core.admission.quota import (
    Cut,
    Space,
    account_of,
    fitting_items,
    input_limit,
    next_cut,
    space,
    token_limit,
    whole_space,
)
from batchdrop.core.admission.quota_estimator import after_create, ratio_of
from batchdrop.core.delivery.job_lifecycle import Held, ShardCut, ShardServed, advance_job
from batchdrop.core.model.change import Change, DayMove, QuotaWrite, Write
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job, JobState, JobWait
from batchdrop.core.model.limits import MINUTE
from batchdrop.core.model.quota import WHOLE_ACCOUNT, Quota
from batchdrop.core.model.reasons import Reason, WaitingFor
from batchdrop.core.model.row import Lease
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.day_waits import waits_for_a_day
from batchdrop.core.submission.refusing import (
    hopeless_reason,
    is_asked_for,
    is_under_refusal,
    refused_places,
    to_be_tried,
)
from batchdrop.core.submission.shard_events import Admitted, GivenUp, ShardEvent, Unparked
from batchdrop.core.submission.shard_lifecycle import advance, split
from batchdrop.core.submission.waits import turn_waited_for
from batchdrop.flow.admission.budget import Purse, open_purse, quote_whole
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.unit_of_work import (
    Settled,
    Work,
    change_install,
    log_transition,
    new_lease,
    read_job,
    read_shard,
    transact,
    write,
)


@dataclass(slots=True)
class Admission:
    """The admitted shards, RESERVED, and what became of the jobs of which some shards were not admitted.

    *is_asked*: no other worker was admitting. *day_spent* are the jobs that wait for another day's money, *noted* those of them
    whose rows say so from now on, *roomless* those of whose models there is no quota.
    """

    shards: list[Shard] = field(default_factory=list)
    is_asked: bool = False
    day_spent: set[str] = field(default_factory=set)
    noted: set[str] = field(default_factory=set)
    roomless: set[str] = field(default_factory=set)


def admit(
    work: Work, jobs: Sequence[PlannedJob], waiting: Sequence[Shard], count_max: int, under_way: Iterable[Shard] = ()
) -> Admission:
    """Admit what there is quota for, at most *count_max* shards, and return it, RESERVED.

    *jobs* have lines to cut, *waiting* are shards without quota that are due, *under_way* those that hold quota. Of each model
    the job that holds the least comes first, then the one served longest ago, so that a huge drop delays a small one by one
    shard. A job that comes first and does not fit is waited for. Admits nothing while another worker is admitting.
    """
    admission = Admission()
    if not jobs and not waiting:
        return replace(admission, is_asked=True)
    if not _take_lease(work):
        return admission
    admission.is_asked = True
    try:
        turns = _turns(work, jobs, waiting, under_way)
        admission.shards.extend(islice(_admitted(work, turns, admission), count_max))
    finally:
        _drop_lease(work)
    return admission


def admit_fresh(work: Work, planned: PlannedJob) -> list[Shard]:
    """Admit what there is quota for of a job that was just planned, and return it, RESERVED; the first leased to this worker.

    Without the admission lease: another worker may be admitting, and the one that writes second reads and decides again. What is
    reserved is looked at in the write itself, so that no quota is given twice.
    """
    turns = _turns(work, [planned], [], [])
    for turn in turns[:1]:
        turn.lease = new_lease(work)
    return list(islice(_admitted(work, turns, Admission()), work.limits.admissions_per_tick_max))


# Collecting writes the rows of jobs, too. After this many conflicts in a row a job has its turn in the next tick.
_CONFLICTS_MAX = 3


class _Answer(Enum):
    """Why a turn gave no shard."""

    NO_QUOTA = "no quota"
    NOTHING_LEFT = "nothing left"
    HELD = "held"  # a person has to approve first
    DAY_SPENT = "day spent"
    DAY_SPENT_FROM_NOW = "day spent from now"  # and the job's row says so from now on
    CONFLICT = "conflict"
    REFUSED = "refused"  # the provider refuses the model: one shard of it asks for all, once in a while


@dataclass(slots=True)
class _Turn:
    """One job's place in the line for one model."""

    source: PlannedJob
    model: str
    held: int = 0  # tokens of this model
    waiting: list[Shard] = field(default_factory=list)
    may_cut: bool = True  # not while many of its shards are refused
    conflicts: int = 0
    lease: Lease | None = None  # of the worker that sends its next shard at once

    def order(self) -> tuple[int, int, int, str]:
        """Who holds least comes first; then who was served longest ago; who never was, waits since its drop."""
        job = self.source.job
        served_at = max((group.served_at for group in job.groups if group.model == self.model), default=0)
        return (self.held, served_at or job.created_at, job.created_at, job.id)


def _turns(work: Work, jobs: Sequence[PlannedJob], waiting: Sequence[Shard], under_way: Iterable[Shard]) -> list[_Turn]:
    """Return a turn for each job and model of which something waits, and may be tried."""
    sources = {planned.job.id: planned for planned in jobs}
    listed = list(under_way)
    for shard in waiting:
        if shard.job not in sources:
            sources[shard.job] = work.open(read_job(work, shard.job))
    refused = refused_places((source.job for source in sources.values()), listed, work.limits)
    turns = {
        (job.id, group.model): _Turn(sources[job.id], group.model)
        for job in (planned.job for planned in jobs)
        for group in job.groups
        if group.cut_lines < group.lines and (job.id, group.model) not in refused
    }
    for shard in to_be_tried(waiting, refused, work.limits):
        if not _may_be_served(sources[shard.job].job):
            continue
        place = (shard.job, shard.model)
        fresh = _Turn(sources[shard.job], shard.model, may_cut=place not in refused)
        turns.setdefault(place, fresh).waiting.append(shard)
    for shard in listed:
        turn = turns.get((shard.job, shard.model))
        if turn is not None:
            turn.held += shard.quota_tokens
    return list(turns.values())


def _admitted(work: Work, turns: list[_Turn], admission: Admission) -> Iterator[Shard]:
    while turns and work.may_go_on():
        turn = min(turns, key=_Turn.order)
        answer = _serve(work, turn)
        _note_answer(turn, answer, turns, admission)
        if isinstance(answer, Shard):
            turn.held += answer.quota_tokens
            yield answer
        elif answer is _Answer.NO_QUOTA:
            # No shard overtakes: small ones would take the quota that a larger one waits for.
            turns = [other for other in turns if other.model != turn.model]
        elif answer is _Answer.HELD:
            turns = [other for other in turns if other.source is not turn.source]
        elif answer is not _Answer.CONFLICT or not _is_read_again(work, turn):
            turns.remove(turn)


def _note_answer(turn: _Turn, answer: Shard | _Answer, turns: Iterable[_Turn], admission: Admission) -> None:
    job = turn.source.job.id
    if answer in (_Answer.DAY_SPENT, _Answer.DAY_SPENT_FROM_NOW):
        admission.day_spent.add(job)
    if answer is _Answer.DAY_SPENT_FROM_NOW:
        admission.noted.add(job)
    if answer is _Answer.NO_QUOTA:
        admission.roomless.update(other.source.job.id for other in turns if other.model == turn.model)


def _is_read_again(work: Work, turn: _Turn) -> bool:
    """Read the rows of *turn* again after a conflict; False where it is over, or another's writes do not end."""
    turn.conflicts += 1
    turn.source.job = job = read_job(work, turn.source.job.id)
    waiting = [read_shard(work, shard) for shard in turn.waiting[:1]] + turn.waiting[1:]
    turn.waiting = [shard for shard in waiting if shard.state in (ShardState.WAITING, ShardState.PARKED)]
    return turn.conflicts <= _CONFLICTS_MAX and _may_be_served(job)


def _may_be_served(job: Job) -> bool:
    return job.state is JobState.RUNNING and not job.cancelled_at


def _serve(work: Work, turn: _Turn) -> Shard | _Answer:
    """Admit the next shard of *turn*, or give it up if there is no use in sending it."""
    if not turn.waiting and _next_group(turn) is None:
        return _Answer.NOTHING_LEFT
    ledger, account = work.ports.ledger, _account(work, turn)
    quota, whole = ledger.quota(account, turn.model), ledger.quota(account, WHOLE_ACCOUNT)
    reason = hopeless_reason(turn.source.job, quota.quota_estimate, work.ports.clock.now(), work.limits)
    if reason:
        return _give_up(work, turn, quota, reason)
    if is_asked_for(quota, work.ports.clock.now()):
        return _Answer.REFUSED
    place = _QuotaPlace.of(work, quota, whole)
    if place is None:
        return _Answer.NO_QUOTA
    if turn.waiting:
        return _serve_waiting(work, turn, place)
    index = _next_group(turn)
    assert index is not None, turn.source.job.id  # noqa: S101 - it was asked above
    return _serve_cut(work, turn, place, index)


def _next_group(turn: _Turn) -> int | None:
    """Return the first group of the turn's model that has lines to cut, by its place; None where there is none."""
    if not turn.may_cut:
        return None
    groups = enumerate(turn.source.job.groups)
    return next((i for i, group in groups if group.model == turn.model and group.cut_lines < group.lines), None)


def _give_up(work: Work, turn: _Turn, quota: Quota, reason: Reason) -> Shard | _Answer:
    """Return the turn's next shard with all of its items failed for *reason*: nothing of it was sent, or will be."""
    job = turn.source.job
    waiting = next((shard for shard in turn.waiting if shard.state is ShardState.WAITING), None)
    index = _next_group(turn)
    if waiting:
        change = _failing(work, waiting, waiting, reason)
        turn.waiting.remove(waiting)
    elif index is None:
        return _Answer.NOTHING_LEFT
    else:
        cut = next_cut(job.groups[index], turn.source.chunks_of(index), whole_space(work.limits), None, work.limits)
        assert cut is not None, job.id  # noqa: S101 - there is a line, and all the quota
        change = _failing(work, None, _cut_shard(job, quota.account, index, cut), reason)
        grown = advance_job(job, ShardCut(index, cut.end_line - cut.first_line), work.now())
        change = replace(change, writes=(*change.writes, Write(job, grown)))
    done = write(work, change)
    if done is None:
        return _Answer.CONFLICT
    shard, *jobs = (write.after for write in done.writes)
    turn.source.job = next((row for row in jobs if isinstance(row, Job)), job)
    assert isinstance(shard, Shard), shard  # noqa: S101 - it was written first
    log_transition(work, shard, GivenUp(shard.attempt.ticket, reason))
    return shard


def _failing(work: Work, read: Shard | None, shard: Shard, reason: Reason) -> Change:
    return Change((Write(read, advance(shard, GivenUp(shard.attempt.ticket, reason), work.now())),))


def _cut_shard(job: Job, account: str, index: int, cut: Cut, answer_tokens: int = 0) -> Shard:
    """Return the job's next shard, of those lines of one of its groups; it waits."""
    group = job.groups[index]
    return Shard(
        job=job.id, number=job.shards, account=account, endpoint=group.endpoint, model=group.model, group=index,
        first_line=cut.first_line, end_line=cut.end_line, tokens=cut.tokens, base_tokens=cut.base_tokens, inputs=cut.inputs,
        answer_tokens=answer_tokens,
    )  # fmt: skip


def _account(work: Work, turn: _Turn) -> str:
    return turn.waiting[0].account if turn.waiting else account_of(work.ports.providers.base_url)


@dataclass(frozen=True, slots=True)
class _QuotaPlace:
    """The quotas that a shard is let into, as they were read, and what is free of them."""

    quota: Quota
    account: Quota
    free: Space
    writes: tuple[QuotaWrite, ...]

    @classmethod
    def of(cls, work: Work, quota: Quota, whole: Quota) -> "_QuotaPlace | None":
        """Return the *quota* of a model and the *whole* account's, or None while nothing may be admitted."""
        limits, now = work.limits, work.ports.clock.now()
        free, counted = space(quota, whole, now, limits), after_create(whole.quota_estimate, now, limits)
        if free is None or counted is None:
            return None
        writes = (
            QuotaWrite(quota, quota.quota_estimate, token_limit(quota, limits)),
            QuotaWrite(whole, counted, input_limit(whole, limits)),
        )
        return cls(quota, whole, free, writes)


def _serve_waiting(work: Work, turn: _Turn, place: _QuotaPlace) -> Shard | _Answer:
    """Admit the first shard that waits, or as much of it as fits; the rest becomes another one."""
    shard, now, job = turn.waiting[0], work.now(), turn.source.job
    parked = shard.state is ShardState.PARKED
    items = fitting_items(shard, place.free)
    if items == 0 or (parked and items < shard.items):
        return _Answer.NO_QUOTA
    first, rest = _parted(shard, job, items)
    cost = _cost_of_waiting(job, first)
    if needs_approval(job, shard.model, cost, work.limits):
        return _hold(work, turn)
    purse = open_purse(work) if cost else None
    if purse and cost and cost > purse.left:
        items = purse.affordable(items, cost)
        if not items:
            return _wait_for_a_day(work, turn)
        first, rest = _parted(shard, job, items)
        cost = _cost_of_waiting(job, first)
        if (cost or 0) > purse.left:
            return _wait_for_a_day(work, turn)
    event: ShardEvent = Unparked() if parked else Admitted(cost or 0, purse.day if purse else "")
    writes = [Write(shard, advance(first, event, now))]
    if rest is not None:
        rest = replace(rest, due_at=now.time)
        writes.append(Write(None, rest))
    moved = ShardServed(shard.group, is_split=rest is not None, microdollars=cost or 0)
    admitted = _reserve(work, turn, _Entry(tuple(writes), event, moved, place, purse))
    if isinstance(admitted, Shard):
        turn.waiting[:1] = [] if rest is None else [replace(rest, revision=1, writer=work.ports.writer)]
    return admitted


def _parted(shard: Shard, job: Job, items: int) -> tuple[Shard, Shard | None]:
    """Return the first *items* of *shard* as a shard, and the rest, if any, as the job's next."""
    return (shard, None) if items == shard.items else split(shard, job.shards, items)


def _cost_of_waiting(job: Job, shard: Shard) -> int | None:
    """Return what admitting *shard* costs: 0 if it still holds the money of its admission; None if the price is unknown."""
    if shard.state is ShardState.PARKED or shard.reserved_microdollars:
        return 0
    return cost_of(job.groups[shard.group].rate, shard.tokens, shard.answer_tokens)


@dataclass(frozen=True, slots=True)
class _Offer:
    """What may be cut next, and what it is expected to cost; None if the price is unknown."""

    cut: Cut
    answer_tokens: int
    microdollars: int | None


def _next_offer(work: Work, turn: _Turn, index: int, place: _QuotaPlace, free: Space) -> _Offer | None:
    job, quota_estimate = turn.source.job, place.quota.quota_estimate
    group = job.groups[index]
    cut = next_cut(group, turn.source.chunks_of(index), free, ratio_of(quota_estimate, job.task), work.limits)
    if cut is None:
        return None
    answers = answers_of_cut(cut, quota_estimate, job.task)
    return _Offer(cut, answers.tokens, cost_of(group.rate, cut.tokens, answers.tokens))


def _serve_cut(work: Work, turn: _Turn, place: _QuotaPlace, index: int) -> Shard | _Answer:
    """Cut the next shard from a group of the job and admit it."""
    job, group = turn.source.job, turn.source.job.groups[index]
    offer = _next_offer(work, turn, index, place, place.free)
    if offer is None:
        return _Answer.NO_QUOTA
    if needs_approval(job, group.model, offer.microdollars, work.limits):
        return _hold(work, turn)
    purse = open_purse(work) if offer.microdollars else None
    if purse and (offer.microdollars or 0) > purse.left:
        tokens = purse.affordable(offer.cut.tokens, offer.microdollars or 0)
        smaller = _next_offer(work, turn, index, place, replace(place.free, share=tokens)) if tokens else None
        if smaller is None or (smaller.microdollars or 0) > purse.left:
            return _wait_for_a_day(work, turn)
        offer = smaller
    cut, cost = offer.cut, offer.microdollars or 0
    waiting = _cut_shard(job, place.quota.account, index, cut, offer.answer_tokens)
    event = Admitted(cost, purse.day if purse else "")
    shard = replace(advance(waiting, event, work.now()), lease=turn.lease)
    moved = ShardCut(index, cut.end_line - cut.first_line, cost)
    return _reserve(work, turn, _Entry((Write(None, shard),), event, moved, place, purse))


def _hold(work: Work, turn: _Turn) -> _Answer:
    """Hold the job of *turn*: its total cost would be more than is allowed, or is unknown."""
    job = turn.source.job
    quote = quote_whole(work, job, turn.waiting)
    held = write(work, Change((Write(job, advance_job(job, Held(quote), work.now())),)))
    if held is None:
        return _Answer.CONFLICT
    turn.source.job = _job_of(held)
    work.ports.log.warning("job.held", job_id=job.id)
    return _Answer.HELD


def _wait_for_a_day(work: Work, turn: _Turn) -> _Answer:
    """Say in the job's row that it waits for another day's money."""
    job, now = turn.source.job, work.ports.clock.now()
    waiting = waits_for_a_day(job, now)
    if waiting == job:
        return _Answer.DAY_SPENT
    noted = write(work, Change((Write(job, waiting),)))
    if noted is None:
        return _Answer.CONFLICT
    turn.source.job = _job_of(noted)
    work.ports.log.warning("job.waits", job_id=job.id, code=WaitingFor.DAILY_CAP)
    return _Answer.DAY_SPENT_FROM_NOW


def _job_of(change: Change) -> Job:
    """Return the job's row as it was written, so that the next turn builds on it."""
    return next(one.after for one in change.writes if isinstance(one.after, Job))


@dataclass(frozen=True, slots=True)
class _Entry:
    """What lets a shard in: the rows that are written, why, where there is quota, and whose money it takes."""

    writes: tuple[Write, ...]
    event: ShardEvent
    moved: ShardCut | ShardServed
    place: _QuotaPlace
    purse: Purse | None

    @property
    def day(self) -> DayMove | None:
        """What it takes of the day's money."""
        return self.purse.spending(self.moved.microdollars) if self.purse else None


def _reserve(work: Work, turn: _Turn, entry: _Entry) -> Shard | _Answer:
    """Write the shard, its job, the quotas and the day together; a conflict says that another worker changed one of them."""
    read = turn.source.job
    job = advance_job(read, entry.moved, work.now())
    change = write(work, Change((*entry.writes, Write(read, job)), entry.place.writes, day=entry.day))
    if change is None:
        return _Answer.CONFLICT
    turn.source.job = _job_of(change)
    turn.lease = None
    shard = next(one.after for one in change.writes if isinstance(one.after, Shard))
    log_transition(work, shard, entry.event)
    return shard


def held_up(rows: Iterable[Job | Shard], but: str) -> frozenset[str]:
    """Return the models that another job than *but* waits for quota of: a new one must not pass by."""
    models: set[str] = set()
    listed = list(rows)
    held = {row.id for row in listed if isinstance(row, Job) and row.state is JobState.HELD}
    for row in listed:
        match row:
            case Job(state=JobState.RUNNING, waiting=JobWait(cause=WaitingFor.QUOTA)) if row.id != but:
                models.update(group.model for group in row.groups if group.cut_lines < group.lines)
            case Shard(state=ShardState.WAITING) if (
                row.job != but and row.job not in held and not is_under_refusal(row)
            ):
                models.add(row.model)
    return frozenset(models)


def note_waiting(work: Work, job: Job, waiting: Sequence[Shard] = (), *, is_day_over: bool = False) -> Settled[Job]:
    """Say in the job's row whether it waits for quota or for its next attempt, and since when; written where that is new.

    *waiting* are those of its shards that have no quota; *is_day_over* as in `turn_waited_for`.
    """
    now = work.ports.clock.now()
    if turn_waited_for(job, waiting, now, is_day_over=is_day_over) == job.waiting.cause:
        return Settled(job)

    def waits(read: Job) -> Job | None:
        waits_for = turn_waited_for(read, waiting, now, is_day_over=is_day_over)
        return None if waits_for == read.waiting.cause else replace(read, waiting=JobWait(waits_for, now))

    return transact(work, job, waits)


def is_idle_but_for(work: Work, shard: Shard) -> bool:
    """Whether *shard* alone holds quota of its model: then a refusal means that it is too large, not that others are in."""
    return work.ports.ledger.quota(shard.account, shard.model).used <= shard.quota_tokens


def _take_lease(work: Work) -> bool:
    install = work.ports.ledger.install()
    now = work.ports.clock.now()
    if install is None or (install.admission and install.admission.until > now):
        return False
    leased = replace(install, admission=Lease(work.ports.writer, now + MINUTE))
    return write(work, Change((Write(install, leased),))) is not None


def _drop_lease(work: Work) -> None:
    def dropped(install: Install) -> Install | None:
        is_ours = install.admission is not None and install.admission.owner == work.ports.writer
        return replace(install, admission=None) if is_ours else None

    change_install(work, dropped)
