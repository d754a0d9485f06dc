"""Cutting shards to fit the quota there is."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchdrop.core.admission.quota import (
    Cut,
    Space,
    account_of,
    fitting_items,
    input_limit,
    next_cut,
    space,
    token_limit,
)
from batchdrop.core.model.job import Group
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.quota import WHOLE_ACCOUNT, Quota, QuotaEstimate, Ratio
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.plan import Chunk

LIMITS = Limits(
    shard_requests_max=100, shard_bytes_max=10_000, shard_embedding_inputs_max=300, enqueued_tokens_per_model=1_000
)
IDLE = Quota("a", "m")
ACCOUNT = Quota("a", WHOLE_ACCOUNT)


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


def free_of(quota: Quota = IDLE, limits: Limits = LIMITS, account: Quota = ACCOUNT) -> Space:
    """What is free, where something is."""
    free = space(quota, account, 0, limits)
    assert free is not None
    return free


def cut_from(chunks: list[Chunk], free: Space, cut_lines: int = 0, ratio: Ratio | None = None) -> Cut | None:
    """The next cut of the group that *chunks* make."""
    return next_cut(group_of(chunks, cut_lines), chunks, free, ratio, LIMITS)


@pytest.mark.parametrize(
    ("size", "end"),
    [
        ((40, 10, 1, 0), 80),  # requests: a third chunk would make 120
        ((10, 4_000, 1, 0), 20),  # bytes
        ((10, 10, 1, 120), 20),  # embedding inputs
        ((10, 10, 500, 0), 20),  # tokens
    ],
)
def test_a_shard_ends_at_the_first_limit_that_it_meets(size: tuple[int, int, int, int], end: int) -> None:
    """Whole chunks are taken while requests, bytes, inputs and tokens all allow the next."""
    chunks = chunks_of(size, size, size, size)

    cut = cut_from(chunks, free_of())

    tokens, inputs = size[2] * end // size[0], size[3] * end // size[0]
    assert cut == Cut(0, end, tokens, tokens, inputs)


@pytest.mark.parametrize(
    ("endpoint", "ends"),
    [("/v1/images/generations", [30, 60, 90]), ("/v1/images/edits", [30, 60, 90]), ("/v1/embeddings", [80, 90])],
)
def test_a_batch_of_images_ends_where_its_answers_could_not_be_collected(endpoint: str, ends: list[int]) -> None:
    """Within a chunk, too: images are a thousand times as long as what asks for them."""
    chunks, limits = (
        chunks_of((40, 10, 1, 0), (40, 10, 1, 0), (10, 10, 1, 0)),
        replace(LIMITS, shard_image_requests_max=30),
    )
    limits = replace(limits, shard_requests_max=80)
    group, found = replace(group_of(chunks), endpoint=endpoint), list[int]()

    while cut := next_cut(replace(group, cut_lines=found[-1] if found else 0), chunks, free_of(), None, limits):
        found.append(cut.end_line)

    assert found == ends


def test_the_next_shard_begins_where_the_last_one_ended() -> None:
    """Lines that were cut are not cut again, and the last shard takes what is left."""
    chunks = chunks_of(*[(40, 10, 1, 0)] * 3)

    assert cut_from(chunks, free_of(), 80) == Cut(80, 120, 1, 1, 0)
    assert cut_from(chunks, free_of(), 120) is None


def test_an_idle_model_admits_something_however_small_its_limit() -> None:
    """A chunk that is larger than all the quota is shared in proportion; at least one line goes."""
    chunks = chunks_of((10, 100, 5_000, 0))
    narrow = free_of(limits=replace(LIMITS, enqueued_tokens_per_model=1))

    assert cut_from(chunks, free_of()) == Cut(0, 2, 1_000, 1_000, 0)
    assert cut_from(chunks, free_of(), 2) == Cut(2, 4, 1_000, 1_000, 0)
    assert cut_from(chunks, narrow) == Cut(0, 1, 500, 500, 0)


def test_a_model_in_use_admits_what_fits_but_no_sliver() -> None:
    """A chunk is shared where the quota ends within it; less than half a shard is waited for, unless it is all that is left."""
    chunks = chunks_of((10, 100, 600, 0))

    assert cut_from(chunks, free_of(Quota("a", "m", used=500))) == Cut(0, 8, 480, 480, 0)
    assert cut_from(chunks, free_of(Quota("a", "m", used=501))) is None
    assert cut_from(chunks, free_of(Quota("a", "m", used=900)), 9) == Cut(9, 10, 60, 60, 0)


def test_a_model_is_shared_by_several_shards() -> None:
    """One that ends makes quota for another while the others run: no shard takes more than an eighth of a known limit."""
    limits = replace(LIMITS, first_shard_tokens=50)
    chunks = chunks_of((10, 100, 600, 0))

    assert cut_from(chunks, free_of(limits=limits)) == Cut(0, 2, 120, 120, 0)


def test_what_was_learned_of_estimates_is_used_for_cutting() -> None:
    """Where the provider counts twice what bytes say, half as much fits."""
    chunks = chunks_of((10, 100, 1_000, 0))

    assert cut_from(chunks, free_of(), ratio=Ratio(100, 200, 0)) == Cut(0, 5, 1_000, 500, 0)


def test_embedding_inputs_have_a_quota_of_their_own() -> None:
    """What other models of the account have enqueued leaves less of it; an account without any takes a batch."""
    chunks = chunks_of((10, 100, 10, 100))
    used = replace(ACCOUNT, used=LIMITS.quota_embedding_inputs - 50)
    full = replace(ACCOUNT, used=LIMITS.quota_embedding_inputs)

    assert cut_from(chunks, free_of(account=used)) == Cut(0, 5, 5, 5, 50)
    assert cut_from(chunks, free_of(account=full)) is None
    assert cut_from(chunks, free_of(account=ACCOUNT)) == Cut(0, 10, 10, 10, 100)


def test_a_model_that_was_refused_cools() -> None:
    """Nothing is let in until its time, even when nothing is in; nor while it is full."""
    cooling = Quota("a", "m", quota_estimate=QuotaEstimate(cool_down_until=50))

    assert space(cooling, ACCOUNT, 49, LIMITS) is None
    assert space(cooling, ACCOUNT, 50, LIMITS) is not None
    assert space(IDLE, replace(ACCOUNT, quota_estimate=QuotaEstimate(cool_down_until=50)), 49, LIMITS) is None
    assert space(Quota("a", "m", used=1_000), ACCOUNT, 0, LIMITS) is None


def test_a_limit_is_pinned_or_learned_or_modest() -> None:
    """In this order; and embedding inputs never exceed what is documented."""
    learned = Quota("a", "m", quota_estimate=QuotaEstimate(limit=7_000_000))

    assert token_limit(learned, LIMITS) == 1_000
    assert token_limit(learned, Limits()) == 7_000_000
    assert token_limit(IDLE, Limits()) == Limits().first_shard_tokens
    assert [input_limit(quota, Limits()) for quota in (ACCOUNT, learned)] == [1_000_000, 1_000_000]
    assert input_limit(Quota("a", "", quota_estimate=QuotaEstimate(limit=5)), Limits()) == 5


@pytest.mark.parametrize(
    ("used", "items"),
    [
        (0, 10),  # idle: the whole limit
        (500, 5),
        (501, 0),  # a tiny batch
        (1, 9),
    ],
)
def test_a_shard_that_waits_is_let_in_as_far_as_it_fits(used: int, items: int) -> None:
    """It was cut when there seemed to be more quota; what does not fit waits on."""
    shard = Shard(job="j", number=0, account="a", endpoint="e", model="m", group=0, end_line=10, tokens=1_000)

    assert fitting_items(shard, free_of(Quota("a", "m", used=used))) == items


def test_a_lone_item_is_let_in_when_its_model_is_idle() -> None:
    """However large it is, and only then."""
    shard = Shard(job="j", number=0, account="a", endpoint="e", model="m", group=0, end_line=1, tokens=9_000)

    assert fitting_items(shard, free_of()) == 1
    assert fitting_items(shard, free_of(Quota("a", "m", used=1))) == 0


@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 4_000), st.integers(1, 3_000), st.integers(0, 200)),
        min_size=1,
        max_size=8,
    ),
    used=st.integers(0, 1_500),
    ratio=st.none() | st.builds(Ratio, st.integers(1, 100), st.integers(1, 100), st.just(0)),
)
@example(sizes=[(23, 1, 22, 0)], used=1, ratio=Ratio(1, 46, 0))  # a share was rounded over what was free
def test_cutting_takes_every_line_once_and_keeps_the_quota(
    sizes: list[tuple[int, int, int, int]], used: int, ratio: Ratio | None
) -> None:
    """Cut after cut, the group is taken from end to end; only an idle model may go over its limit, by one shard."""
    chunks = chunks_of(*sizes)
    group, quota = group_of(chunks), Quota("a", "m", used=used)

    for _ in range(2 * group.lines + 1):
        free = space(quota, ACCOUNT, 0, LIMITS)
        cut = next_cut(group, chunks, free, ratio, LIMITS) if free else None
        if cut is None:
            if group.cut_lines == group.lines:
                break
            assert quota.used > 0, "only a model in use may refuse"
            quota = replace(quota, used=0)
            continue
        assert cut.first_line == group.cut_lines < cut.end_line
        assert cut.end_line - cut.first_line <= LIMITS.shard_requests_max
        assert quota.used == 0 or quota.used + cut.tokens <= LIMITS.enqueued_tokens_per_model
        group, quota = replace(group, cut_lines=cut.end_line), replace(quota, used=quota.used + cut.tokens)

    assert group.cut_lines == group.lines


def test_quota_is_counted_for_the_place_and_not_for_the_key() -> None:
    """A rotated key must not forget what is enqueued; another base URL is another account."""
    assert account_of("https://a/v1") == account_of("https://a/v1") != account_of("https://b/v1")
