"""The command `adopt`: makes a stack of the buckets and the table that a deleted one left."""

from pathlib import Path

import click

from batchdrop_cli.commands.asking import agree
from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.local.description import STACK_NAME
from batchdrop_cli.stack import StackPlace, described
from batchdrop_cli.views.terminal import disarmed


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
    from batchdrop_cli.aws.adopting import Left  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.aws.adopting import adopt as do_adopt  # noqa: PLC0415  # as above

    is_local = isinstance(stack, Path)
    name = STACK_NAME if isinstance(stack, Path) else stack.name
    click.echo(f"A stack {disarmed(name)} is made of {', '.join(map(disarmed, (inbox, results, table)))}.")
    click.echo("Buckets and table stay as they are, but for the policy that the old stack made for each bucket.")
    agree(yes=yes)
    options = described(stack).client_options() if isinstance(stack, Path) else person_options()
    do_adopt(options, name, Left(inbox, results, table, kms_key_arn), look_seconds=1 if is_local else 5)
    key = f" KmsKeyArn={kms_key_arn}" if kms_key_arn else ""
    click.echo(f"Done. Complete it, and put the API key there again:\n\n  make deploy STACK={disarmed(name)}", nl=False)
    click.echo(f' PARAMETERS="{key.strip()}"' if key else "")
    click.echo(f"  batchdrop --stack {disarmed(name)} key set\n  batchdrop --stack {disarmed(name)} doctor")
