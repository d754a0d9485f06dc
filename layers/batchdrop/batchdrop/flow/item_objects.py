"""The objects of many items, put in steps, so that whoever begins again does not put them all again.

Rule: a step counts as put when the store has taken each of its objects, and is known again by its contents alone: whatever is
derived differently is put, and what is derived the same is not.
"""

from collections.abc import Iterable, Iterator
from zlib import crc32

import msgspec

from batchdrop.flow.ports import Storage

# A step takes a second and a half at 22 ms a put and 64 in flight; its end, where nothing is in flight, a thirtieth of that.
# What is held to be compared is bounded by its bytes.
STEP_OBJECTS_MAX = 4_000
STEP_BYTES_MAX = 16_000_000


class Step(msgspec.Struct, frozen=True):
    """Some objects in a row, by what they hold. Two that differ look the same once in four billion."""

    objects: int
    size_bytes: int
    checksum: int


_steps = msgspec.json.Decoder(list[Step])


def put_in_steps(storage: Storage, key: str, objects: Iterable[tuple[str, bytes]]) -> None:
    """Put *objects* but for the steps that the object at *key* says were put. May be repeated; *objects* is read once.

    Raises the first failure; the steps before are remembered.
    """
    rest, done = iter(objects), list[Step]()
    before = _steps.decode(storage.read(key) or b"[]")
    is_full = True
    while is_full:
        filling = _FillingStep(rest)
        if len(done) < len(before):
            held = list(filling)
            if filling.step() != before[len(done)]:
                storage.put_many(held)
        else:
            storage.put_many(filling)
        is_full = filling.is_full
        done.append(filling.step())
        if is_full and done != before[: len(done)]:
            storage.put(key, msgspec.json.encode(done))


class _FillingStep:
    """Passes objects on until the step is full or there are no more."""

    def __init__(self, objects: Iterator[tuple[str, bytes]]) -> None:
        self._objects = objects
        self._count = self._size_bytes = self._checksum = 0

    @property
    def is_full(self) -> bool:
        """Whether more may follow in another step."""
        return self._count >= STEP_OBJECTS_MAX or self._size_bytes >= STEP_BYTES_MAX

    def step(self) -> Step:
        """Return what has passed."""
        return Step(self._count, self._size_bytes, self._checksum)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for key, content in self._objects:
            self._count += 1
            self._size_bytes += len(content)
            self._checksum = crc32(content, crc32(key.encode(), self._checksum))
            yield key, content
            if self.is_full:
                return
