"""Prepares the numbers of a report's charts, which the template draws as SVG beside the same figures as text."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from batchdrop.core.delivery.report_facts import Facts
from batchdrop.core.model.limits import DAY, HOUR, MINUTE
from batchdrop.core.model.shard import Shard
from batchdrop.core.model.wording import seconds_in_words

# A screen cannot show more steps than this.
POINTS_MAX: Final = 200
_WIDTH: Final = 1_000
_HEIGHT: Final = 100
_SHARES: Final = ((25, "a quarter"), (50, "half"), (75, "three quarters"), (100, "all"))
# https://developers.openai.com/api/docs/guides/batch (2026-09-26): a batch has 24 hours.
_DURATIONS: Final = (10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, DAY)


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of steps as the path of an SVG."""

    path: str
    span: str  # its width, in words
    reached: Sequence[tuple[str, str]]  # a share of the whole, and after how long it was done


def curve(points: Sequence[tuple[int, int]], whole: int) -> Curve:
    """Return the curve of *points*: seconds, and how many of *whole* were done after them. The points ascend."""
    span, step = max(1, points[-1][0]), -(-len(points) // POINTS_MAX)
    path = f"M0,{_HEIGHT}"
    for seconds, done in (*points[:-1:step], points[-1]):
        x, y = _WIDTH * max(0, seconds) / span, _HEIGHT - _HEIGHT * done / max(1, whole)
        path += f"H{round(x, 1)}V{round(y, 1)}"
    counts = [done for _, done in points]
    found = [(words, bisect_left(counts, (percent * whole + 99) // 100)) for percent, words in _SHARES]
    reached = [(words, seconds_in_words(points[place][0])) for words, place in found if place < len(points)]
    return Curve(f"{path}H{_WIDTH}", seconds_in_words(span), reached)


def share(count: int, whole: int) -> str:
    """Return how much *count* is of *whole*, as a length in SVG."""
    return f"{100 * count / whole:.2f}%" if whole else "0%"


def lengths(facts: Facts) -> Iterator[Mapping[str, object]]:
    """Yield a histogram of how long answers are, if there are any."""
    if facts.lengths:
        edges = [(2**bit, facts.lengths[bit + 1]) for bit in range(min(facts.lengths) - 1, max(facts.lengths))]
        rows = [(f"{edge:,} to {2 * edge - 1:,}" if edge > 1 else "1", count) for edge, count in edges]
        mean = Decimal(facts.output_tokens) / facts.lengths.total()
        yield _histogram("Answers, in output tokens", rows, f"Mean {mean:,.1f}, longest {facts.longest_tokens:,}.")


def durations(shards: Sequence[Shard]) -> Iterator[Mapping[str, object]]:
    """Yield a histogram of how long batches took, if any ended."""
    taken = [
        shard.attempt.batch_ended_at - shard.attempt.file.intent_at
        for shard in shards
        if shard.attempt.batch_ended_at > shard.attempt.file.intent_at > 0
    ]
    if taken:
        counts = Counter(bisect_right(_DURATIONS, seconds) for seconds in taken)
        edges = [seconds_in_words(edge) for edge in _DURATIONS]
        labels = [f"under {edges[0]}", *map("{} to {}".format, edges, edges[1:]), f"{edges[-1]} and more"]
        rows = [(labels[number], counts[number]) for number in range(min(counts), max(counts) + 1)]
        mean = seconds_in_words(sum(taken) // len(taken))
        words = f"From the create to the end; of items that were sent again, the last. Mean {mean}."
        yield _histogram("Batches", rows, words)


def _histogram(title: str, rows: Sequence[tuple[str, int]], words: str) -> Mapping[str, object]:
    most = max(count for _, count in rows)
    return {"title": title, "rows": [(label, share(count, most), count) for label, count in rows], "words": words}
