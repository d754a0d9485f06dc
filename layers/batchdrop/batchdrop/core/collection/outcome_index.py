"""Makes the index of `outcomes.jsonl`, which says where each item's line is: one item is read without the others.

Rule: the layout is the one that `docs/schemas/outcomes-index.md` promises to other readers, and follows from the outcomes alone.
A record is 20 bytes, all numbers unsigned and big-endian: eight of the name's SHA-256, eight of the line's offset, four of its
length without the line end. Records are sorted, so a name's place can be guessed closely from its digest.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from struct import Struct
from typing import Final

_RECORD: Final = Struct(">QQI")
RECORD_BYTES: Final = _RECORD.size
_DIGEST_BYTES: Final = 8
_BUCKETS: Final = 256  # by the first byte of a digest
# Digests are spread evenly: the place of one among n is off its guess by half a root of n (one standard deviation) or less.
_DEVIATIONS: Final = 8
_WINDOW_RECORDS_MIN: Final = 32


class OutcomeIndex:
    """The index under construction: 20 bytes an item, and what a growing array holds spare (an eighth)."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(_BUCKETS)]

    def add(self, name: str, offset: int, length: int) -> None:
        """Remember the line of the item called *name*."""
        digest = _digest(name)
        self._buckets[digest[0]] += digest + _RECORD.pack(0, offset, length)[_DIGEST_BYTES:]

    def sorted_pieces(self) -> Iterator[bytes]:
        """Yield the whole index, piece by piece. Each piece takes the memory of its own records some times over."""
        for bucket in self._buckets:
            records = [bytes(bucket[start : start + RECORD_BYTES]) for start in range(0, len(bucket), RECORD_BYTES)]
            yield b"".join(sorted(records))


@dataclass(frozen=True, slots=True)
class Place:
    """Where an outcome is in `outcomes.jsonl`, in bytes; the line end is not counted."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Window:
    """A run of an index's bytes, from *start* to before *end*."""

    start: int
    end: int


def likely_window(name: str, index_bytes: int) -> Window:
    """Return the part of an index of *index_bytes* in which *name* is found, if it is anywhere, but for bad luck."""
    records = index_bytes // RECORD_BYTES
    guess = int.from_bytes(_digest(name)) * records >> 8 * _DIGEST_BYTES
    margin = _DEVIATIONS * isqrt(records) // 2 + _WINDOW_RECORDS_MIN
    first, end = max(0, guess - margin), min(records, guess + margin)
    return Window(first * RECORD_BYTES, end * RECORD_BYTES)


def places(name: str, content: bytes, window: Window, index_bytes: int) -> list[Place] | None:
    """Return where lines that may be *name*'s lie: none, one, or more where digests collide; *content* is what *window* holds.

    None where the window does not show it: then the whole index has to be read.
    """
    wanted = int.from_bytes(_digest(name))
    records = list(_RECORD.iter_unpack(content))
    is_covered = bool(records) and (
        (window.start == 0 or records[0][0] < wanted) and (window.end >= index_bytes or records[-1][0] > wanted)
    )
    if not is_covered and index_bytes:
        return None
    return [Place(offset, length) for digest, offset, length in records if digest == wanted]


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:_DIGEST_BYTES]
