"""Quota that nobody told us about, from drop to results: production flows, the real adapter, the simulator on the wire."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.shards import changed
from fakes.tasks import RATE
from fakes.words import WordCounting, reviews
from fakes.world import BASE_URL, World

from batchdrop.core.admission.quota import account_of
from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.job import Group, Job, JobState, JobWait
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from batchdrop.core.model.quota import WHOLE_ACCOUNT, Quota
from batchdrop.core.model.reasons import Reason, Refusal, Scope, WaitingFor
from batchdrop.core.model.row import Lease
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.shard_events import NoQuota
from batchdrop.flow.admission.admit import admit, held_up
from batchdrop.flow.submission.refused import back_off
from batchdrop.flow.unit_of_work import Work, begin
from openai_batch_simulator.account.behaviour import CALM

MODEL = "gpt-4.1-mini"
SENTENCE = "The parcel came two days late, but the shop wrote to me before I asked, and that I liked."
SLOW = replace(CALM, validate_seconds=5, run_seconds=20 * MINUTE)


def world_of(queue_tokens: int | None, limits: Limits | None = None) -> World:
    """A world whose provider takes so many tokens at a time and is slow."""
    behaviour = replace(SLOW, enqueued_tokens_default=queue_tokens)
    world = World(behaviour=behaviour, limits=limits or Limits(first_shard_tokens=500))
    world.storage.put_task("sentiment", RATE)
    return world


def rows(count: int, name: str = "r") -> bytes:
    """A CSV of *count* reviews."""
    return b"review_id,review\r\n" + b"".join(f'{name}{n},"{name} {n} {SENTENCE}"\r\n'.encode() for n in range(count))


def quota_of(world: World, model: str = MODEL) -> Quota:
    """The quota of a model."""
    return world.ledger.quota(account_of(BASE_URL), model)


def status_of(world: World, job: str) -> dict[str, object]:
    """What a person sees."""
    status: dict[str, object] = json.loads(world.result(job, "status.json"))
    return status


def test_the_limit_is_learned_and_kept() -> None:
    """The next job begins with it and is hardly refused anything; nothing is held at the end.

    This provider's queue counts bytes, its usage three fifths of them: what is learned is in the latter.
    """
    world = world_of(4_000)
    world.run(world.drop("inbox/sentiment/first.csv", rows(300, "a")), ticks_max=1_000)
    learned, creates, refusals = quota_of(world), world.tap.creates, len(refused(world))

    world.run(world.drop("inbox/sentiment/second.csv", rows(100, "b")), ticks_max=1_000)

    assert 0.55 * 4_000 <= learned.quota_estimate.limit <= 4_300
    assert learned.used == learned.taken == quota_of(world).used == 0
    assert 0 < refusals <= 10 < creates
    assert len(refused(world)) - refusals <= 1
    assert not world.charged_twice()


def refused(world: World) -> list[dict[str, object]]:
    """The shards that the provider had no quota for."""
    return [fields for _, event, fields in world.log.lines if event == "shard.moved" and fields["cause"] == "NoQuota"]


def test_a_pinned_limit_is_used_at_once_and_never_exceeded() -> None:
    """There is nothing to find out, and less is used only where that was refused."""
    world = world_of(None, Limits(enqueued_tokens_per_model=2_000))
    job = world.drop("inbox/sentiment/reviews.csv", rows(200))
    used = []

    while world.job(job).event == "":
        used.append(quota_of(world).used)
        world.tick()

    assert 1_700 <= max(used) <= 2_000


def test_what_a_job_waits_for_is_seen() -> None:
    """Since when, of which model, and in the summary how long it was."""
    world = world_of(None, Limits(enqueued_tokens_per_model=2_000))
    job = world.drop("inbox/sentiment/reviews.csv", rows(100))
    world.tick()

    waiting = status_of(world, job)["waiting"]
    world.run(job)
    summary = json.loads(world.result(job, "summary.json"))

    assert waiting == {"for": "room", "since": "2027-01-15T08:00:00Z", "models": [MODEL]}
    assert summary["waited_for_room_seconds"] >= 20 * MINUTE
    assert status_of(world, job)["waiting"] is None


def test_who_was_served_is_seen_to_wait_for_the_rest() -> None:
    """With every tick, not with every other: so that a new drop does not pass by meanwhile, either."""
    world = world_of(None, Limits(enqueued_tokens_per_model=2_000, first_shard_tokens=500))
    job = world.drop("inbox/sentiment/reviews.csv", rows(120))
    seen = []

    for _ in range(80):
        world.tick()
        row, waiting = world.job(job), status_of(world, job)["waiting"]
        seen.append(row.is_cut or (row.waiting.cause == "room" and waiting is not None))

    assert all(seen)
    assert world.job(job).is_cut


def test_a_refused_shard_is_seen_to_wait_as_well() -> None:
    """Although nothing is left to be cut from its job."""
    world = world_of(None)
    world.simulator.faults.switch("queue_full", times=1)
    job = world.drop("inbox/sentiment/reviews.csv", rows(1))

    world.tick()
    waiting = status_of(world, job)["waiting"]
    ended = world.run(job)

    assert isinstance(waiting, dict)
    assert (waiting["for"], waiting["models"]) == ("room", [MODEL])
    assert (ended.event, ended.waited_seconds > 0) == ("completed", True)


def test_a_shard_that_waits_is_let_in_in_parts() -> None:
    """The limit fell while it waited: what fits goes, the rest follows, and every item is answered once."""
    world = world_of(2_000, Limits(first_shard_tokens=5_000))
    job = world.drop("inbox/sentiment/reviews.csv", rows(100))

    world.run(job, ticks_max=1_000)

    shards = world.shards(job)
    outcomes = [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]
    assert len(shards) > 1
    assert [outcome["row"] for outcome in outcomes] == list(range(1, 101))
    assert {outcome["attempts"] for outcome in outcomes} == {1}
    assert not world.charged_twice()


def test_a_new_drop_does_not_pass_by_those_who_wait() -> None:
    """Although there would be quota for it: the next tick lets in who comes first."""
    world = world_of(None, Limits(enqueued_tokens_per_model=2_000, first_shard_tokens=500))
    first = world.drop("inbox/sentiment/first.csv", rows(100, "a"))
    world.advance(20 * MINUTE + 10)

    late = world.drop("inbox/sentiment/late.csv", rows(5, "b"))
    before = [shard.state for shard in world.shards(late)]
    world.tick()

    assert before == []
    assert {shard.state for shard in world.shards(late)} == {ShardState.RUNNING}
    assert len(world.shards(first)) > 1


def test_who_may_not_be_served_holds_up_nobody() -> None:
    """A held job's shard waits for a person, a refused one for the provider: neither keeps a new drop from the quota."""
    job = Job(id="1" * 20, bucket="b", key="inbox/a.csv", version="v", created_at=1, state=JobState.RUNNING)
    waiting = Shard(job=job.id, number=0, account="a", endpoint="/v1/responses", model=MODEL, group=0, end_line=1)
    refused = changed(waiting, model="refused", refusal=Refusal(Reason("c", "m"), 1, 1, Scope.SHARD))
    uncut = replace(
        job,
        id="2" * 20,
        groups=(Group("/v1/responses", "uncut", lines=2, cut_lines=1),),
        waiting=JobWait(WaitingFor.QUOTA),
    )

    assert held_up([job, waiting, refused], "another") == {MODEL}
    assert held_up([replace(job, state=JobState.HELD), waiting], "another") == frozenset()
    assert held_up([waiting, replace(job, state=JobState.HELD)], "another") == frozenset()
    assert held_up([job, replace(waiting, state=ShardState.RUNNING)], "another") == frozenset()
    assert held_up([job, waiting], job.id) == frozenset()
    assert held_up([uncut], "another") == {"uncut"}
    assert held_up([replace(uncut, state=JobState.HELD)], "another") == held_up([uncut], uncut.id) == frozenset()


def test_a_held_job_lets_a_new_drop_pass() -> None:
    """Its shard waits for its next attempt, which somebody has to approve of first."""
    world = world_of(None, Limits(enqueued_tokens_per_model=2_000, first_shard_tokens=500))
    held = world.drop("inbox/sentiment/held.csv", rows(1, "a"))
    shard, job = world.shard(held), world.job(held)
    quota = quota_of(world)
    waits = changed(
        shard,
        state=ShardState.WAITING,
        quota_tokens=0,
        batch="",
        due_at=world.clock.time + HOUR,
        taken_at=0,
        writer="t",
    )
    change = Change((Write(shard, waits), Write(job, replace(job, state=JobState.HELD, writer="t"))))
    world.ledger.write(change)

    late = world.drop("inbox/sentiment/late.csv", rows(1, "b"))

    assert quota.used > 0
    assert world.shard(late).state is ShardState.RUNNING


@pytest.mark.parametrize("is_taken", [False, True])
def test_what_is_refused_counts_once(is_taken: bool) -> None:  # noqa: FBT001  a column of the table
    """A batch that was seen past validation is among what was taken; refused after all, it is not added a second time."""
    world = world_of(None)
    world.run(world.drop("inbox/sentiment/first.csv", rows(1, "a")))
    job = world.drop("inbox/sentiment/reviews.csv", rows(5))
    if is_taken:
        world.tick()
    shard, quota = world.shard(job), quota_of(world)
    work = begin(world.ports(), world.limits)

    back_off(work, shard, NoQuota(shard.attempt.ticket, is_idle=True))

    assert (bool(shard.taken_at), quota.taken) == (is_taken, shard.quota_tokens if is_taken else 0)
    assert quota_of(world).quota_estimate.refused == shard.quota_tokens > 0
    assert (quota_of(world).used, quota_of(world).taken) == (0, 0)


def test_an_admitter_that_is_slow_leaves_its_successor_s_lease_alone() -> None:
    """It lasts a minute; whoever took it then keeps it, and a third admitter stays away."""
    world = world_of(None)
    world.providers.key = None
    job = world.drop("inbox/sentiment/reviews.csv", rows(1))
    world.providers.key = "sk-test"
    slow, quick, third = (begin(world.ports(), world.limits) for _ in range(3))
    world.ledger.quota = sleeping(world, quick)  # type: ignore[method-assign,assignment]  # names differ

    admit(slow, [slow.open(world.job(job))], [], 10)
    lease = begin(world.ports(), world.limits).install.admission

    assert lease == Lease(quick.ports.writer, world.clock.time + MINUTE)
    refused = admit(third, [third.open(world.job(job))], [], 10)

    assert (refused.shards, refused.is_asked) == ([], False)
    assert begin(world.ports(), world.limits).install.admission == lease


def sleeping(world: World, successor: Work) -> Callable[[str, str], Quota]:
    """Return the ledger's `room`, during whose first call a minute passes and *successor* takes the lease."""
    read, left = world.ledger.quota, [True]

    def quota(account: str, model: str) -> Quota:
        if left:
            left.clear()
            world.advance(MINUTE)
            install = world.ledger.install()
            assert install is not None
            leased = replace(
                install, admission=Lease(successor.ports.writer, world.clock.time + MINUTE), writer="quick"
            )
            world.ledger.write(Change((Write(install, leased),)))
        return read(account, model)

    return quota


def test_embedding_inputs_are_kept_for_the_whole_account() -> None:
    """Two models share them; a job waits for them as for tokens."""
    world = world_of(None, Limits(quota_embedding_inputs=50))
    lines = [
        {"custom_id": f"{n}", "method": "POST", "url": "/v1/embeddings", "body": {"model": f"model-{n % 2}", "input": ["x"] * 10}}
        for n in range(12)
    ]  # fmt: skip
    job, used = world.drop("inbox/embeddings.jsonl", "\n".join(map(json.dumps, lines)).encode()), []

    while world.job(job).event == "":
        used.append(quota_of(world, WHOLE_ACCOUNT).used)
        world.tick()

    # An idle account admits one shard; beside it no more than fits.
    assert max(used) <= 60
    assert quota_of(world, WHOLE_ACCOUNT).used == 0


def test_a_refusal_for_inputs_lowers_the_quota_for_inputs() -> None:
    """And leaves that for tokens as it is."""
    world = World(behaviour=replace(SLOW, enqueued_embedding_inputs=25), limits=Limits(quota_embedding_inputs=100))
    lines = [
        {"custom_id": f"{n}", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": ["x"] * 10}}
        for n in range(8)
    ]  # fmt: skip

    job = world.drop("inbox/embeddings.jsonl", "\n".join(map(json.dumps, lines)).encode())
    ended = world.run(job, ticks_max=2_000)

    assert (ended.event, ended.succeeded) == ("completed", 8)
    assert quota_of(world, WHOLE_ACCOUNT).quota_estimate.limit <= 30
    assert quota_of(world, "m").quota_estimate.refused == 0


def test_no_more_creates_an_hour_than_are_allowed() -> None:
    """However many drops there are; they wait, and all are done."""
    world = World(limits=Limits(creates_per_hour_max=8))
    jobs = [world.drop(f"inbox/{n}.jsonl", _body(n)) for n in range(12)]
    creates = []

    for _ in range(120):
        world.tick()
        creates.append(world.tap.creates)

    assert max(after - before for before, after in zip([0] * 60 + creates, creates, strict=False)) <= 8
    assert all(world.job(job).event == "completed" for job in jobs)


def _body(number: int) -> bytes:
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": f"{number}"}]}).encode()


def test_after_ten_batches_the_estimate_is_within_a_twentieth() -> None:
    """Of what a provider counts who counts words; the summary says by how much it was wrong."""
    world = World()
    world.simulator.account.lifecycle.responder = WordCounting()
    world.storage.put_task("sentiment", RATE)
    errors = []

    for number in range(11):
        texts = "".join(f'{row},"{text}"\r\n' for row, text in enumerate(reviews(40, seed=number)))
        job = world.drop(f"inbox/sentiment/{number}.csv", f"review_id,review\r\n{texts}".encode())
        world.run(job)
        errors.append(json.loads(world.result(job, "summary.json"))["estimate"]["error_percent"])

    assert abs(errors[0]) > 5
    assert abs(errors[-1]) <= 5


@pytest.mark.parametrize("hours", [23, 25])
def test_a_lone_item_is_refused_for_a_day_before_it_fails(hours: int) -> None:
    """Somebody else fills the queue: it is asked for some thirty times, not in a storm."""
    world = world_of(10_000)
    world.simulator.faults.switch("foreign_tokens", value=10_000)
    job = world.drop("inbox/sentiment/reviews.csv", rows(1))

    for _ in range(hours * HOUR // (5 * MINUTE)):
        world.tick(5 * MINUTE)

    assert (world.job(job).event == "completed_with_failures") == (hours > 24)
    assert world.tap.creates <= 40


def test_the_status_is_where_its_key_says() -> None:
    """The file that these tests read is the one that a person opens."""
    world = world_of(None)
    job = world.drop("inbox/sentiment/reviews.csv", rows(1))

    assert Path(Keys(job, world.job(job).key).status).name == "status.json"


def test_two_fresh_drops_that_meet_are_let_in_within_the_limit() -> None:
    """Neither takes a lease. Whoever writes second finds that the quota is not as it was read, and waits for what is left."""
    world = world_of(None, Limits(enqueued_tokens_per_model=600))
    read, others = world.ledger.quota, [True]
    used: list[int] = []

    def quota(account: str, model: str) -> Quota:
        found = read(account, model)
        is_planned = any(isinstance(row, Job) and row.state is JobState.RUNNING for row in world.ledger.rows.values())
        if model and is_planned and others:
            others.clear()
            world.drop("inbox/sentiment/second.csv", rows(8, "b"))
            used.append(quota_of(world).used)
        return found

    world.ledger.quota = quota  # type: ignore[method-assign]
    first = world.drop("inbox/sentiment/first.csv", rows(8, "a"))

    assert 300 < used[0] == quota_of(world).used <= 600
    assert world.shards(first) == []
    assert world.job(first).waiting.cause == WaitingFor.QUOTA
    assert world.run(first).succeeded == 8
    assert not world.charged_twice()
