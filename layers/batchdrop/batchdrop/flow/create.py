"""Creating a batch once: the worker's side of the protocol. `recover` is the other side.

    RESERVED ──(upload the input, named after the ticket)──► UPLOADED ──(write the intent)──► CREATING ──(one POST)──► answer

Rule: the intent is durable before the call, the call is made once, and what is not a definite answer stays CREATING until
`recover` finds the batch or fences the try off. `create_batch` is called here and nowhere else.
"""

import tempfile
from dataclasses import replace

from batchdrop.core.batches import Accepted, CreateAnswer, Declined, NotSent
from batchdrop.core.errors import (
    IllegalTransition,
    KeyRefused,
    LeaseLost,
    ProviderRefused,
    ProviderUnavailable,
    Superseded,
)
from batchdrop.core.events import (
    NOTHING_SAVED,
    BatchFound,
    CreateTurnedAway,
    InputUnusable,
    InputUploaded,
    NoRoom,
    ShardEvent,
)
from batchdrop.core.job_lifecycle import ShardSplit, advance_job
from batchdrop.core.learning import after_refused, believed_limit, cooled
from batchdrop.core.ledger_rows import (
    WHOLE_ACCOUNT,
    Change,
    Lesson,
    Reason,
    Room,
    RoomWrite,
    Shard,
    ShardState,
    Write,
)
from batchdrop.core.lifecycle import advance, is_foreign, no_room_backoff_seconds, split
from batchdrop.core.limits import MINUTE
from batchdrop.core.observing import is_duplicate, read_refusal
from batchdrop.core.refusals import is_account_refused
from batchdrop.core.repeats import SentOnce
from batchdrop.core.requests import sent_lines
from batchdrop.flow.admit import is_idle_but_for
from batchdrop.flow.cancel import ask_to_cancel
from batchdrop.flow.duplicates import note_duplicate
from batchdrop.flow.key import close_circuit, keep_proof, may_create, note_refusal, open_circuit
from batchdrop.flow.lines import read_chunks, shard_lines
from batchdrop.flow.ports import Provider
from batchdrop.flow.steps import (
    Work,
    intend_create,
    log_transition,
    move_shard,
    postpone,
    read_job,
    read_shard,
    settle,
    take_shard_lease,
    written,
)


def send(work: Work, provider: Provider, shard: Shard) -> Shard:
    """Bring *shard* as far towards RUNNING as this invocation can, and return it as it then stands.

    May be repeated at any time and by anybody: each step is conditional on the shard's state and ticket.
    """
    if shard.state not in (ShardState.RESERVED, ShardState.UPLOADED):
        return shard
    if not may_create(work, provider):
        return shard
    try:
        shard = take_shard_lease(work, shard)
        if shard.state is ShardState.RESERVED:
            shard = _upload(work, provider, shard)
        return _create(work, provider, shard)
    except (IllegalTransition, LeaseLost, Superseded) as error:
        work.ports.log.info("shard.left", job_id=shard.job, shard=shard.number, cause=str(error))
    except KeyRefused as error:
        note_refusal(work, provider, error)
        postpone(work, read_shard(work, shard), work.limits.circuit_seconds)
    except (ProviderRefused, ProviderUnavailable) as error:
        work.ports.log.warning("provider.unavailable", job_id=shard.job, shard=shard.number, cause=str(error))
        postpone(work, read_shard(work, shard), MINUTE)
    return read_shard(work, shard)


def _upload(work: Work, provider: Provider, shard: Shard) -> Shard:
    job = read_job(work, shard.job)
    chunks = read_chunks(work.ports.storage, job)
    lines = shard_lines(work.ports.storage, job, shard, chunks)
    once = SentOnce(lines) if job.options.dedupe else None
    with tempfile.TemporaryFile() as spool:
        for line in sent_lines(once or lines, shard.endpoint, provider.dialect):
            spool.write(line)
        spool.seek(0)
        name = f"{shard.ticket}.jsonl"
        file = provider.upload_input(name, spool, work.limits.input_file_lifetime_seconds)
    saving = once.saving(shard) if once else NOTHING_SAVED
    return move_shard(work, shard, InputUploaded(shard.ticket, file, provider.base_url, provider.fingerprint, saving))


def _create(work: Work, provider: Provider, shard: Shard) -> Shard:
    if (shard.base_url, shard.fingerprint) != (provider.base_url, provider.fingerprint):
        return move_shard(work, shard, InputUnusable(shard.ticket))
    limits = work.limits
    if work.ports.clock.remaining_seconds() < limits.create_timeout_seconds + limits.create_margin_seconds:
        return postpone(work, shard, 0)
    shard = intend_create(work, shard)
    if shard.state is not ShardState.CREATING:
        return shard
    answer = provider.create_batch(
        file=shard.file,
        endpoint=shard.endpoint,
        metadata={"ticket": shard.ticket, "job": shard.job, "shard": str(shard.number)},
    )
    return _record(work, provider, shard, answer)


def _record(work: Work, provider: Provider, shard: Shard, answer: CreateAnswer) -> Shard:
    """Write down what the create call said. What is uncertain stays CREATING: only `recover` may go on from there."""
    if isinstance(answer, Accepted):
        work.ports.log.info(
            "batch.created", job_id=shard.job, shard=shard.number, ticket=shard.ticket, batch_id=answer.batch.id,
            request_id=answer.request_id,
        )  # fmt: skip
        after = _adopt(work, shard, BatchFound(answer.batch, shard.ticket))
        keep_proof(work, provider, answer.batch.id)
        close_circuit(work, provider)
        is_unwanted = after.is_cancelled and after.state is ShardState.RUNNING
        return ask_to_cancel(work, provider, after) if is_unwanted else after
    if isinstance(answer, Declined):
        if is_account_refused(answer.status, answer.code):
            open_circuit(work, provider, Reason(answer.code or f"http_{answer.status}", answer.message))
        event = read_refusal(answer, shard, work.ports.clock.now(), work.limits, is_idle=is_idle_but_for(work, shard))
        return _obey(work, shard, event)
    if isinstance(answer, NotSent):
        work.ports.log.warning("provider.unavailable", job_id=shard.job, shard=shard.number, cause=answer.cause)
        return _obey(work, shard, CreateTurnedAway(shard.ticket, MINUTE))
    work.ports.log.warning(
        "create.uncertain", job_id=shard.job, shard=shard.number, ticket=shard.ticket, cause=answer.cause
    )
    return shard


def _obey(work: Work, shard: Shard, refusal: ShardEvent) -> Shard:
    """Do what a definite refusal asks for, unless `recover` has taken the try further meanwhile."""
    try:
        return back_off(work, shard, refusal) if isinstance(refusal, NoRoom) else move_shard(work, shard, refusal)
    except (IllegalTransition, Superseded) as error:
        work.ports.log.info("refusal.late", job_id=shard.job, shard=shard.number, ticket=shard.ticket, cause=str(error))
        return read_shard(work, shard)


def _adopt(work: Work, shard: Shard, found: BatchFound) -> Shard:
    """Take the batch, unless the shard has another by now: that is reported, and nothing is touched."""
    try:
        return move_shard(work, shard, found)
    except (IllegalTransition, Superseded):
        now = read_shard(work, shard)
        is_beside = is_duplicate(now, found.batch, found.ticket)
        return note_duplicate(work, now, found.batch, found.ticket) if is_beside else now


def back_off(work: Work, shard: Shard, event: NoRoom) -> Shard:
    """Send *shard* back to wait for room, learn from it, and split it where it was refused with nothing else enqueued."""
    rows = iter([shard])

    def decide() -> Change:
        read = next(rows, None) or read_shard(work, shard)
        now = work.now()
        room = work.ports.ledger.room(read.account, WHOLE_ACCOUNT if event.is_inputs else read.model)
        held = read.room_inputs if event.is_inputs else read.room_tokens
        seen = replace(event, is_idle=room.used <= held, stated=believed_limit(room.lesson, event.stated))
        waiting = advance(read, seen, now)
        rooms = (RoomWrite(room, _lesson(work, read, seen, room, held)),)
        if waiting.state is not ShardState.WAITING or not seen.is_idle or waiting.sent_items == 1:
            return Change((Write(read, written(work.ports, waiting)),), rooms)
        job = read_job(work, read.job)
        first, second = split(waiting, job.shards, waiting.items // 2)
        grown = advance_job(job, ShardSplit(), now)
        writes = (Write(read, first), Write(None, second), Write(job, grown))
        return Change(tuple(replace(write, after=written(work.ports, write.after)) for write in writes), rooms)

    settle(work.ports, decide)
    after = read_shard(work, shard)
    log_transition(work, after, event)
    return after


def _lesson(work: Work, shard: Shard, event: NoRoom, room: Room, held: int) -> Lesson:
    """Return what is known of *room* after *shard*, which held so much of it, was refused.

    Where a lower limit keeps nobody away, because somebody else fills the queue, time does.
    """
    total = room.taken + held if not shard.taken_at else room.taken
    lesson = after_refused(room.lesson, total, event.stated)
    if not is_foreign(shard, event):
        return lesson
    wait_seconds = no_room_backoff_seconds(shard.refused_count, work.limits)
    return cooled(lesson, work.ports.clock.now() + wait_seconds)
