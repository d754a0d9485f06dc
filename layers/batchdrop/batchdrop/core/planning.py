"""The plan of a job: chunks of request lines, written in pages.

Rule: planning is deterministic. The same upload, task and limits give the same pages and chunks under the same keys, so that
a crash between writing objects and writing the ledger costs work and nothing else, and two planners write the same bytes.
"""

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from batchdrop.core.errors import BrokenState
from batchdrop.core.ledger_rows import Group, PlanCursor
from batchdrop.core.limits import Limits

type JsonValue = dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Request:
    """What a record becomes: one request of a batch."""

    name: str  # the item's safe name
    endpoint: str
    model: str
    body: bytes  # a JSON object on one line
    tokens: int  # estimated input tokens
    inputs: int  # embedding inputs; 0 for other endpoints


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the records of an upload become requests. Both functions raise ItemRefused.

    *name* returns the safe name of the item in a row; it raises `no_id` where the name is missing or empty, and anything
    else where the record is not even able to have one. *build* returns the request of the item with that name.
    """

    name: Callable[[JsonValue, int], str]
    build: Callable[[JsonValue, str], Request]
    names_from_user: bool  # so they may repeat
    columns: frozenset[str] = frozenset()  # what a table must have for any row to succeed


@dataclass(frozen=True, slots=True)
class Chunk:
    """Request lines of one group, written as one object; its key follows from group and number."""

    group: int
    number: int
    lines: int
    size_bytes: int
    tokens: int
    inputs: int
    first_row: int
    last_row: int
    start: int  # byte offset in the upload of its first record


@dataclass(frozen=True, slots=True)
class PlanPage:
    """What one stretch of planning added, and where it stopped: all its objects are written."""

    cursor: PlanCursor
    groups: tuple[Group, ...]
    chunks: tuple[Chunk, ...]  # of this stretch alone
    items: int  # records read so far
    refused: int  # of these, so far
    is_last: bool


def encode_page(page: PlanPage) -> bytes:
    """Return *page* as JSON."""
    return msgspec.json.encode(page)


def decode_page(content: bytes) -> PlanPage:
    """Return the page that `encode_page` wrote. Raises BrokenState."""
    try:
        return msgspec.json.decode(content, type=PlanPage)
    except msgspec.DecodeError as error:
        raise BrokenState(f"a page of the plan cannot be read: {error}") from error


@dataclass(slots=True)
class FillingChunk:
    """A chunk while it fills."""

    group: int
    first_row: int
    start: int
    last_row: int = 0
    lines: int = 0
    tokens: int = 0
    inputs: int = 0
    content: bytearray = field(default_factory=bytearray)

    def takes(self, line_bytes: int, request: Request, limits: Limits) -> bool:
        """Whether the line fits; an empty chunk takes any line, and a chunk always fits a shard."""
        return not self.lines or (
            self.lines < limits.chunk_lines_max
            and len(self.content) + line_bytes <= limits.chunk_bytes_max
            and self.inputs + request.inputs <= limits.shard_embedding_inputs_max
        )

    def add(self, row: int, line: bytes, request: Request) -> None:
        """Append one request line."""
        self.content += line
        self.last_row = row
        self.lines += 1
        self.tokens += request.tokens
        self.inputs += request.inputs

    def closed(self, number: int) -> Chunk:
        """Return what the plan keeps of this chunk."""
        return Chunk(
            group=self.group,
            number=number,
            lines=self.lines,
            size_bytes=len(self.content),
            tokens=self.tokens,
            inputs=self.inputs,
            first_row=self.first_row,
            last_row=self.last_row,
            start=self.start,
        )


_SLOTS_MIN = 1 << 10


class SeenNames:
    """The names that a job's items have, as digests of eight bytes.

    An open-addressing table: 16 to 32 bytes a name at rest, 48 while it grows (a set of Python integers takes 60 to 110).
    Two names of a million share a digest with probability 3e-8; the later item would then fail as a duplicate.
    """

    def __init__(self) -> None:
        self._slots = _empty_slots(_SLOTS_MIN)
        self._count = 0

    def add(self, name: str) -> int | None:
        """Remember *name* and return its digest, or None where it was there."""
        digest = _digest(name)
        return digest if self._insert(digest) else None

    def load(self, digests: bytes) -> None:
        """Remember names by their digests, eight bytes each."""
        stored = empty_digests()
        stored.frombytes(digests)
        for digest in stored:
            self._insert(digest)

    def _insert(self, digest: int) -> bool:
        if not _place(self._slots, digest):
            return False
        self._count += 1
        if 2 * self._count >= len(self._slots):
            self._grow()
        return True

    def _grow(self) -> None:
        slots = _empty_slots(2 * len(self._slots))
        for digest in self._slots:
            if digest:
                _place(slots, digest)
        self._slots = slots


def _place(slots: array[int], digest: int) -> bool:
    """Put *digest* into the first free slot from its own on; False where it is there."""
    mask = len(slots) - 1
    slot = digest & mask
    while found := slots[slot]:
        if found == digest:
            return False
        slot = (slot + 1) & mask
    slots[slot] = digest
    return True


def empty_digests() -> array[int]:
    """Return an array for digests of names, eight bytes each."""
    return array("Q")


def _empty_slots(slots: int) -> array[int]:
    return array("Q", bytes(8 * slots))


def _digest(name: str) -> int:
    """Return eight bytes of *name*'s digest as a number other than 0, which marks a free slot."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") or 1
