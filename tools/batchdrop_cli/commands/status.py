"""The command `status`: shows all jobs, or one in detail."""

import click

from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.jobs.status import all_statuses, find_job
from batchdrop_cli.stack import StackPlace, connect


@click.command()
@click.argument("job", required=False)
@stack_option
def status(*, job: str | None, stack: StackPlace) -> None:
    """Show all jobs, or one of them in detail."""
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # rich: 0.1 s for `--help`
    from batchdrop_cli.views.jobs import show_job, show_jobs  # noqa: PLC0415  # rich: 0.1 s for `--help`

    connection = connect(stack)
    if job is None:
        show_jobs(make_console(), all_statuses(connection))
    else:
        show_job(make_console(), find_job(connection, job), connection.results_bucket)
