"""Defines what tokens cost: the list price, and the part of it that a batch pays.

Rule: sums are exact (Decimal dollars) and are rounded only where they are shown or stored, then up; a price that is not known
is None, never nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from batchdrop.core.model.outcomes import Usage

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens of one kind: as listed, and in a batch."""

    listed: Decimal
    batch: Decimal


@dataclass(frozen=True, slots=True)
class Rates:
    """The prices of requests with more than *over_tokens* input tokens; None for a kind that has no price."""

    over_tokens: int
    input: Price | None
    cached: Price | None
    cache_write: Price | None
    output: Price | None


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of one model, by the length of a request: from the shortest, which is over 0."""

    rates: tuple[Rates, ...]

    def rates_of(self, input_tokens: int) -> Rates:
        """Return the prices of a request with this many input tokens: one price holds for all of its tokens."""
        return next((rates for rates in reversed(self.rates) if input_tokens > rates.over_tokens), self.rates[0])

    def by_rates(self, usages: Sequence[Usage]) -> Iterable[tuple[Rates, Sequence[Usage]]]:
        """Return *usages*, each that of one request, by the prices that hold for it; there is none without usages."""
        if len(self.rates) == 1:  # nearly always, and asked for all items
            return [(self.rates[0], usages)]
        return [
            (rates, found)
            for rates in self.rates
            if (found := [usage for usage in usages if self.rates_of(usage.input_tokens) is rates])
        ]


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars: as listed, and what a batch pays."""

    listed: Decimal = Decimal(0)
    batch: Decimal = Decimal(0)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.listed + other.listed, self.batch + other.batch)


def kinds_of(usage: Usage) -> dict[str, int]:
    """Return the tokens of *usage* by the kind that they are paid as; each token once."""
    special = usage.cached_tokens + usage.cache_write_tokens
    return {
        "input": max(0, usage.input_tokens - special),
        "cached_input": usage.cached_tokens,
        "cache_write": usage.cache_write_tokens,
        "output": usage.output_tokens,
    }


def price_of(rates: Rates, kind: str) -> Price | None:
    """Return the price of a kind of `kinds_of`."""
    prices = {
        "input": rates.input,
        "cached_input": rates.cached,
        "cache_write": rates.cache_write,
        "output": rates.output,
    }
    return prices[kind]


def cost(prices: PriceList | None, usage: Usage, requests: int = 1) -> Cost | None:
    """Return what *usage* costs, None where a price is not known. Of several *requests* it is the sum; they count as alike."""
    if prices is None:
        return None
    rates = prices.rates_of(usage.input_tokens // max(1, requests))
    total = Cost()
    for kind, tokens in kinds_of(usage).items():
        if tokens:
            price = price_of(rates, kind)
            if price is None:
                return None
            total += cost_of_tokens(price, tokens)
    return total


def cost_of_tokens(price: Price, tokens: int) -> Cost:
    """Return what *tokens* of one kind cost."""
    return Cost(price.listed * tokens / MILLION, price.batch * tokens / MILLION)


def micro_dollars(dollars: Decimal) -> int:
    """Return whole millionths of a dollar, rounded up: what the ledger keeps."""
    return int((dollars * MILLION).to_integral_value(ROUND_CEILING))
