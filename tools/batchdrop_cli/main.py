"""The command `batchdrop`.

Rule: what fails in an expected way ends in a line or two on standard error and an exit code: 1 where it could not be done or
not everything succeeded, 2 where it was asked wrongly.
"""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from batchdrop.core.model.errors import UploadRejected
from batchdrop_cli.connection import STACK_FILE, StackPlace, connect
from batchdrop_cli.deploy_command import deploy
from batchdrop_cli.drop import drop_files
from batchdrop_cli.failures import CommandFailed, MisusedCommand
from batchdrop_cli.job_commands import approve, cancel, check, costs, forget, retry
from batchdrop_cli.jobs import COMPLETED, all_statuses, find_job
from batchdrop_cli.local.description import NoStack
from batchdrop_cli.local.provider import OPENAI_BASE_URL, Provider
from batchdrop_cli.operator_commands import cost_model, doctor, key
from batchdrop_cli.options import stack_option
from batchdrop_cli.recovery_commands import adopt, restore
from batchdrop_cli.terminal import disarmed, disarmed_json
from batchdrop_cli.verify_aws_command import verify_aws
from batchdrop_cli.verify_command import verify_provider

EXIT_STOPPED = 130  # as shells report Ctrl-C


class ExpectedFailures(click.Group):
    """A group whose commands end in a message, not in a traceback, for whatever is not a defect of ours.

    Whatever it says of what went wrong is text: names of files, words of a server and logs command no terminal.
    """

    def main(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401  # what click takes and returns
        """Run the command; even what a defect of ours has to say is disarmed."""
        sys.excepthook = _show_defect
        return super().main(*arguments, **named)

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:  # noqa: ANN401  # as above
        """Read the options."""
        with _disarmed_messages():
            return super().make_context(*arguments, **named)

    def invoke(self, context: click.Context) -> Any:  # noqa: ANN401  # as above
        """Run the command; translate what it raises."""
        with _disarmed_messages():
            try:
                return super().invoke(context)
            except (click.ClickException, click.Abort, click.exceptions.Exit):
                raise
            except MisusedCommand as error:
                raise click.UsageError(str(error)) from error
            except (CommandFailed, NoStack) as error:
                raise click.ClickException(str(error)) from error
            except UploadRejected as error:
                raise click.ClickException(error.message) from error
            except Exception as error:
                _translate(error)
                raise


@contextmanager
def _disarmed_messages() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        error.message = disarmed(error.message)  # type: ignore[misc]  # click shows no other
        raise


def _show_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(disarmed("".join(traceback.format_exception(kind, error, trace))))


def _translate(error: Exception) -> None:
    """Raise what the stack and its AWS raise as a message; return where *error* is none of it."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # 0.2 s, needed only when something failed
    from obstore.exceptions import BaseError  # noqa: PLC0415  # as above

    from batchdrop_cli.account import explained  # noqa: PLC0415  # as above
    from batchdrop_cli.local.deployment import DeploymentFailed  # noqa: PLC0415  # as above
    from batchdrop_cli.local.environments import InstallationFailed  # noqa: PLC0415  # as above
    from batchdrop_cli.local.processes import ChildFailed  # noqa: PLC0415  # as above
    from batchdrop_cli.local.stack import StackRuns  # noqa: PLC0415  # as above

    if isinstance(error, (DeploymentFailed, InstallationFailed, ChildFailed, StackRuns)):
        raise click.ClickException(str(error)) from error
    if isinstance(error, (BotoCoreError, ClientError)) and (words := explained(error)):
        raise click.ClickException(words) from error
    if isinstance(error, (BotoCoreError, ClientError, BaseError)):
        raise click.ClickException(f"The stack did not do it: {error}") from error
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        where = f" for {error.filename}" if error.filename else ""
        raise click.ClickException(
            f"No space is left on the disk{where}. Free some, and run the command again."
        ) from error
    if isinstance(error, OSError) and error.filename is not None:
        raise click.FileError(str(error.filename), error.strerror) from error


@click.group(cls=ExpectedFailures, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batchdrop")
@click.option(
    "--stack", metavar="NAME", envvar="BATCHDROP_STACK", show_envvar=True, expose_value=True,
    help="The deployed stack that the command is for, in the account of your AWS environment. Without: the local one.",
)  # fmt: skip
def main(*, stack: str | None) -> None:  # `choose_stack` takes it from the context
    """Drop files into a bucket, receive notifications: OpenAI batches, on AWS or on this machine."""


@main.command()
@click.option("--simulated", is_flag=True, help="Use the simulator even if OPENAI_BASE_URL and OPENAI_API_KEY are set.")
def local(*, simulated: bool) -> None:
    """Run the whole stack on this machine, in the foreground.

    With OPENAI_BASE_URL and OPENAI_API_KEY both set, that provider answers; else the simulator does.
    """
    from batchdrop_cli.local.stack import LocalSettings, run_in_foreground  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.local_command import how_to_use  # noqa: PLC0415  # as above

    provider = None if simulated else Provider.from_environment(os.environ)
    settings = LocalSettings(state=STACK_FILE.parent.resolve(), provider=provider)
    run_in_foreground(
        settings,
        click.echo,
        lambda stack: click.echo("\n".join(how_to_use(stack.description, settings.description_file))),
    )


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--task", metavar="T", help="The task that says how to ask. Without: the files hold ready-made requests.")
@click.option(
    "--first", "count", type=click.IntRange(min=1), metavar="N", help="Drop only the first N records: a trial."
)
@click.option("--wait", is_flag=True, help="Show progress until every job is over.")
@stack_option
def drop(*, files: tuple[Path, ...], task: str | None, count: int | None, wait: bool, stack: StackPlace) -> None:
    """Drop files and print the id of each one's job.

    With --first N a file of the first N records is made and dropped, called reviews.first-N.csv.

    With --wait the exit code is 0 if every item of every job succeeded, else 1.
    """
    from batchdrop_cli.first import cut_files  # noqa: PLC0415  # the formats: 0.1 s for `--help`

    connection = connect(stack)
    uploads = []
    with cut_files(files, task, count) as dropped:
        for upload in drop_files(connection, dropped, task):
            click.echo(f"{upload.job_id}  {disarmed(upload.key)}")
            uploads.append(upload)
    if not wait:
        return
    from batchdrop_cli.show import make_console, show_endings  # noqa: PLC0415  # rich: 0.1 s until the id is printed
    from batchdrop_cli.waiting import visible_progress, wait_for  # noqa: PLC0415  # as above

    console = make_console()
    try:
        with visible_progress(console, uploads) as watch:
            jobs = wait_for(connection, uploads, watch)
    except KeyboardInterrupt:
        click.echo("Not waiting any more; the jobs go on. See: batchdrop status", err=True)
        click.get_current_context().exit(EXIT_STOPPED)
    show_endings(console, jobs, connection.results_bucket)
    if any(job.event != COMPLETED for job in jobs):
        click.get_current_context().exit(1)


@main.command()
@click.argument("job", required=False)
@stack_option
def status(*, job: str | None, stack: StackPlace) -> None:
    """Show all jobs, or one of them in detail."""
    from batchdrop_cli.show import make_console, show_job, show_jobs  # noqa: PLC0415  # rich: 0.1 s for `--help`

    connection = connect(stack)
    if job is None:
        show_jobs(make_console(), all_statuses(connection))
    else:
        show_job(make_console(), find_job(connection, job), connection.results_bucket)


@main.command()
@click.argument("job")
@click.option("--to", "target", metavar="DIR", type=click.Path(path_type=Path), help="Made; must be empty.")
@click.option("--item", metavar="NAME", help="Print one item alone: its id, or its row with nine digits.")
@stack_option
def results(*, job: str, target: Path | None, item: str | None, stack: StackPlace) -> None:
    """Download the results of a job, or print one item of it."""
    if (target is None) == (item is None):
        raise click.UsageError("Say either --to DIR, for all results, or --item NAME, for one.")
    if item is not None:
        from batchdrop_cli.item import read_item  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`

        connection = connect(stack)
        found = read_item(connection, find_job(connection, job), item)
        click.echo(disarmed_json(found.decode()) if sys.stdout.isatty() else found)
    if target is not None:
        _download(job, target, stack)


def _download(job: str, target: Path, stack: StackPlace) -> None:
    from batchdrop_cli.results import RENAMED, download, results_listing  # noqa: PLC0415  # threads: 0.1 s for `--help`
    from batchdrop_cli.show import state_of  # noqa: PLC0415  # as above

    connection = connect(stack)
    found = find_job(connection, job)
    listing = results_listing(connection, found)
    is_hidden = not sys.stderr.isatty()
    with click.progressbar(length=len(listing), label="Downloading", file=sys.stderr, hidden=is_hidden) as bar:
        renamed = download(connection, found, listing, target, lambda _size_bytes: bar.update(1))
    click.echo(f"{len(listing):,} files in {target}")
    if renamed:
        click.echo(f"{renamed:,} of them have a name there that every system takes; {RENAMED} says which.", err=True)
    if not found.is_over:
        click.echo(f"The job is not over ({disarmed(state_of(found))}): these are the results so far.", err=True)


@main.group(invoke_without_command=True)
@stack_option
@click.pass_context
def tasks(context: click.Context, *, stack: StackPlace) -> None:
    """List the tasks, or add some."""
    if context.invoked_subcommand is None:
        from batchdrop_cli.show import make_console, show_tasks  # noqa: PLC0415  # rich: 0.1 s for `--help`
        from batchdrop_cli.tasks import listed_tasks  # noqa: PLC0415  # as above

        show_tasks(make_console(), listed_tasks(connect(stack)))


@tasks.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@stack_option
def put(*, files: tuple[Path, ...], stack: StackPlace) -> None:
    """Check task files and add them; one that is there is replaced.

    A task is called by its file's name, without .yaml.
    """
    from batchdrop_cli.tasks import put_tasks  # noqa: PLC0415  # pydantic: 0.2 s for `--help`

    for name in put_tasks(connect(stack), files):
        click.echo(name)


@main.command()
@click.option(
    "--provider", type=click.Choice(["simulator", "openai"]), default="simulator", show_default=True,
    help="Who answers. openai: the one of OPENAI_API_KEY and OPENAI_BASE_URL, for money.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="With --provider openai: agree to the estimated cost unasked.")
def demo(*, provider: str, yes: bool) -> None:
    """Send every example its whole way on this machine, and show what comes out."""
    from batchdrop_cli.demo import run_demo  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.local.stack import LocalSettings  # noqa: PLC0415  # as above
    from batchdrop_cli.show import make_console  # noqa: PLC0415  # as above

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


def paid_provider() -> Provider:
    """Return the provider of the environment, which was asked for by name. Raises MisusedCommand where it has no key."""
    api_key = os.environ.get("OPENAI_API_KEY")
    if not api_key:
        raise MisusedCommand("--provider openai needs OPENAI_API_KEY.")
    base_url = os.environ.get("OPENAI_BASE_URL") or OPENAI_BASE_URL
    return Provider(base_url.rstrip("/"), api_key, simulated=False)


def agree_to_cost(provider: Provider, *, yes: bool) -> None:
    """Show the estimated cost and ask. Raises MisusedCommand where nobody can answer, Abort where the answer is no."""
    from batchdrop_cli.demo import estimates  # noqa: PLC0415  # prices: 0.1 s for `--help`
    from batchdrop_cli.estimates import show_estimates  # noqa: PLC0415  # as above
    from batchdrop_cli.local.stack import REPOSITORY  # noqa: PLC0415  # as above
    from batchdrop_cli.show import make_console  # noqa: PLC0415  # as above

    show_estimates(make_console(), estimates(REPOSITORY, provider.base_url), provider.base_url)
    if yes:
        return
    if not sys.stdin.isatty():
        raise MisusedCommand("Nobody can be asked here. Agree to the cost with --yes.")
    click.confirm("Send the examples and pay for them?", abort=True)


for command in (
    approve,
    cancel,
    retry,
    forget,
    check,
    key,
    deploy,
    doctor,
    verify_aws,
    restore,
    adopt,
    verify_provider,
    cost_model,
    costs,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
