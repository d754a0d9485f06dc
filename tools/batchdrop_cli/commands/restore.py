"""The command `restore`: puts the table back to how it was at a moment."""

import click

from batchdrop_cli.commands.asking import agree
from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.failures import MisusedCommand
from batchdrop_cli.stack import StackPlace
from batchdrop_cli.views.terminal import disarmed


@click.command()
@click.option("--at", "text", metavar="TIME", help="The moment to go back to, such as 2026-11-23T10:00:00Z.")
@click.option("--from", "source", metavar="TABLE", help="A table that was restored already, by AWS or by this command.")
@click.option(
    "--wait", "minutes", type=click.IntRange(min=0, max=120), default=30, show_default=True, metavar="MINUTES",
    help="How long to let end what still runs, before the table is touched.",
)  # fmt: skip
@click.option("--keep-table", is_flag=True, help="Do not delete the table that was restored for this.")
@click.option("--yes", is_flag=True, help="Do it unasked.")
@stack_option
def restore(
    *, text: str | None, source: str | None, minutes: int, keep_table: bool, yes: bool, stack: StackPlace
) -> None:
    """Put the table back to how it was at a moment, and hold it against the provider's batches before anything continues.

    The stack is off for the whole time; drops wait in the queue. Nothing that was sent since is paid again.
    """
    from batchdrop_cli.aws.restoring import RestoreRequest, moment_of  # noqa: PLC0415  # as above
    from batchdrop_cli.aws.restoring import restore as do_restore  # noqa: PLC0415  # as above
    from batchdrop_cli.stack import site_of  # noqa: PLC0415  # boto3: 0.3 s for `--help`

    if (text is None) == (source is None):
        raise MisusedCommand("Say what to restore: --at TIME, or --from TABLE.")
    try:
        moment = None if text is None else moment_of(text)
    except ValueError as error:
        raise MisusedCommand(f"--at {disarmed(text or '')} isn't a time: {error}.") from error
    site = site_of(stack)
    what = f"as it was at {moment:%FT%TZ}" if moment else f"with the rows of {disarmed(source or '')}"
    click.echo(f"The table {site.named('Table')} is emptied and filled {what}; what is in it now is lost.")
    agree(yes=yes)
    done = do_restore(site, RestoreRequest(moment, source, minutes, keep_table), click.echo)
    click.echo(f"\n{done.rows:,} rows are back. Of the provider's batches:")
    for name, words in ANSWERS.items():
        found = done.answer.get(name, 0)
        listed = isinstance(found, list)
        click.echo(f"  {len(found) if listed else found:>6,} {words}")
        for one in found if listed else ():
            click.echo(f"         {disarmed(str(one))}")
    click.echo("\nThe stack is on again. What each line means: docs/runbooks/restore.md")


# As `Recovery` of flow/submission/restore.py names them.
ANSWERS = {
    "batches": "are of this installation",
    "adopted": "shards have a batch again that the table did not know",
    "reset": "shards are looked for once more before anything is sent",
    "stopped": "jobs were cancelled, because batches of theirs are in no row",
    "unaccounted": "batches are in no row; they were paid for",
    "claimed": "jobs began later; nothing starts them again automatically",
}
