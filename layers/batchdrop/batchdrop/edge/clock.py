"""Gives time and chance of the real process."""

import random
import time
import uuid
from typing import Protocol

# A conflict is over in milliseconds; two seconds are what a worker may lose to one.
PAUSE_SECONDS_FIRST = 0.05
PAUSE_SECONDS_MAX = 2.0
# 0.05 s doubled this often is past the longest pause: the power need not grow further.
_DOUBLINGS_MAX = 10


class Context(Protocol):
    """What Lambda gives a handler, as far as it is used."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the invocation may still run."""


class SystemClock:
    """The clock of one process. `context` is set at the beginning of each invocation."""

    context: Context

    def now(self) -> int:
        """Return whole seconds since 1970."""
        return int(time.time())

    def remaining_seconds(self) -> float:
        """Return how long this invocation may still run."""
        return self.context.get_remaining_time_in_millis() / 1_000

    def pause(self, attempt: int) -> None:
        """Wait between nothing and twice as long as the attempt before (full jitter)."""
        longest = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_FIRST * 2 ** min(attempt, _DOUBLINGS_MAX))
        time.sleep(random.uniform(0, longest))  # noqa: S311 - jitter, not a secret

    def new_id(self) -> str:
        """Return a fresh random UUID."""
        return str(uuid.uuid4())
