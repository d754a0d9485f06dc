"""The plan of a job: chunks of request lines, written in pages.

Rule: planning is deterministic. The same upload, task and limits give the same pages and chunks under the same keys, so that
a crash between writing objects and writing the ledger costs work and nothing else, and two planners write the same bytes.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import msgspec

from batchdrop.core.errors import BrokenState
from batchdrop.core.ledger_rows import Group, PlanCursor
from batchdrop.core.limits import Limits

type JsonValue = dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a record becomes: one request of a batch. A Struct, because a frozen dataclass takes ten times as long to make."""

    name: str  # the item's safe name
    endpoint: str
    model: str
    body: bytes  # a JSON object on one line
    tokens: int  # estimated input tokens
    inputs: int  # embedding inputs; 0 for other endpoints
    answer_tokens: int | None = None  # the most that its answer may have; None where the body does not limit it


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
    answer_tokens: int = 0  # the most that answers may have, of the requests that limit them
    unlimited: int = 0  # requests that do not


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
    size_bytes: int = 0
    tokens: int = 0
    inputs: int = 0
    answer_tokens: int = 0
    unlimited: int = 0
    lines: list[bytes] = field(default_factory=list)

    def add(self, row: int, line: bytes, request: Request, limits: Limits) -> bool:
        """Append one request line, or return False where it does not fit.

        An empty chunk takes any line, and a chunk always fits a shard.
        """
        size_bytes, inputs = self.size_bytes + len(line), self.inputs + request.inputs
        if self.lines and (
            size_bytes > limits.chunk_bytes_max
            or len(self.lines) >= limits.chunk_lines_max
            or inputs > limits.shard_embedding_inputs_max
        ):
            return False
        self.lines.append(line)
        self.size_bytes, self.inputs, self.last_row = size_bytes, inputs, row
        self.tokens += request.tokens
        if request.answer_tokens is None:
            self.unlimited += 1
        else:
            self.answer_tokens += request.answer_tokens
        return True

    def content(self) -> bytes:
        """Return the lines as one: joined once, where appending each would copy it twice."""
        return b"".join(self.lines)

    def closed(self, number: int) -> Chunk:
        """Return what the plan keeps of this chunk."""
        return Chunk(
            group=self.group,
            number=number,
            lines=len(self.lines),
            size_bytes=self.size_bytes,
            tokens=self.tokens,
            inputs=self.inputs,
            first_row=self.first_row,
            last_row=self.last_row,
            start=self.start,
            answer_tokens=self.answer_tokens,
            unlimited=self.unlimited,
        )


def grown(group: Group, chunk: Chunk) -> Group:
    """Return *group* with one chunk more."""
    return replace(
        group, chunks=group.chunks + 1, lines=group.lines + chunk.lines, tokens=group.tokens + chunk.tokens,
        answer_tokens=group.answer_tokens + chunk.answer_tokens, unlimited=group.unlimited + chunk.unlimited,
    )  # fmt: skip


_SLOTS_MIN = 1 << 10
# 0 marks a free slot, so no digest is 0.
_NO_FREE_SLOT = 1


class SeenNames:
    """The names that a job's items have, as digests of eight bytes.

    An open-addressing table: 16 to 32 bytes a name at rest, 48 while it grows (a set of Python integers takes 60 to 110).
    Two names of a million share a digest with probability 3e-8; the later item would then fail as a duplicate.
    """

    def __init__(self) -> None:
        self._slots = _empty_slots(_SLOTS_MIN)
        self._mask = _SLOTS_MIN - 1
        self._count = 0

    def add(self, name: str) -> int | None:
        """Remember *name* and return its digest, or None where it was there."""
        digest = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") or _NO_FREE_SLOT
        return digest if self._insert(digest) else None

    def load(self, digests: bytes) -> None:
        """Remember names by their digests, eight bytes each."""
        stored = empty_digests()
        stored.frombytes(digests)
        for digest in stored:
            self._insert(digest)

    def _insert(self, digest: int) -> bool:
        """Put *digest* into the first free slot from its own on; False where it is there."""
        slots, mask = self._slots, self._mask
        slot = digest & mask
        while found := slots[slot]:
            if found == digest:
                return False
            slot = (slot + 1) & mask
        slots[slot] = digest
        self._count += 1
        if 2 * self._count > mask:
            self._grow()
        return True

    def _grow(self) -> None:
        before = self._slots
        self._slots = _empty_slots(2 * len(before))
        self._mask = len(self._slots) - 1
        self._count = 0
        for digest in before:
            if digest:
                self._insert(digest)


def empty_digests() -> array[int]:
    """Return an array for digests of names, eight bytes each."""
    return array("Q")


def _empty_slots(slots: int) -> array[int]:
    return array("Q", bytes(8 * slots))
