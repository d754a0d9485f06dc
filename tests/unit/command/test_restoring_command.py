"""`batchdrop restore`, piece by piece: what a drill on an emulator does not show."""

import io
import json
from datetime import UTC, datetime
from typing import Any, cast

import boto3
import pytest

from batchdrop_cli.aws.restoring import FUNCTION_SECONDS_MAX, RestoreRequest, moment_of, recover, restore
from batchdrop_cli.aws.table_copy import TRIES_MAX, check_moment, copy
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.stack import Site

SITE = Site({}, {"PollFunction": "poll", "Table": "table"}, {}, is_local=False)
ANSWER = {"batches": 3, "adopted": 1}
OUT_OF_TIME = {"errorType": "OutOfTime", "errorMessage": "the list could not be read to its end"}
BROKEN = {"errorType": "BrokenState", "errorMessage": "another project"}


class Functions:
    """Lambda, which answers what it is given; keeps the time-outs that poll had."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.timeouts = [120]

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """Answer the next."""
        assert (FunctionName, json.loads(Payload)) == ("poll", {"recover": True})
        answer = self.answers.pop(0)
        failed = {"FunctionError": "Unhandled"} if "errorType" in answer else {}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())} | failed

    def get_function_configuration(self, **_named: str) -> dict[str, int]:
        """Say how long poll may run."""
        return {"Timeout": self.timeouts[-1]}

    def update_function_configuration(self, *, Timeout: int, **_named: str) -> None:  # noqa: N803 - as above
        """Let poll run so long."""
        self.timeouts.append(Timeout)

    def get_waiter(self, _name: str) -> "Functions":
        """Wait for nothing."""
        return self

    def wait(self, **_named: str) -> None:
        """Be there."""


def recovered(monkeypatch: pytest.MonkeyPatch, functions: Functions) -> dict[str, Any]:
    """Recover by these functions."""
    asked: list[Any] = []

    def client(service: str, **options: Any) -> Functions:  # noqa: ANN401 - as boto3 takes them
        asked.append((service, options["config"].read_timeout))
        return functions

    monkeypatch.setattr(boto3, "client", client)
    answer = recover(SITE, lambda _line: None)
    # A client that gives up first would begin a second recovery beside the first.
    assert asked == [("lambda", FUNCTION_SECONDS_MAX + 20)]
    return answer


def test_what_recover_answers_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual case: nothing about the function is changed."""
    functions = Functions(ANSWER)

    assert recovered(monkeypatch, functions) == ANSWER
    assert functions.timeouts == [120]


@pytest.mark.parametrize("second", [ANSWER, BROKEN])
def test_a_long_list_of_batches_gets_more_time(monkeypatch: pytest.MonkeyPatch, second: dict[str, Any]) -> None:
    """Once, with all the time that a function may have; afterwards poll has its own again, whatever came of it."""
    functions = Functions(OUT_OF_TIME, second)

    if second is ANSWER:
        assert recovered(monkeypatch, functions) == ANSWER
    else:
        with pytest.raises(CommandFailed, match="another project"):
            recovered(monkeypatch, functions)

    assert functions.timeouts == [120, FUNCTION_SECONDS_MAX, 120]


def test_another_failure_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of another project, say."""
    with pytest.raises(CommandFailed, match="another project"):
        recovered(monkeypatch, Functions(BROKEN))


class Tables:
    """DynamoDB, of which each BatchWriteItem leaves some over."""

    def __init__(self, rows: int, taken_a_call: int) -> None:
        self.rows = [{"pk": {"S": f"{number}"}, "sk": {"S": "x"}} for number in range(rows)]
        self.taken_a_call = taken_a_call
        self.put: list[Any] = []

    def get_paginator(self, _name: str) -> "Tables":
        """List them."""
        return self

    def paginate(self, **_named: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as boto3 takes them
        """Give all rows in two pages."""
        return [{"Items": self.rows[:1]}, {"Items": self.rows[1:]}]

    def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Take some, and give the others back."""
        ((table, requests),) = RequestItems.items()
        assert len(requests) <= 25
        self.put += [request["PutRequest"]["Item"] for request in requests[: self.taken_a_call]]
        left = requests[self.taken_a_call :]
        return {"UnprocessedItems": {table: left}} if left else {}


def test_rows_that_were_left_over_are_asked_for_again() -> None:
    """A table that is written after a pause takes little at first."""
    tables = Tables(60, taken_a_call=7)

    copy(cast(Any, tables), "a", "b")

    assert sorted(tables.put, key=str) == sorted(tables.rows, key=str)


def test_a_table_that_takes_nothing_is_said_so() -> None:
    """The command ends, and can be repeated."""
    with pytest.raises(CommandFailed, match=f"{TRIES_MAX} times"):
        copy(cast(Any, Tables(3, taken_a_call=0)), "a", "b")


class Backups:
    """A table that can be restored to two days."""

    def describe_continuous_backups(self, **_named: str) -> dict[str, Any]:
        """Say so."""
        window = {
            "PointInTimeRecoveryStatus": "ENABLED",
            "EarliestRestorableDateTime": datetime(2026, 11, 1, tzinfo=UTC),
            "LatestRestorableDateTime": datetime(2026, 11, 2, tzinfo=UTC),
        }
        return {"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": window}}


@pytest.mark.parametrize("day", [31, 3])
def test_a_moment_outside_of_what_is_kept_is_refused(day: int) -> None:
    """Before anything is switched off, with the moments that there are."""
    moment = datetime(2026, 10 if day == 31 else 11, day, tzinfo=UTC)

    with pytest.raises(CommandFailed, match="from 2026-11-01T00:00:00Z to 2026-11-02T00:00:00Z"):
        check_moment(cast(Any, Backups()), "table", moment)
    check_moment(cast(Any, Backups()), "table", datetime(2026, 11, 1, 12, tzinfo=UTC))


def test_a_moment_is_read_with_its_zone() -> None:
    """As a person writes it."""
    assert (
        moment_of("2026-11-23T10:00:00Z")
        == moment_of("2026-11-23 11:00+01:00")
        == datetime(2026, 11, 23, 10, tzinfo=UTC)
    )
    with pytest.raises(ValueError, match="time zone"):
        moment_of("2026-11-23T10:00:00")


def test_the_table_is_not_touched_before_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an hour after everything was switched off; what fails then says that it is off, and how to go on."""
    did: list[str] = []
    monkeypatch.setattr(boto3, "client", lambda *_words, **_named: Tables(1, 1))
    monkeypatch.setattr("batchdrop_cli.aws.restoring.switch", lambda _site, *, on, sleep: did.append(f"on={on}"))  # noqa: ARG005

    def refused(*_words: object, **_named: object) -> None:
        did.append("filled")
        raise CommandFailed("DynamoDB took nothing.")

    monkeypatch.setattr("batchdrop_cli.aws.restoring._fill", refused)
    with pytest.raises(CommandFailed, match=r"switched off.*--from backup"):
        restore(
            SITE, RestoreRequest(None, "backup"), lambda _line: None, sleep=lambda seconds: did.append(f"{seconds:g} s")
        )

    assert did == ["on=False", *["60 s"] * 30, "filled"]
