"""A table restored to any moment: nothing is paid twice, and every job ends."""

import re
from dataclasses import replace

import httpx2
import pytest
from fakes.memory import MemoryLedger
from fakes.world import World

from batchdrop.core.delivery.job_lifecycle import may_be_retried
from batchdrop.core.model.change import Change, Row
from batchdrop.core.model.errors import BrokenState, KeyMissing, OutOfTime
from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import DAY, HOUR, Limits
from batchdrop.core.model.quota import Quota
from batchdrop.core.model.shard import ShardState
from batchdrop.edge.aws.row_format import QuotaKey, RowKey
from batchdrop.flow import submit
from batchdrop.flow.submission import restore
from batchdrop.flow.submission.restore import Recovery
from openai_batch_simulator.account.behaviour import CALM

S = ShardState
LINE = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say %d."}]}\n'
DROP = b"".join(LINE % number for number in range(6))

ONCE = b"""
endpoint: /v1/chat/completions
body: {model: gpt-4.1-mini, messages: [{role: user, content: "{{ text }}"}]}
dedupe: true
"""

type Backup = tuple[dict[RowKey, Row], dict[QuotaKey, Quota]]


def backup(world: World) -> Backup:
    """The table as it is now."""
    return dict(world.ledger.rows), dict(world.ledger.quotas)


def restored(world: World, taken: Backup) -> None:
    """Everything is switched off, wake-up messages are lost, the table is as it was."""
    world.ledger.rows, world.ledger.quotas = dict(taken[0]), dict(taken[1])
    world.wakeups.submits, world.wakeups.completes, world.wakeups.drops = [], [], []
    world.advance(HOUR)


def recover(world: World) -> Recovery:
    """What the operator calls."""
    return restore.recover_all(world.ports(), world.limits)


def hours(world: World, count: int) -> None:
    """Tick for some hours, ten minutes apart."""
    for _ in range(count * 6):
        world.tick(600)


def busy_world() -> World:
    """A world with two shards to a job, the first of which needs a second attempt."""
    world = World(limits=Limits(chunk_lines_max=3, shard_requests_max=3), behaviour=replace(CALM, run_seconds=1_000))
    world.simulator.faults.switch("line_server_error", value=2, times=1)
    world.tick()
    world.advance(DAY)
    return world


def run_with_backup(
    world: World, write: int, key: str = "inbox/six.jsonl", content: bytes = DROP
) -> tuple[str, Backup | None]:
    """Run a job to its end and return it with the table as it was after the *write*-th write, if there were so many."""
    taken: list[Backup] = []
    left = [write]
    apply = world.ledger.write

    def counted(change: Change) -> Change:
        written = apply(change)
        left[0] -= 1
        if left[0] == 0:
            taken.append(backup(world))
        return written

    world.ledger.write = counted  # type: ignore[method-assign]  # the same, counted
    job = world.drop(key, content)
    world.run(job, seconds=300)
    world.ledger.write = apply  # type: ignore[method-assign]  # as it was
    return job, taken[0] if taken else None


def writes_of_a_run() -> int:
    """How many writes the job takes."""
    world = busy_world()
    before = sum(row.revision for row in world.ledger.rows.values())
    world.run(world.drop("inbox/six.jsonl", DROP), seconds=300)
    return sum(row.revision for row in world.ledger.rows.values()) - before


@pytest.mark.parametrize("write", range(1, 61))
def test_a_table_restored_to_any_write_pays_nothing_twice(write: int) -> None:
    """The job ran to its end, then the table is as it was after one of its writes; it ends again, whole or cancelled."""
    world = busy_world()
    job, taken = run_with_backup(world, write)
    if taken is None:
        return
    charges = sum(1 for _ in world.simulator.ledger.charges())

    restored(world, taken)
    recover(world)
    hours(world, 30)

    assert not world.charged_twice()
    assert not list(world.ledger.active())
    assert all(quota.used == 0 for quota in world.ledger.quotas.values())
    assert world.job(job).state is JobState.ENDED
    assert sum(1 for _ in world.simulator.ledger.charges()) == charges


@pytest.mark.parametrize("write", range(1, 13))
def test_a_batch_of_what_is_sent_once_is_known_again(write: int) -> None:
    """The restored row does not say yet what repeats: its batch, of fewer requests than it has lines, is its own all the same."""
    world = World(behaviour=replace(CALM, run_seconds=1_000))
    world.tick()
    world.advance(DAY)
    world.storage.put_task("once", ONCE)
    job, taken = run_with_backup(world, write, "inbox/once/six.csv", b"text\na\na\nb\na\nb\nb\n")
    assert taken is not None
    charges = sum(1 for _ in world.simulator.ledger.charges())

    restored(world, taken)
    has_shard = bool(world.shards(job))
    done = recover(world)
    hours(world, 30)

    assert world.job(job).event == ("completed" if has_shard else "cancelled")
    assert done.stopped == (() if has_shard else (job,))
    assert sum(1 for _ in world.simulator.ledger.charges()) == charges


def test_the_writes_above_are_all_there_are() -> None:
    """The restore is tried at every one of them."""
    assert 20 < writes_of_a_run() <= 60


@pytest.fixture
def world() -> World:
    """An installation that has been there for a day and has had a batch; its batches take an hour."""
    world = World(behaviour=replace(CALM, run_seconds=HOUR))
    world.run(world.drop("inbox/first.jsonl", LINE % 99), seconds=300)
    world.advance(DAY)
    return world


def test_where_nothing_happened_since_nothing_is_changed(world: World) -> None:
    """A job whose batch runs goes on as if nothing had been."""
    job = world.drop("inbox/six.jsonl", DROP)
    restored(world, backup(world))

    done = recover(world)

    assert (done.adopted, done.reset, done.stopped, done.claimed, done.unaccounted) == (0, 0, (), (), ())
    assert world.run(job, seconds=300).event == "completed"
    assert not world.charged_twice()


def test_a_batch_that_the_row_could_have_made_is_its_own(world: World) -> None:
    """The backup shows the shard before its upload; its batch runs by now, and its answers are delivered."""
    world.clock.remaining = 60  # no time for a create
    job = world.drop("inbox/six.jsonl", DROP)
    taken = backup(world)
    assert world.shard(job).state is S.UPLOADED
    world.clock.remaining = 900
    world.tick()
    world.tick()
    batch = world.shard(job).attempt.batch

    restored(world, taken)
    done = recover(world)

    assert (done.adopted, done.stopped, world.shard(job).attempt.batch) == (1, (), batch)
    assert world.run(job, seconds=300).event == "completed"
    assert not world.charged_twice()


def test_a_job_with_batches_that_no_row_can_account_for_is_stopped(world: World) -> None:
    """The backup shows it uncut: nobody knows which lines were sent. It ends as cancelled, and the operator is told."""
    world.providers.key = None
    job = world.drop("inbox/six.jsonl", DROP)
    taken = backup(world)
    world.providers.key = "sk-test"
    while not world.shards(job):
        world.tick()
    world.tick()
    batch = world.shard(job).attempt.batch

    restored(world, taken)
    done = recover(world)
    ended = world.run(job, seconds=300)

    assert (done.stopped, done.unaccounted) == ((job,), (batch,))
    assert (ended.event, world.charged_twice()) == ("cancelled", {})


def test_a_drop_that_the_backup_does_not_know_is_not_started_anew(world: World) -> None:
    """Neither by its event, which comes again, nor by the list of the inbox; a person may retry it."""
    taken = backup(world)
    job = world.drop("inbox/six.jsonl", DROP)
    upload = Upload("inbox", "inbox/six.jsonl", world.job(job).version)
    world.run(job, seconds=300)

    restored(world, taken)
    done = recover(world)
    creates = world.tap.creates
    submit.handle_upload(world.ports(), world.limits, upload)
    hours(world, 30)

    assert done.claimed == (job,)
    assert (world.tap.creates, world.charged_twice()) == (creates, {})
    assert (world.job(job).key, may_be_retried(world.job(job))) == ("inbox/six.jsonl", True)


def test_a_drop_is_not_started_anew_where_times_cannot_be_read(world: World) -> None:
    """Its batch may have run this week: the provider says when in thousandths."""
    taken = backup(world)
    job = world.drop("inbox/six.jsonl", DROP)
    world.run(job, seconds=300)

    def odd_times(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if (request.method, request.url.path) != ("GET", "/v1/batches"):
            return response
        content = re.sub(rb'"created_at": ?(\d+)', rb'"created_at":\g<1>000', response.read())
        return httpx2.Response(200, content=content)

    restored(world, taken)
    world.tap.twists.append(odd_times)

    assert recover(world).claimed == (job,)


def test_a_drop_that_was_never_sent_is_started_after_all(world: World) -> None:
    """The backup does not know it and the provider neither: the list of the inbox finds it."""
    taken = backup(world)
    world.providers.key = None
    job = world.drop("inbox/six.jsonl", DROP)
    world.providers.key = "sk-test"

    restored(world, taken)
    assert recover(world).claimed == ()
    hours(world, 3)

    assert world.job(job).event == "completed"


def test_recovering_twice_is_recovering_once(world: World) -> None:
    """A second call finds nothing to do."""
    taken = backup(world)
    job = world.drop("inbox/six.jsonl", DROP)
    restored(world, taken)
    recover(world)
    rows = dict(world.ledger.rows)

    done = recover(world)

    assert (done.adopted, done.stopped, done.claimed) == (0, (), ())
    assert world.ledger.rows == rows
    assert job in {row.id for row in rows.values() if isinstance(row, type(world.job(job)))}


def test_without_a_full_list_nothing_is_changed(world: World) -> None:
    """There is no time to read it to its end."""
    world.drop("inbox/six.jsonl", DROP)
    restored(world, backup(world))
    rows = dict(world.ledger.rows)
    world.clock.remaining = 10

    with pytest.raises(OutOfTime):
        recover(world)

    assert world.ledger.rows == rows


def test_a_key_of_another_project_recovers_nothing() -> None:
    """It sees none of our batches: its empty list would let everything be sent again."""
    world = World(behaviour=replace(CALM, projects={"sk-test": "p", "sk-other": "q"}))
    world.run(world.drop("inbox/first.jsonl", LINE % 99))
    taken = backup(world)
    world.drop("inbox/six.jsonl", DROP)
    restored(world, taken)
    world.providers.key = "sk-other"

    with pytest.raises(BrokenState, match="another project"):
        recover(world)

    assert world.ledger.rows == taken[0]


def test_a_batch_that_only_the_list_showed_proves_the_project_too() -> None:
    """The create was done and not answered: the batch that was found is kept as the witness, and a foreign key is refused."""
    world = World(behaviour=replace(CALM, projects={"sk-test": "p", "sk-other": "q"}))
    world.simulator.faults.switch("dropped_after", times=1)
    world.run(world.drop("inbox/first.jsonl", LINE % 99))
    restored(world, backup(world))
    world.providers.key = "sk-other"

    with pytest.raises(BrokenState, match="another project"):
        recover(world)


def test_without_a_key_nothing_is_recovered(world: World) -> None:
    """The operator puts it there first."""
    world.providers.key = None

    with pytest.raises(KeyMissing):
        recover(world)


def test_an_empty_table_has_nothing_to_recover(world: World) -> None:
    """It is told from a restored one."""
    world.ledger = MemoryLedger(world.log)

    with pytest.raises(BrokenState, match="empty"):
        recover(world)

    assert world.ledger.rows == {}
