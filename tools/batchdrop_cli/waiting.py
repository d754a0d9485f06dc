"""Waiting for jobs, with visible progress.

Rule: waiting changes nothing. Whoever stops waiting loses nothing but the sight of it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from batchdrop.core.model.keys import Upload
from batchdrop.core.model.wording import printable
from batchdrop_cli.connection import Connection
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.jobs import JobStatus, status_of
from batchdrop_cli.show import progress_of, state_of

LOOK_SECONDS = 0.5  # between two looks; the local stack moves every 2 s
# Three attempts of a batch's 24 hours, and a week in which an uncertain one is looked for: no job takes longer.
WAIT_SECONDS_MAX = 14 * 24 * 3600.0

NOT_BEGUN = "not begun"

type Watch = Callable[[Upload, JobStatus | None], None]  # receives what each look found


def wait_for(
    connection: Connection,
    uploads: Sequence[Upload],
    watch: Watch,
    *,
    timeout_seconds: float = WAIT_SECONDS_MAX,
    look_seconds: float = LOOK_SECONDS,
) -> list[JobStatus]:
    """Return how the job of each upload ended, in their order. Raises CommandFailed when the time is over."""
    deadline = monotonic() + timeout_seconds
    ended: dict[Upload, JobStatus] = {}
    while True:
        for upload in uploads:
            if upload not in ended:
                status = status_of(connection, upload)
                watch(upload, status)
                if status is not None and status.is_over:
                    ended[upload] = status
        if len(ended) == len(set(uploads)):
            return [ended[upload] for upload in uploads]
        if monotonic() > deadline:
            names = ", ".join(upload.job_id for upload in uploads if upload not in ended)
            raise CommandFailed(f"Not over after {timeout_seconds:,.0f} s: {names}. See: batchdrop status")
        sleep(look_seconds)


@contextmanager
def visible_progress(console: Console, uploads: Sequence[Upload]) -> Iterator[Watch]:
    """Show a bar for each upload on a terminal, elsewhere a line for each change."""
    if not console.is_terminal:
        yield _changes(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _bars(progress, uploads)


def _bars(progress: Progress, uploads: Sequence[Upload]) -> Watch:
    bars: dict[Upload, TaskID] = {
        upload: progress.add_task(printable(upload.key), total=None, state=NOT_BEGUN) for upload in uploads
    }

    def watch(upload: Upload, status: JobStatus | None) -> None:
        if status is None:
            return
        counts = status.counts
        # While the upload is still read, how many items it has is not known: the bar moves without an end.
        total = counts.items if status.state != "PLANNING" else None
        progress.update(
            bars[upload],
            completed=counts.succeeded + counts.failed, total=total, state=printable(state_of(status)),
        )  # fmt: skip
        if status.is_over:
            progress.stop_task(bars[upload])

    return watch


def _changes(console: Console) -> Watch:
    shown: dict[Upload, str] = {}

    def watch(upload: Upload, status: JobStatus | None) -> None:
        line = f"{state_of(status)}, {progress_of(status.counts)}" if status else NOT_BEGUN
        if shown.get(upload) != line:
            shown[upload] = line
            console.print(f"{printable(upload.key)}: {printable(line)}", markup=False)

    return watch
