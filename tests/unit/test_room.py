"""Cutting shards to fit the room there is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.ledger_rows import Group, Room
from batchdrop.core.limits import Limits
from batchdrop.core.planning import Chunk
from batchdrop.core.room import Cut, account_of, free_tokens, next_cut

LIMITS = Limits(
    shard_requests_max=100, shard_bytes_max=10_000, shard_embedding_inputs_max=300, room_tokens_per_model=1_000
)
IDLE = Room("a", "m")


def chunks_of(*sizes: tuple[int, int, int, int]) -> list[Chunk]:
    """Chunks by (lines, bytes, tokens, inputs)."""
    return [
        Chunk(0, number, lines, size_bytes, tokens, inputs, 1, lines, 0)
        for number, (lines, size_bytes, tokens, inputs) in enumerate(sizes)
    ]


def group_of(chunks: list[Chunk], cut_lines: int = 0) -> Group:
    """The group that these chunks make."""
    return Group(
        "/v1/embeddings", "m", chunks=len(chunks), lines=sum(chunk.lines for chunk in chunks), cut_lines=cut_lines
    )


@pytest.mark.parametrize(
    ("size", "end"),
    [
        ((40, 10, 1, 0), 80),  # requests: a third chunk would make 120
        ((10, 4_000, 1, 0), 20),  # bytes
        ((10, 10, 1, 120), 20),  # embedding inputs
        ((10, 10, 400, 0), 20),  # tokens
    ],
)
def test_a_shard_ends_at_the_first_limit_that_it_meets(size: tuple[int, int, int, int], end: int) -> None:
    """Whole chunks are taken while requests, bytes, inputs and tokens all allow the next."""
    chunks = chunks_of(size, size, size, size)

    cut = next_cut(group_of(chunks), chunks, IDLE, 0, LIMITS)

    assert cut == Cut(0, end, size[2] * end // size[0])


def test_the_next_shard_begins_where_the_last_one_ended() -> None:
    """Lines that were cut are not cut again, and the last shard takes what is left."""
    chunks = chunks_of(*[(40, 10, 1, 0)] * 3)

    assert next_cut(group_of(chunks, 80), chunks, IDLE, 0, LIMITS) == Cut(80, 120, 1)
    assert next_cut(group_of(chunks, 120), chunks, IDLE, 0, LIMITS) is None


def test_an_idle_model_admits_something_however_small_its_limit() -> None:
    """A chunk that is larger than all the room is shared in proportion; at least one line goes."""
    chunks = chunks_of((10, 100, 5_000, 0))

    assert next_cut(group_of(chunks), chunks, IDLE, 0, LIMITS) == Cut(0, 2, 1_000)
    assert next_cut(group_of(chunks, 2), chunks, IDLE, 0, LIMITS) == Cut(2, 4, 1_000)
    assert next_cut(group_of(chunks), chunks, IDLE, 0, replace(LIMITS, room_tokens_per_model=1)) == Cut(0, 1, 500)


def test_a_model_in_use_admits_only_what_fits() -> None:
    """Nothing is taken apart for a little room that is left."""
    chunks = chunks_of((10, 100, 600, 0))

    assert next_cut(group_of(chunks), chunks, Room("a", "m", used=500), 0, LIMITS) is None
    assert next_cut(group_of(chunks), chunks, Room("a", "m", used=400), 0, LIMITS) == Cut(0, 10, 600)


def test_a_model_that_was_refused_cools() -> None:
    """Nothing is let in until its time, even when nothing is in."""
    chunks = chunks_of((10, 100, 600, 0))
    cooling = Room("a", "m", cool_until=50)

    assert next_cut(group_of(chunks), chunks, cooling, 49, LIMITS) is None
    assert next_cut(group_of(chunks), chunks, cooling, 50, LIMITS) is not None
    assert free_tokens(cooling, 49, LIMITS) == 0


@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 4_000), st.integers(1, 3_000), st.integers(0, 200)),
        min_size=1,
        max_size=8,
    ),
    used=st.integers(0, 1_500),
)
def test_cutting_takes_every_line_once_and_keeps_the_room(sizes: list[tuple[int, int, int, int]], used: int) -> None:
    """Cut after cut, the group is taken from end to end; only an idle model may go over its limit, by one shard."""
    chunks = chunks_of(*sizes)
    group, room = group_of(chunks), Room("a", "m", used=used)

    for _ in range(2 * group.lines + 1):
        cut = next_cut(group, chunks, room, 0, LIMITS)
        if cut is None:
            if group.cut_lines == group.lines:
                break
            assert room.used > 0, "only a model in use may refuse"
            room = replace(room, used=0)
            continue
        assert cut.first_line == group.cut_lines < cut.end_line
        assert cut.end_line - cut.first_line <= LIMITS.shard_requests_max
        assert room.used == 0 or room.used + cut.tokens <= LIMITS.room_tokens_per_model
        group, room = replace(group, cut_lines=cut.end_line), replace(room, used=room.used + cut.tokens)

    assert group.cut_lines == group.lines


def test_room_is_counted_for_the_place_and_not_for_the_key() -> None:
    """A rotated key must not forget what is enqueued; another base URL is another account."""
    assert account_of("https://a/v1") == account_of("https://a/v1") != account_of("https://b/v1")
