"""The command `local`: runs the whole stack on this machine."""

import os

import click

from batchdrop_cli.local.provider import LocalProvider
from batchdrop_cli.stack import STACK_FILE


@click.command()
@click.option("--simulated", is_flag=True, help="Use the simulator even if OPENAI_BASE_URL and OPENAI_API_KEY are set.")
def local(*, simulated: bool) -> None:
    """Run the whole stack on this machine, in the foreground.

    With OPENAI_BASE_URL and OPENAI_API_KEY both set, that provider answers; else the simulator does.
    """
    from batchdrop_cli.local.stack import LocalSettings, run_in_foreground  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.views.local import how_to_use  # noqa: PLC0415  # as above

    provider = None if simulated else LocalProvider.from_environment(os.environ)
    settings = LocalSettings(state=STACK_FILE.parent.resolve(), provider=provider)
    run_in_foreground(
        settings,
        click.echo,
        lambda stack: click.echo("\n".join(how_to_use(stack.description, settings.description_file))),
    )
