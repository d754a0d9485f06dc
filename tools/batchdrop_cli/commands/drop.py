"""The command `drop`: uploads files and prints the id of each one's job."""

from collections.abc import Sequence
from pathlib import Path

import click

from batchdrop.core.model.keys import Upload
from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.jobs.status import COMPLETED
from batchdrop_cli.jobs.upload import drop_files
from batchdrop_cli.stack import Connection, StackPlace, connect
from batchdrop_cli.views.terminal import disarmed

EXIT_STOPPED = 130  # as shells report Ctrl-C


@click.command()
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
    from batchdrop_cli.jobs.first import cut_files  # noqa: PLC0415  # the formats: 0.1 s for `--help`

    connection = connect(stack)
    uploads = []
    with cut_files(files, task, count) as dropped:
        for upload in drop_files(connection, dropped, task):
            click.echo(f"{upload.job_id}  {disarmed(upload.key)}")
            uploads.append(upload)
    if wait:
        follow(connection, uploads)


def follow(connection: Connection, uploads: Sequence[Upload]) -> None:
    """Show the progress of the jobs of *uploads* until they are over; exit with 1 if an item did not succeed."""
    from batchdrop_cli.jobs.waiting import wait_for  # noqa: PLC0415  # as above
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # rich: 0.1 s until the id is printed
    from batchdrop_cli.views.jobs import show_endings  # noqa: PLC0415  # rich: 0.1 s until the id is printed
    from batchdrop_cli.views.progress import visible_progress  # noqa: PLC0415  # as above

    console = make_console()
    try:
        with visible_progress(console, uploads) as watch:
            jobs = wait_for(connection, uploads, watch)
    except KeyboardInterrupt:
        click.echo("Not waiting any more; the jobs continue. See: batchdrop status", err=True)
        click.get_current_context().exit(EXIT_STOPPED)
    show_endings(console, jobs, connection.results_bucket)
    if any(job.event != COMPLETED for job in jobs):
        click.get_current_context().exit(1)
