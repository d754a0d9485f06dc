"""Checking a file before it is dropped: it is planned as the stack would, and what would be sent is looked at and let go.

Rule: the stack's own planner decides, and nothing leaves this machine. Memory does not grow with the file but for the planner's
few bytes an item.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from batchdrop.core.model.answer_bounds import ANSWER_TOKENS_ASSUMED
from batchdrop.core.model.errors import NotYet
from batchdrop.core.model.job import Group, Job
from batchdrop.core.model.keys import NO_TASK, Keys, Upload
from batchdrop.core.model.outcomes import Failure, decode_outcome
from batchdrop.core.model.reading import reading_words
from batchdrop.core.planning.requests import row_of_line
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.plan import pin_task, plan_pages
from batchdrop.flow.ports import ObjectWriter
from batchdrop_cli.jobs.quote import FileQuote, batch_price
from batchdrop_cli.jobs.upload import inbox_key

# Enough to see what goes wrong, and what goes out; the rest is counted.
REFUSALS_SHOWN_MAX = 10
REQUESTS_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """One record that would not be sent."""

    row: int
    name: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class Checked:
    """What dropping a file would do."""

    items: int
    refused: int
    reasons: Counter[str]  # of the refused, by code
    first_refusals: list[RefusedRecord]
    first_requests: list[bytes]  # as lines of the batch's input, by row
    quotes: list[FileQuote]
    read_as: str
    dedupes: bool  # whether requests that repeat are sent once


@dataclass(slots=True)
class _Trial:
    """The storage of a job that is only tried: it reads the file, and counts what would be written."""

    path: Path
    keys: Keys
    folder: Path  # of its own
    reasons: Counter[str] = field(default_factory=Counter)
    refusals: list[RefusedRecord] = field(default_factory=list)
    requests: list[tuple[int, bytes]] = field(default_factory=list)  # the first ones, with their rows
    _kept: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def open_upload(self, _upload: Upload, start: int = 0) -> Iterator[BinaryIO]:
        with self.path.open("rb") as file:
            file.seek(start)
            yield file

    def read(self, key: str) -> bytes | None:
        return self._kept.get(key)

    def open(self, key: str, start: int = 0) -> BinaryIO:
        if key != self.keys.copy:
            raise NotYet(f"{key} was never written")
        stream = self._copy.open("rb")
        stream.seek(start)
        return stream

    @property
    def _copy(self) -> Path:
        return self.folder / "copy"

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:  # noqa: ARG002 - the port's
        """Look at a chunk and let it go; keep the task, which is read again. Pages of the plan are not needed."""
        if key == self.keys.task_snapshot:
            self._kept[key] = content
        elif key.startswith(f"{self.keys.internal}chunks/"):
            for line in content.splitlines():
                self._show(row_of_line(line), line)

    def _show(self, row: int, line: bytes) -> None:
        """Keep the line if it is among the first: chunks of several groups do not come by row."""
        if len(self.requests) < REQUESTS_SHOWN_MAX or row < self.requests[-1][0]:
            self.requests = sorted([*self.requests, (row, line)])[:REQUESTS_SHOWN_MAX]

    def put_many(self, objects: Iterable[tuple[str, bytes]]) -> int:
        return sum(1 for _ in objects)

    @contextmanager
    def writer(self, key: str, content_type: str = "application/x-ndjson") -> Iterator[ObjectWriter]:  # noqa: ARG002 - the port's
        """Planning writes two things piece by piece: the copy of a file, and the outcomes of what it refuses, a line each."""
        if key != self.keys.copy:
            yield self
            return
        with self._copy.open("wb") as copy:
            yield copy

    def write(self, content: bytes) -> None:
        outcome = decode_outcome(content)
        assert outcome.error is not None  # noqa: S101 - planning decides nothing but refusals
        self.reasons[outcome.error.code] += 1
        if len(self.refusals) < REFUSALS_SHOWN_MAX:
            self.refusals.append(RefusedRecord(outcome.row, outcome.name, outcome.error))


def check_file(path: Path, task_name: str, task: bytes | None, base_url: str) -> Checked:
    """Return what dropping the file at *path* would do; *task* is the file of its task, None for ready-made requests.

    Raises UploadRejected where the file as a whole, or the task, could not be used.
    """
    job = Job(
        id="0" * 20, bucket=NO_TASK, key=inbox_key(path, None if task is None else task_name), version=NO_TASK,
        created_at=0, task=task_name,
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        trial = _Trial(path, Keys(job.id, job.key), Path(folder))
        if task is not None:
            pinned = pin_task(PlannedJob(trial, job), task)
            job = replace(job, snapshot=pinned.digest, options=pinned.options)
        # A plan has a page, even of an empty file; the last one has all groups.
        last = deque(plan_pages(PlannedJob(trial, job), should_stop=lambda: False), maxlen=1).pop()
    quotes = _quotes(last.groups, base_url)
    requests = [line for _, line in trial.requests]
    return Checked(
        last.items,
        last.refused,
        trial.reasons,
        trial.refusals,
        requests,
        quotes,
        reading_words(Upload("", job.key, "").extension, last.reading),
        dedupes=job.options.dedupe,
    )


def _quotes(groups: Sequence[Group], base_url: str) -> list[FileQuote]:
    """Return an estimate for each model, by its name, whatever its endpoints."""
    totals: Counter[tuple[str, str]] = Counter()
    for group in groups:
        totals[group.model, "requests"] += group.lines
        totals[group.model, "in"] += group.tokens
        totals[group.model, "out"] += group.answer_tokens + group.unlimited * ANSWER_TOKENS_ASSUMED
    return [
        FileQuote(
            model, totals[model, "requests"], totals[model, "in"], totals[model, "out"],
            batch_price(model, totals[model, "requests"], totals[model, "in"], totals[model, "out"], base_url),
        )
        for model in sorted({group.model for group in groups})
    ]  # fmt: skip
