"""The ledger's contract, on the fake and on DynamoDB: what the flows may rely upon."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

import boto3
import pytest
from fakes.memory import FakeClock, MemoryLedger, MemoryLog
from fakes.shards import changed
from fakes.tables import create_table

from batchdrop.core.model.change import Change, DayMove, QuotaWrite, Row, Write
from batchdrop.core.model.errors import BrokenState, Conflict
from batchdrop.core.model.install import Circuit, Install
from batchdrop.core.model.job import Group, Job, JobState, PlanCursor
from batchdrop.core.model.quota import WHOLE_ACCOUNT, Quota, QuotaEstimate, Ratio
from batchdrop.core.model.reasons import Reason
from batchdrop.core.model.row import SCHEMA, Lease
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.edge.aws.dynamodb import DynamoLedger
from batchdrop.edge.aws.row_format import ROW_BYTES_MAX
from batchdrop.flow.ports import Ledger
from batchdrop_cli.local.emulator import Address

ACCOUNT = "https://api.example/v1#1"
MODEL = "gpt-4.1-mini"
JOB = Job(id="0" * 20, bucket="inbox", key="inbox/ä b.csv", version="v1", created_at=1, due_at=10, writer="me")
SHARD = Shard(job=JOB.id, number=1, account=ACCOUNT, endpoint="/v1/responses", model=MODEL, group=0, writer="me")


@dataclass
class Case:
    """A ledger with nothing in it, and what it logged."""

    ledger: Ledger
    log: MemoryLog


def in_memory(_: pytest.FixtureRequest) -> Case:
    """Return the fake."""
    log = MemoryLog()
    return Case(MemoryLedger(log), log)


def in_dynamodb(request: pytest.FixtureRequest, emulator: str = "emulator") -> Case:
    """Return the adapter over a table of its own, as the template makes it."""
    address: Address = request.getfixturevalue(emulator)
    client = boto3.client("dynamodb", **address.client_options())
    table = create_table(client)
    log = MemoryLog()
    return Case(DynamoLedger(client, table, FakeClock(), log), log)


def on_moto(request: pytest.FixtureRequest) -> Case:
    """Return the adapter over the second emulator."""
    return in_dynamodb(request, "second_emulator")


ON_EMULATOR = (pytest.mark.emulator, pytest.mark.xdist_group("emulator"))


@pytest.fixture(
    params=[
        pytest.param(in_memory, id="memory"),
        pytest.param(in_dynamodb, id="dynamodb", marks=ON_EMULATOR),
        pytest.param(on_moto, id="moto", marks=ON_EMULATOR),
    ]
)
def case(request: pytest.FixtureRequest) -> Case:
    """A fresh ledger of each kind."""
    build: Callable[[pytest.FixtureRequest], Case] = request.param
    return build(request)


@pytest.fixture
def ledger(case: Case) -> Ledger:
    """The ledger alone."""
    return case.ledger


def created(ledger: Ledger, *rows: Row) -> tuple[Row, ...]:
    """Write *rows* as new, each in a change of its own, and return them as they were written."""
    return tuple(ledger.write(Change((Write(None, row),))).writes[0].after for row in rows)


def new_shard(ledger: Ledger, shard: Shard = SHARD) -> Shard:
    """Write *shard* and return it as it was written."""
    (written,) = created(ledger, shard)
    assert isinstance(written, Shard)
    return written


def within(ledger: Ledger, limit: int, model: str = MODEL) -> QuotaWrite:
    """The quota as it is now, and how much may be used of it."""
    quota = ledger.quota(ACCOUNT, model)
    return QuotaWrite(quota, quota.quota_estimate, limit)


def new_job(ledger: Ledger, job: Job = JOB) -> Job:
    """Write *job* and return it as it was written."""
    (written,) = created(ledger, job)
    assert isinstance(written, Job)
    return written


QUOTA_ESTIMATE = QuotaEstimate(7, 6, 8, 5, 4, 3, {"": Ratio(1, 2, 3), "sentiment": Ratio(4, 5, 6)})
FULL_JOB = replace(
    JOB,
    plan=PlanCursor(3, 2, 1),
    groups=(Group("/v1/responses", "m", 1, 2, 0), Group("/v1/embeddings", "ü", 3, 4, 4)),
    reason=Reason("code", 'a sentence \U0001f600 "quoted"\nwith a line\'s end'),
    lease=Lease("me", 5),
    expires_at=99,
)
FULL_INSTALL = Install(
    id=str(uuid.UUID(int=7)),
    started_at=3,
    admission=Lease("me", 4),
    circuits={"print@https://api": Circuit(9, Reason("401", "no"))},
    proofs={"print@https://api": "batch_1"},
    writer="me",
)


def test_rows_are_read_as_they_were_written(ledger: Ledger) -> None:
    """Every field survives, and the first revision is 1."""
    shard = changed(SHARD, tickets=("a", "b"), reason=Reason("x", ""), lease=Lease("o", 2), state=ShardState.FENCING)

    created(ledger, FULL_JOB, shard, FULL_INSTALL)

    assert ledger.job(JOB.id) == replace(FULL_JOB, revision=1)
    assert ledger.shard(JOB.id, 1) == replace(shard, revision=1)
    assert ledger.install() == replace(FULL_INSTALL, revision=1)


def test_what_is_not_there_is_none(ledger: Ledger) -> None:
    """An empty table answers, and its quotas are empty."""
    assert (ledger.job("f" * 20), ledger.shard("f" * 20, 0), ledger.install()) == (None, None, None)
    assert list(ledger.shards("f" * 20)) == []
    assert list(ledger.active()) == []
    assert ledger.quota(ACCOUNT, MODEL) == Quota(ACCOUNT, MODEL)


def test_a_row_is_created_once(ledger: Ledger) -> None:
    """The second of two creators loses, and the first one's row stands."""
    new_job(ledger)

    with pytest.raises(Conflict):
        new_job(ledger, replace(JOB, writer="another"))

    job = ledger.job(JOB.id)
    assert job is not None
    assert job.writer == "me"


def test_a_revision_is_used_once(ledger: Ledger) -> None:
    """Of two writers that read the same row one wins; the other's write changes nothing."""
    read = new_job(ledger)
    ledger.write(Change((Write(read, replace(read, items=1, writer="first")),)))

    with pytest.raises(Conflict):
        ledger.write(Change((Write(read, replace(read, items=2, writer="second")),)))

    job = ledger.job(JOB.id)
    assert job is not None
    assert (job.items, job.revision, job.writer) == (1, 2, "first")


def test_a_change_may_rest_on_a_row_that_it_does_not_write(ledger: Ledger) -> None:
    """Where that row is not as it was read nothing is written; where it is, it stays as it is."""
    job, shard = new_job(ledger), new_shard(ledger)
    ledger.write(Change((Write(shard, changed(shard, attempt=2)),), unchanged=(job,)))
    read = ledger.shard(JOB.id, 1)
    ledger.write(Change((Write(job, replace(job, cancelled_at=5)),)))

    with pytest.raises(Conflict):
        ledger.write(Change((Write(read, changed(shard, attempt=3)),), unchanged=(job,)))

    assert (ledger.shard(JOB.id, 1), ledger.job(JOB.id)) == (read, replace(job, cancelled_at=5, revision=2))


@pytest.mark.parametrize("claimed", [{"state": ShardState.RUNNING}, {"ticket": "another"}])
def test_a_write_names_the_state_and_the_ticket_that_it_leaves(ledger: Ledger, claimed: dict[str, str]) -> None:
    """The right revision is not enough."""
    read = new_shard(ledger)

    with pytest.raises(Conflict):
        ledger.write(Change((Write(changed(read, **claimed), replace(read, writer="late")),)))

    assert ledger.shard(JOB.id, 1) == read


def test_a_write_says_itself_done_when_it_comes_again(ledger: Ledger) -> None:
    """A worker whose reply was lost writes the same again, and learns that it was done; quota moves once."""
    read = new_shard(ledger)
    change = Change(
        (Write(read, replace(read, state=ShardState.RESERVED, quota_tokens=70, writer="w")),), (within(ledger, 100),)
    )

    first = ledger.write(change)
    again = ledger.write(change)

    assert first == again
    assert first.writes[0].after.revision == 2
    assert ledger.quota(ACCOUNT, MODEL).used == 70


def test_rows_change_together_or_not_at_all(ledger: Ledger) -> None:
    """A conflict in one row keeps the others and the quota as they were."""
    job, shard = new_job(ledger), replace(SHARD, number=2, quota_tokens=5)
    ledger.write(Change((Write(job, replace(job, items=1)),)))

    with pytest.raises(Conflict):
        ledger.write(Change((Write(job, replace(job, shards=1)), Write(None, shard)), (within(ledger, 100),)))

    assert ledger.shard(JOB.id, 2) is None
    assert ledger.quota(ACCOUNT, MODEL).used == 0


def test_quota_is_given_up_to_the_limit(ledger: Ledger) -> None:
    """What fits exactly is given, one token more is not, and what was refused holds nothing."""
    new_shard(ledger, replace(SHARD, number=1, quota_tokens=60))

    ledger.write(Change((Write(None, replace(SHARD, number=2, quota_tokens=40)),), (within(ledger, 100),)))
    with pytest.raises(Conflict):
        ledger.write(Change((Write(None, replace(SHARD, number=3, quota_tokens=1)),), (within(ledger, 100),)))

    assert ledger.quota(ACCOUNT, MODEL).used == 100
    assert ledger.shard(JOB.id, 3) is None


def test_an_idle_model_takes_one_shard_however_large(ledger: Ledger) -> None:
    """Also a model that was used before and is idle again."""
    held = new_shard(ledger, replace(SHARD, quota_tokens=500))
    ledger.write(Change((Write(held, replace(held, quota_tokens=0, writer="w")),)))

    ledger.write(Change((Write(None, replace(SHARD, number=2, quota_tokens=900)),), (within(ledger, 100),)))

    assert ledger.quota(ACCOUNT, MODEL).used == 900


def test_quota_moves_by_the_difference_over_all_rows(ledger: Ledger) -> None:
    """A shard that is split in two moves its quota without asking for more."""
    held = new_shard(ledger, replace(SHARD, quota_tokens=100))

    ledger.write(
        Change(
            (
                Write(held, replace(held, quota_tokens=60, writer="w")),
                Write(None, replace(SHARD, number=2, quota_tokens=40)),
                Write(None, replace(SHARD, number=3, model="other", quota_tokens=7)),
            ),
            (within(ledger, 10), within(ledger, 10, "other")),
        )
    )

    assert ledger.quota(ACCOUNT, MODEL).used == 100
    assert ledger.quota(ACCOUNT, "other").used == 7


def test_quota_is_never_released_twice(ledger: Ledger) -> None:
    """A release of more than is held is a broken ledger, not a conflict to try again."""
    held = new_shard(ledger, replace(SHARD, quota_tokens=10))
    claims = replace(held, quota_tokens=50)

    with pytest.raises(BrokenState):
        ledger.write(Change((Write(claims, replace(claims, quota_tokens=0, writer="w")),)))

    assert ledger.quota(ACCOUNT, MODEL).used == 10


def test_a_quota_estimate_is_written_together_with_the_release(ledger: Ledger) -> None:
    """The quota row of one model takes both in one change; a quota estimate alone works as well."""
    held = new_shard(ledger, replace(SHARD, quota_tokens=10))
    released = Write(held, replace(held, quota_tokens=4, writer="w"))

    ledger.write(Change((released,), (QuotaWrite(ledger.quota(ACCOUNT, MODEL), QUOTA_ESTIMATE),)))
    ledger.write(Change((), (QuotaWrite(Quota(ACCOUNT, "other"), QuotaEstimate(cool_down_until=88)),)))

    assert ledger.quota(ACCOUNT, MODEL) == Quota(ACCOUNT, MODEL, used=4, quota_estimate=QUOTA_ESTIMATE, revision=1)
    assert ledger.quota(ACCOUNT, "other") == Quota(
        ACCOUNT, "other", quota_estimate=QuotaEstimate(cool_down_until=88), revision=1
    )


def test_a_quota_estimate_that_others_have_added_to_is_not_overwritten(ledger: Ledger) -> None:
    """Who read it before reads it again; what rests on it without adding to it conflicts as well, and changes nothing."""
    read = ledger.quota(ACCOUNT, MODEL)
    ledger.write(Change((), (QuotaWrite(read, QUOTA_ESTIMATE),)))
    shard = replace(SHARD, quota_tokens=5)

    for late in (QuotaWrite(read, QuotaEstimate(limit=1)), QuotaWrite(read, read.quota_estimate, 100)):
        with pytest.raises(Conflict):
            ledger.write(Change((Write(None, shard),), (late,)))

    assert ledger.quota(ACCOUNT, MODEL) == Quota(ACCOUNT, MODEL, quota_estimate=QUOTA_ESTIMATE, revision=1)
    assert ledger.shard(JOB.id, 1) is None


def test_a_quota_estimate_that_is_not_new_keeps_nobody_away(ledger: Ledger) -> None:
    """Two that rest on the same quota estimate both go through; only its limit stands between them."""
    read = ledger.quota(ACCOUNT, MODEL)

    for number in (1, 2):
        ledger.write(
            Change(
                (Write(None, replace(SHARD, number=number, quota_tokens=5)),),
                (QuotaWrite(read, read.quota_estimate, 10),),
            )
        )

    assert ledger.quota(ACCOUNT, MODEL) == Quota(ACCOUNT, MODEL, used=10)


def test_what_the_provider_took_is_counted_beside_what_is_used(ledger: Ledger) -> None:
    """From when it was seen until the quota is given back; embedding inputs in the quota of the whole account."""
    held = new_shard(ledger, replace(SHARD, quota_tokens=10, quota_inputs=3))
    taken = ledger.write(Change((Write(held, replace(held, taken_at=9, writer="w")),))).writes[0].after
    seen = [ledger.quota(ACCOUNT, model) for model in (MODEL, WHOLE_ACCOUNT)]
    assert isinstance(taken, Shard)

    ledger.write(Change((Write(taken, replace(taken, quota_tokens=0, quota_inputs=0, taken_at=0)),)))

    assert [(quota.used, quota.taken) for quota in seen] == [(10, 10), (3, 3)]
    assert [ledger.quota(ACCOUNT, model) for model in (MODEL, WHOLE_ACCOUNT)] == [
        Quota(ACCOUNT, MODEL), Quota(ACCOUNT, WHOLE_ACCOUNT),
    ]  # fmt: skip


def test_each_quota_has_a_limit_of_its_own(ledger: Ledger) -> None:
    """Tokens that fit do not help where embedding inputs do not, and nothing is written then."""
    new_shard(ledger, replace(SHARD, quota_tokens=10, quota_inputs=90))
    limits = (within(ledger, 1_000), within(ledger, 100, WHOLE_ACCOUNT))

    with pytest.raises(Conflict):
        ledger.write(Change((Write(None, replace(SHARD, number=2, quota_tokens=10, quota_inputs=11)),), limits))
    ledger.write(Change((Write(None, replace(SHARD, number=3, quota_tokens=10, quota_inputs=10)),), limits))

    assert (ledger.quota(ACCOUNT, MODEL).used, ledger.quota(ACCOUNT, WHOLE_ACCOUNT).used) == (20, 100)


def test_quotas_of_two_accounts_never_meet(ledger: Ledger) -> None:
    """Not even where one name's end looks like the other's beginning."""
    new_shard(ledger, replace(SHARD, account="a#b", model="c", quota_tokens=1))
    new_shard(ledger, replace(SHARD, number=2, account="a", model="b#c", quota_tokens=2))

    assert (ledger.quota("a#b", "c").used, ledger.quota("a", "b#c").used) == (1, 2)


def test_shards_come_in_the_order_of_their_numbers(ledger: Ledger) -> None:
    """And without the job's own row or another job's shards."""
    new_job(ledger)
    for number in (100_000, 2, 10):
        new_shard(ledger, replace(SHARD, number=number))
    new_shard(ledger, replace(SHARD, job="1" * 20))

    assert [shard.number for shard in ledger.shards(JOB.id)] == [2, 10, 100_000]


def test_what_is_due_comes_by_its_time_and_leaves_when_it_ends(ledger: Ledger) -> None:
    """Jobs and shards share one index; a row without a due time is not in it."""
    job = new_job(ledger, replace(JOB, due_at=30))
    new_shard(ledger, replace(SHARD, due_at=20))
    new_shard(ledger, replace(SHARD, number=2, due_at=10))
    before = [row.due_at for row in ledger.active()]

    ledger.write(Change((Write(job, replace(job, state=JobState.ENDED, due_at=None, expires_at=99)),)))

    assert before == [10, 20, 30]
    assert [row.due_at for row in ledger.active()] == [10, 20]


def test_the_installation_s_row_comes_with_what_is_due(ledger: Ledger) -> None:
    """One look at the index shows both; to those who ask what is due it is no work."""
    created(ledger, FULL_INSTALL)
    job = new_job(ledger, replace(JOB, due_at=30))

    assert ledger.install_and_active() == (ledger.install(), [job])
    assert list(ledger.active()) == [job]


def test_rows_of_a_newer_release_are_not_guessed_at(case: Case) -> None:
    """Reading one stops; the list of what is due goes on without it and says so."""
    created(case.ledger, replace(JOB, schema=SCHEMA + 1), replace(SHARD, job="1" * 20, due_at=11))

    with pytest.raises(BrokenState):
        case.ledger.job(JOB.id)
    due = list(case.ledger.active())

    assert [row.due_at for row in due] == [11]
    assert case.log.events == ["ledger.row_skipped"]


def test_a_row_that_outgrew_its_limit_is_a_bug_of_ours(ledger: Ledger) -> None:
    """It is refused before anything is written."""
    with pytest.raises(ValueError, match="limit"):
        new_job(ledger, replace(JOB, snapshot="x" * ROW_BYTES_MAX))

    assert ledger.job(JOB.id) is None


def test_a_change_names_each_row_once(ledger: Ledger) -> None:
    """Two writes of one row in one change, or a row exchanged for another, are bugs of ours."""
    with pytest.raises(ValueError, match="twice"):
        ledger.write(Change((Write(None, JOB), Write(None, replace(JOB, items=1)))))
    with pytest.raises(ValueError, match="quota twice"):
        ledger.write(
            Change((), (QuotaWrite(Quota("a", "m"), QUOTA_ESTIMATE), QuotaWrite(Quota("a", "m"), QUOTA_ESTIMATE)))
        )
    with pytest.raises(ValueError, match="exchanges"):
        ledger.write(Change((Write(JOB, replace(JOB, id="2" * 20)),)))

    assert ledger.job(JOB.id) is None


DAY = "2026-11-22"


def test_a_day_has_nothing_counted_at_first(ledger: Ledger) -> None:
    """A day without a row is an empty one."""
    assert ledger.day_microdollars(DAY) == 0


def test_a_day_is_counted_with_the_rows_of_the_change(ledger: Ledger) -> None:
    """What is added is added to what others added; less may be counted later."""
    job = new_job(ledger)

    ledger.write(Change((Write(job, replace(job, items=1)),), day=DayMove(DAY, 70, 99, 100)))
    ledger.write(Change((Write(None, SHARD),), day=DayMove(DAY, 30, 99, 100)))
    ledger.write(Change((Write(None, replace(SHARD, number=2)),), day=DayMove(DAY, -45, 99)))

    assert (ledger.day_microdollars(DAY), ledger.day_microdollars("2026-11-23")) == (55, 0)


@pytest.mark.parametrize("counted", [0, 60])
def test_a_day_that_is_full_refuses_the_whole_change(ledger: Ledger, counted: int) -> None:
    """The rows are as they were, whether the day has a row or not."""
    if counted:
        ledger.write(Change((Write(None, JOB),), day=DayMove(DAY, counted, 99, 100)))

    with pytest.raises(Conflict):
        ledger.write(Change((Write(None, SHARD),), day=DayMove(DAY, 101 - counted, 99, 100)))

    assert ledger.shard(SHARD.job, SHARD.number) is None
    assert ledger.day_microdollars(DAY) == counted


def test_a_day_may_be_full_to_the_last(ledger: Ledger) -> None:
    """The limit itself is allowed."""
    ledger.write(Change((Write(None, JOB),), day=DayMove(DAY, 60, 99, 100)))

    ledger.write(Change((Write(None, SHARD),), day=DayMove(DAY, 40, 99, 100)))

    assert ledger.day_microdollars(DAY) == 100


def test_what_was_paid_beyond_the_limit_is_counted(ledger: Ledger) -> None:
    """What answers cost more than was expected is no admission: it is not refused."""
    ledger.write(Change((Write(None, JOB),), day=DayMove(DAY, 100, 99, 100)))

    ledger.write(Change((Write(None, SHARD),), day=DayMove(DAY, 5, 99)))

    assert ledger.day_microdollars(DAY) == 105
