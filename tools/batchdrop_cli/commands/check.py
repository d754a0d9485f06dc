"""The command `check`: plans a file as the stack would, and sends nothing."""

from pathlib import Path

import click

from batchdrop.core.model.keys import NO_TASK, TASK_ENDINGS
from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.failures import MisusedCommand
from batchdrop_cli.local.provider import OPENAI_BASE_URL
from batchdrop_cli.stack import Connection, StackPlace, connect


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
    from batchdrop_cli.jobs.check import check_file  # noqa: PLC0415  # prices, pydantic: 0.3 s for `--help`
    from batchdrop_cli.jobs.upload import check_file as check_path  # noqa: PLC0415  # as above
    from batchdrop_cli.jobs.upload import inbox_key  # noqa: PLC0415  # as above
    from batchdrop_cli.views.check import show_checked  # noqa: PLC0415  # as above
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above

    name, content = _task(task, stack)
    check_path(file, inbox_key(file, None if content is None else name))
    checked = check_file(file, name, content, base_url)
    show_checked(make_console(), checked, base_url)
    if checked.refused:
        context.exit(1)


def _task(task: str, stack: StackPlace) -> tuple[str, bytes | None]:
    """Return a task's name and content: of a file, or else of the stack, which is asked for nothing but that."""
    from batchdrop_cli.jobs.tasks import task_name  # noqa: PLC0415  # as above
    from batchdrop_cli.jobs.upload import check_task, read_stored_task  # noqa: PLC0415  # as above

    if task == NO_TASK:
        return NO_TASK, None
    if task.endswith(TASK_ENDINGS):
        return task_name(Path(task)), _read(Path(task))
    connection: Connection = connect(stack)
    check_task(connection, task)
    return task, read_stored_task(connection, task)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MisusedCommand(f"{path} cannot be read: {error.strerror}.") from error
