"""Makes result files of the outcomes of a job: a merge by row of the parts, over the upload read again.

Rule: every row has exactly one outcome, or nothing is written at all; all files are written in one pass and become visible
together at its end, before the summary. What a cancelled job never cut into a shard gets its outcome here, on the way.
"""

import hashlib
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heapreplace
from typing import BinaryIO, Final

import msgspec

from batchdrop.core.collection.outcome_index import OutcomeIndex
from batchdrop.core.delivery.receipt import Bill, open_bill
from batchdrop.core.delivery.report import CONTENT_TYPE, report_values
from batchdrop.core.delivery.report_facts import Facts, open_facts
from batchdrop.core.delivery.summary import Results, Tally, WrittenFile, summary_document
from batchdrop.core.model.errors import BrokenState, NotYet, UploadRejected, UploadWithheld
from batchdrop.core.model.job import ItemAccess, Job
from batchdrop.core.model.keys import refused_name
from batchdrop.core.model.outcomes import NULL, Failure, Outcome, decode_outcome, encode_outcome, row_of_outcome
from batchdrop.core.model.reasons import Reason
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.plan import Chunk
from batchdrop.core.submission.shard_lifecycle import CANCELLED
from batchdrop.flow.collection.buffered_writers import GrowingObject
from batchdrop.flow.collection.described import Described, describer
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.ports import PlanStorage, Ports
from batchdrop.formats.packing import Packer
from batchdrop.formats.records import Record

# As much as is written at once. With an eighth of it an item of 7 KB costs a twentieth more, because each run costs something.
_HELD_BYTES: Final = 1 << 20
_UNREAD: Final = Record(0, 0, 0, b"")  # taken for the record of an outcome if there is no upload
_CONTENT_TYPES: Final = {
    "csv": "text/csv", "json": "application/json", "tab": "text/tab-separated-values", "tsv": "text/tab-separated-values",
    "txt": "text/csv",
}  # fmt: skip


def merge(ports: Ports, planned: PlannedJob, shards: Sequence[Shard], *, waits_for_upload: bool = False) -> Results:
    """Write the result files of the job, its report and then its summary, and return what they hold.

    Where the upload cannot be read any more there are the outcomes alone, and the summary says so. May be repeated.
    Raises BrokenState where a row has no outcome or two, and with *waits_for_upload* UploadWithheld where S3 may still give it.
    """
    job = planned.job
    bill, facts = _open_bill(ports, job, shards), open_facts(shards)
    try:
        results = _merge_with_upload(planned, shards, Tally(bill, facts))
    except UploadRejected as error:
        if waits_for_upload and isinstance(error, UploadWithheld):
            raise
        ports.log.warning("upload.unreadable", job_id=job.id, cause=error.code)
        bill, facts = _open_bill(ports, job, shards), open_facts(shards)
        unreadable = Reason(error.code, error.message)
        results = _merge_alone(planned, shards, Tally(bill, facts), unreadable=unreadable)
    results = _reported(planned, shards, replace(results, receipt=bill.receipt()), facts)
    planned.storage.put(planned.keys.summary, summary_document(job, shards, results))
    return results


def _reported(planned: PlannedJob, shards: Sequence[Shard], results: Results, facts: Facts) -> Results:
    """Write the report, and return *results* with it among the files."""
    from batchdrop.core.delivery.report_page import page_of  # noqa: PLC0415 - the template engine takes 7 ms that most events need not wait

    key, page = planned.keys.report, page_of(report_values(planned.job, shards, results, facts))
    planned.storage.put(key, page, CONTENT_TYPE)
    written = WrittenFile(key.rpartition("/")[2], len(page), hashlib.sha256(page).hexdigest())
    return replace(results, files=(*results.files, written))


def _open_bill(ports: Ports, job: Job, shards: Sequence[Shard]) -> Bill:
    """Return an empty bill at the prices of the day on which the last batch ended."""
    day = max((shard.attempt.batch_ended_at for shard in shards), default=0) or job.created_at
    return open_bill(
        job, shards, lambda model, base_url: ports.prices.price_list(model, base_url, day), ports.providers.dialects
    )


def _merge_with_upload(planned: PlannedJob, shards: Sequence[Shard], tally: Tally) -> Results:
    """Write outcomes, results and, where items failed, failures."""
    job = planned.job
    with ExitStack() as objects:
        files = _ResultFiles(planned, objects)
        outcomes = _ByRow(outcome_lines(planned, shards), job)
        line_of = never_sent(planned) if job.cancelled_at else lambda record: outcomes.missing(record.row)
        pairs = ((outcomes.take(record.row) or line_of(record), record) for record in planned.all_records())
        for lines, records in _in_runs(pairs):
            files.add(lines, records, tally)
        outcomes.check_end(tally)
        files.finish()
        return tally.results(files.written())


def _merge_alone(planned: PlannedJob, shards: Sequence[Shard], tally: Tally, *, unreadable: Reason) -> Results:
    """Write the outcomes without the upload."""
    job = planned.job
    with ExitStack() as objects:
        outcomes = _Outcomes(planned, objects)
        found = _ByRow(outcome_lines(planned, shards), job)
        line_of = never_sent_nameless if job.cancelled_at else found.missing
        pairs = ((found.take(row) or line_of(row), _UNREAD) for row in range(1, job.items + 1))
        for lines, _ in _in_runs(pairs):
            tally.add(outcomes.write(lines))
        found.check_end(tally)
        return tally.results(outcomes.finished(), unreadable)


def _in_runs(pairs: Iterable[tuple[bytes, Record]]) -> Iterator[tuple[list[bytes], list[Record]]]:
    """Yield outcomes and records side by side, as many at a time as may be held."""
    lines: list[bytes] = []
    records: list[Record] = []
    held_bytes = 0
    for line, record in pairs:
        lines.append(line)
        records.append(record)
        held_bytes += len(line) + len(record.raw)
        if held_bytes >= _HELD_BYTES:
            yield lines, records
            lines, records, held_bytes = [], [], 0
    if lines:
        yield lines, records


class _ByRow:
    """The lines of a job's outcomes, which come by row."""

    def __init__(self, lines: Iterator[tuple[int, bytes]], job: Job) -> None:
        self._lines, self._job = lines, job
        self._next = next(lines, None)

    def take(self, row: int) -> bytes | None:
        """Return the line of *row*, or None where the next one is of another. Rows ascend from call to call."""
        if self._next is None or self._next[0] != row:
            return None
        _, line = self._next
        self._next = next(self._lines, None)
        return line

    def missing(self, row: int) -> bytes:
        """Raise BrokenState: there is no outcome of *row*."""
        there = f"that of row {self._next[0]} is there" if self._next else "there are no more"
        raise BrokenState(f"job {self._job.id}: the outcome of row {row} is expected, {there}")

    def check_end(self, tally: Tally) -> None:
        """Raise BrokenState where an outcome is left over, or not as many were counted as the plan has items."""
        job = self._job
        if self._next is not None:
            raise BrokenState(f"job {job.id}: an outcome too many, of row {self._next[0]}")
        # A job that was cancelled while it was planned has more items than its plan.
        if tally.succeeded + tally.failed != job.items and not job.cancelled_at:
            raise BrokenState(f"job {job.id}: {tally.succeeded + tally.failed} outcomes of {job.items} items")


def never_sent(planned: PlannedJob) -> Callable[[Record], bytes]:
    """Return how the outcome of a record is written that the job was cancelled before. Raises UploadRejected.

    Beyond the plan it was not checked whether names exist and differ: such items are called by their rows.
    """
    form, last_row = planned.form, planned.job.plan.row
    describe = describer(planned)

    def line_of(record: Record) -> bytes:
        if record.row <= last_row:
            return _cancelled_line(describe(record))
        name = refused_name(record.row, CANCELLED.code)
        return _cancelled_line(Described(record.row, name, msgspec.Raw(form.json_text(record))))

    return line_of


def never_sent_nameless(row: int) -> bytes:
    """Return the outcome of an item that was never cut and of which nothing but its row is known any more."""
    return _cancelled_line(Described(row, refused_name(row, CANCELLED.code), NULL))


def _cancelled_line(item: Described) -> bytes:
    failure = Failure(CANCELLED.code, CANCELLED.message)
    outcome = Outcome(name=item.name, row=item.row, status="failed", record=item.record, error=failure)
    return encode_outcome(outcome) + b"\n"


class _ResultFiles:
    """The files of a job with a readable upload."""

    def __init__(self, planned: PlannedJob, objects: ExitStack) -> None:
        keys, storage, form = planned.keys, planned.storage, planned.form
        self._form = form
        content_type = _CONTENT_TYPES.get(form.extension, "application/x-ndjson")
        self._outcomes = _Outcomes(planned, objects)
        ending = form.extension + (".gz" if planned.job.key.lower().endswith(".gz") else "")
        content_type = "application/gzip" if ending.endswith(".gz") else content_type
        self._results = _Measured(storage, keys.merged(ending), objects, content_type)
        self._failures = _Measured(storage, keys.failures(ending), objects, content_type)
        self._results.write(form.result_head())
        self._is_first = True
        self._is_first_failure = True

    def add(self, lines: Sequence[bytes], records: Sequence[Record], tally: Tally) -> None:
        """Write the next items to each file that they belong to."""
        outcomes = self._outcomes.write(lines)
        tally.add(outcomes)
        result = self._form.result
        results = []
        for record, outcome in zip(records, outcomes, strict=True):
            results.append(result(record, outcome, is_first=self._is_first))
            self._is_first = False
            if outcome.error is not None:
                self._add_failure(record)
        self._results.write_all(results)

    def _add_failure(self, record: Record) -> None:
        if self._is_first_failure:
            self._failures.write(self._form.failure_head())
        self._failures.write(self._form.failure(record, is_first=self._is_first_failure))
        self._is_first_failure = False

    def finish(self) -> None:
        """Write the bytes after the last record."""
        self._results.write(self._form.result_tail())
        if not self._is_first_failure:
            self._failures.write(self._form.failure_tail())

    def written(self) -> Iterator[WrittenFile]:
        """Yield the files; there are no failures where no item failed."""
        yield from self._outcomes.finished()
        yield self._results.finished()
        if not self._is_first_failure:
            yield self._failures.finished()


class _Outcomes:
    """`outcomes.jsonl`, and its index where the task wants one."""

    def __init__(self, planned: PlannedJob, objects: ExitStack) -> None:
        keys, storage = planned.keys, planned.storage
        self._lines = _Measured(storage, keys.outcomes, objects)
        self._index = None
        if planned.job.options.items is ItemAccess.INDEX:
            self._index = OutcomeIndex()
            self._records = _Measured(storage, keys.outcome_index, objects, "application/octet-stream")

    def write(self, lines: Sequence[bytes]) -> Sequence[Outcome]:
        """Append *lines*, which have their line ends, and return the outcomes that they are."""
        outcomes = [decode_outcome(line) for line in lines]
        if self._index is not None:
            offset = self._lines.size_bytes
            for line, outcome in zip(lines, outcomes, strict=True):
                self._index.add(outcome.name, offset, len(line) - 1)
                offset += len(line)
        self._lines.write_all(lines)
        return outcomes

    def finished(self) -> Iterator[WrittenFile]:
        """Yield what was written."""
        yield self._lines.finished()
        if self._index is not None:
            for piece in self._index.sorted_pieces():
                self._records.write(piece)
            yield self._records.finished()


class _Measured(GrowingObject):
    """An object that is hashed while it grows."""

    def __init__(
        self, storage: PlanStorage, key: str, objects: ExitStack, content_type: str = "application/x-ndjson"
    ) -> None:
        super().__init__(storage, key, objects, content_type)
        self._digest = hashlib.sha256()
        self._packer = Packer() if key.endswith(".gz") else None
        self._written_bytes = 0

    def finished(self) -> WrittenFile:
        """Hand over the rest and return what was written; the object exists, even if that is nothing."""
        self.begin()
        self.flush()
        if self._packer:
            self._give(self._packer.rest())
        return WrittenFile(self.key.rpartition("/")[2], self._written_bytes, self._digest.hexdigest())

    def _hand_over(self, content: bytes) -> None:
        self._give(self._packer.pack(content) if self._packer else content)

    def _give(self, content: bytes) -> None:
        self._digest.update(content)
        self._written_bytes += len(content)
        super()._hand_over(content)


# ------------------------------------------------------------------ all outcomes by row


_NO_TURN: Final = (sys.maxsize, 0)

type _RowAndLine = tuple[int, bytes]


@dataclass(slots=True)
class _Source:
    """Outcomes sorted by row, of which none is before *row*. Closed until its turn comes: a job may have thousands."""

    row: int
    key: str
    next: _RowAndLine | None = None
    rest: Iterator[_RowAndLine] | None = None


def outcome_lines(planned: PlannedJob, shards: Iterable[Shard]) -> Iterator[_RowAndLine]:
    """Yield the line of every outcome with its row, by row: of the parts of *shards* and of the records refused.

    Streams are open only while their rows go by. Raises BrokenState where a shard has no part.
    """
    sources = [*_parts(planned, shards), *(_peeked(planned, key) for key in planned.refused_keys())]
    turns = [(source.row, number) for number, source in enumerate(sources)]
    heapify(turns)
    while turns:
        _, number = turns[0]
        source, last_row = sources[number], min(turns[1:3], default=_NO_TURN)[0]  # a heap's second is one of these
        if source.rest is None:
            source.rest = _opened(planned, source.key)
            source.next = next(source.rest, None)
        found, rest = source.next, source.rest
        while found and found[0] <= last_row:
            yield found
            found = next(rest, None)
        source.next = found
        if found:
            heapreplace(turns, (found[0], number))
        else:
            heappop(turns)


def _parts(planned: PlannedJob, shards: Iterable[Shard]) -> Iterator[_Source]:
    """Yield the part of each shard. A shard of the plan says where it begins; one that was sent again is looked into."""
    keys, starts = planned.keys, _ChunkStarts(planned.chunks)
    for shard in shards:
        key = keys.part(shard.number)
        yield _Source(starts.row_from(shard), key) if shard.source_shard is None else _peeked(planned, key)


class _ChunkStarts:
    """Where each group's chunks begin, in lines of the group and in rows."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._lines: dict[int, list[int]] = {}
        self._rows: dict[int, list[int]] = {}
        ends: dict[int, int] = {}
        for chunk in chunks:
            line = ends.get(chunk.group, 0)
            self._lines.setdefault(chunk.group, []).append(line)
            self._rows.setdefault(chunk.group, []).append(chunk.first_row)
            ends[chunk.group] = line + chunk.lines

    def row_from(self, shard: Shard) -> int:
        """Return a row that no line of *shard* is before: rows ascend by at least one from line to line of a chunk."""
        lines = self._lines[shard.group]
        chunk = bisect_right(lines, shard.first_line) - 1
        return self._rows[shard.group][chunk] + shard.first_line - lines[chunk]


def _peeked(planned: PlannedJob, key: str) -> _Source:
    """Return outcomes that say themselves where they begin."""
    with _open(planned, key) as stream:
        line = stream.readline()
    return _Source(row_of_outcome(line) if line else 0, key)


def _opened(planned: PlannedJob, key: str) -> Iterator[_RowAndLine]:
    with _open(planned, key) as stream:
        for line in stream:
            yield row_of_outcome(line), line


def _open(planned: PlannedJob, key: str) -> AbstractContextManager[BinaryIO]:
    """Open an object that must be there. Raises BrokenState where it is not: what is written is visible at once."""
    try:
        return planned.open(key)
    except NotYet as error:
        raise BrokenState(f"{key} is gone, or was never written") from error
