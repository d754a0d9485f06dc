"""A price list of the tests' own, so that no test depends on what a provider asks today."""

from collections.abc import Mapping
from decimal import Decimal

from batchdrop.core.model.dialects import HALF
from batchdrop.core.model.prices import Price, PriceList, Rates


def listed(dollars: str) -> Price:
    """A list price, and half of it in a batch."""
    return Price(Decimal(dollars), Decimal(dollars) * HALF)


def flat(input_dollars: str, output_dollars: str | None = None, cached_dollars: str | None = None) -> PriceList:
    """The prices of a model whose long requests cost the same as short ones."""
    input_price = listed(input_dollars)
    cached = listed(cached_dollars) if cached_dollars else input_price
    output = listed(output_dollars) if output_dollars else None
    return PriceList((Rates(0, input_price, cached, input_price, output),))


TABLE: Mapping[str, PriceList] = {
    "gpt-4.1-mini": flat("0.40", "1.60", "0.10"),
    "gpt-4.1-mini-2025-04-14": flat("0.40", "1.60", "0.10"),
    "text-embedding-3-small": flat("0.02"),
}


class TablePrices:
    """The prices of `TABLE`, whoever serves them."""

    def __init__(self, table: Mapping[str, PriceList] = TABLE) -> None:
        self.table = table

    def price_list(self, model: str, base_url: str, at: int) -> PriceList | None:  # noqa: ARG002  the port's shape
        """Return the prices of *model*."""
        return self.table.get(model)
