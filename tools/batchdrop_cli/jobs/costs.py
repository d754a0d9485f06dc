"""What jobs cost, read off the receipts in their `summary.json`.

Rule: what is not known is called unknown, and what was left out is said: a sum never looks more complete than it is.
Receipts are read tolerantly, since the stack may be newer than this command.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from batchdrop.core.delivery.receipt import Receipt
from batchdrop_cli.jobs.status import JobStatus, UploadNames, status_below, walk
from batchdrop_cli.stack import Connection

# Kinds of tokens that are a model's input.
INPUT_KINDS = frozenset({"input", "cached_input", "cache_write", "embedding"})


class Summary(msgspec.Struct, frozen=True):
    """What `summary.json` tells of a job, as far as it is about money."""

    job: str
    upload: UploadNames
    task: str = "-"
    receipt: Receipt | None = None
    created_at: str | None = None
    last_batch_ended_at: str | None = None

    @property
    def ended_at(self) -> str:
        """When its last batch ended, or else when it was dropped: which month pays for it."""
        return self.last_batch_ended_at or self.created_at or ""


class NotOver(msgspec.Struct, frozen=True):
    """A job without a summary: one that runs, or one that was rejected and cost nothing."""

    status: JobStatus


class Unreadable(msgspec.Struct, frozen=True):
    """A summary that is none, at *key*."""

    key: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What one model of one job cost. *dollars* is None where any of it is not known; *known* is the rest."""

    summary: Summary
    model: str
    tokens: Counter[str]  # by kind
    list_dollars: Decimal
    known: Decimal
    unknown: str = ""

    @property
    def dollars(self) -> Decimal | None:
        """What it cost; None where that is not known."""
        return None if self.unknown else self.known


@dataclass(slots=True)
class Costs:
    """All that was found: entries, the latest first, and what is in none."""

    entries: list[Entry] = field(default_factory=list)
    running: int = 0
    without_receipt: int = 0
    unreadable: list[str] = field(default_factory=list)


def read_costs(connection: Connection, month: str | None) -> Costs:
    """Return what the jobs that ended in *month* cost (such as 2026-11, in UTC); None is all that there are."""
    costs = Costs()
    for found in walk(connection, lambda folder: _read(connection, folder)):
        match found:
            case Summary() if month is not None and not found.ended_at.startswith(f"{month}-"):
                continue
            case Summary(receipt=Receipt() as receipt):
                costs.entries += _entries(found, receipt)
            case Summary():
                costs.without_receipt += 1
            case NotOver():
                costs.running += found.status.event is None
            case Unreadable():
                costs.unreadable.append(found.key)
    costs.entries.sort(key=lambda entry: (entry.summary.ended_at, entry.summary.job, entry.model), reverse=True)
    return costs


def _read(connection: Connection, folder: str) -> Summary | NotOver | Unreadable | None:
    key = f"{folder}summary.json"
    content = connection.read(connection.results_bucket, key)
    if content is None:
        status = status_below(connection, folder)
        return None if status is None else NotOver(status)
    try:
        return msgspec.json.decode(content, type=Summary)
    except msgspec.DecodeError:
        return Unreadable(key)


def _entries(summary: Summary, receipt: Receipt) -> Iterator[Entry]:
    """Yield an entry for each model, and one for what no model can be named for."""
    for model in dict.fromkeys(line.model for line in receipt.lines):
        lines = [line for line in receipt.lines if line.model == model]
        tokens = Counter[str]()
        for line in lines:
            tokens[line.kind] += line.tokens
        has_price = all(line.dollars is not None for line in lines)
        yield Entry(
            summary, model, tokens,
            list_dollars=sum((line.list_dollars or Decimal(0) for line in lines), Decimal(0)),
            known=sum((line.dollars or Decimal(0) for line in lines), Decimal(0)),
            unknown="" if has_price else "price",
        )  # fmt: skip
    others = [f"{unknown.what} ({unknown.count:,})" for unknown in receipt.unknown if not unknown.model]
    if others:
        yield Entry(summary, "", Counter(), Decimal(0), Decimal(0), ", ".join(others))


@dataclass(frozen=True, slots=True)
class Total:
    """What one model cost over all jobs."""

    model: str
    jobs: int
    tokens: Counter[str]
    known: Decimal
    is_complete: bool


def totals(entries: Sequence[Entry]) -> list[Total]:
    """Return the totals by model, the dearest first, and then that of everything, whose model is empty."""
    models = {entry.model for entry in entries if entry.model}
    by_model = [_total(model, [entry for entry in entries if entry.model == model]) for model in models]
    return [*sorted(by_model, key=lambda total: (-total.known, total.model)), _total("", entries)]


def _total(model: str, entries: Iterable[Entry]) -> Total:
    tokens, known, jobs, is_complete = Counter[str](), Decimal(0), set[str](), True
    for entry in entries:
        tokens += entry.tokens
        known += entry.known
        jobs.add(entry.summary.job)
        is_complete = is_complete and not entry.unknown
    return Total(model, len(jobs), tokens, known, is_complete)
