"""Defines what the provider shows of a batch, and what may come of a create call.

Rule: read tolerantly. An unknown status is kept and waited on. An absent count or id is None, not zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchError:
    """One entry of a failed batch's errors. *line* is 1-based in the input file, None where the file as a whole is meant."""

    code: str
    message: str
    line: int | None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the provider shows it, read tolerantly: unknown statuses are kept as they came, in lower case."""

    id: str
    status: str
    created_at: int
    endpoint: str = ""
    input_file: str = ""
    output_file: str | None = None
    error_file: str | None = None
    errors: tuple[BatchError, ...] = ()
    total: int | None = None
    completed: int | None = None
    failed: int | None = None
    ended_at: int = 0  # completed_at, failed_at, expired_at or cancelled_at, whichever is set; 0 while none is
    expires_at: int = 0
    metadata: Mapping[str, str] | None = None

    @property
    def ticket(self) -> str:
        """The ticket of the create call that made it, from our metadata; empty if it isn't ours."""
        return (self.metadata or {}).get("ticket", "")


@dataclass(frozen=True, slots=True)
class BatchPage:
    """One page of the list of batches."""

    batches: tuple[Batch, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the provider lists it."""

    id: str
    name: str
    created_at: int
    status: str = ""  # in lower case; empty where the provider does not say


@dataclass(frozen=True, slots=True)
class FilePage:
    """One page of the list of files."""

    files: tuple[StoredFile, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The create call answered with a batch."""

    batch: Batch
    request_id: str = ""  # what the provider calls this answer, for its support


@dataclass(frozen=True, slots=True)
class Declined:
    """The create call was definitely refused: no batch exists. *status* is the HTTP status."""

    status: int
    code: str
    message: str
    retry_after_seconds: int = 0
    param: str = ""  # what the refusal is about, as the provider names it


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The create call may or may not have made a batch."""

    cause: str
    is_silent: bool = False  # nothing came in the time that there was, which held up who asked


@dataclass(frozen=True, slots=True)
class NotSent:
    """The connection was never made, so nothing of the create call was sent: no batch exists."""

    cause: str


type CreateAnswer = Accepted | Declined | NotSent | Uncertain
