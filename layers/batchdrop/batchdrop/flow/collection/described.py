"""Reads again what a person knows of an item: its name and its record, from the upload.

Rule: an upload that is gone by now costs names and records, never an answer.
"""

from collections.abc import Callable, Iterator
from itertools import tee
from typing import Final

import msgspec

from batchdrop.core.model.errors import BrokenState, ItemRefused, UploadRejected
from batchdrop.core.model.keys import refused_name, row_name
from batchdrop.core.model.outcomes import NULL
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.requests import row_of_line
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.withheld import raise_if_withheld
from batchdrop.flow.ports import Ports
from batchdrop.formats.records import Record

# Work that is done for some items in a row costs a third less than for one after the other: what it needs stays at hand in the
# processor. More than 64 gain nothing (measured with items of 7 KB).
RUN_ITEMS: Final = 32
# What a run holds at most, but for its last item.
RUN_BYTES: Final = 1_000_000


class Described(msgspec.Struct, frozen=True, gc=False):
    """One item as its upload describes it; *record* is JSON on one line."""

    row: int
    name: str
    record: msgspec.Raw


type Run = list[tuple[bytes, Described]]  # some items in a row, each with its request line


def describe(ports: Ports, planned: PlannedJob, shard: Shard) -> Iterator[Run]:
    """Yield the items of *shard*'s attempt by row, in runs. Where the upload is gone, names are made of rows.

    Raises UploadWithheld while S3 may still give it.
    """
    run: Run = []
    held_bytes = 0
    for line, item in _items(ports, planned, shard):
        run.append((line, item))
        held_bytes += len(line) + len(memoryview(item.record))
        if len(run) == RUN_ITEMS or held_bytes >= RUN_BYTES:
            yield run
            run, held_bytes = [], 0
    if run:
        yield run


def _items(ports: Ports, planned: PlannedJob, shard: Shard) -> Iterator[tuple[bytes, Described]]:
    lines, lines_ahead = tee(planned.lines(shard))
    try:
        describe_record = describer(planned)
        for record in planned.records(shard, map(row_of_line, lines_ahead)):
            described = describe_record(record)
            yield next(lines), described
    except UploadRejected as error:
        raise_if_withheld(error, planned.job, ports.clock, planned.limits)
        ports.log.warning("upload.unreadable", job_id=planned.job.id, shard=shard.number, cause=error.code)
    for line in lines:
        row = row_of_line(line)
        # No user's name looks like this one, so that it can take no other item's place.
        yield line, Described(row, refused_name(row, "unreadable"), NULL)


def describer(planned: PlannedJob) -> Callable[[Record], Described]:
    """Return how the records that this job planned are described. Raises UploadRejected where the upload is gone."""
    form, recipe, job = planned.form, planned.recipe, planned.job.id

    def describe_record(record: Record) -> Described:
        try:
            name = recipe.name(form.decode(record), record.row) if recipe.names_from_user else None
        except ItemRefused as error:
            raise BrokenState(f"job {job}: row {record.row} was planned and has no name: {error.message}") from error
        text = form.json_text(record, is_valid=True)  # it became a request
        return Described(record.row, name or row_name(record.row), msgspec.Raw(text))

    return describe_record
