"""How often a call may be made in a sliding time."""

from collections import deque
from dataclasses import dataclass, field

from openai_batch_simulator.messages import Refusal


@dataclass(slots=True)
class RateLimit:
    """How many calls of a kind are allowed in a sliding time."""

    calls_max: int
    seconds: float
    _times: deque[float] = field(default_factory=deque)

    def spend(self, now: float, what: str) -> None:
        """Count one call. Raises Refusal (429) where it is one too many."""
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        if len(self._times) >= self.calls_max:
            message = f"Rate limit reached for {what}: {self.calls_max} in {self.seconds:g} seconds."
            wait_seconds = self._times[0] + self.seconds - now
            headers = {"retry-after": f"{wait_seconds:.0f}"}
            raise Refusal(429, message, kind="requests", code="rate_limit_exceeded", headers=headers)
        self._times.append(now)
