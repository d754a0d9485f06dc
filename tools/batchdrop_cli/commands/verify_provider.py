"""The command `verify-provider`: what the deployment assumes of a provider, held against the live one for under a cent.

Rule: nothing is sent before its cost was shown and agreed to, and the table says what was seen, by whom it was not.
"""

import os
from decimal import Decimal
from uuid import uuid4

import click

from batchdrop.core.model.dialects import BY_HOST, DIALECTS, Dialects
from batchdrop.core.model.limits import MINUTE
from batchdrop_cli.commands.asking import agree
from batchdrop_cli.failures import CommandFailed, MisusedCommand
from batchdrop_cli.local.provider import OPENAI_BASE_URL
from batchdrop_cli.verify.request import MODEL
from batchdrop_cli.views.terminal import disarmed

DOLLARS_MAX = Decimal("0.01")


@click.command("verify-provider")
@click.option("--model", default=MODEL, show_default=True, help="The model that is asked, six times at most.")
@click.option(
    "--patience", "minutes", type=click.IntRange(min=1, max=1_440), default=60, show_default=True, metavar="MINUTES",
    help="How long to wait for a batch to end. The whole may take several times as long.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Agree to the estimated cost unasked.")
def verify_provider(*, model: str, minutes: int, yes: bool) -> None:
    """Look whether a provider does what the rule 'create once' assumes.

    Asks the provider of OPENAI_API_KEY and OPENAI_BASE_URL, for under a cent, and deletes its files again.
    PROVIDER_DIALECT says what kind of server it is, where its host does not.
    The exit code is 0 if every assumption was seen to hold, else 1.
    """
    from batchdrop.core.model.errors import KeyRefused  # noqa: PLC0415  # with what follows 0.5 s for `--help`
    from batchdrop_cli.aws.key import checked_key  # noqa: PLC0415  # as above
    from batchdrop_cli.verify.assumptions import look_at_all  # noqa: PLC0415  # as above
    from batchdrop_cli.verify.provider_probe import open_probe  # noqa: PLC0415  # as above
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above
    from batchdrop_cli.views.findings import show_each, show_verdicts  # noqa: PLC0415  # as above

    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise MisusedCommand("verify-provider needs OPENAI_API_KEY.")
    key = checked_key(key)
    base_url = (os.environ.get("OPENAI_BASE_URL") or OPENAI_BASE_URL).rstrip("/")
    agree_to_cost(model, base_url, yes=yes)
    chosen = os.environ.get("PROVIDER_DIALECT") or BY_HOST
    if chosen not in (BY_HOST, *DIALECTS):
        raise MisusedCommand(f"PROVIDER_DIALECT has to be one of {', '.join((BY_HOST, *DIALECTS))}.")
    probe = open_probe(
        base_url, key, name=f"probe-{uuid4()}", model=model, patience_seconds=minutes * MINUTE,
        dialect=Dialects(base_url, chosen).of(base_url),
    )  # fmt: skip
    console = make_console()
    try:
        found = show_each(console, look_at_all(probe))
    except KeyRefused as error:
        raise CommandFailed(f"The key was refused: {error}") from error
    finally:
        left = probe.clean()
        if left:
            click.echo(f"Could not be cleaned up at the provider: {disarmed(', '.join(left))}", err=True)
    if not show_verdicts(console, base_url, found):
        click.get_current_context().exit(1)


def agree_to_cost(model: str, base_url: str, *, yes: bool) -> None:
    """Show the estimated cost and ask. Raises CommandFailed above a cent, MisusedCommand where there is no terminal."""
    from batchdrop_cli.jobs.quote import FileQuote, batch_price  # noqa: PLC0415  # as above
    from batchdrop_cli.verify.request import ANSWER_TOKENS, CREATES_MAX, REQUEST_TOKENS  # noqa: PLC0415  # as above
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above
    from batchdrop_cli.views.estimates import show_estimates  # noqa: PLC0415  # prices: 0.1 s for `--help`

    asked, answered = CREATES_MAX * REQUEST_TOKENS, CREATES_MAX * ANSWER_TOKENS
    dollars = batch_price(model, CREATES_MAX, asked, answered, base_url)
    show_estimates(make_console(), [FileQuote(model, CREATES_MAX, asked, answered, dollars)], base_url)
    if dollars is not None and dollars >= DOLLARS_MAX:
        raise CommandFailed(f"That is not under a cent. Name a cheaper model: --model {MODEL}")
    agree("Ask the provider and pay for it?", yes=yes, to="accept the cost")
