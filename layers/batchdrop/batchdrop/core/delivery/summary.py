"""Writes the two documents about a job: the status while it runs, the summary when it is done.

Rule: both are functions of ledger rows and of the written files, so writing them is idempotent. They name codes and items,
never a prompt or an answer. Times are ISO 8601 in UTC.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from batchdrop.core.admission.quote_text import cost_document
from batchdrop.core.collection.outcome_groups import Alike, OutcomeRun, run_of, usage_of_all
from batchdrop.core.delivery.receipt import MODEL_CHARS_MAX, MODELS_MAX, OTHER, Receipt, receipt_document
from batchdrop.core.model.install import CommonWait
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.outcomes import NO_USAGE, Outcome, Usage
from batchdrop.core.model.reading import reading_words
from batchdrop.core.model.reasons import Reason, WaitingFor
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.model.wording import iso_time
from batchdrop.core.submission.common_waits import NOT_WAITING, concerns
from batchdrop.core.submission.shard_waits import shard_wait
from batchdrop.core.submission.waits import waited_reason

SCHEMA: Final = 1
# Enough to see what went wrong; the rest is in `outcomes.jsonl`.
NAMES_MAX: Final = 20
# Codes come from the provider: more codes than this count as OTHER.
REASONS_MAX: Final = 50

# A shard in one of these has a batch that may still be running or unread.
_AT_PROVIDER: Final = frozenset({ShardState.RUNNING, ShardState.HARVESTING})


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One result file, as it was written."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FailureCount:
    """How many items failed with one code, and the names of the first of them."""

    code: str
    count: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """What merging wrote and counted."""

    succeeded: int = 0
    failed: int = 0
    usage: Mapping[str, Usage] = field(default_factory=dict)  # by model
    failures: tuple[FailureCount, ...] = ()  # most frequent first; at most NAMES_MAX names in all
    files: tuple[WrittenFile, ...] = ()
    unreadable: Reason | None = None  # why there is no file in the upload's own format
    receipt: Receipt | None = None
    deduplicated: int = 0  # items whose request was not sent, because another one asked the same

    @property
    def items(self) -> int:
        """How many items have an outcome."""
        return self.succeeded + self.failed


class Observer(Protocol):
    """Sees every outcome of a job once, by row."""

    def add(self, run: OutcomeRun) -> None:
        """Take note of the outcomes of *run*."""


class Tally:
    """Counts outcomes as they pass, and shows them to *observers*. Bounded by codes, by models and by NAMES_MAX names."""

    def __init__(self, *observers: Observer) -> None:
        self.succeeded = 0
        self.deduplicated = 0
        self._observers = observers
        self._reasons: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}
        self._names_count = 0
        self._usage: dict[str, Usage] = {}

    @property
    def failed(self) -> int:
        """How many of the outcomes were failures."""
        return self._reasons.total()

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count *outcomes*, the next ones by row. Many at once cost less for each."""
        run = run_of(outcomes)
        for observer in self._observers:
            observer.add(run)
        for alike in run.alike:
            self._count(alike)
        for outcome, failure in run.failures[: NAMES_MAX - self._names_count]:
            code = bounded(failure.code, self._reasons, REASONS_MAX)
            self._names.setdefault(code, []).append(outcome.name)
            self._names_count += 1

    def _count(self, alike: Alike) -> None:
        """Count outcomes and their tokens, which are paid for even if the answer was of no use."""
        count = len(alike.outcomes)
        if alike.usages:
            model = bounded((alike.first.model or "-")[:MODEL_CHARS_MAX], self._usage, MODELS_MAX)
            self._usage[model] = self._usage.get(model, NO_USAGE) + usage_of_all(alike.usages)
        if alike.first.is_copy:
            self.deduplicated += count
        if alike.code is None:
            self.succeeded += count
        else:
            self._reasons[bounded(alike.code, self._reasons, REASONS_MAX)] += count

    def results(self, files: Iterable[WrittenFile], unreadable: Reason | None = None) -> Results:
        """Return the counts so far, with the *files* that were written meanwhile."""
        ordered = sorted(self._reasons.items(), key=lambda entry: (-entry[1], entry[0]))
        failures = tuple(FailureCount(code, count, tuple(self._names.get(code, ()))) for code, count in ordered)
        usage = dict(sorted(self._usage.items()))
        return Results(
            self.succeeded, self.failed, usage, failures, tuple(files), unreadable, deduplicated=self.deduplicated
        )


def bounded(name: str, known: Mapping[str, object], count_max: int) -> str:
    """Return *name*, or OTHER where it would be one more than *count_max* that are told apart."""
    return name if name in known or len(known) < count_max else OTHER


def status_document(
    job: Job,
    shards: Sequence[Shard],
    now: int,
    allowed_microdollars: int | None = None,
    *,
    wait: CommonWait | None = None,
    day: Reason | None = None,
) -> bytes:
    """Return `status.json`: the state of *job* at *now*, and how much it may cost.

    *wait* is the installation's, *day* what is said of a job that waits for another day's money.

    `planned` counts requests that are written, `sent` those that are at the provider or were answered.
    """
    answered = job.succeeded + job.failed - job.refused
    at_provider = sum(shard.items for shard in shards if shard.attempt.batch and shard.state in _AT_PROVIDER)
    states = Counter(shard.state.value for shard in shards)
    document = {
        **_identity(job),
        "state": job.state.value,
        "event": job.event or None,
        "counts": {
            "items": job.items,
            "planned": sum(group.lines for group in job.groups),
            "sent": answered - job.unsent + at_provider,
            "succeeded": job.succeeded,
            "failed": job.failed,
        },
        "shards": {state.value: states[state.value] for state in ShardState if states[state.value]},
        "waiting": _waiting(job, shards, wait, day),
        "cost": cost_document(job, allowed_microdollars),
        "reason": _reason(job.reason),
        "created_at": iso_time(job.created_at),
        "updated_at": iso_time(now),
        "ended_at": iso_time(job.ended_at),
    }
    return _document(document)


def summary_document(job: Job, shards: Iterable[Shard], results: Results) -> bytes:
    """Return `summary.json`: what became of *job*."""
    rows = sorted(shards, key=lambda shard: shard.number)
    document = {
        **_identity(job),
        "counts": {"items": results.items, "succeeded": results.succeeded, "failed": results.failed},
        "deduplicated": results.deduplicated,
        "usage": results.usage,
        "failures": [failure_document(failure) for failure in results.failures],
        "shards": [_shard(shard) for shard in rows],
        "files": [{"name": file.name, "size_bytes": file.size_bytes, "sha256": file.sha256} for file in results.files],
        "receipt": results.receipt and receipt_document(results.receipt),
        "estimate": _estimate(rows),
        "waited_for_room_seconds": job.waited_seconds,
        "duplicate_batches": [batch for shard in rows for batch in shard.duplicates],
        "upload_unreadable": _reason(results.unreadable),
        "created_at": iso_time(job.created_at),
        "last_batch_ended_at": iso_time(max((shard.attempt.batch_ended_at for shard in rows), default=0)),
    }
    return _document(document)


class _EndCounts(msgspec.Struct):
    succeeded: int
    failed: int


class _Summary(msgspec.Struct):
    counts: _EndCounts
    usage: dict[str, Usage]
    failures: list[FailureCount]
    files: list[WrittenFile]
    upload_unreadable: Reason | None
    receipt: Receipt | None = None
    deduplicated: int = 0


_summary_decoder = msgspec.json.Decoder(_Summary)


def results_of_summary(content: bytes) -> Results:
    """Return what `summary_document` was given, so that a notification can be written long after the merge."""
    summary = _summary_decoder.decode(content)
    return Results(
        summary.counts.succeeded,
        summary.counts.failed,
        summary.usage,
        tuple(summary.failures),
        tuple(summary.files),
        summary.upload_unreadable,
        summary.receipt,
        summary.deduplicated,
    )


def failure_document(failure: FailureCount) -> dict[str, object]:
    """Return one reason as it is in a summary and in a notification."""
    return {"code": failure.code, "count": failure.count, "names": list(failure.names)}


def _identity(job: Job) -> dict[str, object]:
    upload = {"bucket": job.bucket, "key": job.key, "version": job.version}
    return {
        "schema": SCHEMA, "job": job.id, "task": job.task, "upload": upload, "items": job.options.items.value,
        "read_as": read_as(job),
    }  # fmt: skip


def read_as(job: Job) -> str | None:
    """Return in words how the upload of *job* was read; None before any of it was."""
    if not job.plan.pages:
        return None
    return reading_words(Upload(job.bucket, job.key, job.version).extension, job.reading)


def _shard(shard: Shard) -> dict[str, object]:
    return {
        "number": shard.number,
        "endpoint": shard.endpoint,
        "model": shard.model,
        "estimated_tokens": shard.sent_tokens,
        "attempts": shard.attempt.number,
        "batches": list(shard.batches),
        "reason": _reason(shard.reason),
    }


def _waiting(
    job: Job, shards: Sequence[Shard], wait: CommonWait | None, day: Reason | None
) -> dict[str, object] | None:
    """Return what *job* waits for, since when, for quota of which models, and for a common wait its reason."""
    if wait and concerns(wait, job, shards):
        since = iso_time(max(wait.since, job.created_at))
        return {"for": wait.waits_for, "since": since, "reason": _reason(wait.reason)}
    if job.waiting.cause in NOT_WAITING:
        held_up = shard_wait(shards)
        if held_up is None:
            return None
        return {"for": held_up.waits_for, "since": iso_time(held_up.since), "reason": _reason(held_up.reason)}
    waiting: dict[str, object] = {"for": job.waiting.cause, "since": iso_time(job.waiting.since)}
    reason = day if job.waiting.cause == WaitingFor.DAILY_CAP else waited_reason(job)
    if reason:
        waiting |= {"reason": _reason(reason)}
    if job.waiting.cause != WaitingFor.QUOTA:
        return waiting
    models = {group.model for group in job.groups if group.cut_lines < group.lines}
    models |= {shard.model for shard in shards if shard.state is ShardState.WAITING}
    return waiting | {"models": sorted(models)}


def _estimate(shards: Sequence[Shard]) -> dict[str, object]:
    """Return what was expected of the items that the provider counted, and by how much that was wrong, in percent."""
    expected = sum(shard.expected_tokens for shard in shards)
    counted = sum(shard.counted_tokens for shard in shards)
    error = round(100 * (expected - counted) / counted, 1) if counted else None
    return {"expected_input_tokens": expected, "counted_input_tokens": counted, "error_percent": error}


def _reason(reason: Reason | None) -> dict[str, str] | None:
    return None if reason is None else {"code": reason.code, "message": reason.message}


def _document(document: Mapping[str, object]) -> bytes:
    """Return *document* as JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
