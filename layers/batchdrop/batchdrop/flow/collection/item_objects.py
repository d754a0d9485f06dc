"""Puts the objects of many items in steps, so that a second try does not put them all again.

Rule: a step counts as put when the store has taken each of its objects, and is known again by its contents alone: whatever is
derived differently is put, and what is derived the same is not.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from zlib import crc32

import msgspec

from batchdrop.flow.ports import PUTS_AHEAD_MAX, Storage

# What a step holds while it is compared is bounded by its bytes. Of what was put, a step and PUTS_AHEAD_MAX objects may be put
# again: 2 s of puts at 22 ms and 64 in flight, and three cents.
STEP_OBJECTS_MAX = 4_000
STEP_BYTES_MAX = 16_000_000


type Objects = list[tuple[str, bytes]]  # some in a row, each with its key


class Step(msgspec.Struct, frozen=True):
    """Some objects in a row, by what they hold. Two that differ look the same once in four billion."""

    objects: int
    size_bytes: int
    checksum: int


_steps = msgspec.json.Decoder(list[Step])


def put_in_steps(storage: Storage, key: str, runs: Iterable[Objects]) -> None:
    """Put the objects of *runs* but for the steps that the object at *key* says were put. May be repeated.

    A step ends where a run does. Raises the first failure; the steps that were put long enough before are remembered.
    """
    rest, done = iter(runs), list[Step]()
    before = _steps.decode(storage.read(key) or b"[]")
    for known in before:
        filling = _FillingStep(rest)
        held = list(chain.from_iterable(filling))
        if filling.step() != known:
            storage.put_many(held)
        if not filling.is_full:
            return
        done.append(filling.step())
        if done != before[: len(done)]:
            storage.put(key, msgspec.json.encode(done))
    storage.put_many(chain.from_iterable(_with_records(key, rest, done)))
    if done != before:
        storage.put(key, msgspec.json.encode(done))


def _with_records(key: str, runs: Iterator[Objects], done: list[Step]) -> Iterator[Objects]:
    """Yield *runs*; at the end of a step it joins *done*, and those that the store has taken by then are yielded as *key*.

    The end of a step does not wait for what is in flight: 22 ms a step, and as much again for its record. A record that
    arrives after the next one says less than is so, never more.
    """
    given, ends, known, recorded, is_full = 0, list[int](), len(done), 0, True
    while is_full:
        filling = _FillingStep(runs)
        for run in filling:
            yield run
            given += len(run)
        is_full = filling.is_full
        if is_full:
            done.append(filling.step())
            ends.append(given)
        taken = bisect_right(ends, given - PUTS_AHEAD_MAX)
        if is_full and taken > recorded:
            recorded = taken
            yield [(key, msgspec.json.encode(done[: known + taken]))]


class _FillingStep:
    """Passes runs of objects on until the step is full or there are no more."""

    def __init__(self, runs: Iterator[Objects]) -> None:
        self._runs = runs
        self._count = self._size_bytes = self._checksum = 0

    @property
    def is_full(self) -> bool:
        """Whether more may follow in another step."""
        return self._count >= STEP_OBJECTS_MAX or self._size_bytes >= STEP_BYTES_MAX

    def step(self) -> Step:
        """Return what has passed."""
        return Step(self._count, self._size_bytes, self._checksum)

    def __iter__(self) -> Iterator[Objects]:
        for run in self._runs:
            size_bytes, checksum = self._size_bytes, self._checksum
            for _, content in run:
                size_bytes += len(content)
                checksum = crc32(content, checksum)
            keys = "".join([key for key, _ in run])
            self._count += len(run)
            self._size_bytes, self._checksum = size_bytes, crc32(keys.encode(), checksum)
            yield run
            if self.is_full:
                return
