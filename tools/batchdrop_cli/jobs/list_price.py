"""A receipt at another server's list prices: what the same tokens would have cost there."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from batchdrop.core.delivery.receipt import Line, PriceLookup, Receipt
from batchdrop.core.model.prices import cost_of_tokens, price_of


def at_list_price(receipt: Receipt, base_url: str, prices: PriceLookup) -> Receipt:
    """Return *receipt* as if the server of *base_url* had counted its tokens; as it is where a price isn't known there."""
    lines = tuple(_priced(receipt.lines, base_url, prices))
    listed = [line.list_dollars for line in lines if line.list_dollars is not None]
    paid = [line.dollars for line in lines if line.dollars is not None]
    if len(paid) < len(lines):
        return receipt
    total, total_listed = sum(paid, Decimal(0)), sum(listed, Decimal(0))
    unknown = tuple(one for one in receipt.unknown if one.what != "price")
    return replace(
        receipt, lines=lines, list_dollars=total_listed, discount_dollars=total_listed - total, total_dollars=total,
        unknown=unknown,
    )  # fmt: skip


def _priced(lines: tuple[Line, ...], base_url: str, prices: PriceLookup) -> Iterator[Line]:
    for line in lines:
        known = prices(line.model, base_url)
        price = price_of(known.rates_of(line.over_tokens + 1), line.kind) if known else None
        if price is None:
            yield line
            continue
        cost = cost_of_tokens(price, line.tokens)
        yield replace(line, dollars_per_million=price.listed, list_dollars=cost.listed, dollars=cost.batch)
