"""Adds up the receipt of a job: what the provider counted, at list prices, less the discount of a batch.

Rule: a receipt only uses what was reported for each answer. Unknown amounts are listed as unknown and not added up. The
provider's bill is what counts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import msgspec

from batchdrop.core.collection.bodies import usage_of_response
from batchdrop.core.collection.outcome_groups import Alike, OutcomeRun, usage_of_all
from batchdrop.core.model.dialects import Dialects
from batchdrop.core.model.endpoints import Shape, endpoint_of
from batchdrop.core.model.job import Job
from batchdrop.core.model.outcomes import NO_USAGE, Usage
from batchdrop.core.model.prices import Cost, PriceList, Rates, cost_of_tokens, kinds_of, price_of
from batchdrop.core.model.shard import Shard
from batchdrop.core.model.wording import iso_time

# Model names come from the provider: more names than this count as OTHER, without a price.
MODELS_MAX: Final = 100
MODEL_CHARS_MAX: Final = 100
OTHER: Final = "other"

# Items that failed with these may have been answered, and so paid for, although we saw no answer.
_UNSEEN: Final = frozenset(
    {"answers_missing", "answers_gone", "batch_gone", "batch_stuck", "submission_unknown", "unreachable"}
)

type PriceLookup = Callable[[str, str], PriceList | None]  # by model and base URL


@dataclass(frozen=True, slots=True)
class Line:
    """Tokens of one kind of one model. Dollars are None where the price is not known."""

    model: str
    kind: str  # input, cached_input, cache_write, output or embedding
    over_tokens: int  # the price is that of requests with more input tokens than this
    tokens: int
    dollars_per_million: Decimal | None
    list_dollars: Decimal | None
    dollars: Decimal | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """An unknown amount that isn't added up, and its count: of tokens, answers, items or batches."""

    what: str  # price, usage, answers or duplicate_batches
    count: int
    model: str = ""  # of a price


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a job cost. Dollars are exact sums of the known amounts; None if no amount is known."""

    number: str
    ordered_at: str | None  # ISO 8601 in UTC, as `finished_at`
    finished_at: str | None  # when its last batch ended
    lines: tuple[Line, ...] = ()
    list_dollars: Decimal | None = Decimal(0)
    discount_dollars: Decimal | None = Decimal(0)
    total_dollars: Decimal | None = Decimal(0)
    # Of the total: answers that were paid for and of no use.
    failed_items: int = 0
    failed_dollars: Decimal | None = Decimal(0)
    # Not in the total: items whose request was not sent because they share another item's answer, and what that saved.
    deduplicated_items: int = 0
    deduplicated_dollars: Decimal | None = Decimal(0)
    unknown: tuple[Unknown, ...] = ()


@dataclass(frozen=True, slots=True)
class _BatchOrigin:
    """Where a batch ran."""

    endpoint: str
    base_url: str
    is_free: bool = False  # then answers report no tokens


@dataclass(slots=True)
class _Account:
    """Tokens that have the same prices."""

    rates: Rates | None
    usage: Usage = NO_USAGE
    failed_usage: Usage = NO_USAGE
    saved_usage: Usage = NO_USAGE


@dataclass(slots=True)
class Bill:
    """Adds up what outcomes cost, as they pass. Bounded by the number of models, and of batches.

    *prices* is asked once for each model that used tokens, so that a job without answers needs no price.
    """

    job: Job
    finished_at: int
    prices: PriceLookup
    sources: Mapping[str, _BatchOrigin]  # by batch
    duplicate_batches: int
    _accounts: dict[tuple[str, str, str, int], _Account] = field(default_factory=dict)
    _price_lists: dict[tuple[str, str, str], PriceList | None] = field(default_factory=dict)
    _failed_items: int = 0
    _copies: int = 0
    _uncounted: int = 0
    _unseen: int = 0

    def add(self, run: OutcomeRun) -> None:
        """Count the outcomes of *run*, with their tokens."""
        for alike in run.alike:
            source = self.sources.get(alike.first.batch_id or "", _NOWHERE)
            if alike.first.is_copy:
                self._add_copies(alike, source)
            elif alike.usages:
                self._add_counted(alike, source)
            else:
                self._add_uncounted(alike, source)

    def _add_counted(self, alike: Alike, source: _BatchOrigin) -> None:
        is_failed = alike.code is not None
        self._failed_items += len(alike.outcomes) * is_failed
        for account, usage in self._charges(alike.first.model, source, alike.usages):
            account.usage += usage
            if is_failed:
                account.failed_usage += usage

    def _add_uncounted(self, alike: Alike, source: _BatchOrigin) -> None:
        is_answered = (alike.first.status_code or 0) // 100 == 2  # noqa: PLR2004  the 2 of "2xx"
        self._uncounted += len(alike.outcomes) * (is_answered and not source.is_free)
        self._unseen += len(alike.outcomes) * (alike.code in _UNSEEN)

    def _add_copies(self, alike: Alike, source: _BatchOrigin) -> None:
        self._copies += len(alike.outcomes)
        saved = [usage for copy in alike.outcomes if (usage := usage_of_response(copy.response)) is not None]
        if saved:
            for account, usage in self._charges(alike.first.model, source, saved):
                account.saved_usage += usage

    def _charges(
        self, model: str | None, source: _BatchOrigin, usages: Sequence[Usage]
    ) -> Iterator[tuple[_Account, Usage]]:
        """Yield the sums of *usages*, one a request, each with the place where tokens of its price are added up."""
        known = ((model or "-")[:MODEL_CHARS_MAX], source.endpoint, source.base_url)
        if known not in self._price_lists:
            if len(self._price_lists) >= MODELS_MAX:
                known = (OTHER, "", "")
            self._price_lists[known] = self._prices_of(*known)
        prices = self._price_lists[known]
        for rates, of_rates in prices.by_rates(usages) if prices else [(None, usages)]:
            key = (*known, rates.over_tokens if rates else 0)
            yield self._accounts.setdefault(key, _Account(rates)), usage_of_all(of_rates)

    def _prices_of(self, model: str, endpoint: str, base_url: str) -> PriceList | None:
        return None if not base_url or not endpoint_of(endpoint).is_receipted else self.prices(model, base_url)

    def receipt(self) -> Receipt:
        """Return the receipt of what has passed."""
        total, failed, saved = _Sum(), _Sum(), _Sum()
        lines: list[Line] = []
        for (model, endpoint, _, _), account in sorted(self._accounts.items(), key=lambda entry: entry[0]):
            failed.add(account.rates, account.failed_usage)
            saved.add(account.rates, account.saved_usage)
            total.add(account.rates, account.usage)
            lines.extend(_lines(model, endpoint, account))
        unknown = tuple(self._unknown(lines))
        total.has_unknown = bool(unknown)
        paid = total.known()
        return Receipt(
            number_of(self.job.id),
            iso_time(self.job.created_at),
            iso_time(self.finished_at),
            tuple(lines),
            list_dollars=None if paid is None else paid.listed,
            discount_dollars=None if paid is None else paid.listed - paid.batch,
            total_dollars=total.batch_dollars(),
            failed_items=self._failed_items,
            failed_dollars=failed.batch_dollars(),
            deduplicated_items=self._copies,
            deduplicated_dollars=saved.batch_dollars(),
            unknown=unknown,
        )

    def _unknown(self, lines: Iterable[Line]) -> Iterator[Unknown]:
        tokens: dict[str, int] = {}
        for line in lines:
            if line.dollars is None:
                tokens[line.model] = tokens.get(line.model, 0) + line.tokens
        yield from (Unknown("price", count, model) for model, count in tokens.items())
        counts = {"usage": self._uncounted, "answers": self._unseen, "duplicate_batches": self.duplicate_batches}
        yield from (Unknown(what, count) for what, count in counts.items() if count)


_NOWHERE = _BatchOrigin("", "")


def open_bill(job: Job, shards: Sequence[Shard], prices: PriceLookup, dialects: Dialects | None = None) -> Bill:
    """Return a bill with nothing on it, for the outcomes of *job*, whose batches were those of *shards*."""
    known = dialects or Dialects()
    sources: dict[str, _BatchOrigin] = {}
    for shard in shards:
        for batch in (*shard.batches, shard.attempt.batch):
            is_free = shard.endpoint in known.of(shard.base_url).free_endpoints
            sources[batch] = _BatchOrigin(shard.endpoint, shard.base_url, is_free)
    sources.pop("", None)
    finished_at = max((shard.attempt.batch_ended_at for shard in shards), default=0)
    return Bill(job, finished_at, prices, sources, sum(len(shard.duplicates) for shard in shards))


def number_of(job: str) -> str:
    """Return the number of the receipt of the job with this id: a job has one."""
    return f"BD-{job}"


@dataclass(slots=True)
class _Sum:
    """What tokens cost, as far as it is known. If nothing is known, that is None and not zero."""

    cost: Cost = field(default_factory=Cost)
    has_known: bool = False
    has_unknown: bool = False

    def add(self, rates: Rates | None, usage: Usage) -> None:
        """Add what *usage* costs."""
        for kind, tokens in kinds_of(usage).items():
            price = price_of(rates, kind) if rates else None
            if tokens and price is None:
                self.has_unknown = True
            elif tokens and price is not None:
                self.cost, self.has_known = self.cost + cost_of_tokens(price, tokens), True

    def known(self) -> Cost | None:
        """Return the sum of the known amounts; None if all amounts are unknown."""
        return None if self.has_unknown and not self.has_known else self.cost

    def batch_dollars(self) -> Decimal | None:
        """Return what is paid of the sum."""
        known = self.known()
        return None if known is None else known.batch


def _lines(model: str, endpoint: str, account: _Account) -> Iterator[Line]:
    """Yield a line for each kind of tokens that there are."""
    rates = account.rates
    for kind, tokens in kinds_of(account.usage).items():
        if not tokens:
            continue
        name = "embedding" if endpoint_of(endpoint).shape is Shape.EMBEDDINGS and kind == "input" else kind
        price = price_of(rates, kind) if rates else None
        paid = cost_of_tokens(price, tokens) if price else None
        yield Line(
            model, name, rates.over_tokens if rates else 0, tokens,
            dollars_per_million=price.listed if price else None,
            list_dollars=paid.listed if paid else None,
            dollars=paid.batch if paid else None,
        )  # fmt: skip


# ------------------------------------------------------------------ as JSON


def receipt_document(receipt: Receipt) -> dict[str, object]:
    """Return *receipt* as it is in a summary. Dollars are decimal numbers in strings, because floats lose digits."""
    document: dict[str, object] = msgspec.to_builtins(receipt, builtin_types=(Decimal,))
    return {"number": document.pop("number"), "currency": "USD"} | {
        name: [_spelled(entry) for entry in value] if isinstance(value, tuple | list) else _digits(value)
        for name, value in document.items()
    }


def _spelled(entry: Mapping[str, object]) -> dict[str, object]:
    return {name: _digits(value) for name, value in entry.items()}


def _digits(value: object) -> object:
    """Return every digit of dollars, at least two after the point; anything else unchanged."""
    if not isinstance(value, Decimal):
        return value
    whole, _, rest = format(value, "f").partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"
