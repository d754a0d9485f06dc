"""Queues as SQS keeps them: a message that is not deleted comes again, and after five receives lies in the dead letters.

Rule: no order is kept, and a message may come twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

RECEIVES_MAX = 5  # template.yaml: maxReceiveCount
VISIBILITY_SECONDS = 5_400  # template.yaml: six times the time-out
REDELIVERY_SECONDS = 60  # limits.py: after an error that the function noticed, times the receives


@dataclass(slots=True)
class Message:
    """One message; *visible_at* moves with each receive."""

    body: str
    visible_at: float
    receives: int = 0


@dataclass(slots=True)
class Queue:
    """One queue and its dead letters."""

    name: str
    now: Callable[[], float]
    messages: list[Message] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)

    def send(self, body: str) -> None:
        """Add a message."""
        self.messages.append(Message(body, self.now()))

    def receive(self) -> Message | None:
        """Return a message that is visible, and hide it; whoever fails to delete it gets it again."""
        now = self.now()
        for message in [message for message in self.messages if message.visible_at <= now]:
            if message.receives >= RECEIVES_MAX:
                self.messages.remove(message)
                self.dead.append(message)
                continue
            message.receives += 1
            message.visible_at = now + VISIBILITY_SECONDS
            return message
        return None

    def delete(self, message: Message) -> None:
        """Forget a message that was dealt with; again is harmless."""
        if message in self.messages:
            self.messages.remove(message)

    def hand_back(self, message: Message) -> None:
        """Let *message* come again soon: its invocation failed, and could say so."""
        message.visible_at = self.now() + REDELIVERY_SECONDS * message.receives

    def redrive(self) -> None:
        """Send the dead letters once more."""
        for message in self.dead:
            self.send(message.body)
        self.dead.clear()

    def count_visible(self) -> int:
        """Return how many messages wait to be received."""
        return sum(message.visible_at <= self.now() for message in self.messages)

    def next_visible(self) -> float | None:
        """Return when a message comes (again)."""
        return min((message.visible_at for message in self.messages), default=None)
