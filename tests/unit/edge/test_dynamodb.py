"""The ledger's adapter where AWS is not at its best: replies that are lost, and moments that pass."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from fakes.memory import FakeClock, MemoryLog

from batchdrop.core.model.change import Change, QuotaWrite, Write
from batchdrop.core.model.errors import BrokenState, Conflict
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.quota import Quota, QuotaEstimate
from batchdrop.core.model.reasons import Outage
from batchdrop.core.model.shard import Attempt, InputFile, Shard, ShardState
from batchdrop.edge.aws.dynamodb import WRITE_TRIES_MAX, DynamoLedger, _attributes
from batchdrop.edge.aws.row_format import decode_row, encode_row, quota_key

# One for all, because it keeps what it read of the API.
SESSION = boto3.Session(region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
JOB = Job(id="0" * 20, bucket="b", key="k", version="v", created_at=1, writer="me")
SHARD = Shard(job=JOB.id, number=1, account="a", endpoint="/v1/responses", model="m", group=0, writer="me")


@dataclass
class Table:
    """DynamoDB's side of the wire: answers each call by its name, and keeps what was asked."""

    answers: dict[str, Callable[[], dict[str, Any]]]
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def ledger(self) -> DynamoLedger:
        """Return an adapter whose every call ends here instead of on the network."""
        client = SESSION.client("dynamodb")
        client.meta.events.register("before-call.dynamodb.*", self._answer)  # type: ignore[arg-type]  # the stubs forget what a hook may return
        return DynamoLedger(client, "table", self.clock, MemoryLog())

    def _answer(self, model: Any, params: dict[str, Any], **_: object) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401 - botocore's
        self.calls.append((model.name, params))
        return Http(200), self.answers[model.name]()

    @property
    def writes(self) -> list[str]:
        """The names of the calls that write, in order."""
        return [name for name, _ in self.calls if name != "GetItem"]


@dataclass
class Http:
    """As much of a response as botocore looks at."""

    status_code: int


def refused(code: str, reasons: list[str] | None = None) -> Callable[[], dict[str, Any]]:
    """Return an answer that is AWS's error."""

    def answer() -> dict[str, Any]:
        response: Any = {"Error": {"Code": code, "Message": ""}}
        if reasons is not None:
            response["CancellationReasons"] = [{"Code": reason} for reason in reasons]
        raise ClientError(response, "Write")

    return answer


def lost() -> dict[str, Any]:
    """Answer with nothing, in time."""
    raise ReadTimeoutError(endpoint_url="https://dynamodb")


def found(row: Job | Shard) -> Callable[[], dict[str, Any]]:
    """Return an answer that holds *row*."""
    return lambda: {"Item": _attributes(row)}


def in_turn(*answers: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Return an answer that is another each time."""
    rest = iter(answers)

    def answer() -> dict[str, Any]:
        return next(rest)()

    return answer


AFTER = replace(JOB, revision=1)
CREATE = Change((Write(None, JOB),))
MOVE = Change(
    (Write(SHARD, replace(SHARD, state=ShardState.RESERVED, quota_tokens=5)),),
    (QuotaWrite(Quota("a", "m"), QuotaEstimate(), 9),),
)


def test_a_write_whose_reply_was_lost_is_done_if_the_row_shows_it() -> None:
    """It is not sent again."""
    table = Table({"PutItem": lost, "GetItem": found(AFTER)})

    written = table.ledger().write(CREATE)

    assert written.writes[0].after == AFTER
    assert table.writes == ["PutItem"]


def test_a_write_whose_reply_was_lost_is_sent_again_if_the_row_does_not_show_it() -> None:
    """The condition keeps a late first one from counting twice."""
    table = Table({"PutItem": in_turn(lost, dict), "GetItem": dict})

    table.ledger().write(CREATE)

    assert table.writes == ["PutItem", "PutItem"]
    assert table.clock.pauses == [0]


@pytest.mark.parametrize("shown", [0, 1])
def test_a_write_of_two_rows_is_done_only_if_both_show_it(shown: int) -> None:
    """One row as wanted and one not is another's write, or an older one: the whole is sent again."""
    wanted: tuple[Job, Shard] = (AFTER, replace(SHARD, revision=1))
    older: tuple[Job, Shard] = (replace(JOB, revision=7), replace(SHARD, revision=7))
    rows = [found(wanted[at] if at == shown else older[at]) for at in (0, 1)]
    table = Table({"TransactWriteItems": in_turn(lost, dict), "GetItem": in_turn(*rows)})

    table.ledger().write(Change((Write(None, JOB), Write(None, SHARD))))

    assert table.writes == ["TransactWriteItems", "TransactWriteItems"]


@pytest.mark.parametrize("shown", [0, 1])
def test_a_refused_write_of_two_rows_is_a_conflict_if_one_is_anothers(shown: int) -> None:
    """That the other row looks as wanted does not make it ours."""
    rows: tuple[Job | Shard, ...] = (AFTER, replace(SHARD, revision=1))
    seen = [found(row if at == shown else replace(row, writer="another")) for at, row in enumerate(rows)]
    cancelled = refused("TransactionCanceledException", ["ConditionalCheckFailed", "None"])
    table = Table({"TransactWriteItems": cancelled, "GetItem": in_turn(*seen * 2)})

    with pytest.raises(Conflict):
        table.ledger().write(Change((Write(None, JOB), Write(None, SHARD))))


def test_a_refused_condition_is_success_if_the_row_is_ours() -> None:
    """The SDK's own retry of a lost reply meets what the first one wrote."""
    table = Table({"PutItem": refused("ConditionalCheckFailedException"), "GetItem": found(AFTER)})

    assert table.ledger().write(CREATE).writes[0].after == AFTER


def test_a_refused_condition_is_a_conflict_if_the_row_is_anothers() -> None:
    """The same revision by another writer is not ours."""
    table = Table(
        {"PutItem": refused("ConditionalCheckFailedException"), "GetItem": found(replace(AFTER, writer="another"))}
    )

    with pytest.raises(Conflict):
        table.ledger().write(CREATE)


@pytest.mark.parametrize("passing", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_passing_moment_is_waited_for(passing: str) -> None:
    """A cancelled transaction that met another one is sent again, after a pause that grows."""
    cancelled = refused("TransactionCanceledException", ["None", passing])
    table = Table({"TransactWriteItems": in_turn(cancelled, cancelled, dict), "GetItem": found(SHARD)})

    table.ledger().write(MOVE)

    assert table.writes == ["TransactWriteItems"] * 3
    assert table.clock.pauses == [0, 1]


def test_waiting_has_an_end() -> None:
    """What stays busy is a conflict, which the flow knows."""
    table = Table(
        {
            "TransactWriteItems": refused("TransactionCanceledException", ["TransactionConflict"]),
            "GetItem": found(SHARD),
        }
    )

    with pytest.raises(Conflict, match="busy"):
        table.ledger().write(MOVE)

    assert len(table.writes) == WRITE_TRIES_MAX


def test_a_condition_decides_over_a_passing_moment() -> None:
    """It will not pass: nothing is sent again."""
    reasons = ["TransactionConflict", "ConditionalCheckFailed"]
    table = Table(
        {
            "TransactWriteItems": refused("TransactionCanceledException", reasons),
            "GetItem": found(replace(SHARD, revision=8)),
        }
    )

    with pytest.raises(Conflict):
        table.ledger().write(MOVE)

    assert table.writes == ["TransactWriteItems"]


def test_an_error_that_nobody_foresaw_flies() -> None:
    """It is neither a conflict nor a passing moment."""
    table = Table({"PutItem": refused("AccessDeniedException"), "GetItem": dict})

    with pytest.raises(ClientError):
        table.ledger().write(CREATE)


def test_one_row_without_quota_is_no_transaction() -> None:
    """A transaction costs twice as much."""
    table = Table({"PutItem": dict, "UpdateItem": dict})

    table.ledger().write(CREATE)
    table.ledger().write(Change((), (QuotaWrite(Quota("a", "m"), QuotaEstimate(cool_down_until=3)),)))
    table.ledger().write(Change(()))

    assert table.writes == ["PutItem", "UpdateItem"]


@pytest.mark.parametrize(
    "encoded", ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 2, "id": "x"}', '{"schema": "1"}']
)
def test_what_no_release_can_have_written_is_not_read(encoded: str) -> None:
    """A broken row stops who reads it."""
    with pytest.raises(BrokenState):
        decode_row("job", encoded)


def test_a_shard_is_flat_in_the_table() -> None:
    """As release 0.1.0 wrote it and reads it after a rollback: each field of its attempt and of its file is one of the row."""
    file = InputFile(id="f", uploaded_at=1, is_doubted=True, intent_at=2, fencing_at=3, fenced_at=4)
    attempt = Attempt(number=2, try_number=3, ticket="t", tickets=("t",), file=file, batch="b", gone=Outage(5, "404"))
    shard = Shard(job="j", number=1, account="a", endpoint="e", model="m", group=0, attempt=attempt)

    encoded = encode_row(shard)

    row = json.loads(encoded)
    assert decode_row("shard", encoded) == shard
    assert {
        "attempt": 2,
        "file": "f",
        "file_uploaded_at": 1,
        "fenced_at": 4,
        "ticket": "t",
        "batch": "b",
    }.items() <= row.items()
    assert len(row) == sum(len(fields(part)) for part in (Shard, Attempt, InputFile)) - 2


def test_a_row_with_more_fields_of_its_own_schema_is_read() -> None:
    """A rollback within one schema is safe."""
    assert decode_row("job", encode_row(JOB).replace('{"id"', '{"later":[1],"id"')) == JOB


def test_a_model_name_that_no_key_can_hold_is_refused() -> None:
    """DynamoDB would refuse it each time anew."""
    with pytest.raises(ValueError, match="2,048"):
        quota_key("a", "m" * 2_048)


@pytest.mark.parametrize("indexed", [True, False])
def test_the_installation_s_row_is_found_in_the_index(indexed: bool) -> None:  # noqa: FBT001  # a column of the table above
    """Not where an older release wrote it: then it is read by itself."""
    job, install = replace(JOB, due_at=5), Install(id="i", started_at=1, revision=1)
    items = [_attributes(install), _attributes(job)] if indexed else [_attributes(job)]
    table = Table({"Query": lambda: {"Items": items}})

    found = table.ledger().install_and_active()

    assert found == (install if indexed else None, [job])
    assert list(table.ledger().active()) == [job]
    assert items[0]["due_pk"] == items[-1]["due_pk"]
