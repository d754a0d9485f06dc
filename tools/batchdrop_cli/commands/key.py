"""The command `key set`: the provider's API key, asked for unseen or read from standard input.

Rule: a key is never an argument, a parameter or a variable, where other processes and histories keep it, and it is never
shown.
"""

import sys

import click

from batchdrop.core.model.api_key import KEY_CHARS_MAX
from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.stack import StackPlace, site_of


@click.group()
def key() -> None:
    """The provider's API key."""


@key.command("set")
@stack_option
def put_key(*, stack: StackPlace) -> None:
    """Put the API key where the stack reads it: asked for unseen, or taken from standard input.

    There is no option for it, because command lines are seen by others and kept in histories.
    """
    from batchdrop_cli.aws.key import set_key  # noqa: PLC0415  # boto3: 0.3 s for `--help`

    site = site_of(stack)
    set_key(site, ask_for_key())
    click.echo("The key is set; whatever waits for it continues within two minutes. See: batchdrop doctor")


def ask_for_key() -> str:
    """Return the key that a person typed unseen, or that standard input gives. Raises MisusedCommand for what can't be a key."""
    from batchdrop_cli.aws.key import checked_key  # noqa: PLC0415  # boto3: 0.3 s for `--help`

    if sys.stdin.isatty():
        typed: str = click.prompt("API key (not shown)", hide_input=True, default="", show_default=False)
        return checked_key(typed)
    return checked_key(sys.stdin.read(KEY_CHARS_MAX + 2))
