"""What a report shows of a job's outcomes, gathered while they pass.

Rule: counts and a few examples, never a list that grows with the items: a million leave as little behind as a hundred.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from batchdrop.core.ledger_rows import Shard
from batchdrop.core.outcome_runs import Alike, OutcomeRun
from batchdrop.core.outcomes import NULL, Failure, Outcome
from batchdrop.core.receipt import OTHER
from batchdrop.core.summary import REASONS_MAX

ANSWERS_SHOWN_MAX: Final = 20
EXAMPLES_MAX: Final = 3  # of each reason
ENDS_MAX: Final = 20  # ways in which answers ended; their names come from the provider
# A record or an answer beyond this is not taken apart to be shown: its beginning stands as it came.
DECODED_BYTES_MAX: Final = 200_000
TEXT_CHARS_MAX: Final = 1_500  # of an answer
VALUE_CHARS_MAX: Final = 400  # of one column of a record
COLUMNS_MAX: Final = 12
MESSAGE_CHARS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Text:
    """The beginning of a text, and how much of it is left out."""

    text: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A failed item and why."""

    name: str
    row: int
    message: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One of the first items: its record by columns, and its answer or what failed."""

    name: str
    row: int
    record: Sequence[tuple[str, Text]]
    columns_left_out: int
    answer: Text
    finish: str | None
    failure: str | None


@dataclass(slots=True)
class Facts:
    """Gathers, as an observer of the tally. *shards* says which batch belongs to which shard."""

    shards: Mapping[str, int]
    first: list[Shown] = field(default_factory=list)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    items_by_shard: Counter[int] = field(default_factory=Counter)
    items_elsewhere: int = 0  # never sent
    # Answers by the bit length of their output tokens: 1, 2-3, 4-7, …
    lengths: Counter[int] = field(default_factory=Counter)
    output_tokens: int = 0
    longest_tokens: int = 0

    def add(self, run: OutcomeRun) -> None:
        """Take note of the outcomes of *run*."""
        for alike in run.alike:
            self._count(alike)
            self._measure([usage.output_tokens for usage in alike.usages if usage.output_tokens > 0])
        for outcome, failure in run.failures:
            self._add_example(outcome, failure)
        self.first.extend(map(_shown, run.outcomes[: ANSWERS_SHOWN_MAX - len(self.first)]))

    def _count(self, alike: Alike) -> None:
        """Count where outcomes come from, and how they ended."""
        count = len(alike.outcomes)
        shard = self.shards.get(alike.first.batch_id or "")
        if shard is None:
            self.items_elsewhere += count
        else:
            self.items_by_shard[shard] += count
        if alike.code is None:
            end = alike.first.finish or "complete"
            self.ends[end if end in self.ends or len(self.ends) < ENDS_MAX else OTHER] += count

    def _measure(self, lengths_tokens: Sequence[int]) -> None:
        self.lengths.update(map(int.bit_length, lengths_tokens))
        self.output_tokens += sum(lengths_tokens)
        self.longest_tokens = max(self.longest_tokens, max(lengths_tokens, default=0))

    def _add_example(self, outcome: Outcome, failure: Failure) -> None:
        code = failure.code
        if code not in self.examples and len(self.examples) >= REASONS_MAX:
            code = OTHER
        examples = self.examples.setdefault(code, [])
        if len(examples) < EXAMPLES_MAX:
            examples.append(Example(outcome.name, outcome.row, failure.message[:MESSAGE_CHARS_MAX]))


def open_facts(shards: Iterable[Shard]) -> Facts:
    """Return facts of nothing yet."""
    return Facts({batch: shard.number for shard in shards for batch in (*shard.batches, shard.batch) if batch})


def _shown(outcome: Outcome) -> Shown:
    columns = _columns(outcome.record)
    return Shown(
        name=outcome.name,
        row=outcome.row,
        record=[(name[:VALUE_CHARS_MAX], _cut(value, VALUE_CHARS_MAX)) for name, value in columns[:COLUMNS_MAX]],
        columns_left_out=max(0, len(columns) - COLUMNS_MAX),
        answer=_cut(_spelled(outcome.output), TEXT_CHARS_MAX),
        finish=outcome.finish,
        failure=f"{outcome.error.code}: {outcome.error.message[:MESSAGE_CHARS_MAX]}" if outcome.error else None,
    )


def _columns(record: msgspec.Raw) -> list[tuple[str, str]]:
    """Return a record by columns; one that is no object is one column without a name."""
    if record == NULL:
        return []
    if len(memoryview(record)) <= DECODED_BYTES_MAX:
        try:
            columns = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, RecursionError):
            columns = {}
        if columns:
            return [(name, _spelled(value)) for name, value in columns.items()]
    return [("", _spelled(record))]


def _spelled(raw: msgspec.Raw) -> str:
    """Return a JSON text as the text that it is, anything else as JSON."""
    content = memoryview(raw)
    if len(content) <= DECODED_BYTES_MAX and bytes(content[:1]) == b'"':
        try:
            return msgspec.json.decode(raw, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return bytes(content[:DECODED_BYTES_MAX]).decode("utf-8", "replace")


def _cut(text: str, chars_max: int) -> Text:
    return Text(text[:chars_max], max(0, len(text) - chars_max))
