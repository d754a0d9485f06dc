"""Two batches for one shard: found in the list, reported once, in the job's summary, and never touched but for a twin."""

import json
from dataclasses import replace

import pytest
from fakes.shards import changed, new_shard
from fakes.tasks import THREE_TIMES_YES
from fakes.world import World

from batchdrop.core.model.batches import Accepted, Batch
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from batchdrop.core.model.shard import ShardState, TryName, read_ticket, ticket_of
from batchdrop.core.submission.batch_signals import is_duplicate, prefer
from openai_batch_simulator.account.behaviour import CALM

S = ShardState
LIMITS = Limits()


@pytest.fixture
def world() -> World:
    """A world whose batches take an hour."""
    return World(behaviour=replace(CALM, run_seconds=HOUR))


def create_beside(world: World, job: str, ticket: str) -> str:
    """Let somebody else create a batch of the shard's input under *ticket*, and return its id."""
    shard = world.shard(job)
    metadata = {"ticket": ticket, "job": job, "shard": "0"}
    answer = world.providers.open().create_batch(file=shard.attempt.file.id, endpoint=shard.endpoint, metadata=metadata)
    assert isinstance(answer, Accepted)
    return answer.batch.id


def reports(world: World) -> list[object]:
    """The batches that were reported, in order."""
    return [fields["batch_id"] for _, event, fields in world.log.lines if event == "batch.duplicate"]


def cancelled(world: World) -> list[str]:
    """The batches that were asked to stop."""
    return [call.split("/")[-2] for call in world.tap.counts if call.endswith("/cancel")]


def test_a_twin_of_the_recorded_batch_is_cancelled_and_reported(world: World) -> None:
    """One call became two on its way: both bear one ticket, and only the one that the ledger records is let run."""
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    recorded = world.shard(job).attempt.batch
    twin = create_beside(world, job, world.shard(job).attempt.ticket)

    ended = world.run(job)

    assert (ended.event, ended.succeeded) == ("completed", 3)
    assert (reports(world), cancelled(world), world.shard(job).batches) == ([twin], [twin], (recorded,))
    assert json.loads(world.result(job, "summary.json"))["duplicate_batches"] == [twin]


def test_a_batch_of_another_try_is_reported_and_left_alone(world: World) -> None:
    """Nobody knows which of the two is the better one: a person decides."""
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    other = create_beside(world, job, world.shard(job).attempt.ticket[:-1] + "9")

    ended = world.run(job)

    assert (ended.event, ended.succeeded) == ("completed", 3)
    assert (reports(world), cancelled(world)) == ([other], [])
    assert json.loads(world.result(job, "summary.json"))["duplicate_batches"] == [other]


def test_what_the_promise_leaves_open_is_reported() -> None:
    """Deletions are not honoured and a create takes effect later than grace and wait: paid twice, and said so."""
    world = World(behaviour=replace(CALM, run_seconds=HOUR))
    world.simulator.faults.switch("deletion_ignored")
    late = LIMITS.grace_seconds + LIMITS.fence_wait_seconds + 20 * MINUTE
    world.simulator.faults.switch("accepted_late", value=late, times=1)

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    world.run(job)

    assert world.charged_twice()
    assert len(reports(world)) == 1
    assert json.loads(world.result(job, "summary.json"))["duplicate_batches"] == reports(world)


def test_a_duplicate_of_a_shard_that_is_done_is_reported_while_it_runs(world: World) -> None:
    """The rest of the job is still under way."""
    world.limits = Limits(shard_requests_max=1, chunk_lines_max=1)
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    other = create_beside(world, job, world.shard(job).attempt.ticket[:-1] + "9")
    for number in (1, 2):
        world.ledger.rows[f"J#{job}", f"S#{number:06d}"] = replace(world.shards(job)[number], due_at=None)
    world.ledger.rows[f"J#{job}", "S#000000"] = replace(world.shard(job), state=S.DONE, due_at=None)
    world.ledger.rows[f"J#{job}", "S#000001"] = replace(world.shards(job)[1], due_at=world.clock.now())

    world.tick()
    world.tick()

    assert reports(world) == [other]
    assert world.shard(job).duplicates == (other,)


@pytest.mark.parametrize(
    "ticket", ["", "no ticket", "{install}.{job}.x.1.1", "other-install.{job}.0.1.9", "{job}.0.1.9"]
)
def test_what_is_not_ours_is_neither_reported_nor_touched(world: World, ticket: str) -> None:
    """Another stack in the project, or anything that a person put into the metadata."""
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    create_beside(world, job, ticket.format(job=job, install=world.shard(job).attempt.ticket.split(".")[0]))

    ended = world.run(job)

    assert ended.event == "completed"
    assert (reports(world), cancelled(world)) == ([], [])


def test_a_usual_job_has_no_duplicates(world: World) -> None:
    """Nor is a row read to find that out."""
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)

    world.run(job)

    assert json.loads(world.result(job, "summary.json"))["duplicate_batches"] == []
    assert reports(world) == []


RUNNING = new_shard(
    job="0" * 20, number=1, account="a", endpoint="e", model="m", group=0, state=S.RUNNING, attempt=2, try_number=1,
    ticket="i.j.1.2.1", tickets=("i.j.1.2.1",), batch="own", batches=("earlier",), duplicates=("reported",),
)  # fmt: skip


@pytest.mark.parametrize("batch", ["own", "earlier", "reported"])
def test_what_the_row_names_is_no_duplicate(batch: str) -> None:
    """This attempt's batch, those of the attempts before, and what was reported."""
    assert not is_duplicate(RUNNING, Batch(batch, "completed", 1), "i.j.1.1.1")


@pytest.mark.parametrize("state", [S.RESERVED, S.UPLOADED, S.CREATING, S.FENCING, S.PARKED])
def test_what_may_be_adopted_is_no_duplicate(state: S) -> None:
    """A batch of this attempt belongs to the shard; one of an earlier attempt does not."""
    shard = changed(RUNNING, state=state, batch="")

    assert not is_duplicate(shard, Batch("b", "in_progress", 1), "i.j.1.2.1")
    assert is_duplicate(shard, Batch("b", "in_progress", 1), "i.j.1.1.1")


def test_a_failed_batch_is_no_duplicate() -> None:
    """It never ran."""
    assert not is_duplicate(RUNNING, Batch("b", "failed", 1), "i.j.1.2.1")


def test_of_two_batches_of_one_ticket_the_one_that_runs_counts() -> None:
    """Whatever the order of the list: a failed one must not hide it, and of two that run it is the older."""
    failed, old, new = Batch("a", "failed", 1), Batch("b", "in_progress", 2), Batch("c", "completed", 3)

    assert prefer(prefer(prefer(None, new), failed), old) is old
    assert prefer(prefer(prefer(None, failed), old), new) is old
    assert prefer(prefer(None, old), failed) is old


def test_a_ticket_says_what_it_was_made_of() -> None:
    """There and back."""
    ticket = ticket_of("1b4e28ba-2fa1", replace(RUNNING, job="0123456789abcdef0123"))

    assert read_ticket(ticket) == TryName("1b4e28ba-2fa1", "0123456789abcdef0123", 1, 2, 1)
    assert [read_ticket(text) for text in ("", "a.b.c.d.e", "a.b.1.2", "a.b.1.2.-1", "a.b.1.2.²")] == [None] * 5
