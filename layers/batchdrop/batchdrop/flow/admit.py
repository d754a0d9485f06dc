"""Admission: who is let in when there is room.

Rule: room is reserved in the same write that makes a shard RESERVED, and a job's cursor moves in the same write that cuts a
shard from it. The admission lease only saves work: without it two admitters would collide, not send twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from batchdrop.core.errors import Conflict
from batchdrop.core.events import Admitted, ShardEvent, Unparked
from batchdrop.core.job_lifecycle import ShardCut, advance_job
from batchdrop.core.ledger_rows import Change, Job, JobState, Lease, Shard, ShardState, Write
from batchdrop.core.lifecycle import advance
from batchdrop.core.limits import MINUTE
from batchdrop.core.planning import Chunk
from batchdrop.core.room import account_of, free_tokens, next_cut
from batchdrop.flow.lines import read_chunks
from batchdrop.flow.steps import Work, log_transition, settle, written


def admit(work: Work, jobs: Sequence[Job], waiting: Sequence[Shard], count_max: int) -> list[Shard]:
    """Let in what there is room for, *count_max* shards at most, and return it, RESERVED.

    Shards that wait (refused before, or on a later attempt) come before new ones; then the jobs take turns, one shard
    each, so that a huge drop cannot starve a small one. Returns nothing where another admitter is at work.
    """
    if not jobs and not waiting:
        return []
    if not _take_lease(work):
        return []
    try:
        return list(islice(_admitted(work, jobs, waiting), count_max))
    finally:
        _drop_lease(work)


def _admitted(work: Work, jobs: Sequence[Job], waiting: Sequence[Shard]) -> Iterator[Shard]:
    for shard in waiting:
        if not work.may_go_on():
            return
        admitted = _admit_waiting(work, shard)
        if admitted:
            yield admitted
    turns = [_Turn(work, job) for job in sorted(jobs, key=_waits_since)]
    while turns and work.may_go_on():
        admitted = turns[0].cut()
        if admitted:
            turns.append(turns.pop(0))
            yield admitted
        else:
            turns.pop(0)


def _waits_since(job: Job) -> tuple[int, int, str]:
    """Whoever was served longest ago comes first; who never was, waits since its drop."""
    return (job.served_at or job.created_at, job.created_at, job.id)


def _admit_waiting(work: Work, shard: Shard) -> Shard | None:
    """Reserve room for *shard* as it was read; None where there is none or somebody else moved it."""
    now = work.now()
    room = work.ports.ledger.room(shard.account, shard.model)
    free = free_tokens(room, now.time, work.limits)
    if free is not None and free < shard.tokens:
        return None
    event = Unparked() if shard.state is ShardState.PARKED else Admitted()
    after = written(work.ports, advance(shard, event, now))
    return _reserve(work, (Write(shard, after),), event)


def _reserve(work: Work, writes: tuple[Write, ...], event: ShardEvent) -> Shard | None:
    try:
        change = work.ports.ledger.write(Change(writes, room_limit=work.limits.room_tokens_per_model))
    except Conflict:
        return None
    shard = next(write.after for write in change.writes if isinstance(write.after, Shard))
    log_transition(work, shard, event)
    return shard


class _Turn:
    """One job's place in the round: it cuts a shard from the first of its groups that has room."""

    def __init__(self, work: Work, job: Job) -> None:
        self._work = work
        self._job = job
        self._account = account_of(work.ports.providers.base_url)
        self._chunks: list[Chunk] | None = None

    def cut(self) -> Shard | None:
        for index, group in enumerate(self._job.groups):
            if group.cut_lines < group.lines:
                shard = self._cut_from(index)
                if shard:
                    return shard
        return None

    def _cut_from(self, index: int) -> Shard | None:
        if self._chunks is None:
            self._chunks = read_chunks(self._work.ports.storage, self._job)
        now = self._work.now()
        group = self._job.groups[index]
        room = self._work.ports.ledger.room(self._account, group.model)
        chunks = [chunk for chunk in self._chunks if chunk.group == index]
        cut = next_cut(group, chunks, room, now.time, self._work.limits)
        if cut is None:
            return None
        waiting = Shard(
            job=self._job.id, number=self._job.shards, account=self._account, endpoint=group.endpoint, model=group.model,
            group=index, first_line=cut.first_line, end_line=cut.end_line, tokens=cut.tokens,
        )  # fmt: skip
        shard = written(self._work.ports, advance(waiting, Admitted(), now))
        job = written(self._work.ports, advance_job(self._job, ShardCut(index, cut.end_line - cut.first_line), now))
        admitted = _reserve(self._work, (Write(None, shard), Write(self._job, job)), Admitted())
        if admitted:
            # As the ledger wrote it, so that the next turn builds on this one.
            self._job = replace(job, revision=self._job.revision + 1)
        return admitted


def note_waiting(work: Work, job: Job) -> None:
    """Say in the job's row that it waits for room, and since when."""
    if job.state is not JobState.RUNNING or job.is_cut or job.waiting_for:
        return

    def decide() -> Change | None:
        read = work.ports.ledger.job(job.id)
        if read is None or read.is_cut or read.waiting_for:
            return None
        waits = replace(read, waiting_for="room", waiting_since=work.ports.clock.now())
        return Change((Write(read, written(work.ports, waits)),))

    settle(work.ports, decide)


def is_idle_but_for(work: Work, shard: Shard) -> bool:
    """Whether *shard* alone holds room of its model: then a refusal means that it is too large, not that others are in."""
    return work.ports.ledger.room(shard.account, shard.model).used <= shard.room_tokens


def _take_lease(work: Work) -> bool:
    install = work.ports.ledger.install()
    now = work.ports.clock.now()
    if install is None or (install.admission and install.admission.until > now):
        return False
    leased = replace(install, admission=Lease(work.ports.writer, now + MINUTE))
    try:
        work.ports.ledger.write(Change((Write(install, written(work.ports, leased)),)))
    except Conflict:
        return False
    return True


def _drop_lease(work: Work) -> None:
    def decide() -> Change | None:
        install = work.ports.ledger.install()
        if install is None or install.admission is None or install.admission.owner != work.ports.writer:
            return None
        return Change((Write(install, written(work.ports, replace(install, admission=None))),))

    settle(work.ports, decide)
