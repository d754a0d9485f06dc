"""The console that every view prints to, and how words of other people are put on it.

Rule: names of files, tasks and models are other people's words: they are shown as text, with whatever a terminal would obey
as its escape. Colours and live lines are for terminals; a pipe gets plain lines of any width.
"""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchdrop.core.model.wording import printable

# A table in a pipe is cut nowhere: S3 keys have at most 1,024 bytes.
PIPE_COLUMNS = 4_096


def make_console() -> Console:
    """Return the console on standard output; NO_COLOR and TERM are respected."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def show_heading(console: Console, title: str) -> None:
    """Print a line that sets off what follows."""
    console.print(f"\n── {title} ──", style="bold cyan")


def text(words: str, style: str = "") -> Text:
    """Return *words* as they are, markup and control characters disarmed."""
    return Text(printable(words), style=style)


def new_table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    """Return a table without borders: *columns* of text, folded where they are long, then *numbers*, aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table
