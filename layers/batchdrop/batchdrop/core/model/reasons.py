"""Defines why a job or a shard waits, is refused or fails."""

from dataclasses import dataclass
from enum import StrEnum


class NotificationEvent(StrEnum):
    """What a notification is about. The values are in rows, in documents, and in filters of subscriptions."""

    NOTHING = ""  # the job has not ended
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"
    # These are not final.
    WAITING = "waiting"
    HELD = "held"


class WaitingFor(StrEnum):
    """What a job or an installation waits for. The values are in rows and in `status.json`."""

    NOTHING = ""
    TASK = "task"  # it is not there yet
    UPLOAD = "upload"  # it cannot be read
    QUOTA = "room"  # quota of the model; comes automatically
    NEXT_ATTEMPT = "next attempt"
    APPROVAL = "approval"
    CANCELLATION = "cancellation"
    DAILY_CAP = "daily cap"
    REFUSED = "refused"  # its uploads or its creates
    MODEL = "model"
    DISK = "disk"
    # Of one of its shards.
    CREATE = "create"
    BATCH = "batch"
    ANSWERS = "answers"
    # Of the whole installation.
    KEY = "key"
    ACCOUNT = "account"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something failed: a stable code for programs and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Outage:
    """Calls of the provider that fail, time after time: since when, why the first of them did, and when the last one did."""

    since: int
    cause: str
    last_at: int = 0  # 0 where that is not kept
    asked_seconds: int = 0  # the longest that it asked to be left alone, where it is asked again sooner


class Scope(StrEnum):
    """What a refusal concerns: the smallest thing that it names."""

    LINE = "line"  # one request, which is too large on its own
    SHARD = "shard"
    MODEL = "model"  # all shards of it


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the provider refuses for good: its last words, how often it did, and since when."""

    reason: Reason
    count: int
    since: int
    scope: Scope = Scope.SHARD


@dataclass(frozen=True, slots=True)
class Wait:
    """A cause that a job waited for and a person can put right; its notification is pending until it is marked as sent."""

    reason: Reason
    is_told: bool = False
