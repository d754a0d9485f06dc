"""Writes a receipt as lines for a person.

Rule: all amounts of one receipt have the same number of digits, enough for the smallest bill. Unknown amounts are listed below
the total, by name.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

from batchdrop.core.delivery.receipt import Line, Receipt, Unknown
from batchdrop.core.model.money import money, places_of, rate_words

# A notification is for reading; the summary has every line.
LINES_SHOWN_MAX: Final = 60
KINDS: Final[Mapping[str, str]] = {
    "input": "input",
    "cached_input": "cached input",
    "cache_write": "cache write",
    "output": "output",
    "embedding": "embedding",
}
_LABEL_CHARS: Final = 58


def rate(line: Line) -> str:
    """Return what a million tokens of *line* cost, in words."""
    if line.dollars_per_million is None:
        return "at a price that is not known"
    long = f", requests over {line.over_tokens:,}" if line.over_tokens else ""
    return f"at {rate_words(line.dollars_per_million)} a million{long}"


def receipt_lines(receipt: Receipt) -> Iterator[str]:
    """Yield *receipt* in lines of less than 80 characters, but for the names of models."""
    places = places_of(receipt.list_dollars)
    yield f"Receipt {receipt.number}"
    yield f"  ordered {receipt.ordered_at}, finished {receipt.finished_at or 'before anything was sent'}"
    shown = receipt.lines[:LINES_SHOWN_MAX]
    for model, lines in groupby(shown, key=lambda line: line.model):
        yield f"  {model}"
        for line in lines:
            label = f"    {KINDS[line.kind]}: {line.tokens:,} tokens {rate(line)}"
            yield _aligned(label, money(line.list_dollars, places))
    if len(receipt.lines) > len(shown):
        yield f"  and {len(receipt.lines) - len(shown):,} more lines, which are in summary.json"
    yield from (_aligned(f"  {label}", amount) for label, amount in (*sums(receipt), *parts(receipt)))
    unknown = receipt.unknown[:LINES_SHOWN_MAX]
    if unknown:
        yield "  Unknown, and not in the total:"
        yield from (f"    {unknown_words(one)}" for one in unknown)
    yield "  At list prices, from what the provider counted; its own bill is what counts."


def sums(receipt: Receipt) -> Iterator[tuple[str, str]]:
    """Yield the sums below the lines, the total last."""
    if receipt.total_dollars is None or receipt.discount_dollars is None:
        yield "Total, US dollars", "unknown"
        return
    places = places_of(receipt.list_dollars)
    yield "List price", money(receipt.list_dollars, places)
    yield "Batch discount", money(-receipt.discount_dollars, places)
    yield f"Total{' of what is known' if receipt.unknown else ''}, US dollars", money(receipt.total_dollars, places)


def parts(receipt: Receipt) -> Iterator[tuple[str, str]]:
    """Yield what is below the total: how much of it bought no usable answer, and what was saved and isn't in it."""
    places = places_of(receipt.list_dollars)
    if receipt.failed_items:
        failed = money(receipt.failed_dollars, places)
        yield f"Of this, items that failed although answered: {receipt.failed_items:,}", failed
    if receipt.deduplicated_items:
        saved = money(receipt.deduplicated_dollars, places)
        yield f"Saved, items that asked the same as another: {receipt.deduplicated_items:,}", saved


def unknown_words(unknown: Unknown) -> str:
    """Return what is not known, in words."""
    return _UNKNOWN[unknown.what].format(count=unknown.count, model=unknown.model)


_UNKNOWN: Final[Mapping[str, str]] = {
    "price": "tokens of {model}, whose price in a batch is not known: {count:,}",
    "usage": "answers that came without a count of their tokens: {count:,}",
    "answers": "items that may have been answered and paid, though no answer was seen: {count:,}",
    "duplicate_batches": "batches that ran beside those that count: {count:,}",
}


def _aligned(label: str, amount: str) -> str:
    return f"{label:<{_LABEL_CHARS}} {amount:>14}"
