"""The tasks of a stack: which there are, and adding some.

Rule: a task is checked by the very code that will use it, before it is put; an invalid one changes nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from batchdrop.core.errors import UploadRejected
from batchdrop.core.jobs import TASKS_PREFIX
from batchdrop_cli.connection import Connection
from batchdrop_cli.drop import TASK_SUFFIX, is_task_name, task_names
from batchdrop_cli.failures import CommandFailed, MisusedCommand

# A place in a task as complaints write it: `body.model` in backticks, or body.messages[0].content without.
PLACE = re.compile(r"`([\w.\[\]]+)`|\b(body(?:\.\w+|\[\d+\])+)")
STEP = re.compile(r"\w+")


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
        content = connection.read(connection.inbox_bucket, f"{TASKS_PREFIX}{name}{TASK_SUFFIX}")
        if content is not None:  # deleted since the listing
            yield listed_task(name, content)


def listed_task(name: str, content: bytes) -> ListedTask:
    """Return how the task in *content* is listed."""
    from batchdrop.core.tasks import parse_task  # noqa: PLC0415  # pydantic: 0.2 s that other commands need not wait for

    try:
        task = parse_task(name, content)
    except UploadRejected as error:
        return ListedTask(name, problem=error.message)
    return ListedTask(name, task.endpoint, task.model or "(by record)", task.id or "")


def put_tasks(connection: Connection, paths: Sequence[Path]) -> Iterator[str]:
    """Put each task file and yield its name. Raises before anything is put where one of them cannot be used."""
    contents = {task_name(path): read_task(path) for path in paths}
    for name, content in contents.items():
        connection.storage.put_object(
            Bucket=connection.inbox_bucket, Key=f"{TASKS_PREFIX}{name}{TASK_SUFFIX}", Body=content
        )
        yield name


def task_name(path: Path) -> str:
    """Return what the task in *path* is called: the file's name without its ending."""
    if path.suffix != TASK_SUFFIX or not is_task_name(path.stem):
        raise MisusedCommand(
            f"{path} is no task file: a task is called by its file's name, which ends in {TASK_SUFFIX}."
        )
    return path.stem


def read_task(path: Path) -> bytes:
    """Return the content of a task file. Raises CommandFailed with field and line where it cannot be used."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MisusedCommand(f"{path} cannot be read: {error.strerror}.") from error
    problem = listed_task(path.stem, content).problem
    if problem:
        line = line_of_complaint(content, problem)
        raise CommandFailed(f"{path}{f', line {line}' if line else ''}: {problem}. Nothing was put.")
    return content


def line_of_complaint(content: bytes, problem: str) -> int | None:
    """Return the 1-based line of the first field of the task that *problem* names.

    None where it names none that the file has; complaints about YAML itself name their line.
    """
    try:
        root = yaml.compose(content.decode("utf-8-sig"), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    named = PLACE.findall(problem.partition(" cannot be used: ")[2])
    lines = (line_of(root, STEP.findall(quoted or bare)) for quoted, bare in named)
    return next((line for line in lines if line is not None), None)


def line_of(node: yaml.Node | None, steps: list[str]) -> int | None:
    """Return the line that *steps*, keys and indexes, lead to from *node*, as far as they do; None if the first does not."""
    line = None
    for step in steps:
        following = _children(node).get(step)
        if following is None:
            return line
        line, node = following
    return line


def _children(node: yaml.Node | None) -> dict[str, tuple[int, yaml.Node]]:
    """Return the line and node of each child of *node*, by key or index."""
    match node:
        case yaml.MappingNode():
            return {str(key.value): (key.start_mark.line + 1, value) for key, value in node.value}
        case yaml.SequenceNode():
            return {str(index): (value.start_mark.line + 1, value) for index, value in enumerate(node.value)}
        case _:
            return {}
