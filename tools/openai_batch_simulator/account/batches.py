"""One batch, and the table of its states.

Rule: a batch moves along `TRANSITIONS` and no other way; a pair that is missing there is a defect of the simulator.
The eight statuses are those of `openai/types/batch.py` of the Python SDK 3.54.0, read 2026-11-22.
"""

import math
from dataclasses import dataclass, field
from enum import Enum

from openai_batch_simulator.account.quota import Load
from openai_batch_simulator.account.validation import LineError
from openai_batch_simulator.faults.switches import CODELESS, EMPTY, LIST, NULL


class Status(Enum):
    """The status of a batch, as the API writes it."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class Happening(Enum):
    """What moves a batch."""

    FOUND_VALID = "found valid"
    FOUND_INVALID = "found invalid"
    RAN = "every line ran"
    WRITTEN = "the files are written"
    WINDOW_ENDED = "the window ended"
    CANCEL_ASKED = "cancel was asked"
    STOPPED = "the work stopped"


# The states of https://developers.openai.com/api/docs/guides/batch, as of 2026-09-26. Choices where that page is silent:
# a batch may be cancelled while it is validating or finalizing, and it expires without passing through finalizing.
TRANSITIONS: dict[tuple[Status, Happening], Status] = {
    (Status.VALIDATING, Happening.FOUND_VALID): Status.IN_PROGRESS,
    (Status.VALIDATING, Happening.FOUND_INVALID): Status.FAILED,
    (Status.VALIDATING, Happening.CANCEL_ASKED): Status.CANCELLING,
    (Status.IN_PROGRESS, Happening.RAN): Status.FINALIZING,
    (Status.IN_PROGRESS, Happening.CANCEL_ASKED): Status.CANCELLING,
    (Status.IN_PROGRESS, Happening.WINDOW_ENDED): Status.EXPIRED,
    (Status.FINALIZING, Happening.WRITTEN): Status.COMPLETED,
    (Status.FINALIZING, Happening.CANCEL_ASKED): Status.CANCELLING,
    (Status.CANCELLING, Happening.STOPPED): Status.CANCELLED,
}

TERMINAL = frozenset({Status.FAILED, Status.COMPLETED, Status.EXPIRED, Status.CANCELLED})


@dataclass(slots=True)
class Usage:
    """The tokens of the lines that were answered."""

    input_tokens: int = 0
    output_tokens: int = 0

    def describe(self) -> dict[str, object]:
        """Return the BatchUsage object of the API."""
        return {
            "input_tokens": self.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.input_tokens + self.output_tokens,
        }


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch; times are seconds since 1970."""

    id: str
    project: str
    endpoint: str
    input_file_id: str
    metadata: dict[str, str] | None
    output_expires_seconds: int
    created_at: float
    expires_at: float
    visible_at: float = -math.inf
    gone_at: float = math.inf
    status: Status = Status.VALIDATING
    entered_at: dict[Status, float] = field(default_factory=dict)
    errors: list[LineError] = field(default_factory=list)
    errors_form: str = LIST
    is_endless: bool = False  # neither its lines nor its window end it
    load: Load | None = None  # what it takes of the queue, from validation on
    lines: int = 0
    completed: int = 0
    failed: int = 0
    usage: Usage = field(default_factory=Usage)
    output_file_id: str | None = None
    error_file_id: str | None = None
    files_named_at: float = -math.inf

    def move(self, happening: Happening, now: float) -> None:
        """Enter the state that follows. Raises KeyError for a pair that the table does not have."""
        self.status = TRANSITIONS[self.status, happening]
        self.entered_at[self.status] = now

    def can(self, happening: Happening) -> bool:
        """Return whether the table has a way on from here."""
        return (self.status, happening) in TRANSITIONS

    def describe(self, now: float) -> dict[str, object]:
        """Return the Batch object of the API; `model` and `usage` are there once the input was found valid."""
        names_files = now >= self.files_named_at
        described: dict[str, object] = {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": self._describe_errors(),
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status.value,
            "output_file_id": self.output_file_id if names_files else None,
            "error_file_id": self.error_file_id if names_files else None,
            "created_at": int(self.created_at),
            "expires_at": int(self.expires_at),
            **{f"{status.value}_at": self._entered(status) for status in Status if status is not Status.VALIDATING},
            "request_counts": {"total": self.lines, "completed": self.completed, "failed": self.failed},
            "metadata": self.metadata,
        }
        if self.load is not None:
            described |= {"model": self.load.model, "usage": self.usage.describe()}
        return described

    def _entered(self, status: Status) -> int | None:
        moment = self.entered_at.get(status)
        return None if moment is None else int(moment)

    def _describe_errors(self) -> dict[str, object] | None:
        if not self.errors or self.errors_form == NULL:
            return None
        described = [error.describe() for error in self.errors]
        if self.errors_form == EMPTY:
            described = []
        if self.errors_form == CODELESS:
            described = [dict.fromkeys(error) for error in described]
        return {"object": "list", "data": described}
