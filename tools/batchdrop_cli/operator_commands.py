"""The commands of whoever runs a stack: the API key, and what a look at everything finds."""

import click

from batchdrop_cli.connection import StackPlace
from batchdrop_cli.options import stack_option


@click.group()
def key() -> None:
    """The provider's API key."""


@key.command("set")
@stack_option
def put_key(*, stack: StackPlace) -> None:
    """Put the API key where the stack reads it: asked for unseen, or taken from standard input.

    There is no option for it, because command lines are seen by others and kept in histories.
    """
    from batchdrop_cli.deployed import site_of  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.key import ask_for_key, set_key  # noqa: PLC0415  # as above

    site = site_of(stack)
    set_key(site, ask_for_key())
    click.echo("The key is set; whatever waits for it goes on within two minutes. See: batchdrop doctor")


@click.command()
@stack_option
def doctor(*, stack: StackPlace) -> None:
    """Examine the stack; each line says ok, or what to do.

    The exit code is 0 if all is well, else 1.
    """
    from batchdrop_cli.deployed import site_of  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.doctor import examine  # noqa: PLC0415  # as above
    from batchdrop_cli.show import make_console, show_finding  # noqa: PLC0415  # as above

    console, is_well = make_console(), True
    for finding in examine(site_of(stack)):
        show_finding(console, finding)
        is_well = is_well and not finding.advice
    if not is_well:
        click.get_current_context().exit(1)


@click.command("cost-model")
@click.argument("items", metavar="ITEMS", type=click.IntRange(min=0))
@click.option(
    "--items",
    "access",
    type=click.Choice(["objects", "index", "none"]),
    default="objects",
    show_default=True,
    help="How an item can be read without the others, as the task says.",
)
@click.option("--drops", type=click.IntRange(min=1), default=30, show_default=True, help="Files that they come in.")
@click.option("--record-bytes", type=click.IntRange(min=1), default=2_000, show_default=True, help="Of one record.")
@click.option(
    "--answer-bytes", type=click.IntRange(min=0), default=400, show_default=True, help="Of one answer's text."
)
@click.option(
    "--hours", type=click.FloatRange(min=0), default=4.0, show_default=True, help="How long a drop is under way."
)
@click.option("--own-kms-key", is_flag=True, help="The stack has the parameter KmsKeyArn.")
def cost_model(
    *, items: int, access: str, drops: int, record_bytes: int, answer_bytes: int, hours: float, own_kms_key: bool
) -> None:
    """Show what AWS charges at list prices for a month of ITEMS items: idle, and beside it for the work.

    OpenAI's tokens are not in it: see `batchdrop check`.
    """
    from batchdrop.core.model.job import ItemAccess  # noqa: PLC0415  # as above
    from batchdrop_cli.cost_model import Month, idle_lines, work_lines  # noqa: PLC0415  # as above
    from batchdrop_cli.show import make_console, show_bill  # noqa: PLC0415  # as above

    month = Month(items, ItemAccess(access), drops, record_bytes, answer_bytes, hours, own_kms_key)
    show_bill(make_console(), {"idle": list(idle_lines()), "work": list(work_lines(month)) if items else []})
