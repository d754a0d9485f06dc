"""Draws random numbers and mints identifiers from a seed.

Rule: the same seed and the same calls in the same order give the same files and batches, byte for byte.
"""

import random
import string
from array import array
from hashlib import blake2b

ALPHANUMERIC = string.ascii_letters + string.digits
HEXADECIMAL = "0123456789abcdef"


class Draws:
    """A replayable stream of draws, one per *seed* and *purpose*."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._random = random.Random(f"{seed}/{purpose}")  # noqa: S311 - replayable on purpose; nothing here is secret

    def happens(self, rate: float) -> bool:
        """Return whether a thing that happens at *rate* (0 to 1) happens now."""
        return rate >= 1.0 or self._random.random() < rate

    def permutation(self, length: int) -> "array[int]":
        """Return the numbers below *length* in random order, four bytes each."""
        order = array("I", range(length))
        self._random.shuffle(order)
        return order

    def sample(self, length: int, count: int) -> frozenset[int]:
        """Return *count* of the numbers below *length*, or all of them if there are fewer."""
        return frozenset(self._random.sample(range(length), min(count, length)))


class Identifiers:
    """Mints identifiers that look like the provider's and never repeat within a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._minted = 0

    def batch(self) -> str:
        """Return the identifier of a new batch."""
        return self._mint("batch_", HEXADECIMAL, 32)

    def file(self) -> str:
        """Return the identifier of a new file."""
        return self._mint("file-", ALPHANUMERIC, 22)

    def call(self) -> str:
        """Return the identifier of a call."""
        return self._mint("req_", HEXADECIMAL, 32)

    def _mint(self, prefix: str, alphabet: str, length: int) -> str:
        self._minted += 1
        digest = blake2b(f"{self._seed}/{self._minted}".encode(), digest_size=length).digest()
        return prefix + "".join(alphabet[byte % len(alphabet)] for byte in digest)
