"""The command `cost-model`: what AWS charges for a month of items."""

import click


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
    from batchdrop.core.model.job import ItemAccess  # noqa: PLC0415  # 0.1 s for `--help`
    from batchdrop_cli.aws.cost_model import Month, idle_lines, work_lines  # noqa: PLC0415  # as above
    from batchdrop_cli.views.bill import show_bill  # noqa: PLC0415  # as above
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above

    month = Month(items, ItemAccess(access), drops, record_bytes, answer_bytes, hours, own_kms_key)
    show_bill(make_console(), {"idle": list(idle_lines()), "work": list(work_lines(month)) if items else []})
