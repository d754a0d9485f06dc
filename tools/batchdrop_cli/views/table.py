"""The first rows of a CSV as a table: long texts are shortened, and each row is one line."""

import csv
import io
from itertools import islice

from rich.console import Console
from rich.table import Table

from batchdrop_cli.views.console import text

ROWS_SHOWN_MAX = 5
TEXT_CHARS_MAX = 44  # of a cell: with two texts and some small columns a row fits a wide terminal


def show_csv(console: Console, content: bytes) -> None:
    """Print the first rows of a CSV in UTF-8."""
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in next(rows, ()):
        table.add_column(text(name), overflow="ellipsis", no_wrap=True, max_width=TEXT_CHARS_MAX)
    for row in islice(rows, ROWS_SHOWN_MAX):
        table.add_row(*map(text, row))
    console.print(table)
    left = sum(1 for _ in rows)
    if left:
        console.print(f"and {left:,} more rows")
