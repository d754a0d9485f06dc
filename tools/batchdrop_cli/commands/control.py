"""The commands that act on a job: approve, cancel, retry, forget."""

import click

from batchdrop.core.model.wording import printable
from batchdrop_cli.commands.asking import agree
from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.jobs.status import find_job
from batchdrop_cli.stack import StackPlace, connect


@click.command()
@click.argument("job")
@stack_option
def cancel(*, job: str, stack: StackPlace) -> None:
    """Cancel a job: nothing more of it is sent, and batches that run are stopped.

    What was answered by then is paid, and is in the results; failures.* there holds the rest.
    """
    from batchdrop_cli.jobs.control import ask_to_cancel  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`

    connection = connect(stack)
    ask_to_cancel(connection, find_job(connection, job))
    click.echo(f"Asked. The job ends once nothing of it runs any more. See: batchdrop status {job}")


@click.command()
@click.argument("job")
@stack_option
def approve(*, job: str, stack: StackPlace) -> None:
    """Let a job continue that is held for what it may cost; `batchdrop status JOB` shows its quote.

    It may then cost half as much again as was quoted, and is held again beyond that.
    """
    from batchdrop_cli.jobs.control import ask_to_approve  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`

    connection = connect(stack)
    ask_to_approve(connection, find_job(connection, job))
    click.echo(f"Asked. See: batchdrop status {job}")


@click.command()
@click.argument("job")
@stack_option
def retry(*, job: str, stack: StackPlace) -> None:
    """Start a rejected upload again, with its reason gone: no task, an invalid one, unreadable, or too old.

    For records that failed drop the failures.* of the results again.
    """
    from batchdrop_cli.jobs.control import ask_to_retry  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`

    connection = connect(stack)
    ask_to_retry(connection, find_job(connection, job))
    click.echo(f"Asked. See: batchdrop status {job}")


@click.command()
@click.argument("job")
@click.option("--yes", is_flag=True, help="Delete unasked.")
@stack_option
def forget(*, job: str, yes: bool, stack: StackPlace) -> None:
    """Delete a job's upload, results and internal objects, every version of them, for good.

    Not deleted: other versions of the same file, which are other jobs; what the provider still holds, which expires
    automatically; the ledger's rows, which name the file and count its items for 45 days; log lines, and notifications that
    were sent.
    """
    from batchdrop_cli.jobs.control import forget as delete  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`
    from batchdrop_cli.jobs.control import versions_of  # noqa: PLC0415  # as above

    connection = connect(stack)
    found = find_job(connection, job)
    versions = versions_of(connection, found)
    question = f"Delete {printable(found.upload.key)} and {len(versions):,} versions of results for good?"
    agree(question, yes=yes, to="delete them")
    delete(connection, found, versions)
    click.echo(f"Deleted {printable(found.upload.key)} and {len(versions):,} versions of what was written for it.")
