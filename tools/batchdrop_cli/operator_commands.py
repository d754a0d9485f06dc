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
