"""The table of a shard's life: every state meets every event."""

import itertools
from dataclasses import replace
from typing import get_args

import pytest
from fakes.shards import changed, new_shard
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.errors import IllegalTransition, Superseded
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.model.reasons import Outage, Reason, Refusal, Scope
from batchdrop.core.model.row import Lease
from batchdrop.core.model.shard import Attempt, Shard, ShardState, ticket_of
from batchdrop.core.submission import shard_events as on
from batchdrop.core.submission.shard_lifecycle import CANCELLED, EDGES, Now, advance, no_quota_backoff_seconds, split

S = ShardState
NOW = Now(1_000_000, "install", Limits())
TERMINAL = {S.DONE}
HOLDS_QUOTA = {S.RESERVED, S.UPLOADED, S.CREATING, S.FENCING, S.RUNNING}
EVENT_TYPES = get_args(on.ShardEvent.__value__)


def shard_in(state: ShardState, **changes: object) -> Shard:
    """A shard as it may stand in *state*, at its second try."""
    shard = new_shard(
        job="j", number=3, account="a", endpoint="/v1/embeddings", model="m", group=0, first_line=10, end_line=20,
        tokens=500, state=state, try_number=2, due_at=NOW.time, lease=Lease("w", NOW.time + 60),
        quota_tokens=500 if state in HOLDS_QUOTA else 0, file="file-1", file_uploaded_at=NOW.time - 60, fingerprint="f",
        base_url="u", intent_at=NOW.time - 50, first_intent_at=NOW.time - 50,
        batch="batch-1" if state in (S.RUNNING, S.HARVESTING) else "",
    )  # fmt: skip
    tickets = tuple(ticket_of("install", changed(shard, try_number=number)) for number in (1, 2))
    return changed(shard, ticket=tickets[-1], tickets=tickets, **changes)


def event_for(kind: type, ticket: str) -> on.ShardEvent:
    """An event of *kind* that answers *ticket*."""
    batch = Batch("batch-2", "in_progress", NOW.time, metadata={"ticket": ticket})
    reason = Reason("code", "message")
    made: dict[type, on.ShardEvent] = {
        on.Admitted: on.Admitted(),
        on.InputUploaded: on.InputUploaded(ticket, "file-2", "u", "f"),
        on.InputUnusable: on.InputUnusable(ticket),
        on.CreateIntended: on.CreateIntended(ticket),
        on.CreateRefused: on.CreateRefused(ticket, reason),
        on.CreateTurnedAway: on.CreateTurnedAway(ticket, 60),
        on.InputDoubted: on.InputDoubted(ticket),
        on.SendRefused: on.SendRefused(ticket, reason),
        on.ModelRefused: on.ModelRefused(ticket, Refusal(reason, 1, NOW.time, Scope.MODEL)),
        on.BatchFound: on.BatchFound(batch, ticket),
        on.FenceBegun: on.FenceBegun(ticket),
        on.Fenced: on.Fenced(ticket),
        on.FenceFailed: on.FenceFailed(ticket),
        on.Unlisted: on.Unlisted(ticket),
        on.NothingFound: on.NothingFound(ticket),
        on.Unparked: on.Unparked(),
        on.InputMissed: on.InputMissed(ticket),
        on.EarlierFailed: on.EarlierFailed(ticket),
        on.NoQuota: on.NoQuota(ticket, is_idle=False),
        on.MoneyMissed: on.MoneyMissed(ticket, reason),
        on.BatchTaken: on.BatchTaken(ticket),
        on.BatchEnded: on.BatchEnded(ticket, batch),
        on.BatchStuck: on.BatchStuck(ticket, batch, reason),
        on.GivenUp: on.GivenUp(ticket, reason),
        on.Harvested: on.Harvested(ticket, 0),
        on.Cancelled: on.Cancelled(),
        on.CancelAsked: on.CancelAsked(ticket),
        on.Restored: on.Restored((), 0, is_made=False),
    }
    return made[kind]


def test_every_event_has_a_sample() -> None:
    """The table is tested against all events there are."""
    for kind in EVENT_TYPES:
        assert isinstance(event_for(kind, "t"), kind)


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(S, EVENT_TYPES)))
def test_every_pair_is_an_edge_or_an_error(state: ShardState, kind: type) -> None:
    """A pair of state and event leads where the table says, or is refused by name."""
    shard = shard_in(state)
    event = event_for(kind, shard.attempt.ticket)

    if kind in EDGES[state]:
        assert advance(shard, event, NOW).state in EDGES[state][kind]
    else:
        with pytest.raises(IllegalTransition, match=f"j/3 in {state} does not know {kind.__name__}"):
            advance(shard, event, NOW)


@pytest.mark.parametrize(("state", "kind"), [(state, kind) for state, row in EDGES.items() for kind in row])
def test_quota_due_time_and_worker_follow_the_state(state: ShardState, kind: type) -> None:
    """Quota is held exactly where the provider may count it, whatever is not terminal is due, a worker stays for one create.

    Every other move clears the lease, so that whoever comes next need not wait for the last one's.
    """
    shard = shard_in(state)

    after = advance(shard, event_for(kind, shard.attempt.ticket), NOW)

    assert after.quota_tokens == (after.tokens if after.state in HOLDS_QUOTA else 0)
    assert (after.due_at is None) == (after.state in TERMINAL)
    if kind not in (on.InputUploaded, on.CreateIntended, on.Fenced):
        assert after.lease is None


@pytest.mark.parametrize(("state", "kind"), [(state, kind) for state, row in EDGES.items() for kind in row])
def test_answers_to_a_try_left_behind_change_nothing(state: ShardState, kind: type) -> None:
    """An event that bears a ticket moves the shard only while it is at that try; a batch, while at that attempt."""
    shard = shard_in(state)
    older, foreign = event_for(kind, shard.attempt.tickets[0]), event_for(kind, "install.j.3.9.9")
    if not hasattr(older, "ticket"):
        return

    if kind is on.BatchFound:
        assert advance(shard, older, NOW).state is S.RUNNING
    else:
        with pytest.raises(Superseded, match="has left"):
            advance(shard, older, NOW)
    with pytest.raises(Superseded):
        advance(shard, foreign, NOW)


@pytest.mark.parametrize(("state", "kind"), [(state, kind) for state, row in EDGES.items() for kind in row])
def test_a_ticket_names_one_create_call(state: ShardState, kind: type) -> None:
    """Whoever comes back to where a create may be made has a ticket that was never used."""
    shard = shard_in(state)

    after = advance(shard, event_for(kind, shard.attempt.ticket), NOW)

    enters_try = after.state is S.RESERVED or (after.state is S.UPLOADED and state is S.CREATING)
    assert (
        after.attempt.ticket not in shard.attempt.tickets
    ) == enters_try or after.attempt.number != shard.attempt.number
    if enters_try:
        assert after.attempt.tickets == (*shard.attempt.tickets, after.attempt.ticket)
        assert after.attempt.ticket == ticket_of("install", after)


def test_the_next_attempt_begins_with_nothing_of_the_last() -> None:
    """What was uncertain, parked or not to be fenced is over: its batch was found."""
    shard = shard_in(
        S.HARVESTING,
        uncertain=5,
        parked_at=5,
        is_unfenced=True,
        is_unlisted=True,
        gone=Outage(5, "404"),
        unanswered=Outage(5, "503"),
        cancels_unheard=2,
        refused_count=2,
        refused_since=5,
    )

    after = advance(shard, on.Harvested(shard.attempt.ticket, 3), NOW)

    assert after.attempt == Attempt(number=2)
    assert after.unanswered is None
    assert (after.state, after.attempt.number, after.items) == (S.WAITING, 2, 3)


MAY_BE_AT_PROVIDER = (S.CREATING, S.FENCING, S.PARKED, S.RUNNING)


@pytest.mark.parametrize(("state", "kind"), [(state, kind) for state in MAY_BE_AT_PROVIDER for kind in EDGES[state]])
def test_a_cancelled_shard_is_never_sent(state: ShardState, kind: type) -> None:
    """Whatever happens to it, it comes to no state from which a create could follow; only a batch that was made counts."""
    cancelled = advance(shard_in(state), on.Cancelled(), NOW)

    after = advance(cancelled, event_for(kind, cancelled.attempt.ticket), NOW)

    assert after.is_cancelled
    assert after.state in {*MAY_BE_AT_PROVIDER, S.HARVESTING}
    # After an earlier batch failed it is asked again what became of the create that was made; no other is.
    assert after.state is not S.CREATING or state is S.CREATING or kind is on.EarlierFailed
    assert after.attempt.tickets == cancelled.attempt.tickets


@pytest.mark.parametrize("state", [S.WAITING, S.RESERVED, S.UPLOADED])
def test_what_is_not_sent_is_harvested_as_cancelled(state: ShardState) -> None:
    """Nothing of it is at the provider: its items fail at once, and its quota is free."""
    after = advance(shard_in(state), on.Cancelled(), NOW)

    assert (after.state, after.reason, after.quota_tokens, after.due_at) == (S.HARVESTING, CANCELLED, 0, NOW.time)


@pytest.mark.parametrize("state", MAY_BE_AT_PROVIDER)
def test_what_may_be_paid_stays_where_it_is(state: ShardState) -> None:
    """A batch that exists, or may, is looked for and waited for as before."""
    before = shard_in(state)

    after = advance(before, on.Cancelled(), NOW)

    assert (after.state, after.attempt.tickets, after.attempt.batch, after.quota_tokens) == (
        state, before.attempt.tickets, before.attempt.batch, before.quota_tokens,
    )  # fmt: skip
    assert after.is_cancelled


def test_a_refused_batch_of_a_cancelled_shard_is_no_attempt() -> None:
    """A batch that the provider had no quota for never ran: the outcomes name none."""
    running = shard_in(S.RUNNING, is_cancelled=True)

    after = advance(running, on.NoQuota(running.attempt.ticket, is_idle=True), NOW)

    assert (after.state, after.reason, after.attempt.batch) == (S.HARVESTING, CANCELLED, "")


def test_a_file_is_used_for_one_uncertain_create() -> None:
    """After the fence the next try begins without a file, and an uncertain create was counted."""
    fenced = shard_in(S.FENCING, fenced_at=NOW.time - HOUR)

    after = advance(fenced, on.NothingFound(fenced.attempt.ticket), NOW)

    assert (after.state, after.attempt.file.id, after.attempt.uncertain) == (S.RESERVED, "", 1)


def test_a_definite_refusal_keeps_the_file() -> None:
    """Turned away is not uncertain: same file, new ticket, due after the wait."""
    shard = shard_in(S.CREATING)

    after = advance(shard, on.CreateTurnedAway(shard.attempt.ticket, 90), NOW)

    assert (after.state, after.attempt.file.id, after.attempt.uncertain, after.due_at) == (
        S.UPLOADED,
        "file-1",
        0,
        NOW.time + 90,
    )


def test_the_tickets_of_weeks_without_a_connection_fit_the_row() -> None:
    """A try each minute at first, then each quarter of an hour, then each hour: a month leaves a fifth of what a row holds."""
    shard, time = shard_in(S.CREATING), NOW.time
    began = time

    while time - began < 30 * DAY:
        turned = advance(shard, on.CreateTurnedAway(shard.attempt.ticket, MINUTE), replace(NOW, time=time))
        assert turned.due_at is not None
        time, shard = turned.due_at, replace(turned, state=S.CREATING)

    assert len(shard.attempt.tickets) < 900
    assert sum(map(len, shard.attempt.tickets)) < 40_000
    quick = [
        advance(shard_in(S.CREATING), on.CreateTurnedAway(shard_in(S.CREATING).attempt.ticket, MINUTE), NOW).due_at
    ]
    assert quick == [NOW.time + MINUTE]


def test_what_is_refused_gives_its_quota_back_after_a_few_tries() -> None:
    """Three tries hold it, in case a proxy spoke; then it waits, and a day after the first its items fail."""
    shard, times, no = shard_in(S.RESERVED), [NOW.time], Reason("no", "No.")
    while shard.state is not S.HARVESTING:
        shard = advance(shard, on.SendRefused(shard.attempt.ticket, no), replace(NOW, time=times[-1]))
        if shard.state is S.WAITING:
            assert (shard.quota_tokens, shard.attempt.file.id) == (0, "")
            shard = advance(shard, on.Admitted(), NOW)
            times.append(times[-1] + HOUR)
        else:
            times.append(shard.due_at or 0)

    assert [time - NOW.time for time in times[:4]] == [0, 240, 480, 480 + HOUR]
    assert DAY <= times[-2] - NOW.time < DAY + HOUR
    assert (shard.reason, shard.quota_tokens) == (no, 0)


def test_what_is_too_large_is_asked_for_in_parts_as_if_for_the_first_time() -> None:
    """As long as there are lines to part; a lone one is refused like anything else."""
    shard = shard_in(S.RESERVED)
    refused = on.SendRefused(shard.attempt.ticket, Reason("large", "No."), is_too_large=True)

    parted = advance(shard, refused, NOW)
    lone = advance(replace(shard, end_line=shard.first_line + 1), refused, NOW)

    assert (parted.state, parted.due_at, parted.attempt.refusal and parted.attempt.refusal.count) == (
        S.WAITING,
        NOW.time,
        0,
    )
    assert (lone.state, lone.attempt.refusal) == (S.RESERVED, Refusal(refused.reason, 1, NOW.time, Scope.LINE))


def test_too_many_uncertain_creates_park_the_shard() -> None:
    """The fifth uncertain create gives the quota back and waits an hour."""
    fenced = shard_in(S.FENCING, uncertain=4, fenced_at=1)

    after = advance(fenced, on.NothingFound(fenced.attempt.ticket), NOW)

    assert (after.state, after.quota_tokens, after.attempt.parked_at, after.due_at) == (
        S.PARKED,
        0,
        NOW.time,
        NOW.time + HOUR,
    )


def test_a_week_of_parking_is_counted_from_its_beginning() -> None:
    """The hourly try does not start the week anew, a batch does."""
    parked = shard_in(S.PARKED, parked_at=5, uncertain=5, quota_tokens=0)

    probing = advance(parked, on.Unparked(), NOW)
    found = advance(parked, event_for(on.BatchFound, parked.attempt.ticket), NOW)

    assert (probing.state, probing.attempt.parked_at) == (S.RESERVED, 5)
    assert (found.state, found.attempt.parked_at) == (S.RUNNING, 0)


def test_the_fence_is_dated_once() -> None:
    """Deleting again does not push the wait away."""
    fenced = shard_in(S.FENCING, fenced_at=NOW.time - 100)

    assert advance(fenced, on.Fenced(fenced.attempt.ticket), NOW).attempt.file.fenced_at == NOW.time - 100


def test_the_next_attempt_asks_only_for_what_is_left() -> None:
    """A harvest that leaves lines starts an attempt with tickets, file and tries of its own."""
    shard = shard_in(S.HARVESTING, uncertain=3, refused_count=2)

    after = advance(shard, on.Harvested(shard.attempt.ticket, 4), NOW)

    assert (after.state, after.attempt.number, after.items, after.tokens) == (S.WAITING, 2, 4, 200)
    assert (
        after.source_shard,
        after.source_attempt,
        after.attempt.tickets,
        after.attempt.file.id,
        after.attempt.uncertain,
    ) == (3, 2, (), "", 0)


def test_a_lone_item_fails_only_after_a_day_without_quota() -> None:
    """Others share the queue: a refusal while we are idle is no proof that the request is too large."""
    lone = shard_in(S.RUNNING, first_line=0, end_line=1, refused_since=NOW.time - DAY + 1, refused_count=7)
    refused = on.NoQuota(lone.attempt.ticket, is_idle=True)

    assert advance(lone, refused, NOW).state is S.WAITING
    failed = advance(changed(lone, refused_since=NOW.time - DAY), refused, NOW)

    assert failed.state is S.HARVESTING
    assert failed.reason is not None
    assert failed.reason.code == "token_limit_exceeded"


@pytest.mark.parametrize(("stated", "state"), [(39, S.HARVESTING), (41, S.WAITING), (0, S.WAITING)])
def test_a_lone_item_that_is_larger_than_all_the_quota_fails_at_once(stated: int, state: ShardState) -> None:
    """Where the provider's limit is clearly below its estimate; nobody has to wait a day to be told."""
    lone = shard_in(S.RUNNING, first_line=0, end_line=1, tokens=50)

    after = advance(lone, on.NoQuota(lone.attempt.ticket, is_idle=True, stated=stated), NOW)
    beside_others = advance(lone, on.NoQuota(lone.attempt.ticket, is_idle=False, stated=stated), NOW)

    assert (after.state, beside_others.state) == (state, S.WAITING)


@given(refused=st.integers(0, 10_000))
def test_waiting_for_quota_grows_to_an_hour(refused: int) -> None:
    """Back-off where others fill the queue is at least five minutes, and never more than an hour."""
    assert 300 <= no_quota_backoff_seconds(refused, Limits()) <= HOUR


def test_a_refusal_beside_our_own_shards_does_not_count() -> None:
    """It says that the limit is lower, not that somebody else is in: the shard is due at once, and no day begins."""
    shard = shard_in(S.RUNNING)

    after = advance(shard, on.NoQuota(shard.attempt.ticket, is_idle=False), NOW)

    assert (after.state, after.due_at, after.attempt.refused_count, after.attempt.refused_since) == (
        S.WAITING,
        NOW.time,
        0,
        0,
    )


@given(first=st.integers(0, 1000), items=st.integers(2, 50_000), tokens=st.integers(1, 10**9))
def test_the_halves_of_a_split_are_the_whole(first: int, items: int, tokens: int) -> None:
    """No line is lost or doubled by a split, and both halves have something to send."""
    whole = shard_in(S.WAITING, first_line=first, end_line=first + items, tokens=tokens, quota_tokens=0)

    left, right = split(whole, 9, items // 2)

    assert (left.first_line, left.end_line, right.end_line) == (first, right.first_line, first + items)
    assert left.items > 0 < right.items
    assert (left.number, right.number, right.attempt.tickets) == (3, 9, ())
    assert tokens <= left.tokens + right.tokens <= tokens + 1
