"""The command `costs`: adds up the receipts of jobs."""

import re
import sys

import click

from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.failures import MisusedCommand
from batchdrop_cli.stack import StackPlace, connect

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@click.command()
@click.option("--month", metavar="YYYY-MM", help="Only jobs whose last batch ended then, in UTC.")
@click.option(
    "--csv", "is_csv", is_flag=True, help="Rows for a spreadsheet, with every digit; the rest is on standard error."
)
@stack_option
def costs(*, month: str | None, is_csv: bool, stack: StackPlace) -> None:
    """Add up what jobs cost, from their receipts: list prices less the batch discount.

    What is unknown, and what is not counted, is said. The provider's bill is what counts.
    """
    from batchdrop_cli.jobs.costs import read_costs  # noqa: PLC0415  # decimals, msgspec: 0.1 s for `--help`
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above
    from batchdrop_cli.views.costs import left_out, show_costs, write_csv  # noqa: PLC0415  # as above

    if month is not None and not _MONTH.fullmatch(month):
        raise MisusedCommand(f"{month!r} isn't a month. Write it as 2026-11.")
    found = read_costs(connect(stack), month)
    if not is_csv:
        show_costs(make_console(), found, month)
        return
    write_csv(sys.stdout, found.entries)
    for line in left_out(found):
        click.echo(line, err=True)
