"""The commands that lay a person's hand on a job: approve, cancel, retry, forget; check, which looks before there is
one; costs, which adds up afterwards.

Rule: as in `main`, whose group these belong to. Modules that take long to import are imported where they are needed.
"""

import re
import sys
from pathlib import Path

import click

from batchdrop.core.model.wording import printable
from batchdrop_cli.connection import Connection, StackPlace, connect
from batchdrop_cli.failures import MisusedCommand
from batchdrop_cli.jobs import find_job
from batchdrop_cli.local.provider import OPENAI_BASE_URL
from batchdrop_cli.options import stack_option

NO_TASK = "-"
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@click.command()
@click.argument("job")
@stack_option
def cancel(*, job: str, stack: StackPlace) -> None:
    """Cancel a job: nothing more of it is sent, and batches that run are stopped.

    What was answered by then is paid, and is in the results; failures.* there holds the rest.
    """
    from batchdrop_cli.control import ask_to_cancel  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`

    connection = connect(stack)
    ask_to_cancel(connection, find_job(connection, job))
    click.echo(f"Asked. The job ends once nothing of it runs any more. See: batchdrop status {job}")


@click.command()
@click.argument("job")
@stack_option
def approve(*, job: str, stack: StackPlace) -> None:
    """Let a job go on that is held for what it may cost; `batchdrop status JOB` shows its quote.

    It may then cost half as much again as was quoted, and is held anew beyond that.
    """
    from batchdrop_cli.control import ask_to_approve  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`

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
    from batchdrop_cli.control import ask_to_retry  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`

    connection = connect(stack)
    ask_to_retry(connection, find_job(connection, job))
    click.echo(f"Asked. See: batchdrop status {job}")


@click.command()
@click.argument("job")
@click.option("--yes", is_flag=True, help="Delete unasked.")
@stack_option
def forget(*, job: str, yes: bool, stack: StackPlace) -> None:
    """Delete a job's upload, results and internal objects, every version of them, for good.

    Not deleted: other versions of the same file, which are other jobs; what the provider still holds, which expires by itself;
    the ledger's rows, which name the file and count its items for 45 days; log lines, and notifications that were sent.
    """
    from batchdrop_cli.control import forget as delete  # noqa: PLC0415  # msgspec and more: 0.1 s for `--help`
    from batchdrop_cli.control import versions_of  # noqa: PLC0415  # as above

    connection = connect(stack)
    found = find_job(connection, job)
    versions = versions_of(connection, found)
    if not yes:
        if not sys.stdin.isatty():
            raise MisusedCommand("Nobody can be asked here. Agree to the deletion with --yes.")
        click.confirm(
            f"Delete {printable(found.upload.key)} and {len(versions):,} versions of results for good?", abort=True
        )
    delete(connection, found, versions)
    click.echo(f"Deleted {printable(found.upload.key)} and {len(versions):,} versions of what was written for it.")


@click.command()
@click.option("--month", metavar="YYYY-MM", help="Only jobs whose last batch ended then, in UTC.")
@click.option(
    "--csv", "is_csv", is_flag=True, help="Rows for a spreadsheet, with every digit; the rest is on standard error."
)
@stack_option
def costs(*, month: str | None, is_csv: bool, stack: StackPlace) -> None:
    """Add up what jobs cost, from their receipts: list prices less the batch discount.

    What is unknown, and what is not counted, is said. The provider's bill is what counts.
    """
    from batchdrop_cli.costs import read_costs  # noqa: PLC0415  # decimals, msgspec: 0.1 s for `--help`
    from batchdrop_cli.costs_view import left_out, show_costs, write_csv  # noqa: PLC0415  # as above
    from batchdrop_cli.show import make_console  # noqa: PLC0415  # as above

    if month is not None and not _MONTH.fullmatch(month):
        raise MisusedCommand(f"{month!r} is no month. Write it as 2026-11.")
    found = read_costs(connect(stack), month)
    if not is_csv:
        show_costs(make_console(), found, month)
        return
    write_csv(sys.stdout, found.entries)
    for line in left_out(found):
        click.echo(line, err=True)


@click.command()
@click.argument("task")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--base-url", default=OPENAI_BASE_URL, show_default=True, help="Whose prices the estimate takes.")
@stack_option
@click.pass_context
def check(context: click.Context, *, task: str, file: Path, base_url: str, stack: StackPlace) -> None:
    """Look at a whole file as the stack would, show what would be sent and its cost, and send nothing.

    TASK is a task file (x.yaml), the name of a task of the stack, or - for ready-made requests. The exit code is 1 if any
    record would be refused.
    """
    from batchdrop_cli.check import check_file  # noqa: PLC0415  # prices, pydantic: 0.3 s for `--help`
    from batchdrop_cli.check_view import show_checked  # noqa: PLC0415  # as above
    from batchdrop_cli.drop import check_file as check_path  # noqa: PLC0415  # as above
    from batchdrop_cli.drop import inbox_key  # noqa: PLC0415  # as above
    from batchdrop_cli.show import make_console  # noqa: PLC0415  # as above

    name, content = _task(task, stack)
    check_path(file, inbox_key(file, None if content is None else name))
    checked = check_file(file, name, content, base_url)
    show_checked(make_console(), checked, base_url)
    if checked.refused:
        context.exit(1)


def _task(task: str, stack: StackPlace) -> tuple[str, bytes | None]:
    """Return a task's name and content: of a file, or else of the stack, which is asked for nothing but that."""
    from batchdrop_cli.drop import TASK_SUFFIX, check_task  # noqa: PLC0415  # as above
    from batchdrop_cli.tasks import task_name  # noqa: PLC0415  # as above

    if task == NO_TASK:
        return NO_TASK, None
    if task.endswith(TASK_SUFFIX):
        return task_name(Path(task)), _read(Path(task))
    connection: Connection = connect(stack)
    check_task(connection, task)
    return task, connection.read(connection.inbox_bucket, f"tasks/{task}{TASK_SUFFIX}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MisusedCommand(f"{path} cannot be read: {error.strerror}.") from error
