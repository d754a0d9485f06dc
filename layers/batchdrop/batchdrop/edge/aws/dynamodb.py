"""Keeps ledger rows in DynamoDB.

Rule: a change is applied whole or not at all, and only if every row is as it was read. After a write whose reply was lost
the rows are read again: `revision` and `writer` are this write's, or it did not happen.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, HTTPClientError

from batchdrop.core.model.change import Change, DayMove, QuotaWrite, Row, Write
from batchdrop.core.model.errors import BrokenState, Conflict
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.quota import Quota, QuotaEstimate
from batchdrop.core.model.shard import Shard
from batchdrop.edge.aws.row_format import (
    INSTALL_KEY,
    QuotaKey,
    QuotaMove,
    RowKey,
    check_change,
    day_key,
    decode_quota_estimate,
    decode_row,
    encode_quota_estimate,
    encode_row,
    is_as_read,
    job_key,
    kind_of,
    named_by_condition,
    next_revision,
    quota_key,
    quota_moves,
    quota_writes,
    row_key,
    shard_key,
)
from batchdrop.flow.ports import Clock, Log

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, TransactWriteItemTypeDef, UpdateTypeDef

type Attributes = dict[str, Any]  # DynamoDB's own notation: {"name": {"S": "value"}}

DUE_INDEX = "due"
DUE_PARTITION = "D"
# The installation's row comes first in the index: the query for due rows reads it too.
INSTALL_DUE_AT = 0

# A transaction that meets another is cancelled whole and may be sent again at once; eight tries with jitter outlast what
# two pollers and two workers do to each other, and end within seconds.
WRITE_TRIES_MAX = 8

# What DynamoDB says of a moment, not of our write
# (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html, 2026-11-22).
_PASSING = frozenset(
    {
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
        "ThrottlingError",
        "ThrottlingException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ServiceUnavailable",
    }
)
_STILL = QuotaMove(0, 0)
_NOTHING_LEARNED = "(revision = :read OR attribute_not_exists(revision))"
_CONDITION_FAILED = frozenset({"ConditionalCheckFailed", "ConditionalCheckFailedException"})


class DynamoLedger:
    """One table."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock, log: Log) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._log = log

    def job(self, job: str) -> Job | None:
        """Return the job's row."""
        return _expected(Job, self._read(job_key(job)))

    def shard(self, job: str, number: int) -> Shard | None:
        """Return the shard's row."""
        return _expected(Shard, self._read(shard_key(job, number)))

    def install(self) -> Install | None:
        """Return the installation's row."""
        return _expected(Install, self._read(INSTALL_KEY))

    def quota(self, account: str, model: str) -> Quota:
        """Return the quota row of *model*; an empty one where there is none."""
        found = self._get(quota_key(account, model))
        if found is None:
            return Quota(account, model)
        learned = found.get("lesson", {}).get("S")
        return Quota(
            account, model, used=_number(found, "used"), taken=_number(found, "taken"),
            quota_estimate=decode_quota_estimate(learned) if learned else QuotaEstimate(),
            revision=_number(found, "revision"),
        )  # fmt: skip

    def day_microdollars(self, day: str) -> int:
        """Return how much is counted on *day*."""
        return _number(self._get(day_key(day)) or {}, "used")

    def shards(self, job: str) -> Iterator[Shard]:
        """Yield the job's shards in the order of their numbers."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :shards)",
            ExpressionAttributeValues={":pk": {"S": job_key(job)[0]}, ":shards": {"S": "S#"}},
        )
        for page in pages:
            for found in page["Items"]:
                shard = _expected(Shard, _row(found))
                if shard is not None:
                    yield shard

    def active(self) -> Iterator[Job | Shard]:
        """Yield every row that has a due time, by due time; rows of a newer release are skipped and logged."""
        return (row for row in self._indexed() if isinstance(row, Job | Shard))

    def install_and_active(self) -> tuple[Install | None, list[Job | Shard]]:
        """Return what the index shows, the installation's row first: None until a release that indexes it wrote it."""
        rows = list(self._indexed())
        install = next((row for row in rows if isinstance(row, Install)), None)
        return install, [row for row in rows if isinstance(row, Job | Shard)]

    def _indexed(self) -> Iterator[Row]:
        """Yield every row in the index; as `active`."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=DUE_INDEX,
            KeyConditionExpression="due_pk = :due",
            ExpressionAttributeValues={":due": {"S": DUE_PARTITION}},
        )
        for page in pages:
            for found in page["Items"]:
                try:
                    row = _row(found)
                except BrokenState as error:
                    place = f"{found['pk'].get('S', '')}/{found['sk'].get('S', '')}"
                    self._log.warning("ledger.row_skipped", row=place, error=str(error))
                else:
                    yield row

    def write(self, change: Change) -> Change:
        """Apply *change* whole and return it with the revisions that were written.

        Raises Conflict as the port says, and BrokenState where more quota would be released than is held.
        """
        check_change(change)
        wanted = replace(change, writes=tuple(_revised(write) for write in change.writes))
        parts = [self._put(write) for write in wanted.writes] + self._quota_updates(wanted)
        parts += [self._check(row) for row in wanted.unchanged]
        parts += [{"Update": self._day_update(wanted.day)}] if wanted.day else []
        for attempt in range(WRITE_TRIES_MAX):
            failure = self._attempt(parts)
            if failure is None or (wanted.writes and self._is_done(wanted)):
                return wanted
            if failure not in _PASSING:
                raise self._refusal(wanted, failure)
            self._clock.pause(attempt)
        raise Conflict(f"the rows {_places(wanted)} stay busy")

    def _attempt(self, parts: "list[TransactWriteItemTypeDef]") -> str | None:
        """Send the parts once; return None once they are known to be applied, else the code of why they may not be."""
        try:
            self._send(parts)
        except ClientError as error:
            code = _failure(error)
            if code in _PASSING | _CONDITION_FAILED:
                return code
            raise
        except HTTPClientError:
            # The reply was lost: the rows tell whether it was applied. If not, it may be sent again.
            return "ServiceUnavailable"
        return None

    def _send(self, parts: "list[TransactWriteItemTypeDef]") -> None:
        """One row without quota is one plain write at half the price; all else is a transaction."""
        if len(parts) == 1 and "Put" in parts[0]:
            self._client.put_item(**parts[0]["Put"])
        elif len(parts) == 1 and "Update" in parts[0]:
            self._client.update_item(**parts[0]["Update"])
        elif parts:
            self._client.transact_write_items(TransactItems=parts)

    def _is_done(self, wanted: Change) -> bool:
        """Whether the rows show this very write."""
        return all(self._read(row_key(write.after)) == write.after for write in wanted.writes)

    def _refusal(self, wanted: Change, failure: str) -> BrokenState | Conflict:
        """Return the error of a change that was refused for good."""
        for (account, model), move in quota_moves(wanted).items():
            if self.quota(account, model).used + move.used < 0 and self._are_as_read(wanted):
                return BrokenState(f"the quota of {model} at {account} holds less than {-move.used:,}")
        return Conflict(f"{failure}: {_places(wanted)} are not as they were read, or there is no quota")

    def _are_as_read(self, wanted: Change) -> bool:
        rows = [(row_key(write.after), write.before) for write in wanted.writes]
        rows += [(row_key(row), row) for row in wanted.unchanged]
        return all(is_as_read(self._read(key), before) for key, before in rows)

    def _put(self, write: Write) -> "TransactWriteItemTypeDef":
        """Return the write of one row, with the condition that it is as it was read."""
        put: PutTypeDef = {"TableName": self._table, "Item": _attributes(write.after)}
        before = write.before
        if before is None:
            return {"Put": put | {"ConditionExpression": "attribute_not_exists(pk)"}}
        expression, names, values = _as_read(before)
        put |= {
            "ConditionExpression": expression,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        return {"Put": put}

    def _check(self, row: Row) -> "TransactWriteItemTypeDef":
        """Return the condition that *row*, which is not written, is as it was read."""
        expression, names, values = _as_read(row)
        return {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": _place(row_key(row)),
                "ConditionExpression": expression,
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": values,
            }
        }

    def _quota_updates(self, change: Change) -> "list[TransactWriteItemTypeDef]":
        """Return the updates of every quota that *change* moves or names, in one order for all, so that none deadlock."""
        moves, writes = quota_moves(change), quota_writes(change)
        keys = sorted(moves.keys() | writes.keys())
        return [{"Update": self._quota_update(key, moves.get(key, _STILL), writes.get(key))} for key in keys]

    def _quota_update(self, key: QuotaKey, move: QuotaMove, write: QuotaWrite | None) -> "UpdateTypeDef":
        values: dict[str, Attributes] = {":used": {"N": str(move.used)}, ":taken": {"N": str(move.taken)}}
        expression, conditions = "ADD used :used, taken :taken", []
        if write is not None:
            expression = f"SET lesson = :lesson, revision = :next {expression}"
            values |= {
                ":lesson": {"S": encode_quota_estimate(write.quota_estimate)},
                ":read": {"N": str(write.before.revision)},
                ":next": {"N": str(next_revision(write))},
            }
            conditions.append("revision = :read" if write.before.revision else _NOTHING_LEARNED)
        if write is not None and write.limit is not None and move.used > 0:
            # A limit below what is asked leaves a negative number, which no use is below: only an unused quota takes it.
            conditions.append("(used <= :most OR used = :nothing OR attribute_not_exists(used))")
            values |= {":most": {"N": str(write.limit - move.used)}, ":nothing": {"N": "0"}}
        if move.used < 0:
            conditions.append("used >= :least")
            values[":least"] = {"N": str(-move.used)}
        update: UpdateTypeDef = {
            "TableName": self._table,
            "Key": _place(quota_key(*key)),
            "UpdateExpression": expression,
            "ExpressionAttributeValues": values,
        }
        return update | {"ConditionExpression": " AND ".join(conditions)} if conditions else update

    def _day_update(self, move: DayMove) -> "UpdateTypeDef":
        update: UpdateTypeDef = {
            "TableName": self._table,
            "Key": _place(day_key(move.day)),
            "UpdateExpression": "SET expires_at = :expires ADD used :used",
            "ExpressionAttributeValues": {
                ":used": {"N": str(move.microdollars)},
                ":expires": {"N": str(move.expires_at)},
            },
        }
        if move.limit is None or move.microdollars <= 0:
            return update
        most = move.limit - move.microdollars
        update["ExpressionAttributeValues"] |= {":most": {"N": str(most)}}  # type: ignore[operator]  # made above, a dict
        # What exceeds the limit alone is refused on a day that has no row, too.
        first = "attribute_not_exists(used) OR " if most >= 0 else ""
        return update | {"ConditionExpression": f"{first}used <= :most"}

    def _read(self, key: RowKey) -> Row | None:
        found = self._get(key)
        return None if found is None else _row(found)

    def _get(self, key: RowKey) -> Attributes | None:
        return self._client.get_item(TableName=self._table, Key=_place(key), ConsistentRead=True).get("Item")


def _place(key: RowKey) -> Attributes:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _attributes(row: Row) -> Attributes:
    """Return *row* as it is in the table: the whole as JSON, and beside it what conditions and indexes name."""
    attributes: Attributes = _place(row_key(row)) | {
        "kind": {"S": kind_of(row)},
        "row": {"S": encode_row(row)},
        "revision": {"N": str(row.revision)},
        "writer": {"S": row.writer},
    }
    if isinstance(row, Install):
        return attributes | {"due_pk": {"S": DUE_PARTITION}, "due_at": {"N": str(INSTALL_DUE_AT)}}
    attributes["state"] = {"S": row.state}
    if isinstance(row, Shard):
        attributes["ticket"] = {"S": row.attempt.ticket}
    if row.due_at is not None:
        attributes |= {"due_pk": {"S": DUE_PARTITION}, "due_at": {"N": str(row.due_at)}}
    if row.expires_at is not None:
        attributes["expires_at"] = {"N": str(row.expires_at)}
    return attributes


def _as_read(row: Row) -> tuple[str, dict[str, str], Attributes]:
    """Return the condition that *row* is as it was read: the expression, its names and its values."""
    named = named_by_condition(row)
    values = {
        f":{name}": {"S": value} if isinstance(value, str) else {"N": str(value)} for name, value in named.items()
    }
    return " AND ".join(f"#{name} = :{name}" for name in named), {f"#{name}": name for name in named}, values


def _row(found: Attributes) -> Row:
    return decode_row(found.get("kind", {}).get("S", ""), found.get("row", {}).get("S", ""))


def _expected[R: (Job, Shard, Install)](kind: type[R], row: Row | None) -> R | None:
    """Return *row*, which the key says is of this *kind*."""
    if row is None or isinstance(row, kind):
        return row
    raise BrokenState(f"{row_key(row)} holds a {kind_of(row)}")


def _number(found: Attributes, name: str) -> int:
    return int(found.get(name, {}).get("N", "0"))


def _revised(write: Write) -> Write:
    """Return *write* with the revision that it makes."""
    revision = 1 if write.before is None else write.before.revision + 1
    return replace(write, after=replace(write.after, revision=revision))


def _failure(error: ClientError) -> str:
    """Return why nothing was applied; of a cancelled transaction the reason that decides.

    A failed condition decides over a passing cause, because it will not pass.
    """
    code = error.response.get("Error", {}).get("Code", "")
    if code != "TransactionCanceledException":
        return code
    # The stubs leave out what only this error carries.
    reasons: list[dict[str, str]] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
    codes = [reason.get("Code", "None") for reason in reasons]
    decisive = [code for code in codes if code in _CONDITION_FAILED] or [code for code in codes if code != "None"]
    return decisive[0] if decisive else "ServiceUnavailable"


def _places(change: Change) -> str:
    return ", ".join("/".join(row_key(write.after)) for write in change.writes) or "of the quotas"
