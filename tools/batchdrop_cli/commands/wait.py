"""The command `wait`: shows the progress of jobs that were dropped before, until they are over."""

import click

from batchdrop_cli.commands.drop import follow
from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.jobs.status import find_job
from batchdrop_cli.stack import StackPlace, connect


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@stack_option
def wait(*, jobs: tuple[str, ...], stack: StackPlace) -> None:
    """Show the progress of jobs until they are over.

    The exit code is 0 if every item of every job succeeded, else 1.
    """
    connection = connect(stack)
    follow(connection, [find_job(connection, job).upload_dropped for job in jobs])
