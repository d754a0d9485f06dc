"""Each invariant bites: a world that is broken on purpose, after a clean run, is seen to be broken."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes.shards import changed
from simulation.gate import Fault
from simulation.installation import Installation
from simulation.invariants import JUDGES, judge
from simulation.queues import Message
from simulation.refusals import broken, watch
from simulation.runs import Run, build, finish
from simulation.stories import CANARY

from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.keys import Keys, Upload
from batchdrop.core.model.shard import Shard, ShardState
from openai_batch_simulator.account.batches import Batch, Status


def ended(scenario: str = "small") -> Installation:
    """A world in which everything went well."""
    here = build(Run(scenario))
    here.run()
    finish(here)
    assert not judge(here)
    return here


def the_batch(here: Installation) -> Batch:
    """Its first batch."""
    return next(iter(here.simulator.account.batches.values()))


def the_shard(here: Installation) -> Shard:
    """Its first shard."""
    return next(row for row in here.ledger.rows.values() if isinstance(row, Shard))


def keys(here: Installation) -> Keys:
    """Where its first job's objects lie."""
    return Keys(here.uploads[0].job_id, here.uploads[0].key)


def edit(here: Installation, key: str, change: Callable[[bytes], bytes]) -> None:
    """Change an object behind everybody's back."""
    here.storage.objects[key] = change(here.storage.objects[key])


def second_batch(here: Installation) -> None:
    """The same lines ran a second time, under another ticket of the attempt."""
    world, batch = here.simulator.account, the_batch(here)
    assert batch.metadata is not None
    twin = replace(batch, id="batch_twin", metadata={**batch.metadata, "ticket": f"{batch.metadata['ticket']}1"})
    world.batches[twin.id] = twin
    world.ledger.by_batch[twin.id] = replace(world.ledger.by_batch[batch.id], batch_id=twin.id)


def sent_again(here: Installation) -> None:
    """Items that had succeeded were in the input of a later batch."""
    second_batch(here)
    here.simulator.account.batches["batch_twin"].created_at += 10**6


def lost_line(here: Installation) -> None:
    """An item has no outcome."""
    edit(here, keys(here).outcomes, lambda content: content.split(b"\n", 1)[1])


def foreign_answer(here: Installation) -> None:
    """An item shows an answer that nobody gave."""
    edit(here, keys(here).outcomes, lambda content: content.replace(b'"choices"', b'"chosen"'))


def other_counts(here: Installation) -> None:
    """The summary counts otherwise than there are outcomes."""
    edit(here, keys(here).summary, lambda content: content.replace(b'"succeeded": 3', b'"succeeded": 2'))


def rewritten_after_the_summary(here: Installation) -> None:
    """A result changes when somebody may have read it."""
    lines = here.storage.objects[keys(here).outcomes].splitlines(keepends=True)
    here.storage.put(keys(here).outcomes, b"".join(reversed(lines)))


def without_notification(here: Installation) -> None:
    """Nobody was told."""
    here.notifications.published.clear()


def other_notification(here: Installation) -> None:
    """A notification tells other counts than the summary."""
    notification = here.notifications.published[0]
    here.notifications.published[0] = replace(
        notification, json=notification.json.replace('"succeeded":3', '"succeeded":4')
    )


def leaked_quota(here: Installation) -> None:
    """Quota is used that no shard holds."""
    place, quota = next(iter(here.ledger.quotas.items()))
    here.ledger.quotas[place] = replace(quota, used=5)


def overbooked(here: Installation) -> None:
    """A shard is admitted beside another although both do not fit."""
    shard = the_shard(here)
    here.limits = replace(here.limits, enqueued_tokens_per_model=10)
    base = changed(shard, state=ShardState.RESERVED, quota_tokens=8, due_at=1, revision=0, attempt=1)
    here.ledger.write(Change((Write(None, replace(base, number=7)),)))
    here.ledger.write(Change((Write(None, replace(base, number=8)),)))


def jumped(here: Installation) -> None:
    """A shard goes where no edge leads."""
    shard = the_shard(here)
    here.ledger.write(Change((Write(shard, replace(shard, state=ShardState.UPLOADED, due_at=1)),)))


def forgotten(here: Installation) -> None:
    """A row is under way and due at no time."""
    shard = replace(the_shard(here), number=9, state=ShardState.RUNNING, due_at=None, revision=0)
    here.ledger.write(Change((Write(None, shard),)))


def endless(here: Installation) -> None:
    """A batch runs for ever."""
    the_batch(here).status = Status.IN_PROGRESS


def rejected_for_nothing(here: Installation) -> None:
    """A good upload is told to be poison."""
    notification = here.notifications.published[0]
    told = {**json.loads(notification.json), "event": "rejected", "reason": {"code": "odd", "message": ""}}
    attributes = {**notification.attributes, "event": "rejected"}
    here.notifications.published.append(replace(notification, json=json.dumps(told), attributes=attributes))


def left_behind(here: Installation) -> None:
    """An input file stays at the provider for ever."""
    file = next(file for file in here.simulator.account.files.by_id.values() if file.purpose == "batch")
    file.expires_at = None


def told(here: Installation) -> None:
    """A record is in the log."""
    here.log.warning("job.rejected", cause=CANARY)


def strayed(here: Installation) -> None:
    """An object lies where none of ours should."""
    here.storage.put("results/elsewhere.json", b"{}")


def dead_letter(here: Installation) -> None:
    """A message that could be dealt with lies in the dead letters."""
    here.completions.dead.append(Message("{}", 0.0))


def call_storm(here: Installation) -> None:
    """Calls without end."""
    here.gate.calls.extend([next(call for call in here.gate.calls if call.name.startswith("http"))] * 5_000)


BROKEN: dict[str, tuple[int, Callable[[Installation], None]]] = {
    broken.__name__: (number, broken)
    for number, broken in (
        (3, second_batch), (4, lost_line), (5, foreign_answer), (6, other_counts),
        (7, rewritten_after_the_summary), (8, without_notification), (9, other_notification), (10, leaked_quota),
        (11, overbooked), (12, jumped), (13, forgotten), (14, endless), (15, rejected_for_nothing), (16, left_behind), (18, told),
        (19, strayed), (21, dead_letter), (22, call_storm), (23, sent_again),
    )
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_world_is_seen_to_be_broken(broken: str) -> None:
    """Whoever breaks one promise is told which."""
    number, spoil = BROKEN[broken]
    here = ended()

    spoil(here)

    assert number in {finding.invariant for finding in judge(here)}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_second_batch_breaks_each_promise_about_money(number: int) -> None:
    """Paid twice, billed twice, two batches of an attempt: each judge sees it by itself."""
    here = ended()

    second_batch(here)

    assert number in {finding.invariant for finding in judge(here)}


def test_a_create_without_an_intent_is_seen_at_the_request() -> None:
    """The wire holds each create against the intents that were written."""
    here = build(Run("small"))
    here.ledger.note_tickets = lambda shard: None  # type: ignore[method-assign]  # noqa: ARG005  # nothing is noted

    here.run()

    assert 17 in {finding.invariant for finding in judge(here)}


def test_an_event_that_comes_again_and_changes_something_is_seen() -> None:
    """The end of each run delivers every event once more and compares the whole world."""
    here = build(Run("small"))
    here.run()
    announce = here.announce

    def announce_after_loss(upload: Upload) -> None:
        here.ledger.rows = {key: row for key, row in here.ledger.rows.items() if upload.job_id not in key[0]}
        announce(upload)

    here.announce = announce_after_loss  # type: ignore[method-assign]  # the claim is lost just before the event comes again
    finish(here)

    assert 20 in {finding.invariant for finding in here.findings}


def refused() -> Installation:
    """A world in which every upload is refused for good, watched for an hour."""
    here = build(Run("everyday", (("http-POST-files:0", Fault.REFUSED),), is_for_good=True))
    watch(here)
    assert not here.findings
    return here


def test_a_job_that_does_not_say_what_it_waits_for_is_seen() -> None:
    """Neither ended nor with a word in its status."""
    here = refused()

    here.storage.told.clear()

    assert "does not say what it waits for" in next(broken(here, "http POST files", 0))


def test_a_job_that_waits_without_a_notification_is_seen() -> None:
    """A status alone tells nobody."""
    here = refused()

    here.notifications.told.clear()

    assert "nobody got a notification" in next(broken(here, "http POST files", 0))


def test_a_call_that_is_repeated_in_a_loop_is_seen() -> None:
    """Ten repeats within a minute are too many, of the refused call and of what is asked in its place."""
    here = refused()
    call = next(call for call in here.gate.calls if call.name == "http POST files")

    here.gate.calls.extend(
        replace(call, name=name) for name in ("http POST files", "http GET files") for _ in range(11)
    )

    assert {text.partition(" was")[0] for text in broken(here, call.name, 0)} == {"http POST files", "http GET files"}


def test_a_refusal_that_never_happens_is_seen() -> None:
    """A story in which the call is not made proves nothing."""
    here = build(Run("small", (("http-POST-cancel:0", Fault.DENIED),), is_for_good=True))

    watch(here)

    assert [finding.invariant for finding in here.findings] == [24]


def test_every_judge_is_tried() -> None:
    """No invariant stands on the list that nobody has seen broken."""
    tried = {number for number, _ in BROKEN.values()} | {1, 2, 3, 17, 20, 24}

    assert {number for number, _ in JUDGES} <= tried
    assert tried == set(range(1, 25))
