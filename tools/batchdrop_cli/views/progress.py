"""Progress of jobs while the command waits for them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from batchdrop.core.model.keys import Upload
from batchdrop.core.model.wording import printable
from batchdrop_cli.jobs.status import JobStatus
from batchdrop_cli.jobs.waiting import Watch
from batchdrop_cli.views.jobs import progress_of, state_of

NOT_BEGUN = "not begun"


@contextmanager
def visible_progress(console: Console, uploads: Sequence[Upload], *, is_passing: bool = False) -> Iterator[Watch]:
    """Show a bar for each upload on a terminal, elsewhere a line for each change. What *is_passing* leaves nothing behind."""
    if not console.is_terminal:
        yield _nothing if is_passing else _changes(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=is_passing) as progress:
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


def _nothing(_upload: Upload, _status: JobStatus | None) -> None:
    """Show nothing."""


def _changes(console: Console) -> Watch:
    shown: dict[Upload, str] = {}

    def watch(upload: Upload, status: JobStatus | None) -> None:
        line = f"{state_of(status)}, {progress_of(status.counts)}" if status else NOT_BEGUN
        if shown.get(upload) != line:
            shown[upload] = line
            console.print(f"{printable(upload.key)}: {printable(line)}", markup=False)

    return watch
