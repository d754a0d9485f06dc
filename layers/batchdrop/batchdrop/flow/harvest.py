"""What a batch answered becomes outcomes: the part of its shard and, where the task wants it, an object for each item.

Rule: everything is derived from the archive in one pass by row, with some bytes of memory for each line; doing it twice
writes the same bytes. An item that is not decided is neither written nor sent again.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from itertools import tee
from typing import Final

import msgspec

from batchdrop.core.answers import Answer, parse_answer
from batchdrop.core.batches import Batch
from batchdrop.core.jobs import Keys
from batchdrop.core.ledger_rows import ItemAccess, Job, Shard
from batchdrop.core.limits import Limits
from batchdrop.core.outcomes import NO_USAGE, NULL, Outcome, Usage, encode_outcome, row_of_outcome
from batchdrop.core.planning import Chunk
from batchdrop.core.reconciliation import capped, missing_verdict, rank, stopped, verdicts_of_failed
from batchdrop.core.repeats import FirstLine, Repeats
from batchdrop.core.requests import is_structured, row_of_line
from batchdrop.core.verdicts import Verdict, judge
from batchdrop.flow.archive import AnswerIndex, archive
from batchdrop.flow.described import Described, describe
from batchdrop.flow.growing import GrowingObject
from batchdrop.flow.item_objects import STEP_OBJECTS_MAX, put_in_steps
from batchdrop.flow.lines import shard_lines
from batchdrop.flow.ports import Ports, Storage

__all__ = ["AnswerIndex", "Harvest", "archive", "derive"]

_NO_LINE: Final = (0, b"")


@dataclass(frozen=True, slots=True)
class Harvest:
    """What one attempt of a shard came to. Items are succeeded, failed, sent again or missing, each once."""

    succeeded: int
    failed: int
    again_lines: int  # in the next attempt's input
    missing: int  # not decided: the provider may still show their answers
    unknown: int  # lines that answer nothing that was asked; they stay in the archive
    duplicates: int  # lines that answer an item once more
    usage: Usage
    counted: int  # items that the provider counted tokens for

    @property
    def must_wait(self) -> bool:
        """Whether the batch has to be asked again before this attempt can end."""
        return self.missing > 0


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where the outcomes of an attempt come from."""

    job: Job
    shard: Shard
    batch: Batch | None
    answers: AnswerIndex
    attempts_max: int
    give_up_missing: bool
    refused: tuple[Mapping[int, Verdict], Verdict] | None  # of a batch that failed in validation

    @property
    def keys(self) -> Keys:
        return Keys(self.job.id, self.job.key)


@dataclass(slots=True)
class _Counts:
    """Counted while the lines go by."""

    succeeded: int = 0
    failed: int = 0
    again: int = 0
    missing: int = 0
    counted: int = 0
    usage: Usage = NO_USAGE

    def decide(self, verdict: Verdict) -> None:
        """Count an item that is not sent again."""
        self.succeeded += verdict.failure is None
        self.failed += verdict.failure is not None
        if verdict.usage is not None:
            self.usage += verdict.usage
            self.counted += verdict.usage.input_tokens > 0


def derive(  # noqa: PLR0917  each value is of another type: no two can be taken for each other
    ports: Ports,
    limits: Limits,
    job: Job,
    shard: Shard,
    chunks: Sequence[Chunk],
    archived: AnswerIndex,
    batch: Batch | None,
    *,
    give_up_missing: bool = False,
) -> Harvest:
    """Write the outcomes of *shard*'s attempt, and the input of its next one where something may be sent again.

    Without a batch every item that the archive does not answer fails for the shard's reason. *give_up_missing*: answers
    were waited for long enough. Where nothing is sent again the shard's part is complete. May be repeated.
    """
    refused = verdicts_of_failed(batch, shard.sent_items) if batch and batch.status == "failed" else None
    asked = _Asked(job, shard, batch, archived, limits.attempts_max, give_up_missing, refused)
    is_last = not _may_send_again(asked)
    counts = _write(ports, limits, asked, chunks, is_last=is_last)
    if is_last and counts.again:  # an output file that names a passing failure: rare, and known only by now
        is_last = False
        counts = _write(ports, limits, asked, chunks, is_last=False)
    if not is_last and not counts.again and not counts.missing:
        _join_decided(ports.storage, asked)
    return Harvest(
        counts.succeeded,
        counts.failed,
        counts.again,
        counts.missing,
        archived.unknown,
        archived.duplicates,
        counts.usage,
        counts.counted,
    )


def _may_send_again(asked: _Asked) -> bool:
    """Whether this attempt is likely to leave something to another; a wrong guess costs a second pass, nothing else."""
    if asked.shard.attempt >= asked.attempts_max or asked.batch is None or asked.shard.is_cancelled:
        return False
    if asked.refused is not None:
        return asked.refused[1].may_be_sent_again
    answers = asked.answers
    return answers.passing_errors > 0 or answers.output_answers + answers.error_lines < asked.shard.sent_items


def _write(ports: Ports, limits: Limits, asked: _Asked, chunks: Sequence[Chunk], *, is_last: bool) -> _Counts:
    """Write item objects where the task wants them, decided outcomes and the lines to send again, in one pass.

    The last attempt's outcomes go straight into the part, among those of the attempts before.
    """
    storage, shard, counts = ports.storage, asked.shard, _Counts()
    asked.answers.restart()
    lines, lines_ahead = tee(shard_lines(storage, asked.job, shard, chunks))
    described = describe(ports, limits, asked.job, shard, chunks, rows=map(row_of_line, lines_ahead))
    with ExitStack() as objects:
        again = GrowingObject(storage, asked.keys.input_lines(shard.number, shard.attempt + 1), objects)
        key = asked.keys.part(shard.number) if is_last else asked.keys.decided(shard.number, shard.attempt)
        decided = GrowingObject(storage, key, objects)
        decided.begin()
        earlier = _decided_lines(storage, asked, objects, shard.attempt - 1) if is_last else iter(())
        outcomes = _outcomes(asked, zip(lines, described, strict=True), counts, again)
        recorded = _recorded(outcomes, asked.keys, decided, earlier)
        if asked.job.options.items is ItemAccess.OBJECTS:
            _put(storage, asked, recorded)
        else:
            deque(recorded, maxlen=0)
        decided.flush()
        again.flush()
    asked.answers.finish()
    return counts


def _put(storage: Storage, asked: _Asked, objects: Iterable[tuple[str, bytes]]) -> None:
    """Put the items' objects; of a large shard in steps, which a repeat does not take again."""
    if asked.shard.items > STEP_OBJECTS_MAX:
        put_in_steps(storage, asked.keys.put_steps(asked.shard.number, asked.shard.attempt), objects)
    else:
        storage.put_many(objects)


def _outcomes(
    asked: _Asked, items: Iterable[tuple[bytes, Described]], counts: _Counts, again: GrowingObject
) -> Iterator[Outcome]:
    """Yield the outcome of each item that is decided; lines that may be sent again go to *again*."""
    repeats = Repeats() if asked.job.options.dedupe else None
    for position, (line, item) in enumerate(items, 1):
        first = repeats.first_of(line, item.name) if repeats else FirstLine(item.row, position)
        is_sent = first.row == item.row
        found = _fate(asked, first, line, is_sent=is_sent)
        if found is None:
            counts.missing += 1
            continue
        verdict, answer = found
        if asked.shard.is_cancelled:
            verdict = stopped(verdict)
        verdict = capped(verdict, asked.shard.attempt, asked.attempts_max)
        if verdict.may_be_sent_again:
            counts.again += 1
            again.write(line)
            continue
        if not is_sent:
            verdict = msgspec.structs.replace(verdict, usage=None)  # it is in the outcome of the one that was sent
        counts.decide(verdict)
        outcome = _outcome(asked.shard, item, verdict, answer)
        if not is_sent and asked.shard.batch:
            outcome = msgspec.structs.replace(outcome, same_as=first.name)
        yield outcome


def _fate(asked: _Asked, first: FirstLine, line: bytes, *, is_sent: bool) -> tuple[Verdict, Answer | None] | None:
    """Return the verdict on the item that *line* asked for, with its answer; None where it has to be waited for.

    *first* is the line that was sent for it; *is_sent*: that is its own.
    """
    if asked.refused is not None:
        named, others = asked.refused
        return named.get(first.position, others), None
    lines = asked.answers.take(first.row) if is_sent else asked.answers.find(first.row)
    answers = [parse_answer(answer) for answer in lines]
    if not answers:
        verdict = missing_verdict(
            asked.batch, asked.answers.output_answers, asked.shard.reason, give_up=asked.give_up_missing
        )
        return None if verdict is None else (verdict, None)
    endpoint = asked.shard.endpoint
    structured = is_structured(line, endpoint)
    judged = [(judge(answer, endpoint, is_structured=structured), answer) for answer in answers]
    return judged[0] if len(judged) == 1 else min(judged, key=lambda pair: rank(pair[0]))


def _outcome(shard: Shard, item: Described, verdict: Verdict, answer: Answer | None) -> Outcome:
    return Outcome(
        name=item.name,
        row=item.row,
        status="succeeded" if verdict.failure is None else "failed",
        output=verdict.output,
        finish=verdict.finish,
        record=item.record,
        model=verdict.model,
        usage=verdict.usage,
        response=answer.body if answer else NULL,
        error=verdict.failure,
        attempts=shard.attempt if shard.batch else shard.attempt - 1,
        batch_id=shard.batch or None,
        line_id=answer.line_id if answer else None,
        request_id=answer.request_id if answer else None,
        status_code=answer.status if answer else None,
    )


def _recorded(
    outcomes: Iterable[Outcome], keys: Keys, decided: GrowingObject, earlier: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[str, bytes]]:
    """Yield the object of each item; on the way *decided* receives the same bytes, among the lines of *earlier* by row."""
    row, line = next(earlier, _NO_LINE)
    for outcome in outcomes:
        content = encode_outcome(outcome)
        while line and row < outcome.row:
            decided.write(line)
            row, line = next(earlier, _NO_LINE)
        decided.write(content + b"\n")
        yield keys.item(outcome.name), content
    while line:
        decided.write(line)
        row, line = next(earlier, _NO_LINE)


def _join_decided(storage: Storage, asked: _Asked) -> None:
    """Write the part from what each attempt decided."""
    with ExitStack() as objects:
        part = GrowingObject(storage, asked.keys.part(asked.shard.number), objects)
        part.begin()
        for _, line in _decided_lines(storage, asked, objects, asked.shard.attempt):
            part.write(line)
        part.flush()


def _decided_lines(
    storage: Storage, asked: _Asked, objects: ExitStack, last_attempt: int
) -> Iterator[tuple[int, bytes]]:
    """Return by row what this shard's attempts decided, up to *last_attempt*; what ran under another number is not its own."""
    shard = asked.shard.number
    keys = [asked.keys.decided(shard, attempt) for attempt in range(1, last_attempt + 1)]
    streams = [objects.enter_context(storage.open(key)) for key in keys if storage.size_bytes(key) is not None]
    return merge(*(((row_of_outcome(line), line) for line in stream) for stream in streams))
