"""The command `results`: downloads the results of a job, or prints one item."""

import sys
from pathlib import Path

import click

from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.jobs.status import find_job
from batchdrop_cli.stack import StackPlace, connect
from batchdrop_cli.views.terminal import disarmed, disarmed_json


@click.command()
@click.argument("job")
@click.option(
    "--to",
    "target",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Made; must be empty. Without: named after the file, here.",
)
@click.option("--item", metavar="NAME", help="Print one item alone: its id, or its row with nine digits.")
@stack_option
def results(*, job: str, target: Path | None, item: str | None, stack: StackPlace) -> None:
    """Download the results of a job, or print one item of it.

    Those of reviews.csv go to the folder reviews.results, or to another one with --to.
    """
    if target is not None and item is not None:
        raise click.UsageError("Say either --to DIR, for all results, or --item NAME, for one.")
    if item is None:
        _download(job, target, stack)
    else:
        from batchdrop_cli.jobs.item import read_item  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`

        connection = connect(stack)
        found = read_item(connection, find_job(connection, job), item)
        click.echo(disarmed_json(found.decode()) if sys.stdout.isatty() else found)


def _download(job: str, named: Path | None, stack: StackPlace) -> None:
    from batchdrop_cli.jobs.results import RENAMED, download, results_folder, results_listing  # noqa: PLC0415  # threads: 0.1 s for `--help`
    from batchdrop_cli.views.jobs import state_of  # noqa: PLC0415  # as above

    connection = connect(stack)
    found = find_job(connection, job)
    target = named or Path(results_folder(found.upload.key))
    listing = results_listing(connection, found)
    is_hidden = not sys.stderr.isatty()
    with click.progressbar(length=len(listing), label="Downloading", file=sys.stderr, hidden=is_hidden) as bar:
        renamed = download(connection, found, listing, target, lambda _size_bytes: bar.update(1))
    click.echo(f"{len(listing):,} files in {target}")
    if renamed:
        click.echo(f"{renamed:,} of them have a name there that every system takes; {RENAMED} says which.", err=True)
    if not found.is_over:
        click.echo(f"The job is not over ({disarmed(state_of(found))}): these are the results so far.", err=True)
