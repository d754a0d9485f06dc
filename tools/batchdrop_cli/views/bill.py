"""What AWS charges for a month, as a bill."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from batchdrop.core.model.money import money
from batchdrop_cli.aws.cost_model import BillLine


def show_bill(console: Console, parts: Mapping[str, Sequence[BillLine]]) -> None:
    """Show each part of a bill with its sum, and all of them together."""
    table = Table("a month", "how much", "list price", box=None)
    table.columns[2].justify = "right"
    for part, lines in parts.items():
        for line in lines:
            table.add_row(line.what, line.count, money(line.dollars))
        table.add_row(part, "", money(sum(line.dollars for line in lines)), style="bold", end_section=True)
    everything = sum(line.dollars for lines in parts.values() for line in lines)
    table.add_row("together", "", money(everything), style="bold")
    console.print(table)
