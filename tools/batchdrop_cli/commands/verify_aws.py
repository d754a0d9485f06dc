"""The command `verify-aws`: what the deployment assumes of AWS, held against the person's own account, and deleted again.

Rule: nothing is made before its cost was shown and agreed to. A stack that was interrupted can be deleted by its name.
"""

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from batchdrop.core.model.money import money
from batchdrop_cli.commands.asking import agree
from batchdrop_cli.commands.options import builds_option
from batchdrop_cli.failures import CommandFailed, MisusedCommand
from batchdrop_cli.local.provider import OPENAI_BASE_URL
from batchdrop_cli.verify.request import MODEL

if TYPE_CHECKING:
    from batchdrop_cli.account import AwsAccount
    from batchdrop_cli.verify.account_trial import Trial

MINUTE = 60
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104  # refused, not listened on


@click.command("verify-aws")
@click.option(
    "--provider", "base_url", metavar="URL", help="Who answers, reachable from AWS. Without: OPENAI_BASE_URL."
)
@click.option("--model", default=MODEL, show_default=True, help="The model that is asked, five times.")
@click.option(
    "--patience", "minutes", type=click.IntRange(min=1, max=1_440), default=120, show_default=True, metavar="MINUTES",
    help="How long to wait for the two batches.",
)  # fmt: skip
@builds_option
@click.option(
    "--clean", "leftover", metavar="NAME", help="Only delete what an interrupted run left; it printed its name."
)
@click.option("--yes", is_flag=True, help="Agree to the cost unasked.")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
def verify_aws(
    *, base_url: str | None, model: str, minutes: int, builds: Path, leftover: str | None, yes: bool,
    parameters: tuple[str, ...],
) -> None:  # fmt: skip
    """Deploy a stack under a random name to your AWS account, drop two files, look, and delete everything.

    The provider is asked with the key of OPENAI_API_KEY. NAME=VALUE are parameters of the template, such as a KMS key.
    The exit code is 0 if every assumption was seen to hold, else 1.
    It has not been run against AWS yet; docs/aws.md says what it looks at.
    """
    from batchdrop_cli.account import identify  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.aws.key import checked_key  # noqa: PLC0415  # as above

    if leftover is not None:
        clean(leftover, identify().region)
        return
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise MisusedCommand("verify-aws needs OPENAI_API_KEY, the key for the provider.")
    address = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_BASE_URL).rstrip("/")
    if (urlsplit(address).hostname or "") in LOOPBACK and not os.environ.get("AWS_ENDPOINT_URL"):
        raise MisusedCommand(
            f"Functions in AWS cannot reach {address}, which is this machine. Name another: --provider URL"
        )
    account = identify()
    asked = AskedTrial(
        f"batchdrop-verify-{secrets.token_hex(4)}", checked_key(key), address, model, minutes, parameters
    )
    agree_to_cost(account, asked, yes=yes)
    run(planned_trial(account, asked, builds.resolve()))


@dataclass(frozen=True, slots=True)
class AskedTrial:
    """What a person asks for: the provider and how long to wait for it, under the name that the stack gets."""

    name: str
    key: str = field(repr=False)
    base_url: str
    model: str
    minutes: int
    parameters: tuple[str, ...] = ()


def planned_trial(account: "AwsAccount", asked: AskedTrial, builds: Path) -> "Trial":
    """Return a run that deploys this checkout by SAM."""
    from batchdrop_cli.aws.deploying import Wish, carry_out, make_plan  # noqa: PLC0415  # as above
    from batchdrop_cli.verify.account_trial import Trial  # noqa: PLC0415  # boto3: 0.3 s for `--help`

    ours = (f"OpenAIBaseUrl={asked.base_url}", "ShowDashboard=no", "LogRetentionDays=1")
    options = ("--no-confirm-changeset", "--s3-prefix", asked.name)
    plan = make_plan(Wish(asked.name, None, (*ours, *asked.parameters), options, builds), account)
    return Trial(
        asked.name, {"region_name": account.region}, lambda: carry_out(plan, click.echo), asked.key, asked.model,
        asked.minutes * MINUTE,
    )  # fmt: skip


def run(trial: "Trial") -> None:
    """Print what is seen of each assumption, and end with how many held. Exits with 1 unless all did."""
    from batchdrop_cli.verify.account_trial import look_at_all  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above
    from batchdrop_cli.views.findings import show_each, show_verdicts  # noqa: PLC0415  # as above

    click.echo(f"If this is interrupted: batchdrop verify-aws --clean {trial.name}")
    console = make_console()
    if not show_verdicts(console, trial.name, show_each(console, look_at_all(trial))):
        click.get_current_context().exit(1)


def agree_to_cost(account: "AwsAccount", asked: AskedTrial, *, yes: bool) -> None:
    """Show what will be made, where, and what it costs, and ask. Raises MisusedCommand where there is no terminal."""
    from batchdrop_cli.aws.cost_model import idle_lines, total  # noqa: PLC0415  # as above
    from batchdrop_cli.jobs.quote import FileQuote, batch_price  # noqa: PLC0415  # as above
    from batchdrop_cli.verify.account_trial import ANSWER_TOKENS, REQUESTS  # noqa: PLC0415  # prices: 0.1 s for `--help`
    from batchdrop_cli.verify.request import REQUEST_TOKENS  # noqa: PLC0415  # as above
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above
    from batchdrop_cli.views.estimates import show_estimates  # noqa: PLC0415  # as above

    month_hours = 30 * 24
    aws = total(idle_lines()) / month_hours * (asked.minutes / MINUTE + 1)
    click.echo(f"Account {account.id} as {account.caller}, region {account.region} (from {account.region_source}).")
    click.echo(f"A stack {asked.name} is deployed, two files are dropped, and everything is deleted again.")
    click.echo(f"AWS charges about {money(max(aws, 0.01))} for it at list prices.")
    sent, answered = REQUESTS * REQUEST_TOKENS, REQUESTS * ANSWER_TOKENS
    dollars = batch_price(asked.model, REQUESTS, sent, answered, asked.base_url)
    show_estimates(make_console(), [FileQuote(asked.model, REQUESTS, sent, answered, dollars)], asked.base_url)
    agree("Deploy, spend and delete?", yes=yes, to="accept the cost")


def clean(name: str, region: str) -> None:
    """Delete what a run of this name left. Raises MisusedCommand for another name, CommandFailed where something stays."""
    from batchdrop_cli.verify.account_cleaning import (  # noqa: PLC0415  # boto3: 0.3 s for `--help`
        TRIAL_STACK,
        delete_buckets,
        delete_queues,
        delete_stack,
        delete_tables,
        kept_parts,
    )

    if not re.fullmatch(TRIAL_STACK, name):
        raise MisusedCommand(
            f"{name} isn't a stack of verify-aws: those are called batchdrop-verify- and eight digits."
        )
    for delete in (delete_stack, delete_buckets, delete_tables, delete_queues):
        delete({"region_name": region}, name)
    left = [part for parts in kept_parts({"region_name": region}, name).values() for part in parts]
    if left:
        raise CommandFailed(f"Still there: {', '.join(left)}")
    click.echo(f"Nothing of {name} is left in {region}.")
