"""The command `deploy`: from a checkout to a stack in the person's AWS account. `make deploy` runs it."""

import shlex
from pathlib import Path

import click

from batchdrop_cli.commands.options import builds_option

DEFAULT_STACK = "batchdrop"


@click.command()
@click.option("--architecture", metavar="NAME", help="arm64 or x86_64. Without: the stack's, and arm64 for a new one.")
@builds_option
@click.option("--sam-options", default="", metavar="OPTIONS", help="Options for `sam deploy`, as one text.")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@click.pass_context
def deploy(
    context: click.Context, *, architecture: str | None, builds: Path, sam_options: str, parameters: tuple[str, ...]
) -> None:
    """Build this checkout and deploy it to the account and region of your AWS environment.

    NAME=VALUE are the template's parameters; those that are not named stay as the stack has them.
    What will be made is shown before anything is built, and SAM asks before it makes anything.
    """
    from batchdrop_cli.account import identify  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.aws.deploying import Wish, carry_out, make_plan, plan_lines  # noqa: PLC0415  # as above

    stack = context.find_root().params.get("stack") or DEFAULT_STACK
    wish = Wish(stack, architecture, parameters, tuple(shlex.split(sam_options)), builds.resolve())
    plan = make_plan(wish, identify())
    click.echo("\n".join(plan_lines(plan)))
    carry_out(plan, click.echo)
