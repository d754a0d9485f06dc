"""Moves a shard from state to state, by a table.

                                         (quota)
    WAITING ──► RESERVED ──► UPLOADED ──► CREATING ──► RUNNING ──► HARVESTING ──► DONE
       ▲            ▲            ▲            │           │            │
       │            │            │            ▼           │            │
       │            └────────────┼───────  FENCING        │            │
       │            │            │            ▼           │            │
       │            └────────────┼───────  PARKED         │            │
       └────────────┴────────────────────────┴──────────  ┴ (no quota)  ┴ (next attempt)
          (refused for good)      (refused, no quota)

`EDGES` names, for each state, the events it knows and the states they may lead to; a pair that is missing is an error, and
an error changes nothing. `advance` is the only way from one state to another. The functions below the table say what
else an event does to the row: tickets, times, quota.

Rules kept here, each the reason why nothing is paid twice:

* A ticket names one create call. It is minted on entering RESERVED, and on entering UPLOADED from CREATING.
* A file that an uncertain create was made with is never used again: every way from CREATING to another create that is
  not a definite refusal passes FENCING and ends in RESERVED, without a file.
* CREATING is entered before the call and left only by an answer or by the fence; also where a list that is behind showed a
  batch of an earlier create call as alive: once that one is seen to have failed, the create is as uncertain as it was.
* A definite refusal leaves nothing uncertain: its shard waits without quota and without a file, for a day at most.
* An attempt has one batch. Whatever batch has one of the attempt's tickets is adopted, whatever the state of the shard.
* A cancelled shard never comes to where something may be sent: it is collected instead. Where a create may have been made
  the rules above hold for it as for any other, so that a batch that was paid for is found.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchdrop.core.model.errors import IllegalTransition, Superseded
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from batchdrop.core.model.reasons import Outage, Reason, Refusal, Scope
from batchdrop.core.model.shard import Attempt, InputFile, Shard, ShardState, ticket_of
from batchdrop.core.submission import shard_events as on

CANCELLED = Reason("cancelled", "The job was cancelled before this request was sent.")

_S = ShardState

# Another try with another file, none after too many, or never again where the job was cancelled.
_FRESH_TRY = frozenset({_S.RESERVED, _S.PARKED, _S.HARVESTING})
# A few tries at once, then one an hour without quota, then none.
_REFUSED = frozenset({_S.RESERVED, _S.WAITING, _S.HARVESTING})
_SENDS = frozenset({_S.WAITING, _S.RESERVED, _S.UPLOADED})  # from here a create may come next

EDGES: Mapping[ShardState, Mapping[type, frozenset[ShardState]]] = {
    _S.WAITING: {
        on.Admitted: frozenset({_S.RESERVED}),
        on.Restored: frozenset({_S.WAITING, _S.CREATING}),
        on.GivenUp: frozenset({_S.HARVESTING}),
        on.Cancelled: frozenset({_S.HARVESTING}),
    },
    _S.RESERVED: {
        on.InputUploaded: frozenset({_S.UPLOADED}),
        on.SendRefused: _REFUSED,
        on.Restored: frozenset({_S.RESERVED, _S.CREATING}),
        on.BatchFound: frozenset({_S.RUNNING}),
        on.Cancelled: frozenset({_S.HARVESTING}),
    },
    _S.UPLOADED: {
        on.InputUnusable: frozenset({_S.RESERVED}),
        on.CreateIntended: frozenset({_S.CREATING}),
        on.Restored: frozenset({_S.CREATING}),
        on.BatchFound: frozenset({_S.RUNNING}),
        on.Cancelled: frozenset({_S.HARVESTING}),
    },
    _S.CREATING: {
        on.BatchFound: frozenset({_S.RUNNING}),
        on.CreateRefused: frozenset({_S.HARVESTING}),
        on.Restored: frozenset({_S.CREATING}),
        on.CreateTurnedAway: frozenset({_S.UPLOADED, _S.HARVESTING}),
        on.InputDoubted: frozenset({_S.UPLOADED, _S.HARVESTING}),
        on.SendRefused: _REFUSED,
        on.ModelRefused: frozenset({_S.WAITING, _S.HARVESTING}),
        on.InputMissed: _FRESH_TRY,
        on.NoQuota: frozenset({_S.WAITING, _S.HARVESTING}),
        on.FenceBegun: frozenset({_S.FENCING}),
        on.Unlisted: frozenset({_S.PARKED}),
        on.GivenUp: frozenset({_S.HARVESTING}),
        on.Cancelled: frozenset({_S.CREATING}),
    },
    _S.FENCING: {
        on.BatchFound: frozenset({_S.RUNNING}),
        on.InputMissed: _FRESH_TRY,
        on.Fenced: frozenset({_S.FENCING}),
        on.Restored: frozenset({_S.FENCING}),
        on.FenceFailed: frozenset({_S.PARKED}),
        on.Unlisted: frozenset({_S.PARKED}),
        on.NothingFound: _FRESH_TRY,
        on.GivenUp: frozenset({_S.HARVESTING}),
        on.Cancelled: frozenset({_S.FENCING}),
    },
    _S.PARKED: {
        on.BatchFound: frozenset({_S.RUNNING}),
        on.Unparked: frozenset({_S.RESERVED, _S.HARVESTING}),
        on.FenceBegun: frozenset({_S.FENCING}),
        on.Restored: frozenset({_S.PARKED}),
        on.GivenUp: frozenset({_S.HARVESTING}),
        on.Cancelled: frozenset({_S.PARKED}),
    },
    _S.RUNNING: {
        on.InputMissed: _FRESH_TRY,
        on.EarlierFailed: frozenset({_S.CREATING}),
        on.NoQuota: frozenset({_S.WAITING, _S.HARVESTING}),
        on.MoneyMissed: frozenset({_S.WAITING, _S.HARVESTING}),
        on.BatchTaken: frozenset({_S.RUNNING}),
        on.BatchEnded: frozenset({_S.HARVESTING}),
        on.BatchStuck: frozenset({_S.HARVESTING}),
        on.GivenUp: frozenset({_S.HARVESTING}),
        on.Cancelled: frozenset({_S.RUNNING}),
        on.CancelAsked: frozenset({_S.RUNNING}),
    },
    _S.HARVESTING: {
        on.Harvested: frozenset({_S.DONE, _S.WAITING}),
        on.GivenUp: frozenset({_S.HARVESTING}),
    },
    _S.DONE: {},
}


@dataclass(frozen=True, slots=True)
class Now:
    """When and where a transition happens: the time, the installation's id and the limits in force."""

    time: int
    install: str
    limits: Limits


def advance(shard: Shard, event: on.ShardEvent, now: Now) -> Shard:
    """Return *shard* after *event*.

    Raises IllegalTransition where the state does not know the event, and Superseded where the event answers a create call that
    the shard has left behind. Quota is not looked at: `quota_tokens` says what the shard holds, the ledger keeps the sum.
    """
    targets = EDGES[shard.state].get(type(event))
    if targets is None:
        message = f"shard {shard.job}/{shard.number} in {shard.state} does not know {type(event).__name__}"
        raise IllegalTransition(message)
    _check_ticket(shard, event)
    after = _AFTER[type(event)](shard, event, now)
    if after.is_cancelled and after.state in _SENDS:
        after = _stopped(shard, now)
    if after.state is not shard.state and not isinstance(event, on.CreateIntended | on.CreateTurnedAway):
        after = replace(after, unanswered=None, attempt=replace(after.attempt, gone=None))
    if _is_progress(shard, after, event):
        after = replace(after, progressed_at=now.time)
    assert after.state in targets, f"{shard.state} -{type(event).__name__}-> {after.state}"  # noqa: S101 - our own table
    return after


# Coming to one of these is progress; all other moves may be made again and again in vain.
_FURTHER = frozenset({_S.RUNNING, _S.HARVESTING, _S.DONE})


def _is_progress(before: Shard, after: Shard, event: on.ShardEvent) -> bool:
    """Whether the shard got further: it is new, a batch is known, taken or over, or answers came; not that it is tried again."""
    if not before.progressed_at or isinstance(event, on.BatchTaken | on.Harvested | on.Restored):
        return True
    return after.state is not before.state and after.state in _FURTHER


def _check_ticket(shard: Shard, event: on.ShardEvent) -> None:
    ticket = getattr(event, "ticket", shard.attempt.ticket)
    known = shard.attempt.tickets if isinstance(event, on.BatchFound) else (shard.attempt.ticket,)
    if ticket not in known:
        raise Superseded(f"shard {shard.job}/{shard.number} has left {ticket} behind; it is at {shard.attempt.ticket}")


def split(shard: Shard, number: int, items: int) -> tuple[Shard, Shard]:
    """Return *shard* as two that together ask for the same lines: the first *items*, and the rest, which is called *number*.

    Only a shard that waits can be split: nothing of it is at the provider.
    """
    assert shard.state is _S.WAITING, shard.state  # noqa: S101 - nothing else is ever split
    assert 0 < items < shard.items, (items, shard.items)  # noqa: S101 - a lone item cannot be split
    middle = shard.first_line + items
    held = shard.reserved_microdollars * items // shard.items
    first = replace(_share_of(shard, items), end_line=middle, reserved_microdollars=held)
    second = replace(
        _share_of(shard, shard.items - items), number=number, first_line=middle,
        attempt=replace(shard.attempt, tickets=(), ticket="", try_number=0), batches=(), duplicates=(),
        counted_tokens=0, expected_tokens=0, lease=None, revision=0,
        reserved_microdollars=shard.reserved_microdollars - held,
    )  # fmt: skip
    return first, second


def _share_of(shard: Shard, items: int) -> Shard:
    """Return *shard* with the estimates that *items* of its items have."""
    tokens, base_tokens, inputs, answer_tokens = (
        -(-amount * items // shard.items)
        for amount in (shard.tokens, shard.base_tokens, shard.inputs, shard.answer_tokens)
    )
    # What repeats among other lines than these is not known yet.
    return replace(
        shard, tokens=max(1, tokens), base_tokens=base_tokens, inputs=inputs, answer_tokens=answer_tokens,
        saved_items=0, saved_tokens=0, saved_inputs=0,
    )  # fmt: skip


# ------------------------------------------------------------------ what each event does to the row


def _mint(shard: Shard, now: Now, state: ShardState) -> Shard:
    """Return *shard* in *state* at its next try, with a ticket of its own and no worker."""
    attempt = replace(shard.attempt, try_number=shard.attempt.try_number + 1)
    ticket = ticket_of(now.install, replace(shard, attempt=attempt))
    attempt = replace(attempt, ticket=ticket, tickets=(*attempt.tickets, ticket))
    return replace(shard, state=state, attempt=attempt, taken_at=0, lease=None, due_at=now.time)


def _without_file(shard: Shard) -> Shard:
    return replace(shard, attempt=replace(shard.attempt, file=InputFile()))


def _without_batch(shard: Shard) -> Shard:
    return replace(shard, attempt=replace(shard.attempt, batch="", batch_status=""))


def _with_file(shard: Shard, file: InputFile) -> Shard:
    return replace(shard, attempt=replace(shard.attempt, file=file))


def _after_admitted(shard: Shard, event: on.Admitted, now: Now) -> Shard:
    return replace(
        _mint(_without_file(shard), now, _S.RESERVED), quota_tokens=shard.sent_tokens, quota_inputs=shard.sent_inputs,
        reserved_microdollars=shard.reserved_microdollars + event.microdollars, reserved_on=event.day or shard.reserved_on,
    )  # fmt: skip


def _after_input_uploaded(shard: Shard, event: on.InputUploaded, now: Now) -> Shard:
    saving = event.saving
    saved = replace(shard, saved_items=saving.items, saved_tokens=saving.tokens, saved_inputs=saving.inputs)
    file = replace(shard.attempt.file, id=event.file, uploaded_at=now.time)
    # What is not sent takes no quota: it is given back here, because it was not known before.
    return replace(
        saved, state=_S.UPLOADED, quota_tokens=saved.sent_tokens, quota_inputs=saved.sent_inputs,
        attempt=replace(shard.attempt, file=file), failed_uploads=0, base_url=event.base_url, fingerprint=event.fingerprint,
        unreachable_at=0, due_at=now.time,
    )  # fmt: skip


def _after_input_unusable(shard: Shard, _event: on.InputUnusable, now: Now) -> Shard:
    # A minute later: where the provider denies every file, uploading must not become a storm.
    return replace(_mint(_without_file(shard), now, _S.RESERVED), due_at=now.time + MINUTE)


def _after_create_intended(shard: Shard, _event: on.CreateIntended, now: Now) -> Shard:
    file = replace(shard.attempt.file, intent_at=now.time, fencing_at=0, fenced_at=0)
    attempt = replace(shard.attempt, file=file, first_intent_at=shard.attempt.first_intent_at or now.time)
    return replace(shard, state=_S.CREATING, attempt=attempt, due_at=now.time + now.limits.grace_seconds)


def _after_create_refused(shard: Shard, event: on.CreateRefused, now: Now) -> Shard:
    return _to_harvest(replace(shard, reason=event.reason), now)


def _after_create_turned_away(shard: Shard, event: on.CreateTurnedAway, now: Now) -> Shard:
    turned = _mint(_not_intended(shard), now, _S.UPLOADED)
    if event.cause:
        turned = replace(turned, unanswered=again(shard.unanswered, event.cause, now.time, event.asked_seconds))
    return replace(turned, due_at=now.time + max(event.wait_seconds, _pace_seconds(turned, now.limits)))


def _not_intended(shard: Shard) -> Shard:
    return _with_file(shard, replace(shard.attempt.file, intent_at=0))


def again(outage: Outage | None, cause: str, now: int, asked_seconds: int = 0) -> Outage:
    """Return *outage*, or a new one, with a call that failed *now* and was answered with a wait of *asked_seconds*."""
    begun = outage or Outage(now, cause)
    return replace(begun, last_at=now, asked_seconds=max(begun.asked_seconds, asked_seconds))


def _pace_seconds(shard: Shard, limits: Limits) -> int:
    """Return how long the next try waits at least, so that the tickets of an outage of weeks do not fill the row."""
    if shard.attempt.try_number <= limits.quick_tries_max:
        return 0
    return limits.slow_try_seconds if shard.attempt.try_number <= 2 * limits.quick_tries_max else HOUR


def _after_input_doubted(shard: Shard, _event: on.InputDoubted, now: Now) -> Shard:
    doubted = _with_file(shard, replace(shard.attempt.file, intent_at=0, is_doubted=True))
    return replace(_mint(doubted, now, _S.UPLOADED), due_at=now.time + MINUTE)


def _after_send_refused(shard: Shard, event: on.SendRefused, now: Now) -> Shard:
    limits, known = now.limits, shard.attempt.refusal or Refusal(event.reason, 0, now.time)
    if event.is_too_large and shard.sent_items > 1:
        # The caller splits it: each part is asked for the first time.
        parted = _with_refusal(shard, replace(known, reason=event.reason, count=0))
        return replace(_refused(parted), due_at=now.time)
    scope = Scope.LINE if event.is_too_large else Scope.SHARD
    refusal = Refusal(event.reason, known.count + 1, known.since, scope)
    shard = _with_refusal(shard, refusal)
    is_over = refusal.count >= limits.refused_tries_max and now.time - refusal.since >= limits.refused_seconds_max
    if event.is_given_up or is_over:
        return _to_harvest(replace(shard, reason=event.reason), now)
    if refusal.count >= limits.refused_tries_max:
        return replace(_refused(shard), due_at=now.time + limits.refused_retry_seconds)
    return replace(_mint(_without_file(shard), now, _S.RESERVED), due_at=now.time + limits.refused_try_seconds)


def _with_refusal(shard: Shard, refusal: Refusal) -> Shard:
    return replace(shard, attempt=replace(shard.attempt, refusal=refusal))


def _after_model_refused(shard: Shard, event: on.ModelRefused, now: Now) -> Shard:
    shard = _with_refusal(shard, event.refusal)
    if event.is_given_up:
        return _to_harvest(replace(shard, reason=event.refusal.reason), now)
    return replace(_refused(shard), due_at=now.time + refused_wait_seconds(event.refusal, now.limits))


def refused_wait_seconds(refusal: Refusal, limits: Limits) -> int:
    """Return how long to wait before what was refused so often is asked again."""
    is_fresh = refusal.count < limits.refused_tries_max
    return limits.refused_try_seconds if is_fresh else limits.refused_retry_seconds


def _refused(shard: Shard) -> Shard:
    """Return *shard* waiting without quota, file or worker. The provider has answered: nothing about it is uncertain any more."""
    waiting = replace(_without_quota(_without_file(shard)), state=_S.WAITING, lease=None)
    return replace(waiting, attempt=replace(waiting.attempt, parked_at=0))


def _after_batch_found(shard: Shard, event: on.BatchFound, now: Now) -> Shard:
    was = shard.attempt
    attempt = replace(
        was, batch=event.batch.id, batch_status=event.batch.status, parked_at=0, refusal=None,
        is_unfenced=was.is_unfenced and not was.is_unlisted, is_unlisted=False,
    )  # fmt: skip
    # A parked shard gave its quota back; the batch takes it whether there is quota or not.
    return replace(
        shard, state=_S.RUNNING, attempt=attempt, quota_tokens=shard.sent_tokens, quota_inputs=shard.sent_inputs,
        unreachable_at=0, lease=None, due_at=now.time + now.limits.retrieve_interval_seconds,
    )  # fmt: skip


def _after_fence_begun(shard: Shard, _event: on.FenceBegun, now: Now) -> Shard:
    file = replace(shard.attempt.file, fencing_at=now.time, fenced_at=0)
    # What was parked for want of a list gave its quota back; a batch may take it whether there is quota or not.
    return replace(
        shard, state=_S.FENCING, attempt=replace(shard.attempt, file=file, is_unfenced=False, is_unlisted=False),
        quota_tokens=shard.sent_tokens, quota_inputs=shard.sent_inputs, lease=None, due_at=now.time,
    )  # fmt: skip


def _after_fenced(shard: Shard, _event: on.Fenced, now: Now) -> Shard:
    # Set once: a second deletion must not push the wait further away.
    fenced_at = shard.attempt.file.fenced_at or now.time
    fenced = _with_file(shard, replace(shard.attempt.file, fenced_at=fenced_at))
    return replace(fenced, due_at=fenced_at + now.limits.fence_wait_seconds)


def _after_fence_failed(shard: Shard, _event: on.FenceFailed, now: Now) -> Shard:
    return _parked(replace(shard, attempt=replace(shard.attempt, is_unfenced=True)), now)


def _after_unlisted(shard: Shard, _event: on.Unlisted, now: Now) -> Shard:
    # Unfenced, because nothing proves that no batch was made: no new try, until a list is there and the fence is made.
    return _parked(replace(shard, attempt=replace(shard.attempt, is_unfenced=True, is_unlisted=True)), now)


def _after_nothing_found(shard: Shard, _event: on.NothingFound, now: Now) -> Shard:
    return _fresh_try(shard, now)


def _after_input_missed(shard: Shard, _event: on.InputMissed, now: Now) -> Shard:
    return _fresh_try(shard, now)


def _after_earlier_failed(shard: Shard, _event: on.EarlierFailed, now: Now) -> Shard:
    # As after the intent, whose time stays: the file may have been fenced off meanwhile, and is fenced off again.
    unfenced = _with_file(_without_batch(shard), replace(shard.attempt.file, fencing_at=0, fenced_at=0))
    due_at = now.time + now.limits.grace_seconds
    return replace(unfenced, state=_S.CREATING, taken_at=0, lease=None, due_at=due_at)


def _fresh_try(shard: Shard, now: Now) -> Shard:
    """Another try with a file of its own; no attempt is used, because nothing ran."""
    uncertain = shard.attempt.uncertain + 1
    attempt = replace(shard.attempt, file=InputFile(), uncertain=uncertain, batch="", batch_status="")
    counted = replace(shard, attempt=attempt)
    return _parked(counted, now) if uncertain >= now.limits.uncertain_creates_max else _mint(counted, now, _S.RESERVED)


def _parked(shard: Shard, now: Now) -> Shard:
    attempt = replace(shard.attempt, parked_at=shard.attempt.parked_at or now.time, batch="")
    due_at = now.time + now.limits.parked_retry_seconds
    return replace(_without_quota(shard), state=_S.PARKED, attempt=attempt, lease=None, due_at=due_at)


def _without_quota(shard: Shard) -> Shard:
    return replace(shard, quota_tokens=0, quota_inputs=0, taken_at=0)


def _after_unparked(shard: Shard, _event: on.Unparked, now: Now) -> Shard:
    assert not shard.attempt.is_unfenced, "an unfenced try may still run: no new one"  # noqa: S101 - the caller asked first
    # `parked_at` stays: a week of outage is counted from its beginning.
    again = _mint(_without_file(shard), now, _S.RESERVED)
    return replace(again, quota_tokens=shard.sent_tokens, quota_inputs=shard.sent_inputs)


def _after_no_quota(shard: Shard, event: on.NoQuota, now: Now) -> Shard:
    since = shard.attempt.refused_since or now.time
    message = _hopeless(shard, event, now.time - since, now.limits)
    if message:
        return _to_harvest(replace(shard, reason=Reason("token_limit_exceeded", message)), now)
    waiting = replace(_unsent(shard), due_at=now.time)
    if not is_foreign(shard, event):
        # Due at once, so that it keeps its place: the limit that the refusal taught is what holds it back.
        return waiting
    wait_seconds = no_quota_backoff_seconds(shard.attempt.refused_count, now.limits)
    attempt = replace(waiting.attempt, refused_count=shard.attempt.refused_count + 1, refused_since=since)
    return replace(waiting, attempt=attempt, due_at=now.time + wait_seconds)


def _unsent(shard: Shard) -> Shard:
    """Return *shard* waiting: it holds no quota, no file and no batch."""
    return replace(_without_quota(_without_file(_without_batch(shard))), state=_S.WAITING, lease=None)


def _hopeless(shard: Shard, event: on.NoQuota, refused_seconds: int, limits: Limits) -> str:
    """Return why a lone item will never find quota; empty while it may."""
    if not event.is_idle or shard.sent_items > 1:
        return ""
    asked = shard.sent_inputs if event.is_inputs else shard.sent_tokens
    if 0 < event.stated * 5 // 4 < asked:  # clearly so: ours is an estimate
        what = "embedding inputs" if event.is_inputs else "tokens"
        return f"This request alone has about {asked:,} {what}; the provider takes {event.stated:,} at a time."
    if refused_seconds < limits.lone_item_refused_seconds_max:
        return ""
    return (
        f"The provider had no quota for this request for {refused_seconds // HOUR} hours, with nothing else enqueued."
    )


def is_foreign(shard: Shard, event: on.NoQuota) -> bool:
    """Whether only time can help after a refusal: nothing else of ours is in, and less of it would not explain it either."""
    asked = shard.sent_inputs if event.is_inputs else shard.sent_tokens
    return event.is_idle and (shard.sent_items == 1 or not 0 < event.stated < asked)


def no_quota_backoff_seconds(refused_count: int, limits: Limits) -> int:
    """Return how long to wait while others fill the queue, who did *refused_count* times before: doubled up to an hour."""
    return min(limits.no_quota_backoff_seconds << min(refused_count, 16), limits.no_quota_backoff_seconds_max)


def _after_money_missed(shard: Shard, _event: on.MoneyMissed, now: Now) -> Shard:
    return replace(_unsent(shard), due_at=now.time + now.limits.circuit_seconds)


def _after_batch_taken(shard: Shard, _event: on.BatchTaken, now: Now) -> Shard:
    return replace(shard, taken_at=now.time, lease=None)


def _after_batch_ended(shard: Shard, event: on.BatchEnded, now: Now) -> Shard:
    ended_at = event.batch.ended_at or now.time
    attempt = replace(shard.attempt, batch_status=event.batch.status, batch_ended_at=ended_at, is_unarchived=True)
    return _to_harvest(replace(shard, attempt=attempt, batches=(*shard.batches, attempt.batch)), now)


def _after_batch_stuck(shard: Shard, event: on.BatchStuck, now: Now) -> Shard:
    ended = _after_batch_ended(shard, on.BatchEnded(event.ticket, event.batch), now)
    return replace(ended, reason=event.reason, is_stuck=True)


def _after_given_up(shard: Shard, event: on.GivenUp, now: Now) -> Shard:
    # A batch that was running counts: it may be paid for.
    batches = (*shard.batches, shard.attempt.batch) if shard.state is _S.RUNNING else shard.batches
    return _to_harvest(replace(shard, reason=event.reason, batches=batches, is_stuck=False), now)


def _to_harvest(shard: Shard, now: Now) -> Shard:
    """Quota is given back at once: the provider counts an ended batch no more, however late its answers come."""
    return replace(_without_quota(shard), state=_S.HARVESTING, unreachable_at=0, lease=None, due_at=now.time)


def _after_cancelled(shard: Shard, _event: on.Cancelled, now: Now) -> Shard:
    # Due at once: a batch that runs is looked at in the next tick, and costs money until then.
    return replace(shard, is_cancelled=True, lease=None, due_at=now.time)


def _after_cancel_asked(shard: Shard, _event: on.CancelAsked, now: Now) -> Shard:
    return replace(shard, attempt=replace(shard.attempt, cancel_asked_at=now.time), lease=None)


def _stopped(shard: Shard, now: Now) -> Shard:
    """Nothing of this attempt is at the provider, or ever will be: its items fail as cancelled."""
    return _to_harvest(replace(_without_batch(shard), is_cancelled=True, reason=CANCELLED), now)


def _after_harvested(shard: Shard, event: on.Harvested, now: Now) -> Shard:
    shard = replace(
        shard, reserved_microdollars=0, reserved_on="", counted_tokens=shard.counted_tokens + event.counted_tokens,
        expected_tokens=shard.expected_tokens + shard.sent_tokens * event.counted_items // shard.sent_items,
    )  # fmt: skip
    if not event.again_lines:
        expires_at = now.time + 2 * now.limits.ended_rows_kept_seconds  # outlives its job's row
        return replace(shard, state=_S.DONE, lease=None, due_at=None, expires_at=expires_at)
    may_go_on = event.is_unpaid or shard.used_attempts < now.limits.attempts_max
    assert may_go_on, "collecting fails what may not be sent again"  # noqa: S101
    attempt = Attempt(number=shard.attempt.number + 1)
    return replace(
        _share_of(shard, event.again_lines), state=_S.WAITING, attempt=attempt,
        unpaid_attempts=shard.unpaid_attempts + event.is_unpaid, source_shard=shard.number, source_attempt=attempt.number,
        first_line=0, end_line=event.again_lines, lease=None, due_at=now.time + MINUTE,
    )  # fmt: skip


def _after_restored(shard: Shard, event: on.Restored, now: Now) -> Shard:
    """Whatever may have been made since the backup is looked for first, as after a create whose answer was lost."""
    was = shard.attempt
    tried = replace(was, tickets=(*was.tickets, *event.tickets), try_number=max(was.try_number, event.try_number))
    known = replace(shard, attempt=tried, lease=None)
    if shard.state is _S.PARKED:
        return replace(known, due_at=now.time + now.limits.parked_retry_seconds)
    if shard.state is _S.FENCING:
        fenced_anew = replace(was.file, fencing_at=now.time, fenced_at=0, intent_at=now.time)
        return replace(_with_file(known, fenced_anew), due_at=now.time)
    if shard.state is _S.WAITING and not event.is_made:
        return known
    if shard.state is _S.RESERVED and not event.is_made:
        return _mint(known, now, _S.RESERVED)
    file = replace(was.file, intent_at=now.time, fencing_at=0, fenced_at=0)
    return replace(
        known, state=_S.CREATING, quota_tokens=shard.sent_tokens, quota_inputs=shard.sent_inputs, taken_at=0,
        attempt=replace(tried, file=file, first_intent_at=was.first_intent_at or now.time),
        due_at=now.time + now.limits.grace_seconds,
    )  # fmt: skip


# Any: each function takes the event of its key, which a mapping cannot say.
_AFTER: Mapping[type, Callable[[Shard, Any, Now], Shard]] = {
    on.Admitted: _after_admitted,
    on.InputUploaded: _after_input_uploaded,
    on.InputUnusable: _after_input_unusable,
    on.CreateIntended: _after_create_intended,
    on.CreateRefused: _after_create_refused,
    on.CreateTurnedAway: _after_create_turned_away,
    on.InputDoubted: _after_input_doubted,
    on.SendRefused: _after_send_refused,
    on.ModelRefused: _after_model_refused,
    on.BatchFound: _after_batch_found,
    on.FenceBegun: _after_fence_begun,
    on.Fenced: _after_fenced,
    on.FenceFailed: _after_fence_failed,
    on.Unlisted: _after_unlisted,
    on.NothingFound: _after_nothing_found,
    on.Unparked: _after_unparked,
    on.InputMissed: _after_input_missed,
    on.EarlierFailed: _after_earlier_failed,
    on.NoQuota: _after_no_quota,
    on.MoneyMissed: _after_money_missed,
    on.BatchTaken: _after_batch_taken,
    on.BatchEnded: _after_batch_ended,
    on.BatchStuck: _after_batch_stuck,
    on.GivenUp: _after_given_up,
    on.Harvested: _after_harvested,
    on.Cancelled: _after_cancelled,
    on.CancelAsked: _after_cancel_asked,
    on.Restored: _after_restored,
}
