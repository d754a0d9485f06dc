"""The table of tasks."""

from collections.abc import Iterable

from rich.console import Console

from batchdrop_cli.jobs.tasks import ListedTask
from batchdrop_cli.views.console import new_table, text


def show_tasks(console: Console, tasks: Iterable[ListedTask]) -> None:
    """Print a table of the tasks."""
    listed = list(tasks)
    if not listed:
        console.print("No tasks yet. Add one: batchdrop tasks put FILE.yaml")
        return
    table = new_table("task", "endpoint", "model", "id column", "problem")
    for task in listed:
        table.add_row(
            text(task.name), text(task.endpoint), text(task.model), text(task.id), text(task.problem, style="red")
        )
    console.print(table)
