"""Plans a job: chunks of request lines, written in pages.

Rule: planning is deterministic and idempotent. The same upload, task and limits give the same pages and chunks under the same
keys. So a crash between writing objects and writing the ledger costs only work, and two planners write the same bytes.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from itertools import accumulate
from operator import methodcaller
from typing import TypeGuard

import msgspec

from batchdrop.core.model.answer_bounds import UNLIMITED, AnswerBound
from batchdrop.core.model.errors import BrokenState
from batchdrop.core.model.job import Group, PlanCursor
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.reading import AS_EVER, Reading

type JsonValue = dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None
type Columns = Mapping[str, Sequence[JsonValue]]  # what consecutive records have in each


def are_texts(values: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """Whether all *values* are texts. This takes one call of C for each; a loop takes three."""
    return set(map(type, values)) <= {str}


def are_objects(values: Sequence[object]) -> TypeGuard[Sequence[dict[str, JsonValue]]]:
    """Whether *values* are JSON objects, all of them."""
    return set(map(type, values)) <= {dict}


class Request(msgspec.Struct, frozen=True, gc=False):
    """The request that a record becomes. A Struct, because a frozen dataclass takes ten times as long to make."""

    name: str  # the item's safe name
    endpoint: str
    model: str
    body: bytes  # a JSON object on one line
    tokens: int  # estimated input tokens
    inputs: int  # embedding inputs; 0 for other endpoints
    answers: AnswerBound = UNLIMITED


class RequestRun(msgspec.Struct, frozen=True):
    """The requests of consecutive records that are planned together: they differ only in their lines."""

    rows: range
    names: Sequence[str]  # safe ones, by row; empty if the items have no names of their own
    parts: Sequence[bytes]  # as many of each line; joined they are the lines as they are sent, with their ends
    sizes: Sequence[int]  # of the lines, in bytes
    tokens: Sequence[int]
    endpoint: str
    model: str
    inputs: int  # of each
    answers: AnswerBound  # of each

    def from_to(self, start: int, end: int) -> "RequestRun":
        """Return the run of the lines from *start* to before *end*."""
        lines, each = slice(start, end), len(self.parts) // len(self.rows)
        return RequestRun(
            self.rows[lines], self.names[lines], self.parts[start * each : end * each], self.sizes[lines], self.tokens[lines],
            self.endpoint, self.model, self.inputs, self.answers,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the records of an upload become requests.

    *name* returns the safe name of the item in a row; it raises `no_id` where the name is missing or empty, and anything
    else where the record is not even able to have one. *build* returns the request of the item with that name. Both raise
    ItemRefused.
    """

    name: Callable[[JsonValue, int], str]
    build: Callable[[JsonValue, str], Request]
    names_from_user: bool  # so they may repeat
    columns: frozenset[str] = frozenset()  # what a table must have for any row to succeed
    together: "Together | None" = None  # None if records are planned one by one


@dataclass(frozen=True, slots=True)
class Together:
    """Makes requests of many records at once, at a fraction of the cost of one by one.

    *requests* does for each row what a recipe's `name` and `build` do, given *columns* of its records; it gives None where it
    cannot, such as where one of them is to be refused.
    """

    columns: frozenset[str]
    requests: Callable[[Columns, range], RequestRun | None]


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
    unlimited: int = 0  # answers that have no limit
    extra_answers: int = 0  # beyond one a request


@dataclass(frozen=True, slots=True)
class PlanPage:
    """What planning added up to one checkpoint, and where it stopped. All its objects are written."""

    cursor: PlanCursor
    groups: tuple[Group, ...]
    chunks: tuple[Chunk, ...]  # of this page alone
    items: int  # records read so far
    refused: int  # of these, so far
    is_last: bool
    reading: Reading = AS_EVER


def encode_page(page: PlanPage) -> bytes:
    """Return *page* as JSON."""
    return msgspec.json.encode(page)


def decode_page(content: bytes) -> PlanPage:
    """Return the page that `encode_page` wrote. Raises BrokenState if it can't be read."""
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
    extra_answers: int = 0
    lines: int = 0
    parts: list[bytes] = field(default_factory=list)  # of the lines, in order

    def add(self, row: int, line: bytes, request: Request, limits: Limits) -> bool:
        """Append one request line, or return False if it does not fit.

        An empty chunk takes any line, and a chunk always fits a shard.
        """
        size_bytes, inputs = self.size_bytes + len(line), self.inputs + request.inputs
        if self.lines and (
            size_bytes > limits.chunk_bytes_max
            or self.lines >= limits.chunk_lines_max
            or inputs > limits.shard_embedding_inputs_max
        ):
            return False
        self.parts.append(line)
        self.lines += 1
        self.size_bytes, self.inputs, self.last_row = size_bytes, inputs, row
        self.tokens += request.tokens
        self._count(request.answers, 1)
        return True

    def extend(self, run: RequestRun, limits: Limits, spare_bytes: int) -> int:
        """Append the lines of *run*, each as `add` would, up to the first that does not fit; return how many were appended.

        Nothing is appended behind the line that takes more than *spare_bytes*.
        """
        sizes = list(accumulate(run.sizes))
        count = max(
            min(
                bisect_right(sizes, limits.chunk_bytes_max - self.size_bytes),
                limits.chunk_lines_max - self.lines,
                (limits.shard_embedding_inputs_max - self.inputs) // run.inputs if run.inputs else len(sizes),
            ),
            0 if self.lines else 1,
        )
        count = min(count, bisect_right(sizes, spare_bytes) + 1, len(sizes))
        if count <= 0:
            return 0
        taken = run if count == len(sizes) else run.from_to(0, count)
        self.parts += taken.parts
        self.lines += count
        self.size_bytes, self.last_row = self.size_bytes + sizes[count - 1], taken.rows[-1]
        self.inputs += run.inputs * count
        self.tokens += sum(taken.tokens)
        self._count(run.answers, count)
        return count

    def _count(self, answers: AnswerBound, requests: int) -> None:
        self.answer_tokens += answers.tokens * requests
        self.unlimited += answers.unlimited * requests
        self.extra_answers += (answers.answers - 1) * requests

    def content(self) -> bytes:
        """Return the lines as one: joined once, where appending each would copy it twice."""
        return b"".join(self.parts)

    def closed(self, number: int) -> Chunk:
        """Return what the plan keeps of this chunk."""
        return Chunk(
            group=self.group,
            number=number,
            lines=self.lines,
            size_bytes=self.size_bytes,
            tokens=self.tokens,
            inputs=self.inputs,
            first_row=self.first_row,
            last_row=self.last_row,
            start=self.start,
            answer_tokens=self.answer_tokens,
            unlimited=self.unlimited,
            extra_answers=self.extra_answers,
        )


def grown(group: Group, chunk: Chunk) -> Group:
    """Return *group* with one chunk more."""
    return replace(
        group, chunks=group.chunks + 1, lines=group.lines + chunk.lines, tokens=group.tokens + chunk.tokens,
        answer_tokens=group.answer_tokens + chunk.answer_tokens, unlimited=group.unlimited + chunk.unlimited,
        extra_answers=group.extra_answers + chunk.extra_answers,
    )  # fmt: skip


_SLOTS_MIN = 1 << 10
# 0 marks a free slot, so no digest is 0.
_NO_FREE_SLOT = 1
_hash_of = partial(blake2b, digest_size=8)


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
        """Remember *name* and return its digest, or None if it was there already."""
        return next(iter(self.add_all((name,))), None)

    def add_all(self, names: Sequence[str]) -> array[int]:
        """Remember *names* up to the first that was there, and return the digests of those before it."""
        digests = _digests_of(names)
        self._reserve(len(digests))
        return digests[: self._insert(digests)]

    def load(self, digests: bytes) -> None:
        """Remember names by their digests, eight bytes each. Raises BrokenState where one is there already."""
        stored = empty_digests()
        stored.frombytes(digests)
        self._reserve(len(stored))
        if self._insert(stored) < len(stored):
            raise BrokenState("two pages of the plan have the same id")

    def _insert(self, digests: Iterable[int]) -> int:
        """Put each into the first free slot from its own on, up to the first that is there; return how many were put."""
        slots, mask, count = self._slots, self._mask, 0
        for digest in digests:
            slot = digest & mask
            while found := slots[slot]:
                if found == digest:
                    self._count += count
                    return count
                slot = (slot + 1) & mask
            slots[slot] = digest
            count += 1
        self._count += count
        return count

    def _reserve(self, count: int) -> None:
        """Grow until half of the slots are free after this many more digests."""
        while 2 * (self._count + count) > self._mask:
            before = self._slots
            self._slots = _empty_slots(2 * len(before))
            self._mask = len(self._slots) - 1
            self._count = 0
            self._insert(filter(None, before))


def _digests_of(names: Iterable[str]) -> array[int]:
    """Return the digest of each name, eight bytes of BLAKE2 read as a number of this machine's byte order, none of them 0."""
    hashes = map(_hash_of, map(str.encode, names))
    digests = array("Q", b"".join(map(methodcaller("digest"), hashes)))
    return array("Q", (digest or _NO_FREE_SLOT for digest in digests)) if 0 in digests else digests


def empty_digests() -> array[int]:
    """Return an array for digests of names, eight bytes each."""
    return array("Q")


def _empty_slots(slots: int) -> array[int]:
    return array("Q", bytes(8 * slots))
