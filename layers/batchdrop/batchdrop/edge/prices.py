"""Looks up prices in those that genai-prices bundles: no network.

Rule: a price in a batch is one that the list names, or the share of the list price that the provider documents; where there
is neither it is unknown. The library is loaded by the first price that is asked for, never at a function's start: it takes
0.6 s of processor time and 90 MB.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from batchdrop.core.model.dialects import BatchPrice, Dialects
from batchdrop.core.model.prices import Price, PriceList, Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, TieredPrices

# How the library tells the price in a batch from the list price, for the models where it knows it.
_IN_BATCH: Final = {"processing": "batch"}
# What tokens of a kind are paid as: the first of these that the model has a price for.
_INPUT: Final = ("input_mtok",)
_CACHED: Final = ("cache_read_mtok", "input_mtok")
_CACHE_WRITE: Final = ("cache_write_mtok", "input_mtok")
_OUTPUT: Final = ("output_mtok",)


class BundledPrices:
    """The prices that came with the library. *dialects* says what a batch costs at whom."""

    def __init__(self, dialects: Dialects | None = None) -> None:
        self._dialects = dialects or Dialects()

    def price_list(self, model: str, base_url: str, at: int) -> PriceList | None:
        """Return what *model* costs in a batch at the server of *base_url* on the day of *at*; None if unknown."""
        from genai_prices import Usage, calc_price  # noqa: PLC0415  # the rule of this module

        nothing, day = Usage(), datetime.fromtimestamp(at, UTC)

        def prices(context: dict[str, str] | None) -> "ModelPrice":
            return calc_price(
                nothing, model, provider_api_url=base_url, genai_request_timestamp=day, price_context=context
            ).model_price

        try:
            listed, in_batch = prices(None), prices(_IN_BATCH)
        except LookupError:
            return None
        found = _price_list(listed, in_batch, self._dialects.of(base_url).batch_price)
        return found if any(rates.input or rates.output for rates in found.rates) else None


def _price_list(listed: "ModelPrice", in_batch: "ModelPrice", batch_price: BatchPrice | None) -> PriceList:
    cached = _CACHED if batch_price is None or batch_price.is_cache_discounted else _INPUT

    def price(names: tuple[str, ...], over_tokens: int) -> Price | None:
        dollars, batch_dollars = (_dollars(prices, names, over_tokens) for prices in (listed, in_batch))
        if dollars is None or batch_dollars is None:
            return None
        if batch_dollars != dollars:
            return Price(dollars, batch_dollars)
        # Where the library knows no price in a batch it gives the list price again.
        return None if batch_price is None else Price(dollars, dollars * batch_price.share)

    return PriceList(
        tuple(
            Rates(start, price(_INPUT, start), price(cached, start), price(_CACHE_WRITE, start), price(_OUTPUT, start))
            for start in sorted({0, *_starts(listed), *_starts(in_batch)})
        )
    )


def _starts(prices: "ModelPrice") -> Iterator[int]:
    """Yield the numbers of input tokens from which on another price holds."""
    for name in (*_CACHED, *_CACHE_WRITE, *_OUTPUT):
        price = getattr(prices, name)
        if price is not None and not isinstance(price, Decimal):
            yield from (tier.start for tier in price.tiers)


def _dollars(prices: "ModelPrice", names: tuple[str, ...], over_tokens: int) -> Decimal | None:
    """Return the first price of *names* that there is, of requests of more than *over_tokens* input tokens."""
    found = (getattr(prices, name) for name in names)
    price: Decimal | TieredPrices | None = next((price for price in found if price is not None), None)
    if price is None or isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= over_tokens), price.base)
