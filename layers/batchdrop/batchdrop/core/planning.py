"""The plan of a job: chunks of request lines, written in pages.

Rule: planning is deterministic. The same upload and task give the same chunks under the same keys, so that a crash between
writing objects and writing the ledger costs work and nothing else.
"""

from dataclasses import dataclass

from batchdrop.core.ledger_rows import Group, PlanCursor


@dataclass(frozen=True, slots=True)
class Request:
    """What a record becomes: one request of a batch."""

    name: str  # the item's safe name
    endpoint: str
    model: str
    body: bytes  # a JSON object on one line
    tokens: int  # estimated input tokens
    inputs: int  # embedding inputs; 0 for other endpoints


@dataclass(frozen=True, slots=True)
class Chunk:
    """Request lines of one group, written as one object; its key follows from group and number."""

    group: int
    number: int
    lines: int
    size_bytes: int
    tokens: int
    inputs: int
    first_row: int
    last_row: int
    start: int  # byte offset in the upload of its first record


@dataclass(frozen=True, slots=True)
class PlanPage:
    """What one stretch of planning added, and where it stopped: all its objects are written."""

    cursor: PlanCursor
    groups: tuple[Group, ...]
    chunks: tuple[Chunk, ...]  # of this stretch alone
    items: int  # records read so far
    refused: int  # of these, so far
    is_last: bool
