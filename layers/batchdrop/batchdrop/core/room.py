"""Room: how much may be enqueued at the provider, and what is cut to fit it.

Rule: an idle model always admits one shard, however small the limit, so that nothing waits for ever for room that only the
provider knows about. The limit is a setting here; the interface is made for one that learns.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from batchdrop.core.ledger_rows import Group, Room
from batchdrop.core.limits import Limits
from batchdrop.core.planning import Chunk

_ACCOUNT_CHARS = 12


def account_of(base_url: str) -> str:
    """Return the name under which room at *base_url* is counted.

    Not the key's fingerprint: the provider counts by organisation, and a rotated key must not forget what is enqueued.
    """
    return hashlib.sha256(base_url.encode()).hexdigest()[:_ACCOUNT_CHARS]


def free_tokens(room: Room, now: int, limits: Limits) -> int | None:
    """Return how many tokens may be reserved; 0 where the model is full or cooling, None where it is idle.

    None means no bound of ours: one shard is let in, and the provider says what it thinks.
    """
    if room.cool_until > now:
        return 0
    if room.used == 0:
        return None
    return max(0, limits.room_tokens_per_model - room.used)


@dataclass(frozen=True, slots=True)
class Cut:
    """A run of a group's lines that fits one batch and the room there is."""

    first_line: int
    end_line: int
    tokens: int


def next_cut(group: Group, chunks: Sequence[Chunk], room: Room, now: int, limits: Limits) -> Cut | None:
    """Return the next shard to cut from *group*, or None where nothing is left or nothing fits.

    *chunks* are the group's, in order. Whole chunks are taken as long as the batch's limits and the room allow. On an
    idle model at least one line is taken: the first chunk is shared in proportion where it is larger than the limit.
    """
    free = free_tokens(room, now, limits)
    budget = limits.room_tokens_per_model if free is None else free
    first_line, line, tokens, size_bytes, inputs = group.cut_lines, group.cut_lines, 0, 0, 0
    chunk_end = 0
    for chunk in chunks:
        chunk_end += chunk.lines
        if chunk_end <= line:
            continue
        part = _rest_of(chunk, chunk_end - line)
        is_within = (
            line - first_line + part.lines <= limits.shard_requests_max
            and size_bytes + part.size_bytes <= limits.shard_bytes_max
            and inputs + part.inputs <= limits.shard_embedding_inputs_max
        )
        if not is_within and line > first_line:
            break
        if tokens + part.tokens > budget:
            if free is None and line == first_line:
                lines = max(1, part.lines * budget // part.tokens)
                return Cut(first_line, line + lines, max(1, part.tokens * lines // part.lines))
            break
        line, tokens = line + part.lines, tokens + part.tokens
        size_bytes, inputs = size_bytes + part.size_bytes, inputs + part.inputs
    return Cut(first_line, line, tokens) if line > first_line else None


@dataclass(frozen=True, slots=True)
class _Part:
    lines: int
    size_bytes: int
    tokens: int
    inputs: int


def _rest_of(chunk: Chunk, lines: int) -> _Part:
    """Return the last *lines* lines of *chunk*, its sums shared in proportion and rounded up."""
    if lines == chunk.lines:
        return _Part(lines, chunk.size_bytes, chunk.tokens, chunk.inputs)
    share = [-(-amount * lines // chunk.lines) for amount in (chunk.size_bytes, chunk.tokens, chunk.inputs)]
    return _Part(lines, *share)
