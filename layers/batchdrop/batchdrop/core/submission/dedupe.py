"""Requests that repeat: which line of an attempt is sent for all that ask the same.

Rule: it follows from the lines and their order alone, so that the input file made twice is the same, and collecting finds for
each item the line that was sent for it without anybody having kept a list.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.requests import body_of_line, row_of_line
from batchdrop.core.submission.shard_events import NOTHING_SAVED, Saving

# Of a shard's 50,000 lines at most; by chance two of them agree in that many bytes once in 10^29 shards.
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class FirstLine:
    """The line that is sent for itself and for all later ones with the same body."""

    row: int
    position: int  # 1-based in what is sent
    name: str = ""  # of its item


class Repeats:
    """Knows which lines came before. A shard has one endpoint, so equal bodies are equal requests."""

    def __init__(self) -> None:
        self._firsts: dict[bytes, FirstLine] = {}

    def first_of(self, line: bytes, name: str = "") -> FirstLine:
        """Return the first of the lines so far that has the body of *line*; its item is called *name*."""
        digest = hashlib.blake2b(body_of_line(line), digest_size=_DIGEST_BYTES).digest()
        found = self._firsts.get(digest)
        if found is None:
            found = self._firsts[digest] = FirstLine(row_of_line(line), len(self._firsts) + 1, name)
        return found


class SentOnce:
    """The lines of an attempt that are sent where each body is sent once. What that saves is known when all went by."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self._repeats = Repeats()
        self._items = self._size_bytes = self._saved_items = self._saved_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield what is sent, in order."""
        for line in self._lines:
            self._items += 1
            self._size_bytes += len(line)
            if self._repeats.first_of(line).row == row_of_line(line):
                yield line
            else:
                self._saved_items += 1
                self._saved_bytes += len(line)

    def saving(self, shard: Shard) -> Saving:
        """Return what *shard*, whose lines these are, saves: estimates are by bytes, and are shared by them, rounded down."""
        if not self._saved_items:
            return NOTHING_SAVED
        tokens, inputs = (amount * self._saved_bytes // self._size_bytes for amount in (shard.tokens, shard.inputs))
        return Saving(self._saved_items, min(tokens, shard.tokens - 1), inputs)
