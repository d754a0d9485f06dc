"""A receipt of simulated answers, at the prices of the provider that is imitated."""

from dataclasses import replace
from decimal import Decimal

from batchdrop.core.delivery.receipt import Line, Receipt, Unknown
from batchdrop.core.model.prices import Price, PriceList, Rates
from batchdrop_cli.jobs.list_price import at_list_price

PRICES = PriceList((Rates(0, Price(Decimal(4), Decimal(2)), None, None, Price(Decimal(8), Decimal(4))),))
UNPRICED = Receipt(
    "BD-1", None, None,
    lines=tuple(Line("m", kind, 0, 1_000_000, None, None, None) for kind in ("input", "output")),
    list_dollars=None, discount_dollars=None, total_dollars=None,
    unknown=(Unknown("price", 2_000_000, "m"), Unknown("answers", 1)),
)  # fmt: skip


def test_tokens_are_priced_and_what_else_is_unknown_stays() -> None:
    """List price, discount and total are those of the tokens; answers that nobody saw are still unknown."""
    priced = at_list_price(UNPRICED, "https://p", lambda _model, _url: PRICES)

    assert [priced.list_dollars, priced.discount_dollars, priced.total_dollars] == list(map(Decimal, (12, 6, 6)))
    assert [line.dollars for line in priced.lines] == [2, 4]
    assert priced.unknown == (Unknown("answers", 1),)


def test_without_a_price_the_receipt_stays_as_it_was() -> None:
    """A sum of some of its lines would look like the whole."""
    cached = replace(UNPRICED.lines[0], kind="cached_input")

    assert at_list_price(UNPRICED, "https://p", lambda _model, _url: None) == UNPRICED
    some = replace(UNPRICED, lines=(*UNPRICED.lines, cached))
    assert at_list_price(some, "https://p", lambda _model, _url: PRICES) == some
