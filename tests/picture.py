"""Draws `docs/images/drop.svg`, the README's picture: one drop on the local stack, as a terminal shows it.

Everything in it is the output of a run: the file as it was dropped, the command, the table that came back, and the receipt of the
simulated answers at OpenAI's list price, which it says.
"""

import io
import re
import tempfile
import time
from pathlib import Path

from click.testing import CliRunner
from rich.console import Console
from rich.terminal_theme import MONOKAI

from batchdrop.core.delivery.receipt_text import receipt_lines
from batchdrop.core.delivery.summary import results_of_summary
from batchdrop.core.model.keys import Keys
from batchdrop.edge.prices import BundledPrices
from batchdrop_cli.demo import SIMULATED
from batchdrop_cli.jobs.list_price import at_list_price
from batchdrop_cli.local.provider import OPENAI_BASE_URL
from batchdrop_cli.local.stack import REPOSITORY, LocalSettings, LocalStack
from batchdrop_cli.main import main
from batchdrop_cli.stack import connection_to
from batchdrop_cli.views.console import text
from batchdrop_cli.views.table import show_csv

PICTURE = REPOSITORY / "docs" / "images" / "drop.svg"
REVIEWS = REPOSITORY / "examples" / "drops" / "sentiment" / "reviews.csv"
TASK = REPOSITORY / "examples" / "tasks" / "sentiment.yaml"
COLUMNS = 100


def draw() -> str:
    """Return the picture as SVG. It starts a stack of its own and ends it."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print("[bold]$ head -4 reviews.csv")
    for line in REVIEWS.read_text().splitlines()[:4]:
        console.print(text(line))
    with (
        tempfile.TemporaryDirectory() as state,
        LocalStack(LocalSettings(state=Path(state)), lambda _line: None) as stack,
    ):
        typed = ["--stack-file", str(Path(state) / "stack.json")]
        CliRunner().invoke(main, ["tasks", "put", str(TASK), *typed], catch_exceptions=False)
        console.print("\n[bold]$ batchdrop drop reviews.csv --task sentiment --wait")
        said = CliRunner().invoke(main, ["drop", str(REVIEWS), "--task", "sentiment", "--wait", *typed])
        for line in said.stdout.splitlines():
            console.print(text(line), overflow="fold")
        job = said.stdout.split()[0]
        _show_results(console, stack, job)
    console.print(text(SIMULATED, "italic"))
    # A picture in a page may not load fonts; the page's own is used.
    return re.sub(r"@font-face \{.*?\}\n", "", console.export_svg(title="batchdrop", theme=MONOKAI), flags=re.DOTALL)


def _show_results(console: Console, stack: LocalStack, job: str) -> None:
    connection = connection_to(stack.description)
    keys = Keys(job, "inbox/sentiment/reviews.csv")
    console.print("\n[bold]results.csv")
    show_csv(console, connection.read(connection.results_bucket, keys.merged("csv")) or b"")
    results = results_of_summary(connection.read(connection.results_bucket, keys.summary) or b"")
    assert results.receipt is not None
    prices, now = BundledPrices(), int(time.time())
    console.print()
    for line in receipt_lines(
        at_list_price(results.receipt, OPENAI_BASE_URL, lambda m, url: prices.price_list(m, url, now))
    ):
        console.print(text(line))


if __name__ == "__main__":
    PICTURE.write_text(draw())
