"""Dropping: files of this machine become uploads.

Rule: every file is looked at before the first one is put, so that a mistyped name drops nothing.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from batchdrop.core.model.keys import (
    INBOX_PREFIX,
    TASKS_PREFIX,
    Upload,
    is_ignored,
    is_key_too_long,
    named_task,
    task_keys,
)
from batchdrop.core.model.limits import UPLOAD_KEY_BYTES_MAX
from batchdrop_cli.failures import MisusedCommand
from batchdrop_cli.stack import Connection

# One PUT takes 5 GiB (https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html, 2026-11-22). More needs a
# multipart upload, which any S3 client can make: the drop is the same.
FILE_BYTES_MAX = 5 << 30


def inbox_key(path: Path, task: str | None) -> str:
    """Return where the file at *path* goes: below its task, or directly below the inbox."""
    return f"{INBOX_PREFIX}{task}/{path.name}" if task else f"{INBOX_PREFIX}{path.name}"


def drop_files(connection: Connection, paths: Sequence[Path], task: str | None) -> Iterator[Upload]:
    """Put each file and yield what it became, in order. Raises MisusedCommand before anything is put."""
    if task is not None:
        check_task(connection, task)
    for path in paths:
        check_file(path, inbox_key(path, task))
    for path in paths:
        yield connection.put_upload(path, inbox_key(path, task))


def check_task(connection: Connection, task: str) -> None:
    """Raise MisusedCommand where there is no such task: the drop would wait for it in vain."""
    if not is_task_name(task):
        raise MisusedCommand(f"{task!r} isn't a task name: that is the name of one folder below inbox/.")
    names = task_names(connection)
    if task not in names:
        known = f"The tasks there are: {', '.join(names)}." if names else "There are no tasks yet."
        raise MisusedCommand(f"There is no task {task!r}. {known} Add one: batchdrop tasks put {task}.yaml")


def is_task_name(name: str) -> bool:
    """Whether a task can be called *name*: one folder, and not the sign for none."""
    return name.isprintable() and "/" not in name and name not in {"", ".", "..", "-"}


def task_names(connection: Connection) -> list[str]:
    """Return the names of all tasks."""
    names = (named_task(found.key) for found in connection.objects(connection.inbox_bucket, TASKS_PREFIX))
    return list(dict.fromkeys(name for name in names if name is not None))


def read_stored_task(connection: Connection, name: str) -> bytes | None:
    """Return the content of the task called *name*, found as the functions find it; None where there is none."""
    contents = (connection.read(connection.inbox_bucket, key) for key in task_keys(name))
    return next((content for content in contents if content is not None), None)


def check_file(path: Path, key: str) -> None:
    """Raise MisusedCommand where the file cannot be dropped, or would be ignored."""
    if str(path) == "-":
        raise MisusedCommand("Standard input cannot be dropped: a drop has a name. Write it to a file first.")
    if not path.is_file():
        raise MisusedCommand(f"{path} {"isn't a file" if path.exists() else 'does not exist'}.")
    if is_ignored(key):
        raise MisusedCommand(f"{path} would be ignored: file managers leave such files behind.")
    if is_key_too_long(key):
        raise MisusedCommand(
            f"{path.name} would get a key of more than {UPLOAD_KEY_BYTES_MAX} bytes. Use a shorter name."
        )
    size_bytes = path.stat().st_size
    if size_bytes > FILE_BYTES_MAX:
        limit = f"{FILE_BYTES_MAX >> 30} GiB"
        raise MisusedCommand(
            f"{path} is over {limit}. Put it with an S3 client that uploads in parts: the drop is the same."
        )
