"""What mutants are made of: functions that take a function of the production code and return one with a rule less.

Rule: a mutation is a patch in this process, never an edit of a file.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any
from unittest.mock import patch

from simulation.wire import adapters

from batchdrop.core.collection.verdicts import Verdict
from batchdrop.core.delivery.job_lifecycle import Notified
from batchdrop.core.delivery.summary import Results, results_of_summary
from batchdrop.core.model.batches import Declined, Uncertain
from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.errors import DownloadCut
from batchdrop.core.model.job import Job
from batchdrop.core.model.outcomes import Failure
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.notification.notifications import render
from batchdrop.core.submission import shard_lifecycle as lifecycle
from batchdrop.edge.openai.provider import OpenAIProvider
from batchdrop.flow import complete, poll, submit
from batchdrop.flow import unit_of_work as steps
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.ports import ByteSink, Notification, Ports
from batchdrop.flow.unit_of_work import Work

type Patch = Callable[[], AbstractContextManager[object]]


def replaced(target: object, name: str, make: Callable[[Any], object]) -> Patch:
    """Return the patch that puts what *make* makes of *name* in its place."""
    return lambda: patch.object(target, name, make(getattr(target, name)))


def limits_of(**values: int) -> Patch:
    """Return the patch that gives the flows other limits than the deployment has."""

    def begin(original: Callable[..., Work]) -> Callable[..., Work]:
        return lambda ports, limits, *seen: original(ports, replace(limits, **values), *seen)

    @contextmanager
    def patched() -> Iterator[None]:
        with ExitStack() as stack:
            for module in (submit, complete, poll):
                stack.enter_context(replaced(module, "begin", begin)())
            yield

    return patched


def event(event: str, make: Callable[[Any], object]) -> Patch:
    """Return the patch of what an event of this name does to a shard."""
    kind = next(kind for kind in lifecycle._AFTER if kind.__name__ == event)  # noqa: SLF001 - the table is what is mutated
    return lambda: patch.dict(lifecycle._AFTER, {kind: make(lifecycle._AFTER[kind])})  # noqa: SLF001


# ------------------------------------------------------------------ create once


def without_intent(_original: object) -> Callable[[Work, Shard, Job], Shard]:
    """The intent is believed to be written."""
    return lambda _work, shard, _job: replace(shard, state=ShardState.CREATING)


def uncertain_as_refused(original: Callable[..., Shard]) -> Callable[..., Shard]:
    """What nobody knows is taken for a 429."""

    def record(work: Work, provider: OpenAIProvider, shard: Shard, answer: object) -> Shard:
        said = Declined(429, "", "taken for a refusal") if isinstance(answer, Uncertain) else answer
        return original(work, provider, shard, said)

    return record


def uncertain_as_failed(original: Callable[..., Shard]) -> Callable[..., Shard]:
    """What nobody knows is taken for a refusal of the request."""

    def record(work: Work, provider: OpenAIProvider, shard: Shard, answer: object) -> Shard:
        said = Declined(422, "given_up", "taken for a refusal") if isinstance(answer, Uncertain) else answer
        return original(work, provider, shard, said)

    return record


@contextmanager
def sdk_retries() -> Iterator[None]:
    """The SDK does what it does by default."""
    with ExitStack() as stack:
        for adapter in adapters().values():
            stack.enter_context(patch.object(adapter._creating, "max_retries", 2))  # noqa: SLF001 - the SDK's own switch
        yield


def list_of_any_age(original: Callable[..., Any]) -> Callable[..., Any]:
    """Every list counts as one that began late enough."""

    def sweep(*arguments: object) -> object:
        seen = original(*arguments)
        seen.began_at += 10**9
        return seen

    return sweep


# ------------------------------------------------------------------ the ledger


def unconditional(*kinds: type) -> Callable[[Any], object]:
    """Rows of *kinds* are written whatever is there."""

    def make(original: Callable[..., bool]) -> Callable[..., bool]:
        return lambda found, before: isinstance(found, kinds) or original(found, before)

    return make


def released_twice(original: Callable[[Change], Mapping[Any, Any]]) -> Callable[[Change], Mapping[Any, Any]]:
    """Whatever is given back is given back twice."""
    return lambda change: {
        key: replace(move, used=move.used * (2 if move.used < 0 else 1)) for key, move in original(change).items()
    }


def quota_kept(original: Callable[..., Shard]) -> Callable[..., Shard]:
    """An ended batch goes on to hold its quota."""
    return lambda shard, now: replace(original(shard, now), quota_tokens=shard.quota_tokens)


def limitless(original: Callable[..., Any]) -> Callable[..., Any]:
    """There is always quota."""
    del original
    return lambda *_: 10**9


def job_overwritten(original: Callable[..., None]) -> Callable[..., None]:
    """A redelivered event begins its job anew."""

    def handle_upload(ports: Ports, limits: object, upload: Any) -> None:  # noqa: ANN401 - an Upload
        row = ports.ledger.job(upload.job_id)
        if row is not None:
            again = Job(
                id=row.id, bucket=row.bucket, key=row.key, version=row.version, created_at=row.created_at,
                task=row.task, due_at=ports.clock.now(), writer=ports.writer, retries=row.retries + 1,
            )  # fmt: skip
            ports.ledger.write(Change((Write(row, again),)))
        original(ports, limits, upload)

    return handle_upload


def never_due(original: Callable[..., Shard]) -> Callable[..., Shard]:
    """A row is forgotten by the index of due work."""
    return lambda shard, event, now: replace(original(shard, event, now), due_at=None)


# ------------------------------------------------------------------ answers and results


def missing_given_up(original: Callable[..., Verdict | None]) -> Callable[..., Verdict | None]:
    """Nobody waits for answers that are not there yet."""
    return lambda batch, answers, reason, *, give_up: original(batch, answers, reason, give_up=give_up is not None)


def missing_sent_again(original: Callable[..., Verdict | None]) -> Callable[..., Verdict | None]:
    """An item that no line answers counts as not done."""

    def verdict(*arguments: object, **options: object) -> Verdict | None:
        found = original(*arguments, **options)
        return found or Verdict(failure=Failure("missing", "not there"), may_be_sent_again=True)

    return verdict


@dataclass
class CountingSink:
    """Counts what it hands on."""

    inner: ByteSink
    size_bytes: int = 0

    def write(self, content: bytes) -> int:
        """Hand on *content*."""
        self.size_bytes += len(content)
        return self.inner.write(content)


def cut_is_whole(original: Callable[..., int]) -> Callable[..., int]:
    """What came of a cut download is taken for all of it."""

    def download(self: OpenAIProvider, file: str, target: ByteSink) -> int:
        counting = CountingSink(target)
        try:
            return original(self, file, counting)
        except DownloadCut:
            return counting.size_bytes

    return download


def expired_sent_whole(original: Callable[..., Any]) -> Callable[..., Any]:
    """An expired batch counts as not done at all."""

    def fate(asked: Any, *arguments: object, **options: object) -> object:  # noqa: ANN401 - private to harvest
        if asked.batch is not None and asked.batch.status == "expired":
            return Verdict(failure=Failure("batch_expired", "all of it"), may_be_sent_again=True)
        return original(asked, *arguments, **options)

    return fate


class SummaryFirst:
    """A store that holds back streams until the summary is put."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - a Storage
        self._inner = inner
        self._held: list[tuple[str, bytes, str]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    @contextmanager
    def writer(self, key: str, content_type: str = "application/x-ndjson") -> Iterator[BytesIO]:
        pieces = BytesIO()
        yield pieces
        self._held.append((key, pieces.getvalue(), content_type))

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        self._inner.put(key, content, content_type)
        for held in self._held if key.endswith("/summary.json") else ():
            self._inner.put(*held)


def summary_first(original: Callable[..., Results]) -> Callable[..., Results]:
    """The summary is put before the files that it describes."""

    def merge(ports: Ports, planned: PlannedJob, *arguments: object, **options: object) -> Results:
        storage: Any = SummaryFirst(ports.storage)
        planned.storage = storage
        return original(ports, planned, *arguments, **options)

    return merge


def notified_first(_original: object) -> Callable[..., None]:
    """The notification goes out after the ledger says so: a crash between the two loses it."""

    def notify(work: Work, planned: PlannedJob, *_delivered: object) -> None:
        job = planned.job
        summary = work.ports.storage.read(planned.keys.summary)
        results = results_of_summary(summary) if summary else Results()
        ended = planned.job = steps.move_job(work, job, Notified())
        work.ports.notifications.publish(render(job, results, f"s3://results/{ended.id}/"))

    return notify


def counts_swapped(original: Callable[..., Notification]) -> Callable[..., Notification]:
    """What was delivered is told wrongly."""

    def told_wrongly(job: Job, results: Results, location: str) -> Notification:
        return original(job, replace(results, succeeded=results.failed, failed=results.succeeded), location)

    return told_wrongly


def summary_misread(original: Callable[[bytes], Results]) -> Callable[[bytes], Results]:
    """The summary is read wrongly."""

    def read(content: bytes) -> Results:
        found = original(content)
        return replace(found, succeeded=found.failed, failed=found.succeeded)

    return read


def rows_exchanged(original: Callable[..., Any]) -> Callable[..., Any]:
    """Answers are joined by their place in the file instead of by their ids."""

    def take_run(self: Any, rows: list[int]) -> Iterator[object]:  # noqa: ANN401 - private to archive
        places = sorted(range(len(self._offsets)), key=self._offsets.__getitem__)
        for row, answers in zip(rows, original(self, rows), strict=True):
            yield answers and [self._line(places[row - 1], self._read_again)]

    return take_run


class _TextRow(int):
    """A row that sorts as its digits do: 10 before 9."""

    __hash__ = int.__hash__

    def __lt__(self, other: int) -> bool:
        return str(self) < str(other)

    def __le__(self, other: int) -> bool:
        return str(self) <= str(other)

    def __gt__(self, other: int) -> bool:
        return str(self) > str(other)

    def __ge__(self, other: int) -> bool:
        return str(self) >= str(other)


def rows_as_text(original: Callable[[bytes], int]) -> Callable[[bytes], int]:
    """Rows are compared as texts."""
    return lambda line: _TextRow(original(line))


def told(original: Callable[..., Any]) -> Callable[..., Any]:
    """The key's name goes into the log."""

    def provider_or_lack(work: Work) -> object:
        found = original(work)
        work.ports.log.info("key.read", cause=str(getattr(found, "fingerprint", "")))
        return found

    return provider_or_lack


def merged_wrongly(original: Callable[..., Any]) -> Callable[..., Any]:
    """The checksum is of nothing."""

    def finished(self: Any) -> object:  # noqa: ANN401 - private to merge
        return replace(original(self), sha256="0" * 64)

    return finished


def anything_proves(_original: object) -> Callable[..., bool]:
    """The answer is always yes."""
    return lambda *_arguments: True


def nothing(_original: object) -> Callable[..., None]:
    """It is not done."""
    return lambda *_arguments, **_options: None


def nothing_delivered(_original: object) -> Callable[..., Job]:
    """The job goes on as if there were nothing to write."""
    return lambda _work, job, *_arguments: job
