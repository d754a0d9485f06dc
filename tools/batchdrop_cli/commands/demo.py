"""The command `demo`: sends every example its whole way on this machine."""

import os

import click

from batchdrop_cli.commands.asking import agree
from batchdrop_cli.failures import MisusedCommand
from batchdrop_cli.local.provider import OPENAI_BASE_URL, LocalProvider
from batchdrop_cli.stack import STACK_FILE


@click.command()
@click.option(
    "--provider", type=click.Choice(["simulator", "openai"]), default="simulator", show_default=True,
    help="Who answers. openai: the one of OPENAI_API_KEY and OPENAI_BASE_URL, for money.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="With --provider openai: agree to the estimated cost unasked.")
def demo(*, provider: str, yes: bool) -> None:
    """Send every example its whole way on this machine, and show what comes out."""
    from batchdrop_cli.demo import run_demo  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.local.stack import LocalSettings  # noqa: PLC0415  # as above
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above

    console = make_console()
    paid = None
    if provider == "openai":
        paid = paid_provider()
        agree_to_cost(paid, yes=yes)
    elif yes:
        raise click.UsageError("--yes agrees to a cost, and the simulator has none.")
    elif os.environ.get("OPENAI_API_KEY"):
        click.echo("OPENAI_API_KEY is set, and ignored.")
    settings = LocalSettings(state=STACK_FILE.parent.resolve() / "demo", provider=paid)
    click.get_current_context().exit(run_demo(console, settings))


def paid_provider() -> LocalProvider:
    """Return the provider of the environment, which was asked for by name. Raises MisusedCommand where it has no key."""
    api_key = os.environ.get("OPENAI_API_KEY")
    if not api_key:
        raise MisusedCommand("--provider openai needs OPENAI_API_KEY.")
    base_url = os.environ.get("OPENAI_BASE_URL") or OPENAI_BASE_URL
    return LocalProvider(base_url.rstrip("/"), api_key, simulated=False)


def agree_to_cost(provider: LocalProvider, *, yes: bool) -> None:
    """Show the estimated cost and ask. Raises MisusedCommand where there is no terminal, Abort where the answer is no."""
    from batchdrop_cli.demo import estimates  # noqa: PLC0415  # prices: 0.1 s for `--help`
    from batchdrop_cli.local.stack import REPOSITORY  # noqa: PLC0415  # as above
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above
    from batchdrop_cli.views.estimates import show_estimates  # noqa: PLC0415  # as above

    show_estimates(make_console(), estimates(REPOSITORY, provider.base_url), provider.base_url)
    agree("Send the examples and pay for them?", yes=yes, to="accept the cost")
