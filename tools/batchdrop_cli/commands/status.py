"""The command `status`: shows all jobs, or one in detail."""

import click

from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.jobs.status import all_statuses, chosen, find_job
from batchdrop_cli.stack import StackPlace, connect


@click.command()
@click.argument("job", required=False)
@click.option("--task", metavar="T", help="Only the jobs of this task; - for ready-made requests.")
@click.option("--state", metavar="STATE", help="Only the jobs in this state, such as running, held or completed.")
@click.option("--since", metavar="DATE", help="Only the jobs dropped from then on, such as 2026-11-30.")
@stack_option
def status(*, job: str | None, task: str | None, state: str | None, since: str | None, stack: StackPlace) -> None:
    """Show all jobs, or one of them in detail.

    A job is named by its id, or by as many characters of it as no other id begins with.
    """
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # rich: 0.1 s for `--help`
    from batchdrop_cli.views.jobs import show_job, show_jobs  # noqa: PLC0415  # rich: 0.1 s for `--help`

    connection = connect(stack)
    if job is None:
        show_jobs(make_console(), chosen(all_statuses(connection), task, state, since))
    else:
        show_job(make_console(), find_job(connection, job), connection.results_bucket)
