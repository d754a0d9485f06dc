"""What an endpoint is asked, what it answers, and how parameters are read.

Rule: a parameter that an imitation does not model is refused by name, never silently accepted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeGuard

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """One request body, the digest that decides everything arbitrary in its answer, and the time in seconds."""

    body: dict[str, object]
    digest: bytes
    now: int

    @property
    def model(self) -> str:
        """The model that is asked, empty where none is named."""
        return str(self.body.get("model", ""))

    def identifier(self, prefix: str) -> str:
        """Return an identifier that shows that the answer is simulated."""
        return f"{prefix}simulated{self.digest.hex()}"

    def draw(self, purpose: str) -> int:
        """Return a number of 64 bits that depends on the request and on *purpose* alone."""
        return int.from_bytes(blake2b(purpose.encode(), key=self.digest, digest_size=8).digest())

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return the parameter *name*. Raises BadRequestError outside of *low* to *high*."""
        value = self.body.get(name)
        if value is None:
            return default
        if type(value) is not int:
            raise BadRequestError(f"Invalid type for '{name}': expected an integer.", name, "invalid_type")
        if value < low:
            problem = f"integer below minimum value. Expected a value >= {low}, but got {value} instead."
            raise BadRequestError(f"Invalid '{name}': {problem}", name, "integer_below_min_value")
        if value > high:
            problem = f"integer above maximum value. Expected a value <= {high}, but got {value} instead."
            raise BadRequestError(f"Invalid '{name}': {problem}", name, "integer_above_max_value")
        return value


@dataclass(frozen=True, slots=True)
class Answered:
    """A response body and the tokens that its `usage` adds up to."""

    body: dict[str, object]
    input_tokens: int
    output_tokens: int


class BadRequestError(Exception):
    """The endpoint answers 400: the person who wrote the request corrects it."""

    def __init__(self, message: str, param: str | None, code: str | None = None) -> None:
        super().__init__(message)
        self.envelope = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def refuse_unmodelled(body: Mapping[str, object], names: Iterable[str]) -> None:
    """Raise BadRequestError for the first of *names* that *body* uses."""
    for name in names:
        if body.get(name) not in (None, False):
            raise BadRequestError(f"The simulator does not model '{name}'.", name, "not_simulated")


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Return whether *value* is a JSON object."""
    return isinstance(value, dict)


def missing(name: str) -> BadRequestError:
    """Return the provider's error for a parameter that is not there."""
    return BadRequestError(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")


def token_count(text: str) -> int:
    """Return how many tokens *text* is taken for."""
    return (len(text) + CHARACTERS_PER_TOKEN - 1) // CHARACTERS_PER_TOKEN
