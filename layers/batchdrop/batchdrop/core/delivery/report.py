"""Prepares what the report of a job shows: a page for people that opens from a download.

Rule: everything here is a value; `report.html.j2` lays it out. Equal facts give equal bytes, fewer than REPORT_BYTES_MAX
however many items there were.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from batchdrop.core.delivery.advice import meaning
from batchdrop.core.delivery.receipt import Receipt
from batchdrop.core.delivery.receipt_text import KINDS, parts, rate, sums, unknown_words
from batchdrop.core.delivery.report_charts import Curve, curve, durations, lengths, share
from batchdrop.core.delivery.report_facts import END_CHARS_MAX, NAME_CHARS_MAX, Facts
from batchdrop.core.delivery.summary import Results, read_as
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import NO_TASK
from batchdrop.core.model.money import money, places_of
from batchdrop.core.model.shard import Shard
from batchdrop.core.model.wording import cut, iso_time, seconds_in_words

CONTENT_TYPE: Final = "text/html; charset=utf-8"
# The sum of the limits on facts, with each character at its longest escape; a usual report has 60 KB.
REPORT_BYTES_MAX: Final = 4_000_000
_KEY_CHARS_MAX: Final = 300
_CAUSE_CHARS_MAX: Final = 600
_LINES_MAX: Final = 60  # of the receipt; the summary has all


def report_values(job: Job, shards: Sequence[Shard], results: Results, facts: Facts) -> Mapping[str, object]:
    """Return what `report.html` shows, under the names of the template: what became of *job*, and examples of its items."""
    steps = sorted(
        (shard.attempt.batch_ended_at, facts.items_by_shard[shard.number])
        for shard in shards
        if shard.attempt.batch_ended_at
    )
    ends = sorted(facts.ends.items(), key=lambda entry: (-entry[1], entry[0]))
    ended_at, usages = steps[-1][0] if steps else 0, results.usage.values()
    return {
        "read_as": read_as(job),
        "file": cut(job.key.removeprefix("inbox/"), _KEY_CHARS_MAX),
        "job": job.id,
        "task": "" if job.task == NO_TASK else cut(job.task, NAME_CHARS_MAX),
        "is_cancelled": bool(job.cancelled_at),
        "dropped": _when(job.created_at),
        "ended": _when(ended_at) if ended_at else "",
        "took": seconds_in_words(ended_at - job.created_at),
        "unreadable": cut(results.unreadable.message, _CAUSE_CHARS_MAX) if results.unreadable else "",
        "results": results,
        "tokens_in": _short(sum(usage.input_tokens for usage in usages)),
        "tokens_out": _short(sum(usage.output_tokens for usage in usages)),
        "ends": [(cut(end, END_CHARS_MAX), count) for end, count in ends],
        "batches": len(steps),
        "progress": _progress(steps, job.created_at, results.items, facts.items_by_shard[None]),
        "reasons": [
            {"code": failure.code, "count": failure.count, "share": share(failure.count, results.failed),
             "meaning": meaning(failure.code), "examples": facts.examples.get(failure.code, ())}
            for failure in results.failures
        ],
        "receipt": results.receipt and _receipt(results.receipt),
        "histograms": [*lengths(facts), *durations(shards)],
        "first": facts.first,
    }  # fmt: skip


def _when(seconds: int) -> str:
    return (iso_time(seconds) or "never").replace("T", " ").replace("Z", " UTC")


def _short(count: int) -> str:
    """Return a count in at most four digits."""
    units = ((10**9, 10**9, "G"), (10**6, 10**6, "M"), (10**4, 10**3, "k"))
    return next((f"{count / size:.1f} {unit}" for least, size, unit in units if count >= least), f"{count:,}")


def _progress(steps: Sequence[tuple[int, int]], created_at: int, items: int, never_sent: int) -> Curve | None:
    """Return how many items had their outcome by the time at which each batch ended."""
    points = [(0, never_sent)]
    for ended_at, count in steps:
        points.append((ended_at - created_at, points[-1][1] + count))
    return curve(points, items) if steps else None


def _receipt(receipt: Receipt) -> Mapping[str, object]:
    places, lines = places_of(receipt.list_dollars), receipt.lines[:_LINES_MAX]
    return {
        "number": receipt.number,
        "total": _total(receipt),
        "lines": [
            {"model": line.model, "kind": KINDS[line.kind], "tokens": line.tokens, "rate": rate(line).removeprefix("at "),
             "list": money(line.list_dollars, places), "batch": money(line.dollars, places)}
            for line in lines
        ],
        "left_out": len(receipt.lines) - len(lines),
        "sums": list(sums(receipt)),
        "parts": list(parts(receipt)),
        "unknown": [unknown_words(one) for one in receipt.unknown[:_LINES_MAX]],
    }  # fmt: skip


def _total(receipt: Receipt) -> str:
    """Return the total with enough decimal places for a glance; the receipt has the others."""
    total = receipt.total_dollars
    places = next((places for least, places in ((1, 2), (Decimal("0.01"), 4)) if total and total >= least), 6)
    return money(total, places) + (" + ?" if receipt.unknown and total is not None else "")
