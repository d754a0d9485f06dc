"""The tasks of a stack: which there are, and adding some.

Rule: a task is checked by the very code that will use it, before it is put; an invalid one changes nothing, and keeps no
other one from being put.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.keys import TASK_ENDINGS, task_keys
from batchdrop_cli.failures import CommandFailed, MisusedCommand
from batchdrop_cli.jobs.upload import is_task_name, read_stored_task, task_names
from batchdrop_cli.stack import Connection


@dataclass(frozen=True, slots=True)
class ListedTask:
    """One task as the list shows it; *problem* is why it cannot be used, empty where it can."""

    name: str
    endpoint: str = ""
    model: str = ""
    id: str = ""
    problem: str = ""


def listed_tasks(connection: Connection) -> Iterator[ListedTask]:
    """Yield every task of the stack, by name."""
    for name in task_names(connection):
        content = read_stored_task(connection, name)
        if content is not None:  # deleted since the listing
            yield listed_task(name, content)


def listed_task(name: str, content: bytes) -> ListedTask:
    """Return how the task in *content* is listed."""
    from batchdrop.core.planning.task import parse_task  # noqa: PLC0415  # pydantic: 0.2 s that other commands need not wait for

    try:
        task = parse_task(name, content)
    except UploadRejected as error:
        return ListedTask(name, problem=error.message)
    return ListedTask(name, task.endpoint, task.model or "(by record)", task.id or "")


def put_tasks(connection: Connection, paths: Sequence[Path]) -> Iterator[str]:
    """Put each task file that can be used and yield its name; raises CommandFailed at the end with what is wrong with others.

    Raises MisusedCommand, before anything is put, where one isn't a task file or cannot be read.
    """
    found = [(path, task_name(path), read_task(path)) for path in paths]
    problems = []
    for path, name, content in found:
        problem = listed_task(name, content).problem
        if problem:
            problems.append(f"{path}: {problem}. It was not put.")
            continue
        connection.storage.put_object(Bucket=connection.inbox_bucket, Key=task_keys(name)[0], Body=content)
        yield name
    if problems:
        raise CommandFailed("\n".join(problems))


def task_name(path: Path) -> str:
    """Return what the task in *path* is called: the file's name without its ending."""
    if path.suffix not in TASK_ENDINGS or not is_task_name(path.stem):
        raise MisusedCommand(
            f"{path} isn't a task file: a task is called by its file's name, which ends in {' or '.join(TASK_ENDINGS)}."
        )
    return path.stem


def read_task(path: Path) -> bytes:
    """Return the content of a task file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise MisusedCommand(f"{path} cannot be read: {error.strerror}.") from error
