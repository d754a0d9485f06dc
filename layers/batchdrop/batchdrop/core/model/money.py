"""Writes US dollars, in documents and for people. Nothing else formats an amount.

Rule: what is not known is `unknown`, never nothing.
"""

from decimal import Decimal
from typing import Final

from batchdrop.core.model.prices import MILLION

COARSE: Final = 2
_FINE_BELOW: Final = ((Decimal(1), 6), (Decimal(100), 4))


def dollars(microdollars: int) -> float:
    """Return *microdollars* in US dollars, exact as far as they are printed."""
    return microdollars / MILLION


def dollar_words(microdollars: int) -> str:
    """Return an amount for a sentence: cents, and more digits only below a dollar."""
    if microdollars >= MILLION:
        return amount(-(-microdollars // 10_000) / 100, COARSE)
    whole = f"{dollars(microdollars):.6f}"
    return f"{whole[:4]}{whole[4:].rstrip('0')} US dollars"


def places_of(total: Decimal | None) -> int:
    """Return how many decimal places amounts have of which *total* is the largest; None is unknown."""
    if total is None:
        return COARSE
    return next((places for below, places in _FINE_BELOW if total < below), COARSE)


def digits(known: Decimal | float | None, places: int) -> str:
    """Return *known* dollars for a column or a list of amounts whose unit is said elsewhere."""
    return "unknown" if known is None else f"{known:,.{places}f}"


def amount(known: Decimal | float | None, places: int) -> str:
    """Return *known* dollars for a sentence: `12.34 US dollars`."""
    return "unknown" if known is None else f"{digits(known, places)} US dollars"


def money(known: Decimal | float | None, places: int = COARSE) -> str:
    """Return *known* dollars as they are on a bill: `$12.34`."""
    if known is None:
        return "unknown"
    size = -known if known < 0 else known
    return f"{'-' if known < 0 else ''}${digits(size, places)}"


def rate_words(dollars_per_million: Decimal) -> str:
    """Return what a million tokens cost, with all its digits and two places at least: `$0.15`, `$0.075`."""
    whole, _, rest = format(dollars_per_million, "f").partition(".")
    return f"${whole}.{rest.rstrip('0').ljust(COARSE, '0')}"
