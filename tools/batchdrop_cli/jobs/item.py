"""Reading one item of a job, without the others.

Rule: an item of millions costs two short reads; what cannot be read alone is said to be so, and where it is.
"""

import re
from typing import Final

from batchdrop.core.collection.outcome_index import Place, Window, likely_window, places
from batchdrop.core.model.job import ItemAccess
from batchdrop.core.model.keys import Keys, item_name
from batchdrop.core.model.outcomes import decode_outcome
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.jobs.status import JobStatus
from batchdrop_cli.stack import Connection

_ESCAPED_NAME: Final = re.compile(r"[A-Za-z0-9_.~%-]+").fullmatch
_WHOLE_JOB: Final = "Download all of it: batchdrop results {job} --to DIR"


def read_item(connection: Connection, job: JobStatus, identifier: str) -> bytes:
    """Return the outcome of the item that the user calls *identifier*, or that its name is, as JSON on one line.

    Raises CommandFailed where there is none, none yet, or the task wanted no way to read one alone.
    """
    if job.items == ItemAccess.NONE:
        raise _failure(job, "Its task says `items: none`, so no item can be read alone.", _WHOLE_JOB)
    read = _read_by_index if job.items == ItemAccess.INDEX else _read_object
    for name in _names(identifier):
        content = read(connection, job, name)
        if content is not None:
            return content
    if not job.is_over:
        raise _failure(job, f"There is no item {identifier!r}, or it has no outcome yet: the job is not over.")
    raise _failure(
        job,
        f"There is no item {identifier!r}. An item is called by its id, or by its row with nine digits, such as 000000042.",
        _WHOLE_JOB,
    )


def _names(identifier: str) -> list[str]:
    """Return how an item may be called that a person calls *identifier*: by its id, or by the name that its outcome shows."""
    names = [item_name(identifier)]
    if _ESCAPED_NAME(identifier) and identifier.strip("."):
        names.append(identifier)
    return names


def _failure(job: JobStatus, why: str, advice: str = "") -> CommandFailed:
    return CommandFailed(" ".join([why, advice.format(job=job.job)]).strip())


def _read_object(connection: Connection, job: JobStatus, name: str) -> bytes | None:
    return connection.read(connection.results_bucket, Keys(job.job, job.upload.key).item(name))


def _read_by_index(connection: Connection, job: JobStatus, name: str) -> bytes | None:
    keys = Keys(job.job, job.upload.key)
    size_bytes = connection.size_bytes(connection.results_bucket, keys.outcome_index)
    if size_bytes is None:
        if not job.is_over:
            raise _failure(job, "Its task says `items: index`, and the index is written when the job is over.")
        raise _failure(job, f"There is no index: the job ended as {job.event}.", _WHOLE_JOB)
    for place in _places(connection, keys, name, size_bytes):
        line = connection.read_range(
            connection.results_bucket, keys.outcomes, place.offset, place.offset + place.length
        )
        if decode_outcome(line).name == name:
            return line
    return None


def _places(connection: Connection, keys: Keys, name: str, size_bytes: int) -> list[Place]:
    """Return where the line of *name* may lie: by a short range of the index, or else by all of it."""
    for window in (likely_window(name, size_bytes), Window(0, size_bytes)):
        content = connection.read_range(connection.results_bucket, keys.outcome_index, window.start, window.end)
        found = places(name, content, window, size_bytes)
        if found is not None:
            return found
    raise CommandFailed(f"s3://{connection.results_bucket}/{keys.outcome_index} isn't an index of outcomes.")
