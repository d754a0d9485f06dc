"""Work that gets no further is found whatever its due times, and nothing else is taken for it."""

from dataclasses import replace

import pytest
from fakes.shards import changed, new_shard
from fakes.world import World

from batchdrop.core.delivery import job_lifecycle as of_job
from batchdrop.core.delivery.job_lifecycle import advance_job
from batchdrop.core.model.batches import Batch
from batchdrop.core.model.dialects import AZURE, OPENAI, TOGETHER, Dialect
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Group, Job, JobState, JobWait
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.model.reasons import Outage, Reason, WaitingFor
from batchdrop.core.model.shard import Shard, ShardState, ticket_of
from batchdrop.core.operations.metrics import counted
from batchdrop.core.operations.progress import Stalled, stalled
from batchdrop.core.submission import shard_events as on
from batchdrop.core.submission.shard_lifecycle import Now, advance
from batchdrop_cli.doctor.standstill import progress_of, waits_of
from openai_batch_simulator.account.behaviour import CALM

S = ShardState
LIMITS = Limits()
NOW = 10_000_000
LINE = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say %d."}]}\n'
CUT = Group("e", "m", lines=9, cut_lines=9)
JOB = Job(
    id="j", bucket="b", key="inbox/k", version="v", created_at=NOW - 9 * DAY, state=JobState.RUNNING, groups=(CUT,)
)
SHARD = Shard(job="j", number=0, account="a", endpoint="e", model="m", group=0, state=S.RESERVED, end_line=9, tokens=9)


def found(*rows: Job | Shard, dialect: Dialect = OPENAI) -> list[Stalled]:
    """Return what is stalled of a job and *rows*."""
    return stalled([JOB, *rows], NOW, LIMITS, dialect)


@pytest.mark.parametrize("state", [S.RESERVED, S.UPLOADED, S.CREATING, S.FENCING, S.PARKED, S.HARVESTING, S.WAITING])
def test_an_hour_is_long(state: ShardState) -> None:
    """However often it was tried, and whenever it is due again."""
    shard = replace(SHARD, state=state, due_at=NOW + 60, progressed_at=NOW - HOUR)

    assert [one.job for one in found(shard)] == ["j"]
    assert found(replace(shard, progressed_at=NOW - HOUR + 1)) == []


@pytest.mark.parametrize(
    ("dialect", "allowed_seconds"), [(OPENAI, 25 * HOUR), (TOGETHER, 25 * HOUR + 2 * DAY), (AZURE, 3 * DAY)]
)
def test_a_batch_has_its_window(dialect: Dialect, allowed_seconds: int) -> None:
    """And some time for its end to be noticed; one that is not shown has an hour, as everything else."""
    shard = changed(SHARD, state=S.RUNNING, batch="b", progressed_at=NOW - allowed_seconds)
    gone = changed(shard, progressed_at=NOW - 2 * HOUR, gone=Outage(NOW - HOUR, "404"))

    assert [(one.shard, one.state) for one in found(shard, dialect=dialect)] == [(0, "RUNNING")]
    assert found(replace(shard, progressed_at=NOW - allowed_seconds + 1), dialect=dialect) == []
    assert [one.cause for one in found(gone, dialect=dialect)] == ["404"]
    assert found(changed(gone, gone=Outage(NOW - HOUR + 1, "404")), dialect=dialect) == []


WAITING = replace(SHARD, number=1, state=S.WAITING, progressed_at=NOW - 9 * HOUR)


@pytest.mark.parametrize(
    ("other", "is_stalled"),
    [
        (replace(SHARD, state=S.RUNNING, progressed_at=NOW - 9 * HOUR), False),
        (replace(SHARD, state=S.RUNNING, progressed_at=NOW - 9 * HOUR, model="other"), True),
        (replace(SHARD, state=S.RUNNING, progressed_at=NOW - 25 * HOUR), True),
        (replace(SHARD, state=S.RESERVED, progressed_at=NOW - 5), False),
        (replace(SHARD, state=S.RESERVED, progressed_at=NOW - HOUR), True),
    ],
)
def test_quota_comes_when_others_get_further(other: Shard, *, is_stalled: bool) -> None:
    """A job that waits behind a batch of its model is not stuck; behind nothing, or something stuck, it is."""
    uncut = replace(JOB, groups=(replace(CUT, cut_lines=0),), progressed_at=NOW - 9 * HOUR)

    of_shards = {
        one.job for one in stalled([replace(JOB, id="k"), replace(other, job="k"), JOB, WAITING], NOW, LIMITS, OPENAI)
    }
    of_jobs = {one.job for one in stalled([uncut, replace(JOB, id="k"), replace(other, job="k")], NOW, LIMITS, OPENAI)}

    assert ("j" in of_shards, "j" in of_jobs) == (is_stalled, is_stalled)


@pytest.mark.parametrize(
    ("job", "is_stalled"),
    [
        (replace(JOB, state=JobState.HELD), False),
        (replace(JOB, waiting=JobWait(WaitingFor.DAILY_CAP)), False),
        (replace(JOB, waiting=JobWait(WaitingFor.QUOTA)), True),
    ],
)
def test_what_a_person_or_the_next_day_ends_is_not_stuck(job: Job, *, is_stalled: bool) -> None:
    """An approval has its week, the day's money comes at midnight."""
    uncut = replace(job, groups=(replace(CUT, cut_lines=0),), progressed_at=NOW - 9 * HOUR)

    assert bool(stalled([uncut], NOW, LIMITS, OPENAI)) == is_stalled
    assert bool(stalled([replace(job, progressed_at=NOW - 9 * HOUR), WAITING], NOW, LIMITS, OPENAI)) == is_stalled
    assert stalled([replace(uncut, progressed_at=NOW - 26 * HOUR)], NOW, LIMITS, OPENAI) or job.state is JobState.HELD


@pytest.mark.parametrize("state", [JobState.PLANNING, JobState.FINISHING, JobState.NOTIFYING, JobState.RUNNING])
def test_a_job_without_shards_under_way_has_an_hour(state: JobState) -> None:
    """It is planned, merged, told, or nobody knows what it waits for."""
    job = replace(JOB, state=state, progressed_at=NOW - HOUR)

    assert stalled([job], NOW, LIMITS, OPENAI) == [Stalled("j", NOW - HOUR, state.value)]
    assert stalled([replace(job, progressed_at=NOW - HOUR + 1)], NOW, LIMITS, OPENAI) == []


def test_rows_of_an_older_release_are_judged_by_what_they_say() -> None:
    """They have no such time: their other ones count, and without any nothing is said."""
    old = changed(SHARD, state=S.HARVESTING, batch_ended_at=NOW - 2 * HOUR)

    assert found(old)
    assert found(changed(old, batch_ended_at=0)) == []


MAKES_PROGRESS = {
    on.Admitted: False, on.InputUploaded: False, on.InputUnusable: False, on.CreateIntended: False,
    on.CreateTurnedAway: False, on.FenceBegun: False, on.Fenced: False, on.NothingFound: False, on.Unlisted: False,
    on.BatchFound: True, on.BatchTaken: True, on.BatchEnded: True, on.GivenUp: True, on.CancelAsked: False,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "is_progress"), MAKES_PROGRESS.items())
def test_trying_again_is_no_progress(kind: type, *, is_progress: bool) -> None:
    """A batch, its end and answers are; what may be done again and again in vain is not."""
    states = {
        on.Admitted: S.WAITING, on.InputUploaded: S.RESERVED, on.InputUnusable: S.UPLOADED, on.CreateIntended: S.UPLOADED,
        on.Fenced: S.FENCING, on.NothingFound: S.FENCING, on.BatchTaken: S.RUNNING, on.BatchEnded: S.RUNNING,
        on.GivenUp: S.RUNNING, on.CancelAsked: S.RUNNING,
    }  # fmt: skip
    shard = changed(SHARD, state=states.get(kind, S.CREATING), try_number=1, batch="b", progressed_at=5)
    ticket = ticket_of("i", shard)
    shard = changed(shard, ticket=ticket, tickets=(ticket,))
    batch = Batch("b", "in_progress", NOW)
    made: dict[type, on.ShardEvent] = {
        on.Admitted: on.Admitted(), on.InputUploaded: on.InputUploaded(ticket, "f", "u", "p"),
        on.CreateTurnedAway: on.CreateTurnedAway(ticket, 60), on.BatchFound: on.BatchFound(batch, ticket),
        on.BatchEnded: on.BatchEnded(ticket, batch), on.GivenUp: on.GivenUp(ticket, Reason("c", "m")),
    }  # fmt: skip
    event = made.get(kind) or kind(ticket)

    after = advance(shard, event, Now(NOW, "i", LIMITS))

    assert after.progressed_at == (NOW if is_progress else 5)
    assert advance(replace(shard, progressed_at=0), event, Now(NOW, "i", LIMITS)).progressed_at == NOW


def test_a_job_gets_further_by_states_and_counts() -> None:
    """Not by being served again."""
    job, now = replace(JOB, shards=1, progressed_at=5), Now(NOW, "i", LIMITS)

    served = advance_job(job, of_job.ShardServed(0, is_split=False), now)
    counts = advance_job(job, of_job.ShardDone(3, 0, is_last_attempt=False), now)

    assert (served.progressed_at, counts.progressed_at) == (5, NOW)


@pytest.mark.parametrize(
    ("fault", "operation", "value"),
    [("refused", "files.create", 400), ("refused", "files.content", 500), ("refused", "*", 503)],
)
def test_a_job_that_is_tried_for_ever_is_an_alarm(fault: str, operation: str, value: float) -> None:
    """Though each try makes it due anew; the command says which job, and it ends when the job moves again."""
    world = World(behaviour=replace(CALM, run_seconds=MINUTE))
    switch = world.simulator.faults.switch(fault, operation=operation, value=value)
    job = world.drop("inbox/three.jsonl", LINE % 1)
    figures = []
    for _ in range(75):
        world.tick()
        figures.append(metric(world))
    rows = list(world.ledger.active())
    seen = progress_of(rows, world.clock.now(), OPENAI)
    world.simulator.faults.switches.remove(switch)
    world.run(job, seconds=5 * MINUTE)
    world.tick()

    assert (figures[50], figures[-1], metric(world)) == (0, 1, 0)
    assert job in seen.seen
    assert seen.advice


def metric(world: World) -> int:
    """Return what the last tick counted."""
    fields = [fields for _, event, fields in world.log.lines if event == "tick.done"][-1]
    return {metric.name: value for metric, value in counted("tick.done", fields).items()}.get("JobsStalled", 0)


def test_an_operator_is_told_what_all_jobs_wait_for() -> None:
    """Since when, why, how many, and what to do; nothing where nothing waits."""
    world = World()
    world.providers.key = None
    for number in range(3):
        world.drop(f"inbox/{number}.jsonl", LINE % number)
    world.tick()
    waits = waits_of(world.ledger.install(), list(world.ledger.active()))
    no_list = replace(Install(id="i", started_at=1), no_list=Outage(NOW, "status 405: Method Not Allowed"))

    assert "3 jobs wait for the key since" in waits.seen
    assert "batchdrop key set" in waits.advice
    assert "405" in waits_of(no_list, []).seen
    assert waits_of(no_list, []).advice
    assert waits_of(None, []).advice == ""
    assert progress_of([], NOW, OPENAI).advice == ""


def test_doctor_says_what_statuses_say_from_the_first_minute() -> None:
    """What the provider refuses of one job, and calls that are not answered yet."""
    refused = replace(JOB, waiting=JobWait(WaitingFor.REFUSED))
    silent = new_shard(
        job=JOB.id, number=0, account="a", endpoint="e", model="m", group=0, unanswered=Outage(NOW, "500")
    )

    assert "1 job waits because the provider refuses" in waits_of(Install(id="i", started_at=1), [refused]).seen
    assert waits_of(None, [refused]).advice
    assert "calls for 1 job were not answered" in waits_of(None, [JOB, silent]).seen
