"""The commands `tasks` and `tasks put`: lists tasks, checks and uploads task files."""

from pathlib import Path

import click

from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.stack import StackPlace, connect


@click.group(invoke_without_command=True)
@stack_option
@click.pass_context
def tasks(context: click.Context, *, stack: StackPlace) -> None:
    """List the tasks, or add some."""
    if context.invoked_subcommand is None:
        from batchdrop_cli.jobs.tasks import listed_tasks  # noqa: PLC0415  # as above
        from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # rich: 0.1 s for `--help`
        from batchdrop_cli.views.tasks import show_tasks  # noqa: PLC0415  # rich: 0.1 s for `--help`

        show_tasks(make_console(), listed_tasks(connect(stack)))


@tasks.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@stack_option
def put(*, files: tuple[Path, ...], stack: StackPlace) -> None:
    """Check task files and add them; one that is there is replaced.

    A task is called by its file's name, without .yaml.
    """
    from batchdrop_cli.jobs.tasks import put_tasks  # noqa: PLC0415  # pydantic: 0.2 s for `--help`

    for name in put_tasks(connect(stack), files):
        click.echo(name)
