"""Defines what all rows of the ledger have in common."""

from dataclasses import dataclass

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Lease:
    """Who works on a row, and until when. It only saves work; correctness never depends on it."""

    owner: str
    until: int
