"""What an answer is, and what gives one: an imitation, or a server behind a URL."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP answer to one request line; *body* is JSON. Status 0 stands for no answer in time."""

    status_code: int
    body: bytes
    input_tokens: int = 0
    output_tokens: int = 0


class Responder(Protocol):
    """Something that answers request lines."""

    @property
    def lines_at_once(self) -> int:
        """How many lines may be answered in one go, while every other call waits."""

    def answer(self, endpoint: str, body: bytes, now: float) -> Answer:
        """Return the answer of *endpoint* to *body*; a failure is an answer, too."""
