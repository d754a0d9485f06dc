"""Restoring the ledger: how it was at some moment, held against the provider's batches before anything continues.

Rule: the stack is off from before the table is touched until the rows were held against the provider. Whatever fails on the
way leaves it off, and the same command with the restored table continues from there. docs/runbooks/restore.md is for people.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from batchdrop_cli.aws.switching import switch
from batchdrop_cli.aws.table_copy import Contents, check_moment, contents, copy, empty, read_rows, restored
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.stack import Site

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# A worker may run for 15 minutes, and the provider's list may lag behind for as long (docs/decisions/0003-create-once.md).
WAIT_MINUTES = 30
# The longest that a function may run, and a little more
# (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, 2026-11-22).
FUNCTION_SECONDS_MAX = 900
ANSWER_SECONDS_MAX = FUNCTION_SECONDS_MAX + 20
_OUT_OF_TIME = "OutOfTime"

type Report = Callable[[str], object]
type Sleep = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What is to be restored: the table as it was at *moment*, or the rows of the table *source*, which is there."""

    moment: datetime | None
    source: str | None
    wait_minutes: int = WAIT_MINUTES
    keeps_table: bool = False
    look_seconds: int = 20


@dataclass(frozen=True, slots=True)
class RestoredTable:
    """What was done: the rows, and what `recover` answered."""

    rows: int
    answer: dict[str, Any]


def moment_of(text: str) -> datetime:
    """Return the moment that *text* names, such as `2026-11-23T10:00:00Z`. Raises ValueError where it says no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it says no time zone: add Z for UTC")
    return moment.astimezone(UTC)


def restore(site: Site, asked: RestoreRequest, report: Report, sleep: Sleep = time.sleep) -> RestoredTable:
    """Do all of it. Raises CommandFailed, which says what was done and how to continue."""
    client, table = boto3.client("dynamodb", **site.options), site.named("Table")
    source, made = asked.source, None
    _check(client, table, asked)
    report("Switching off the schedule and the readers of both queues …")
    switch(site, on=False, sleep=sleep)
    try:
        _wait(asked.wait_minutes, report, sleep)
        if source is None:
            assert asked.moment is not None  # noqa: S101  # one of the two is given
            name = f"{table}-at-{asked.moment:%Y%m%d%H%M%S}-{int(time.time())}"
            report(f"Restoring {table} as of {asked.moment:%FT%TZ} into {name} …")
            source = made = restored(client, table, asked.moment, name, look_seconds=asked.look_seconds)
        rows = _fill(site, source, table, report)
        report("Holding the rows against the provider's batches …")
        answer = recover(site, report)
    except Exception as error:
        again = f"batchdrop restore --from {source}" if source else "the same command"
        raise CommandFailed(
            f"{error} The stack is switched off, and nothing is sent. Put that right and continue with: {again}"
        ) from error
    report("Switching everything on …")
    switch(site, on=True, sleep=sleep)
    if made and not asked.keeps_table:
        client.delete_table(TableName=made)
    return RestoredTable(rows.rows, answer)


def _check(client: "DynamoDBClient", table: str, asked: RestoreRequest) -> None:
    """Raise CommandFailed for what cannot be restored, before anything is switched off."""
    if asked.moment is not None:
        check_moment(client, table, asked.moment)
    if asked.source == table:
        raise CommandFailed(f"{table} is the stack's own table: it cannot be filled from itself.")
    if asked.source is not None and not any(True for _ in read_rows(client, asked.source)):
        raise CommandFailed(f"{asked.source} has no rows. Nothing was changed.")


def _wait(minutes: int, report: Report, sleep: Sleep) -> None:
    """Let end what still runs, and let the provider's list catch up."""
    for left in range(minutes, 0, -1):
        if left == minutes or left % 5 == 0:
            report(f"Waiting {left} minutes for what still runs …")
        sleep(60)


def _fill(site: Site, source: str, table: str, report: Report) -> Contents:
    """Make *table* hold the rows of *source* and nothing else, and return what that is. Raises CommandFailed."""
    client = boto3.client("dynamodb", **site.options)
    wanted = contents(client, source)
    report(f"{source} has {wanted.rows:,} rows.")
    report(f"Emptying {table}: {empty(client, table):,} rows. Copying …")
    copy(client, source, table)
    found = contents(client, table)
    report(f"{table} has {found.rows:,} rows.")
    if found != wanted:
        raise CommandFailed(f"{table} does not hold what {source} holds: {found.rows:,} rows of {wanted.rows:,}.")
    return found


def recover(site: Site, report: Report) -> dict[str, Any]:
    """Call poll with `recover`, once more with all the time that a function may have; return what it answered.

    Raises CommandFailed.
    """
    config = Config(read_timeout=ANSWER_SECONDS_MAX, retries={"total_max_attempts": 1})
    given = site.options.get("config")
    options: Any = {**site.options, "config": given.merge(config) if given else config}
    functions, poll = boto3.client("lambda", **options), site.named("PollFunction")
    kind, answer = _invoke(functions, poll)
    if kind == _OUT_OF_TIME:
        usual = functions.get_function_configuration(FunctionName=poll)["Timeout"]
        report(f"That took longer than poll may run; it is given {FUNCTION_SECONDS_MAX} s for this …")
        _set_timeout(functions, poll, FUNCTION_SECONDS_MAX)
        try:
            kind, answer = _invoke(functions, poll)
        finally:
            _set_timeout(functions, poll, usual)
    if kind:
        raise CommandFailed(f"recover failed: {answer.get('errorMessage', kind)}.")
    return answer


def _set_timeout(functions: Any, poll: str, seconds: int) -> None:  # noqa: ANN401  # boto3's client
    functions.update_function_configuration(FunctionName=poll, Timeout=seconds)
    functions.get_waiter("function_updated_v2").wait(FunctionName=poll)


def _invoke(functions: Any, poll: str) -> tuple[str, dict[str, Any]]:  # noqa: ANN401  # as above
    """Return the kind of error, empty where there was none, and what came back."""
    reply = functions.invoke(FunctionName=poll, Payload=json.dumps({"recover": True}).encode())
    answer: dict[str, Any] = json.loads(reply["Payload"].read() or b"{}") or {}
    return (str(answer.get("errorType", "unknown")) if "FunctionError" in reply else ""), answer
