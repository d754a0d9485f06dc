"""Gathers what a report shows of a job's outcomes while they pass.

Rule: it keeps counts and a few examples, never a list that grows with the items: the same for a hundred as for a million.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from batchdrop.core.collection.outcome_groups import Alike, OutcomeRun
from batchdrop.core.delivery.summary import REASONS_MAX, bounded
from batchdrop.core.model.outcomes import NULL, Outcome
from batchdrop.core.model.shard import Shard
from batchdrop.core.model.wording import cut

ANSWERS_SHOWN_MAX: Final = 20
EXAMPLES_MAX: Final = 3  # of each reason
ENDS_MAX: Final = 20  # ways in which answers ended; their names come from the provider
# A longer record or answer is not decoded to be shown: its beginning is shown as it came.
DECODED_BYTES_MAX: Final = 200_000
TEXT_CHARS_MAX: Final = 1_500  # of an answer
VALUE_CHARS_MAX: Final = 400  # of one column of a record
COLUMNS_MAX: Final = 12
MESSAGE_CHARS_MAX: Final = 300
NAME_CHARS_MAX: Final = 200
END_CHARS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Text:
    """The beginning of a text, and how many characters of it are left out."""

    text: str
    left_out: int


@dataclass(frozen=True, slots=True)
class Example:
    """A failed item and why it failed."""

    name: str
    row: int
    message: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One of the first items: its record by columns, and its answer or why it failed."""

    name: str
    row: int
    record: Sequence[tuple[str, Text]]
    columns_left_out: int
    answer: Text
    finish: str  # empty where the answer ended as it should
    failure: str


@dataclass(slots=True)
class Facts:
    """An observer of the tally. *shards* has the number of the shard of each batch."""

    shards: Mapping[str, int]
    first: list[Shown] = field(default_factory=list)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    items_by_shard: Counter[int | None] = field(default_factory=Counter)  # None: never sent
    lengths: Counter[int] = field(default_factory=Counter)  # answers by the bit length of their tokens: 1, 2-3, 4-7, …
    output_tokens: int = 0
    longest_tokens: int = 0

    def add(self, run: OutcomeRun) -> None:
        """Count the outcomes of *run*, and keep the first as examples."""
        for alike in run.alike:
            self._count(alike)
        for outcome, failure in run.failures:
            examples = self.examples.setdefault(bounded(failure.code, self.examples, REASONS_MAX), [])
            if len(examples) < EXAMPLES_MAX:
                name, message = cut(outcome.name, NAME_CHARS_MAX), failure.message[:MESSAGE_CHARS_MAX]
                examples.append(Example(name, outcome.row, message))
        self.first.extend(map(_shown, run.outcomes[: ANSWERS_SHOWN_MAX - len(self.first)]))

    def _count(self, alike: Alike) -> None:
        """Count where outcomes come from, how they ended, and how long they are."""
        self.items_by_shard[self.shards.get(alike.first.batch_id or "")] += len(alike.outcomes)
        if alike.code is None:
            self.ends[bounded(alike.first.finish or "complete", self.ends, ENDS_MAX)] += len(alike.outcomes)
        lengths_tokens = [usage.output_tokens for usage in alike.usages if usage.output_tokens > 0]
        self.lengths.update(map(int.bit_length, lengths_tokens))
        self.output_tokens += sum(lengths_tokens)
        self.longest_tokens = max(self.longest_tokens, max(lengths_tokens, default=0))


def open_facts(shards: Iterable[Shard]) -> Facts:
    """Return facts of no outcomes yet."""
    return Facts({batch: shard.number for shard in shards for batch in (*shard.batches, shard.attempt.batch) if batch})


def _shown(outcome: Outcome) -> Shown:
    columns = _columns(outcome.record)
    return Shown(
        name=cut(outcome.name, NAME_CHARS_MAX),
        row=outcome.row,
        record=[(name[:VALUE_CHARS_MAX], _text(value, VALUE_CHARS_MAX)) for name, value in columns[:COLUMNS_MAX]],
        columns_left_out=max(0, len(columns) - COLUMNS_MAX),
        answer=_text(_spelled(outcome.output), TEXT_CHARS_MAX),
        finish="" if outcome.finish == "stop" else cut(outcome.finish or "", END_CHARS_MAX),
        failure=f"{outcome.error.code}: {outcome.error.message[:MESSAGE_CHARS_MAX]}" if outcome.error else "",
    )


def _text(text: str, chars_max: int) -> Text:
    return Text(text[:chars_max], max(0, len(text) - chars_max))


def _columns(record: msgspec.Raw) -> list[tuple[str, str]]:
    """Return a record by columns; one that is not an object is one column without a name."""
    if columns := _decoded(record, dict[str, msgspec.Raw]):
        return [(name, _spelled(value)) for name, value in columns.items()]
    return [] if record == NULL else [("", _spelled(record))]


def _spelled(raw: msgspec.Raw) -> str:
    """Return a JSON string as its text, anything else as JSON."""
    text = _decoded(raw, str)
    return bytes(memoryview(raw)[:DECODED_BYTES_MAX]).decode("utf-8", "replace") if text is None else text


def _decoded[T](raw: msgspec.Raw, kind: type[T]) -> T | None:
    """Return *raw* as a *kind*, or None where it is something else or too long."""
    try:
        return msgspec.json.decode(raw, type=kind) if len(memoryview(raw)) <= DECODED_BYTES_MAX else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
