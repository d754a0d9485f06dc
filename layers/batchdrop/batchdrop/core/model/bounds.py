"""Checks that the limits fit each other and what the provider takes.

Rule: a limit that a deployment may set, and that could break a promise or be refused by every batch, is bounded here; a bad one
stops the function at its start.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from batchdrop.core.model.limits import DAY, HOUR, Limits

# https://developers.openai.com/api/docs/guides/batch (2026-09-26); megabytes counted so that any reading of "MB" holds.
_BATCH_REQUESTS_MAX: Final = 50_000
_BATCH_BYTES_MAX: Final = 200_000_000
# https://developers.openai.com/api/reference/resources/files (2026-11-22): `expires_after.seconds`.
_FILE_LIFETIME_SECONDS_LEAST: Final = HOUR
_FILE_LIFETIME_SECONDS_MOST: Final = 30 * DAY
# How long a dead-letter queue keeps a message (template.yaml): a redrive starts again.
_REDRIVE_SECONDS: Final = 14 * DAY


@dataclass(frozen=True, slots=True)
class Bound:
    """The least or the most that the limit called *name* may be, given the others, and why."""

    name: str
    reason: str
    least: Callable[[Limits], int] = lambda _limits: 1
    most: Callable[[Limits], int] | None = None


BOUNDS: Final = (
    Bound(
        "grace_seconds",
        "a worker must have ended before its create counts as lost: time-out, create time-out and create margin together",
        least=lambda limits: (
            limits.worker_timeout_seconds + limits.create_timeout_seconds + limits.create_margin_seconds
        ),
    ),
    Bound(
        "worker_timeout_seconds",
        "a worker needs time for a create: create time-out, create margin and stop margin together",
        least=lambda limits: limits.create_timeout_seconds + limits.create_margin_seconds + limits.stop_margin_seconds,
    ),
    Bound("shard_requests_max", "the provider takes no more in a batch", most=lambda _limits: _BATCH_REQUESTS_MAX),
    Bound(
        "shard_embedding_inputs_max", "the provider takes no more in a batch", most=lambda _limits: _BATCH_REQUESTS_MAX
    ),
    Bound("shard_bytes_max", "the provider takes no more in a file of a batch", most=lambda _limits: _BATCH_BYTES_MAX),
    Bound("shard_bytes_max", "a shard holds a record at least", least=lambda limits: limits.record_bytes_max),
    Bound("open_chunks_bytes_max", "a chunk has to fit in", least=lambda limits: limits.chunk_bytes_max),
    Bound(
        "input_file_lifetime_seconds",
        "the provider keeps a file for an hour to 30 days",
        least=lambda _limits: _FILE_LIFETIME_SECONDS_LEAST,
        most=lambda _limits: _FILE_LIFETIME_SECONDS_MOST,
    ),
    Bound(
        "file_sweep_age_seconds",
        "a file that is being fenced off is not swept: grace and fence wait together",
        least=lambda limits: limits.grace_seconds + limits.fence_wait_seconds,
    ),
    Bound(
        "ended_rows_kept_seconds",
        "a job's row outlives every redelivery of its drop: the age of old drops and 14 days of a dead-letter queue",
        least=lambda limits: limits.old_drop_seconds + _REDRIVE_SECONDS,
    ),
    Bound(
        "event_awaited_seconds",
        "an upload is found before it counts as old",
        most=lambda limits: limits.old_drop_seconds - limits.inbox_round_seconds,
    ),
)


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that is out of its bounds, and what to say of it."""

    name: str
    complaint: str


def first_breach(limits: Limits) -> Breach | None:
    """Return the first bound that *limits* do not keep, or None."""
    for bound in BOUNDS:
        value = getattr(limits, bound.name)
        least = bound.least(limits)
        most = None if bound.most is None else bound.most(limits)
        if value < least:
            return Breach(bound.name, f"{value:,} is less than {least:,}; {bound.reason}")
        if most is not None and value > most:
            return Breach(bound.name, f"{value:,} is more than {most:,}; {bound.reason}")
    return None
