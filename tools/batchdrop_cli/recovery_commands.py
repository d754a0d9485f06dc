"""The commands for the day on which a table or a stack was lost."""

import sys
from pathlib import Path

import click

from batchdrop_cli.connection import StackPlace, described
from batchdrop_cli.failures import MisusedCommand
from batchdrop_cli.local.deployment import STACK_NAME
from batchdrop_cli.options import stack_option
from batchdrop_cli.terminal import disarmed


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
    """Put the table back to how it was at a moment, and hold it against the provider's batches before anything goes on.

    The stack is off for the whole time; drops wait in the queue. Nothing that was sent since is paid again.
    """
    from batchdrop_cli.deployed import site_of  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.restoring import Request, moment_of  # noqa: PLC0415  # as above
    from batchdrop_cli.restoring import restore as do_restore  # noqa: PLC0415  # as above

    if (text is None) == (source is None):
        raise MisusedCommand("Say what to restore: --at TIME, or --from TABLE.")
    try:
        moment = None if text is None else moment_of(text)
    except ValueError as error:
        raise MisusedCommand(f"--at {disarmed(text or '')} is no time: {error}.") from error
    site = site_of(stack)
    what = f"as it was at {moment:%FT%TZ}" if moment else f"with the rows of {disarmed(source or '')}"
    click.echo(f"The table {site.named('Table')} is emptied and filled {what}; what is in it now is lost.")
    _agree(yes=yes)
    done = do_restore(site, Request(moment, source, minutes, keep_table), click.echo)
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
    "claimed": "jobs began later; nothing starts them again by itself",
}


@click.command()
@click.option("--inbox", required=True, metavar="BUCKET", help="The deleted stack's bucket for drops.")
@click.option("--results", required=True, metavar="BUCKET", help="Its bucket for results.")
@click.option("--table", required=True, metavar="TABLE", help="Its table.")
@click.option("--kms-key-arn", default="", metavar="ARN", help="What its parameter KmsKeyArn was, if it had one.")
@click.option("--yes", is_flag=True, help="Do it unasked.")
@stack_option
def adopt(*, inbox: str, results: str, table: str, kms_key_arn: str, yes: bool, stack: StackPlace) -> None:
    """Make a new stack of the buckets and the table that a deleted one left; `make deploy` then completes it.

    Name it by `batchdrop --stack NAME adopt …`.
    """
    from batchdrop_cli.account import person_options  # noqa: PLC0415  # as below
    from batchdrop_cli.adopting import Left  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.adopting import adopt as do_adopt  # noqa: PLC0415  # as above

    is_local = isinstance(stack, Path)
    name = STACK_NAME if isinstance(stack, Path) else stack.name
    click.echo(f"A stack {disarmed(name)} is made of {', '.join(map(disarmed, (inbox, results, table)))}.")
    click.echo("Buckets and table stay as they are, but for the policy that the old stack made for each bucket.")
    _agree(yes=yes)
    options = described(stack).client_options() if isinstance(stack, Path) else person_options()
    do_adopt(options, name, Left(inbox, results, table, kms_key_arn), look_seconds=1 if is_local else 5)
    key = f" KmsKeyArn={kms_key_arn}" if kms_key_arn else ""
    click.echo(f"Done. Complete it, and put the API key there again:\n\n  make deploy STACK={disarmed(name)}", nl=False)
    click.echo(f' PARAMETERS="{key.strip()}"' if key else "")
    click.echo(f"  batchdrop --stack {disarmed(name)} key set\n  batchdrop --stack {disarmed(name)} doctor")


def _agree(*, yes: bool) -> None:
    """Ask. Raises MisusedCommand where nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise MisusedCommand("Not a terminal, so I can't ask. Pass --yes to go ahead.")
    click.confirm("Go ahead?", abort=True)
