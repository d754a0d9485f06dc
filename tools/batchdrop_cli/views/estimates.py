"""How an estimate is shown.

Rule: it says what it rests on, and a price that is not known is called unknown, never nothing.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from batchdrop.core.model.answer_bounds import ANSWER_TOKENS_ASSUMED
from batchdrop.core.model.money import amount, digits
from batchdrop_cli.jobs.quote import FileQuote
from batchdrop_cli.views.console import text


def show_estimates(console: Console, estimated: Sequence[FileQuote], base_url: str) -> None:
    """Print what requests may cost, and what the estimate rests on."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "requests", "tokens in", "tokens out", "US dollars"):
        table.add_column(column)
    for quote in estimated:
        dollars = digits(quote.dollars, 6)
        table.add_row(
            text(quote.model), f"{quote.requests:,}", f"{quote.input_tokens:,}", f"{quote.output_tokens:,}", dollars
        )
    console.print(table)
    console.print(text(f"Estimated cost at {base_url}: {_total(estimated)}."))
    console.print(
        f"It rests on four bytes a token, {ANSWER_TOKENS_ASSUMED} tokens an answer where a request sets no limit, bundled "
        "prices, and those in a batch. The provider's bill is what counts."
    )


def _total(estimated: Sequence[FileQuote]) -> str:
    known = [quote.dollars for quote in estimated if quote.dollars is not None]
    unknown = [quote.model for quote in estimated if quote.dollars is None]
    parts = [amount(sum(known), 4)] if known else []
    if unknown:
        parts.append(f"an unknown price for {', '.join(unknown)}")
    return " and ".join(parts)
