"""Which calls count as failed, and what shows that they go through again."""

import pytest
from fakes.shards import changed, new_shard

from batchdrop.core.model.reasons import Outage
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.retries import (
    TAKEN_LATELY_SECONDS,
    are_answers_given,
    are_creates_taken,
    is_retried,
)

NOW = 1_000_000
SHARD = new_shard(job="j", number=0, account="a", endpoint="/v1/chat/completions", model="m", group=0)
FAILED = Outage(NOW - 400, "503", NOW - 300)
SENT = changed(SHARD, state=ShardState.RUNNING, batch="batch_1", intent_at=NOW - 200)
UNCERTAIN = changed(SHARD, state=ShardState.FENCING, intent_at=NOW - 300)
UNSENT = changed(SHARD, state=ShardState.RESERVED, unanswered=FAILED)
UNFETCHED = changed(SHARD, state=ShardState.HARVESTING, batch="batch_2", intent_at=NOW - 900, gone=FAILED)


@pytest.mark.parametrize(
    ("shard", "expected"),
    [
        (changed(SHARD, state=ShardState.RESERVED), False),
        (changed(SHARD, state=ShardState.RESERVED, uncertain=1), True),
        (changed(SHARD, state=ShardState.UPLOADED, unanswered=FAILED), True),
        (changed(UNFETCHED, gone=None), False),
        (UNFETCHED, True),
        (changed(UNFETCHED, uncertain=1, gone=None), False),
    ],
)
def test_what_repeats_a_failed_call_is_told_by_its_row(shard: Shard, *, expected: bool) -> None:
    """Not answered, uncertain, or answered without answers."""
    assert is_retried(shard) is expected


@pytest.mark.parametrize(
    ("shards", "expected"),
    [
        ([], False),
        ([SENT], True),
        ([SENT, UNCERTAIN, UNSENT], True),
        ([SENT, changed(UNCERTAIN, intent_at=NOW - 100)], False),
        ([SENT, changed(UNSENT, unanswered=Outage(0, "503", NOW - 100))], False),
        ([changed(SENT, intent_at=NOW - TAKEN_LATELY_SECONDS)], False),
    ],
)
def test_a_batch_that_was_made_since_lets_the_others_go(shards: list[Shard], *, expected: bool) -> None:
    """One that is older than a failure, or than ten minutes, shows nothing."""
    assert are_creates_taken(shards, NOW) is expected


@pytest.mark.parametrize(("fetched_at", "expected"), [(0, False), (NOW - 300, False), (NOW - 299, True)])
def test_answers_that_came_since_let_the_others_go(fetched_at: int, *, expected: bool) -> None:
    """Later than the last that were not given."""
    assert are_answers_given([UNFETCHED, SENT], fetched_at) is expected
