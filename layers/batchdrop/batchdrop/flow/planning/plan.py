"""Plans an upload: it becomes chunks of request lines, one page of the plan at a time.

Rule: pages end by bytes of the upload alone, never by the clock. A page that time runs out on is written again from its start,
and two planners write the same objects, so that an object that the ledger knows of never changes.
"""

import hashlib
import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Never, Self

import msgspec

from batchdrop.core.delivery.job_lifecycle import TaskPinned
from batchdrop.core.model.errors import BrokenState, ItemRefused, OutOfTime
from batchdrop.core.model.job import Group, ItemAccess, PlanCursor
from batchdrop.core.model.keys import refused_name, row_name
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Failure, Outcome, encode_outcome
from batchdrop.core.model.reading import Reading
from batchdrop.core.planning.plan import (
    Chunk,
    FillingChunk,
    PlanPage,
    Recipe,
    Request,
    RequestRun,
    SeenNames,
    empty_digests,
    encode_page,
    grown,
)
from batchdrop.core.planning.requests import request_line
from batchdrop.core.planning.task import check_columns, parse_task
from batchdrop.flow.planned_job import IN_HAND_BYTES, PlannedJob, upload_of
from batchdrop.flow.planning.copy import copied_if_needed, with_packing
from batchdrop.flow.planning.first_look import sampled
from batchdrop.flow.ports import ObjectWriter
from batchdrop.formats import format_of, found_reading
from batchdrop.formats.guesses import START_BYTES, check_start
from batchdrop.formats.records import Format, Record, Skipped

# Objects of refused items that are held until they are written together.
_HELD_OBJECTS_MAX = 1_000
_HELD_BYTES_MAX = 8_000_000

_REFUSED_NAMES = {"duplicate_id": "duplicate", "no_id": "no-id"}


def pin_task(planned: PlannedJob, content: bytes) -> TaskPinned:
    """Copy the task's *content* to where this job reads it and return what to record. Raises UploadRejected. Idempotent."""
    task = parse_task(planned.job.task, content)
    planned.put(planned.keys.task_snapshot, content, "application/yaml")
    return TaskPinned(hashlib.sha256(content).hexdigest(), task.options)


def plan_pages(planned: PlannedJob, should_stop: Callable[[], bool]) -> Iterator[PlanPage]:
    """Yield the pages of the job's plan from where the ledger has it; each is written whole before it is yielded.

    Ends behind the page that is last, or without one as soon as *should_stop* says so: what was read since the last page is
    then read again. May be repeated. Raises UploadRejected where the upload cannot be used; nothing was sent then.
    """
    job, recipe = planned.job, planned.recipe
    reading, is_csv = job.reading, job.options.csv is not None

    def look(start: bytes) -> Format:
        """Return the format; how it is read was found by the planner of the first page, or is now."""
        nonlocal reading
        extension = format_of(upload_of(job), planned.limits, is_csv=is_csv).extension
        if not job.plan.pages and not planned.is_copied:
            check_start(start[:START_BYTES], extension)
            reading = copied_if_needed(planned, start, should_stop)
        if not job.plan.pages and planned.is_copied == reading.is_copied:
            is_whole = len(start) < IN_HAND_BYTES
            found = found_reading(start, extension, recipe.columns, job.options.csv, is_whole=is_whole)
            reading = with_packing(found, reading)
        return format_of(upload_of(job), planned.limits, reading, is_csv=is_csv)

    try:
        form = planned.opened(look)
    except OutOfTime:
        return
    if form.header.columns:
        check_columns(recipe, form.header.columns, form.header.repeated)
    planner = _Planner(planned, recipe=recipe, form=form, reading=reading)
    start = planner.start
    with planned.open_upload(start) as stream:
        runs = form.read_runs(stream, start, job.plan.row, planner.skipped)
        if not job.plan.pages:
            runs = sampled(runs, form, recipe)
        is_last = False
        while not is_last:
            try:
                page = planner.page(runs, should_stop)
            except OutOfTime:
                return
            yield page
            is_last = page.is_last


def _refuse_duplicate() -> Never:
    raise ItemRefused("duplicate_id", "an earlier record has the same id; the first one is sent")


class _Planner:
    """What planning knows between two pages."""

    def __init__(self, planned: PlannedJob, *, recipe: Recipe, form: Format, reading: Reading) -> None:
        job = planned.job
        self.skipped = Skipped()
        self._reading = reading
        self._planned, self._recipe, self._format = planned, recipe, form
        self._limits, self._keys = planned.limits, planned.keys
        self._cursor = job.plan
        self._rest: list[Record] = []  # of the run that the last page ended in
        self._has_objects = job.options.items is ItemAccess.OBJECTS
        self._items, self._refused = job.items, job.refused
        self._groups = list(job.groups)
        self._group_of = {(group.endpoint, group.model): number for number, group in enumerate(job.groups)}
        self._seen = SeenNames()
        for number in range(job.plan.pages if recipe.names_from_user else 0):
            self._seen.load(self._stored_digests(number))

    def _stored_digests(self, page: int) -> bytes:
        content = self._planned.read(self._keys.plan_digests(page))
        if content is None:
            raise BrokenState(f"{self._keys.plan_digests(page)} is gone")
        return content

    @property
    def start(self) -> int:
        """The byte where the next page begins."""
        return self._cursor.offset if self._cursor.pages else self._format.header.body_start

    def page(self, runs: Iterator[list[Record]], should_stop: Callable[[], bool]) -> PlanPage:
        """Return the next page, written. Raises OutOfTime where it has to stop before. It is asked between two *runs*."""
        end = self.start + self._limits.plan_checkpoint_bytes
        offset, row, is_last = self.start, self._cursor.row, True
        with _Stretch(self._planned, self._cursor.pages, self._groups, self._has_objects) as stretch:
            while is_last and (run := self._rest or next(runs, [])):
                if should_stop():
                    raise OutOfTime
                run, self._rest = _cut(run, end)
                for record in run[self._take_together(run, stretch) :]:
                    self._take(record, stretch)
                offset, row = run[-1].end, run[-1].row
                is_last = offset < end
            stretch.flush()
        return self._written(PlanCursor(offset, row, self._cursor.pages + 1), stretch, is_last=is_last)

    def _written(self, cursor: PlanCursor, stretch: "_Stretch", *, is_last: bool) -> PlanPage:
        """Write what was learnt of the page, the page itself last, and return it."""
        self._items += cursor.row - self._cursor.row
        self._refused += stretch.refused
        blank, headers = self.skipped.take(math.inf if is_last else cursor.offset)
        self._reading = replace(
            self._reading,
            blank_rows=self._reading.blank_rows + blank,
            repeated_headers=self._reading.repeated_headers + headers,
            tail=self.skipped.tail.decode() if is_last else "",
        )
        number = self._cursor.pages
        page = PlanPage(
            cursor, tuple(self._groups), tuple(stretch.chunks), self._items, self._refused, is_last, self._reading
        )
        if self._recipe.names_from_user:
            digests = stretch.digests.tobytes()
            self._planned.storage.put(self._keys.plan_digests(number), digests, "application/octet-stream")
        self._planned.put(self._keys.plan_page(number), encode_page(page))
        self._cursor = cursor
        return page

    def _take_together(self, run: Sequence[Record], stretch: "_Stretch") -> int:
        """Add the requests of *run* to their chunk and return of how many records.

        The others are to be taken one by one: all of them where one is unusual, and those from a name on that was there.
        """
        limits, requests = self._limits, self._requests(run)
        if requests is None or requests.inputs > limits.shard_embedding_inputs_max:
            return 0
        group = self._group_of.get((requests.endpoint, requests.model))
        if max(requests.sizes) > limits.record_bytes_max or (group is None and len(self._groups) == limits.groups_max):
            return 0
        if self._recipe.names_from_user:
            digests = self._seen.add_all(requests.names)
            stretch.digests += digests
            requests = requests.from_to(0, len(digests))
        if requests.rows:
            stretch.extend(run, requests, self._new_group(requests) if group is None else group)
        return len(requests.rows)

    def _requests(self, run: Sequence[Record]) -> RequestRun | None:
        """Return what *run* becomes together; None where each of its records has to be looked at alone."""
        together = self._recipe.together
        if together is None:
            return None
        columns = self._format.columns(run, together.columns)
        return None if columns is None else together.requests(columns, range(run[0].row, run[-1].row + 1))

    def _take(self, record: Record, stretch: "_Stretch") -> None:
        """Add the record's request to its chunk, or its refusal to the refused. Every call in here is made for each row."""
        recipe, name = self._recipe, None
        try:
            value = self._format.decode(record)
            unclaimed = recipe.name(value, record.row)
            if recipe.names_from_user:
                stretch.digests.append(self._seen.add(unclaimed) or _refuse_duplicate())
            name = unclaimed
            request = recipe.build(value, name)
            line = request_line(record.row, request)
            if len(line) > self._limits.record_bytes_max or request.inputs > self._limits.shard_embedding_inputs_max:
                raise self._too_large(line)
            group = self._group_of.get((request.endpoint, request.model))
            stretch.add(record, line, request, self._new_group(request) if group is None else group)
        except ItemRefused as refusal:
            name = name or self._refused_name(record.row, refusal.code)
            stretch.refuse(self._outcome(record, name, refusal))

    def _refused_name(self, row: int, code: str) -> str:
        """Return the name of an item that could not take its own; no user's name looks like it."""
        if not self._recipe.names_from_user:
            return row_name(row)
        return refused_name(row, _REFUSED_NAMES.get(code, "invalid"))

    def _too_large(self, line: bytes) -> ItemRefused:
        """Return the refusal of a request that is too long, or else asks for too many embeddings."""
        limits = self._limits
        if len(line) > limits.record_bytes_max:
            return ItemRefused(
                "request_too_large",
                f"the request is longer than {limits.record_bytes_max:,} bytes, the limit for one (record_bytes_max)",
            )
        return ItemRefused(
            "too_many_inputs", f"a batch takes {limits.shard_embedding_inputs_max:,} embedding inputs at most"
        )

    def _new_group(self, request: Request | RequestRun) -> int:
        """Return the number of a group that appears for the first time. Raises ItemRefused where there are too many."""
        number = len(self._groups)
        if number == self._limits.groups_max:
            raise ItemRefused("too_many_groups", f"one upload takes {number} pairs of endpoint and model at most")
        self._group_of[request.endpoint, request.model] = number
        self._groups.append(Group(request.endpoint, request.model))
        return number

    def _outcome(self, record: Record, name: str, refusal: ItemRefused) -> Outcome:
        return Outcome(
            name=name,
            row=record.row,
            status="failed",
            record=msgspec.Raw(self._format.json_text(record)),
            error=Failure(refusal.code, refusal.message),
        )


def _cut(run: list[Record], end: int) -> tuple[list[Record], list[Record]]:
    """Return what of *run* belongs to the page that ends with the record that reaches byte *end*, and the rest."""
    count = bisect_left(run, end, key=lambda record: record.end) + 1
    return run[:count], run[count:]


@dataclass(slots=True)
class _Stretch:
    """One page under construction: chunks that fill, and outcomes of what is refused. Memory is bounded by the limits."""

    planned: PlannedJob
    page: int
    groups: list[Group]
    has_objects: bool  # for each item
    chunks: list[Chunk] = field(default_factory=list)
    digests: array[int] = field(default_factory=empty_digests)
    refused: int = 0
    _filling: dict[int, FillingChunk] = field(default_factory=dict)
    _filling_bytes: int = 0
    _outcomes: ObjectWriter | None = None
    _held: list[tuple[str, bytes]] = field(default_factory=list)
    _held_bytes: int = 0
    _exits: ExitStack = field(default_factory=ExitStack)

    @property
    def limits(self) -> Limits:
        """The limits that hold while planning."""
        return self.planned.limits

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, traceback)

    def add(self, record: Record, line: bytes, request: Request, group: int) -> None:
        """Put a line into its group's chunk, and write the chunks that are full."""
        chunk = self._filling.get(group)
        if chunk is None or not chunk.add(record.row, line, request, self.limits):
            if chunk is not None:
                self._close(chunk)
            chunk = self._filling[group] = FillingChunk(group, record.row, record.start)
            chunk.add(record.row, line, request, self.limits)
        self._filling_bytes += len(line)
        if self._filling_bytes > self.limits.open_chunks_bytes_max:
            self._close(max(self._filling.values(), key=lambda filling: filling.size_bytes))

    def extend(self, records: Sequence[Record], run: RequestRun, group: int) -> None:
        """Put the lines of *run*, made of the first of *records*, into their group's chunks, as `add` would one by one."""
        done, count = 0, len(run.rows)
        while done < count:
            chunk = self._filling.get(group)
            if chunk is None:
                chunk = self._filling[group] = FillingChunk(group, records[done].row, records[done].start)
            before = chunk.size_bytes
            spare = self.limits.open_chunks_bytes_max - self._filling_bytes
            added = chunk.extend(run.from_to(done, count) if done else run, self.limits, spare)
            self._filling_bytes += chunk.size_bytes - before
            done += added
            if done < count and not added:
                self._close(chunk)
            elif self._filling_bytes > self.limits.open_chunks_bytes_max:
                self._close(max(self._filling.values(), key=lambda filling: filling.size_bytes))

    def refuse(self, outcome: Outcome) -> None:
        """Write the outcome of a refused record, behind the others."""
        content = encode_outcome(outcome)
        if self._outcomes is None:
            self._outcomes = self._exits.enter_context(self._writer())
        self._outcomes.write(content + b"\n")
        self.refused += 1
        if self.has_objects:
            self._hold(self.planned.keys.item(outcome.name), content)

    def _writer(self) -> AbstractContextManager[ObjectWriter]:
        return self.planned.storage.writer(self.planned.keys.refused(self.page))

    def _hold(self, key: str, content: bytes) -> None:
        self._held.append((key, content))
        self._held_bytes += len(content)
        if len(self._held) >= _HELD_OBJECTS_MAX or self._held_bytes >= _HELD_BYTES_MAX:
            self._put_held()

    def flush(self) -> None:
        """Write everything that is held."""
        for chunk in list(self._filling.values()):
            self._close(chunk)
        self._put_held()

    def _close(self, chunk: FillingChunk) -> None:
        group = self.groups[chunk.group]
        closed = chunk.closed(group.chunks)
        key = self.planned.keys.chunk(closed.group, closed.number)
        self.planned.put(key, chunk.content(), "application/x-ndjson")
        self.chunks.append(closed)
        self.groups[chunk.group] = grown(group, closed)
        self._filling_bytes -= closed.size_bytes
        del self._filling[chunk.group]

    def _put_held(self) -> None:
        if self._held:
            self.planned.storage.put_many(self._held)
            self._held, self._held_bytes = [], 0
