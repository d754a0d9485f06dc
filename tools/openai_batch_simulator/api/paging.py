"""Cuts lists into pages, as both lists of the API do.

Rule: the cursor `after` is the identifier of the last object of the page before, and objects that appear meanwhile
do not shift a page (https://github.com/openai/openai-openapi, as of August 2026).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from openai_batch_simulator.messages import Refusal


class Identified(Protocol):
    """Something with an identifier."""

    @property
    def id(self) -> str:
        """The identifier, unique within a list."""


@dataclass(frozen=True, slots=True)
class Page[Listed: Identified]:
    """A piece of a list."""

    items: Sequence[Listed]
    has_more: bool

    def describe(self, described: Sequence[object]) -> dict[str, object]:
        """Return the list object of the API around the *described* items."""
        return {
            "object": "list",
            "data": list(described),
            "first_id": self.items[0].id if self.items else None,
            "last_id": self.items[-1].id if self.items else None,
            "has_more": self.has_more,
        }


def page_of[Listed: Identified](items: Sequence[Listed], after: str | None, limit: int) -> Page[Listed]:
    """Return at most *limit* of *items*, those behind the one that *after* names."""
    start = 0
    if after is not None:
        start = next((index + 1 for index, item in enumerate(items) if item.id == after), -1)
        if start < 0:
            raise Refusal(400, f"Invalid 'after': there is no object '{after}' in this list.", param="after")
    return Page(items[start : start + limit], len(items) > start + limit)


def read_limit(query: Mapping[str, str], default: int, limit_max: int) -> int:
    """Return the parameter `limit`. Raises Refusal outside of 1 to *limit_max*."""
    text = query.get("limit", str(default))
    if not text.isdecimal() or not 1 <= int(text) <= limit_max:
        raise Refusal(400, f"Invalid 'limit': expected an integer from 1 to {limit_max}.", param="limit")
    return int(text)


def refuse_unknown(given: Mapping[str, object], known: frozenset[str]) -> None:
    """Raise Refusal for a parameter that the call does not have."""
    unknown = sorted(given.keys() - known)
    if unknown:
        raise Refusal(400, f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter")
