"""Makes outcomes of what a batch answered: the part of its shard and, where the task wants it, an object for each item.

Rule: everything is derived from the archive in one pass by row, with some bytes of memory for each line; doing it twice
writes the same bytes. An item that is not decided is neither written nor sent again.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from itertools import chain
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from batchdrop.core.collection.answers import Answer, parse_answer
from batchdrop.core.collection.bodies import is_miscounted
from batchdrop.core.collection.unanswered import (
    capped,
    is_unpaid,
    left_running,
    missing_verdict,
    rank,
    stopped,
    verdicts_of_failed,
)
from batchdrop.core.collection.verdicts import LAYOUTS, Layout, Verdict, judge
from batchdrop.core.model.batches import Batch
from batchdrop.core.model.endpoints import Endpoint, endpoint_of
from batchdrop.core.model.job import ItemAccess, Job
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.outcomes import NULL, Failure, Outcome, Usage, encode_outcome, row_of_outcome
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.requests import is_structured
from batchdrop.core.submission.dedupe import FirstLine, Repeats
from batchdrop.flow.collection.answer_index import AnswerIndex
from batchdrop.flow.collection.archive import archive
from batchdrop.flow.collection.buffered_writers import GrowingObject
from batchdrop.flow.collection.described import RUN_BYTES, RUN_ITEMS, Described, Run, describe
from batchdrop.flow.collection.item_objects import STEP_OBJECTS_MAX, Objects, put_in_steps
from batchdrop.flow.planned_job import PlannedJob
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
    miscounted: int = 0  # items for which it gave numbers that cannot be meant: their usage is unknown
    unpaid: Failure | None = None  # what the account lacks, where that is why lines are sent again
    is_unpaid: bool = False  # it is why all of them are

    @property
    def must_wait(self) -> bool:
        """Whether the batch has to be asked again before this attempt can end."""
        return self.missing > 0


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where the outcomes of an attempt come from."""

    planned: PlannedJob
    shard: Shard
    endpoint: Endpoint
    layout: Layout[Any]  # of the bodies of its answers
    batch: Batch | None
    answers: AnswerIndex
    attempts_max: int
    may_be_unpaid: bool  # a lack of money does not count as an attempt
    give_up_missing: bool
    refused: tuple[Mapping[int, Verdict], Verdict] | None  # of a batch that failed in validation
    attempts: int  # that ran
    batch_id: str | None

    @property
    def job(self) -> Job:
        return self.planned.job

    @property
    def keys(self) -> Keys:
        return self.planned.keys

    @property
    def needs_first_lines(self) -> bool:
        """Whether what becomes of an item depends on the line that was sent for it."""
        return self.job.options.dedupe or self.refused is not None


@dataclass(slots=True)
class _Counts:
    """Counted while the lines go by."""

    succeeded: int = 0
    failed: int = 0
    again: int = 0
    unpaid: int = 0  # of those
    lack: Failure | None = None
    missing: int = 0
    counted: int = 0
    miscounted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0

    def send_again(self, verdict: Verdict) -> None:
        """Count an item that is sent again."""
        self.again += 1
        if is_unpaid(verdict):
            self.unpaid += 1
            self.lack = self.lack or verdict.failure

    def decide(self, outcome: Outcome) -> None:
        """Count an item that is not sent again."""
        if outcome.error is None:
            self.succeeded += 1
        else:
            self.failed += 1
        usage = outcome.usage
        if usage is not None:
            self.counted += usage.input_tokens > 0
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens
            self.cached_tokens += usage.cached_tokens
            self.cache_write_tokens += usage.cache_write_tokens
        elif outcome.response != NULL:
            self.miscounted += is_miscounted(outcome.response)

    @property
    def usage(self) -> Usage:
        return Usage(self.input_tokens, self.output_tokens, self.cached_tokens, self.cache_write_tokens)


def derive(
    ports: Ports,
    planned: PlannedJob,
    shard: Shard,
    archived: AnswerIndex,
    batch: Batch | None,
    *,
    give_up_missing: bool = False,
) -> Harvest:
    """Write the outcomes of *shard*'s attempt, and the input of its next one where something may be sent again.

    Without a batch every item that the archive does not answer fails for the shard's reason. *give_up_missing*: answers
    were waited for long enough. Where nothing is sent again the shard's part is complete. May be repeated.
    """
    limits = planned.limits
    refused = verdicts_of_failed(batch, shard.sent_items) if batch and batch.status == "failed" else None
    attempts = shard.used_attempts if shard.attempt.batch else shard.used_attempts - 1
    may_be_unpaid = shard.unpaid_attempts < limits.unpaid_attempts_max
    endpoint = endpoint_of(shard.endpoint)
    asked = _Asked(
        planned, shard, endpoint, LAYOUTS[endpoint.shape], batch, archived, limits.attempts_max, may_be_unpaid,
        give_up_missing, refused, attempts, shard.attempt.batch or None,
    )  # fmt: skip
    is_last = not _may_send_again(asked)
    counts = _write(ports, asked, is_last=is_last)
    if is_last and counts.again:  # an output file that names a passing failure: rare, and known only by now
        is_last = False
        counts = _write(ports, asked, is_last=False)
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
        counts.miscounted,
        counts.lack,
        is_unpaid=may_be_unpaid and counts.unpaid == counts.again > 0,
    )


def _may_send_again(asked: _Asked) -> bool:
    """Whether this attempt is likely to leave something to another; a wrong guess costs a second pass, nothing else."""
    is_final = asked.shard.is_cancelled or asked.shard.is_stuck
    if asked.shard.used_attempts >= asked.attempts_max or asked.batch is None or is_final:
        return False
    if asked.refused is not None:
        return asked.refused[1].may_be_sent_again
    answers = asked.answers
    return answers.passing_errors > 0 or answers.output_answers + answers.error_lines < asked.shard.sent_items


def _write(ports: Ports, asked: _Asked, *, is_last: bool) -> _Counts:
    """Write item objects where the task wants them, decided outcomes and the lines to send again, in one pass.

    The last attempt's outcomes go straight into the part, among those of the attempts before.
    """
    storage, shard, counts = ports.storage, asked.shard, _Counts()
    asked.answers.restart()
    runs = describe(ports, asked.planned, shard)
    with ExitStack() as objects:
        again = GrowingObject(storage, asked.keys.input_lines(shard.number, shard.attempt.number + 1), objects)
        key = asked.keys.part(shard.number) if is_last else asked.keys.decided(shard.number, shard.attempt.number)
        decided = GrowingObject(storage, key, objects)
        decided.begin()
        earlier = _decided_lines(storage, asked, objects, shard.attempt.number - 1) if is_last else iter(())
        recorded = _recorded(_outcomes(asked, runs, counts, again), asked.keys, decided, earlier)
        if asked.job.options.items is ItemAccess.OBJECTS:
            _put(storage, asked, recorded)
        else:
            deque(recorded, maxlen=0)
        decided.flush()
        again.flush()
    if is_last and decided.whole is not None:
        asked.planned.keep(key, decided.whole)
    asked.answers.finish()
    return counts


def _put(storage: Storage, asked: _Asked, runs: Iterable[Objects]) -> None:
    """Put the items' objects; of a large shard in steps, which a repeat does not take again."""
    if asked.shard.items > STEP_OBJECTS_MAX:
        put_in_steps(storage, asked.keys.put_steps(asked.shard.number, asked.shard.attempt.number), runs)
    else:
        storage.put_many(chain.from_iterable(runs))


def _outcomes(asked: _Asked, runs: Iterable[Run], counts: _Counts, again: GrowingObject) -> Iterator[Outcome]:
    """Yield the outcome of each item that is decided; lines that may be sent again go to *again*."""
    for line, item, answers, first in _sent_once(asked, runs) if asked.needs_first_lines else _sent(asked, runs):
        fate = _fate(asked, line, item, answers, first)
        if isinstance(fate, Outcome):
            counts.decide(fate)
            yield fate
        elif fate is None:
            counts.missing += 1
        else:
            counts.send_again(fate)
            again.write(line)


# An item with its request line, the lines that answer it, and the line that was sent for it where that is to be known.
type _Sent = tuple[bytes, Described, Sequence[bytes], FirstLine | None]


def _sent(asked: _Asked, runs: Iterable[Run]) -> Iterator[_Sent]:
    """Yield the items of an attempt whose lines were all sent."""
    for run in runs:
        answers = asked.answers.take_run([item.row for _, item in run])
        for (line, item), lines in zip(run, answers, strict=True):
            yield line, item, lines, None


def _sent_once(asked: _Asked, runs: Iterable[Run]) -> Iterator[_Sent]:
    """Yield the items of an attempt with the line that was sent for each, by its place among those that were sent."""
    repeats = Repeats() if asked.job.options.dedupe else None
    for position, (line, item) in enumerate(chain.from_iterable(runs), 1):
        first = repeats.first_of(line, item.name) if repeats else FirstLine(item.row, position)
        answers = asked.answers
        yield line, item, answers.take(item.row) if first.row == item.row else answers.find(first.row), first


def _fate(
    asked: _Asked, line: bytes, item: Described, answers: Sequence[bytes], first: FirstLine | None
) -> Outcome | Verdict | None:
    """Return the outcome of an item, the verdict where it may be sent again, or None where it has to be waited for."""
    found = _verdict(asked, line, answers, first)
    if found is None:
        return None
    verdict, answer = found
    if verdict.failure is None:
        return _outcome(asked, item, verdict, answer, first)
    if asked.shard.is_cancelled:
        verdict = stopped(verdict)
    if asked.shard.is_stuck:
        verdict = left_running(verdict)
    if not (asked.may_be_unpaid and is_unpaid(verdict)):
        verdict = capped(verdict, asked.shard.used_attempts, asked.attempts_max)
    return verdict if verdict.may_be_sent_again else _outcome(asked, item, verdict, answer, first)


def _verdict(
    asked: _Asked, line: bytes, lines: Sequence[bytes], first: FirstLine | None
) -> tuple[Verdict, Answer | None] | None:
    """Return the verdict on the item that *line* asked for and *lines* answer, with its answer.

    None where it has to be waited for.
    """
    if asked.refused is not None and first is not None:
        named, others = asked.refused
        return named.get(first.position, others), None
    if not lines:
        verdict = missing_verdict(
            asked.batch, asked.answers.output_answers, asked.shard.reason, give_up=asked.give_up_missing
        )
        return None if verdict is None else (verdict, None)
    structured = is_structured(line, asked.endpoint)
    if len(lines) == 1:
        answer = parse_answer(lines[0])
        return judge(answer, asked.layout, is_structured=structured), answer
    answers = [parse_answer(answer) for answer in lines]
    judged = [(judge(answer, asked.layout, is_structured=structured), answer) for answer in answers]
    return min(judged, key=lambda pair: rank(pair[0]))


def _outcome(
    asked: _Asked, item: Described, verdict: Verdict, answer: Answer | None, first: FirstLine | None
) -> Outcome:
    response = answer.response if answer else None
    # Without `same_as`: with one name more the interpreter makes a dict of them for each item.
    outcome = Outcome(
        name=item.name,
        row=item.row,
        status="succeeded" if verdict.failure is None else "failed",
        output=verdict.output,
        finish=verdict.finish,
        record=item.record,
        model=verdict.model,
        usage=verdict.usage,
        response=verdict.response,
        error=verdict.failure,
        attempts=asked.attempts,
        batch_id=asked.batch_id,
        line_id=answer.line_id if answer else None,
        request_id=response.request_id if response else None,
        status_code=response.status_code if response else None,
    )
    if first is None or first.row == item.row:
        return outcome
    # The usage is in the outcome of the one that was sent.
    return replace(outcome, usage=None, same_as=first.name if asked.batch_id else UNSET)


def _recorded(
    outcomes: Iterable[Outcome], keys: Keys, decided: GrowingObject, earlier: Iterator[tuple[int, bytes]]
) -> Iterator[Objects]:
    """Yield the items' objects in runs; *decided* receives the same bytes, among the lines of *earlier* by row."""
    row, line = next(earlier, _NO_LINE)
    names, contents, held_bytes = list[str](), list[bytes](), 0
    for outcome in outcomes:
        while line and row < outcome.row:
            decided.write(line)
            row, line = next(earlier, _NO_LINE)
        content = encode_outcome(outcome)
        decided.write_line(content)
        names.append(outcome.name)
        contents.append(content)
        held_bytes += len(content)
        if len(contents) == RUN_ITEMS or held_bytes >= RUN_BYTES:
            yield list(zip(keys.items(names), contents, strict=True))
            names, contents, held_bytes = [], [], 0
    yield list(zip(keys.items(names), contents, strict=True))
    while line:
        decided.write(line)
        row, line = next(earlier, _NO_LINE)


def _join_decided(storage: Storage, asked: _Asked) -> None:
    """Write the part from what each attempt decided."""
    with ExitStack() as objects:
        part = GrowingObject(storage, asked.keys.part(asked.shard.number), objects)
        part.begin()
        for _, line in _decided_lines(storage, asked, objects, asked.shard.attempt.number):
            part.write(line)
        part.flush()


def _decided_lines(
    storage: Storage, asked: _Asked, objects: ExitStack, last_attempt: int
) -> Iterator[tuple[int, bytes]]:
    """Return by row what this shard's attempts decided, up to *last_attempt*; what ran under another number is not its own."""
    shard = asked.shard.number
    keys = [asked.keys.decided(shard, attempt) for attempt in range(1, last_attempt + 1)]
    streams = [objects.enter_context(storage.open(key)) for key in keys if storage.size_bytes(key)]
    return merge(*(((row_of_outcome(line), line) for line in stream) for stream in streams))
