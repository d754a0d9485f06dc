"""Encodes ledger rows for the table: their keys, their bytes, and the conditions of a change.

Rule: nothing is written that could not be read again. A row of a newer schema is refused, never guessed at.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import msgspec

from batchdrop.core.model.change import Change, QuotaWrite, Row
from batchdrop.core.model.errors import BrokenState
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job, JobMoney, JobWait, StalledAttempts
from batchdrop.core.model.quota import WHOLE_ACCOUNT, QuotaEstimate
from batchdrop.core.model.row import SCHEMA
from batchdrop.core.model.shard import Attempt, InputFile, Shard

type RowKey = tuple[str, str]
type QuotaKey = tuple[str, str]

# DynamoDB takes 400 KB a row, 2,048 bytes of partition key and 100 rows a transaction
# (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html, 2026-11-22).
# A job of 100 groups or a shard with the tickets of five tries needs a tenth of what is allowed here.
ROW_BYTES_MAX = 200_000
PARTITION_KEY_BYTES_MAX = 2_048
CHANGE_ROWS_MAX = 100

INSTALL_KEY: RowKey = ("I", "META")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, Any])
_TYPES: Final[Mapping[str, type[Row]]] = {"job": Job, "shard": Shard, "install": Install}
# In the table a row is flat, and fields have the names that release 0.1.0 gave them: it reads them after a rollback.
# These values are what it did not nest; in each, the fields that are called otherwise there.
_NAMES: Final[Mapping[type, Mapping[str, str]]] = {
    Shard: {"quota_tokens": "room_tokens", "quota_inputs": "room_inputs"},
    Attempt: {"number": "attempt"},
    InputFile: {"id": "file", "uploaded_at": "file_uploaded_at"},
    Job: {},
    JobWait: {"cause": "waiting_for", "since": "waiting_since", "code": "waiting_code"},
    StalledAttempts: {"attempts": "stalled_attempts", "at": "stalled_at"},
    JobMoney: {
        "spent": "spent_microdollars", "reserved": "reserved_microdollars", "approved": "approved_microdollars",
    },
    Install: {},
}  # fmt: skip
# Of each value: its fields, what they are called in the table, and which of these values a field holds.
_FIELDS: Final = {
    kind: [
        (
            field.name,
            names.get(field.name, field.name),
            next((nested for nested in _NAMES if nested is field.type), None),
        )
        for field in fields(kind)
    ]
    for kind, names in _NAMES.items()
}
_OF_ESTIMATE: Final = {field.name: field.name for field in fields(QuotaEstimate)} | {
    "high_water": "proven", "streak": "calm", "cool_down_until": "cool_until",
}  # fmt: skip


def job_key(job: str) -> RowKey:
    """Return the key of a job's row."""
    return (_checked_partition(f"J#{job}"), "META")


def shard_key(job: str, number: int) -> RowKey:
    """Return the key of a shard's row. Six digits keep the order of numbers and of keys the same."""
    return (_checked_partition(f"J#{job}"), f"S#{number:06d}")


def quota_key(account: str, model: str) -> RowKey:
    """Return the key of a model's quota row. An account's own `#` is escaped, so that two quotas never share a row."""
    escaped = account.replace("%", "%25").replace("#", "%23")
    return (_checked_partition(f"R#{escaped}#{model}"), "META")


def day_key(day: str) -> RowKey:
    """Return the key of a day's money."""
    return (f"D#{day}", "META")


def row_key(row: Row) -> RowKey:
    """Return the key of *row*."""
    match row:
        case Job():
            return job_key(row.id)
        case Shard():
            return shard_key(row.job, row.number)
        case Install():
            return INSTALL_KEY


def _checked_partition(partition: str) -> str:
    """Return *partition*; raises ValueError where DynamoDB would refuse it."""
    if len(partition.encode()) > PARTITION_KEY_BYTES_MAX:
        raise ValueError(f"the partition key {partition[:80]!r}… is over {PARTITION_KEY_BYTES_MAX:,} bytes")
    return partition


def kind_of(row: Row) -> str:
    """Return what a row says that it is: job, shard or install."""
    return type(row).__name__.lower()


def encode_row(row: Row) -> str:
    """Return *row* as JSON, the same each time; raises ValueError where it grew past every expectation."""
    encoded = _encoder.encode(_flat(row))
    if len(encoded) > ROW_BYTES_MAX:
        raise ValueError(f"the row {row_key(row)} has {len(encoded):,} bytes; the limit is {ROW_BYTES_MAX:,}")
    return encoded.decode()


def decode_row(kind: str, encoded: str) -> Row:
    """Return the row that `encode_row` wrote.

    Fields that this release does not know are dropped only within its own schema.

    Raises BrokenState for a newer schema (a release that was rolled back wrote it) and for what no release can have
    written.
    """
    try:
        content = _decoder.decode(encoded)
        schema = content["schema"]
        if schema <= SCHEMA:
            return msgspec.convert(_nested(_TYPES[kind], content), _TYPES[kind])
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise BrokenState(f"a {kind} row cannot be read: {error}") from error
    raise BrokenState(f"a {kind} row has schema {schema}; this release knows {SCHEMA}")


def _flat(value: object) -> dict[str, object]:
    """Return the fields of *value* by their names in the table, those of the values nested in it among them."""
    content: dict[str, object] = {}
    for name, flat, nested in _FIELDS[type(value)]:
        inner = getattr(value, name)
        content |= _flat(inner) if nested else {flat: inner}
    return content


def _nested(kind: type, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `_flat` made of a value of *kind*; what is missing gets its default."""
    return {
        name: _nested(nested, content) if nested else content[flat]
        for name, flat, nested in _FIELDS[kind]
        if nested or flat in content
    }


def named_by_condition(row: Row) -> dict[str, str | int]:
    """Return what a write says of the row that it leaves: its revision, a job's state, a shard's state and ticket."""
    match row:
        case Job():
            return {"revision": row.revision, "state": row.state.value}
        case Shard():
            return {"revision": row.revision, "state": row.state.value, "ticket": row.attempt.ticket}
        case Install():
            return {"revision": row.revision}


def is_as_read(found: Row | None, before: Row | None) -> bool:
    """Whether a write that leaves *before* may replace *found*."""
    if found is None or before is None:
        return found is before
    return named_by_condition(found) == named_by_condition(before)


def check_change(change: Change) -> None:
    """Raise ValueError where *change* could not be applied whole: a row named twice or exchanged, or too many."""
    keys = [row_key(row) for row in (*(write.after for write in change.writes), *change.unchanged)]
    keys += [quota_key(*key) for key in {*quota_moves(change), *quota_writes(change)}]
    keys += [day_key(change.day.day)] if change.day else []
    if len(set(keys)) != len(keys) or len(keys) > CHANGE_ROWS_MAX:
        raise ValueError(f"a change names a row twice, or more than {CHANGE_ROWS_MAX} rows")
    if len(quota_writes(change)) != len(change.quotas):
        raise ValueError("a change names a quota twice")
    for write in change.writes:
        if write.before is not None and row_key(write.before) != row_key(write.after):
            raise ValueError(f"a write exchanges {row_key(write.before)} for {row_key(write.after)}")
        encode_row(write.after)


@dataclass(frozen=True, slots=True)
class QuotaMove:
    """How much more (or less) of a quota is used after a change, and of that known to be taken."""

    used: int
    taken: int


def quota_moves(change: Change) -> dict[QuotaKey, QuotaMove]:
    """Return how every quota moves by *change*, where it is not the same afterwards."""
    used, taken = Counter[QuotaKey](), Counter[QuotaKey]()
    for write in change.writes:
        for row, sign in ((write.before, -1), (write.after, 1)):
            if isinstance(row, Shard):
                for key, held in _held(row):
                    used[key] += sign * held
                    taken[key] += sign * held if row.taken_at else 0
    return {key: QuotaMove(used[key], taken[key]) for key in sorted(used) if used[key] or taken[key]}


def _held(shard: Shard) -> tuple[tuple[QuotaKey, int], tuple[QuotaKey, int]]:
    """Return what *shard* holds, by quota."""
    return (
        ((shard.account, shard.model), shard.quota_tokens),
        ((shard.account, WHOLE_ACCOUNT), shard.quota_inputs),
    )


def quota_writes(change: Change) -> dict[QuotaKey, QuotaWrite]:
    """Return the quotas that *change* names as they were read."""
    return {(write.before.account, write.before.model): write for write in change.quotas}


def next_revision(write: QuotaWrite) -> int:
    """Return the revision of the quota estimate after *write*: another where the quota estimate is another."""
    return write.before.revision + (write.quota_estimate != write.before.quota_estimate)


def encode_quota_estimate(quota_estimate: QuotaEstimate) -> str:
    """Return *quota_estimate* as JSON."""
    content = {flat: getattr(quota_estimate, name) for name, flat in _OF_ESTIMATE.items()}
    return _encoder.encode(content).decode()


def decode_quota_estimate(encoded: str) -> QuotaEstimate:
    """Return the estimate that `encode_quota_estimate` wrote. Raises BrokenState."""
    try:
        content = _decoder.decode(encoded)
        named = {name: content[flat] for name, flat in _OF_ESTIMATE.items() if flat in content}
        return msgspec.convert(named, QuotaEstimate)
    except msgspec.MsgspecError as error:
        raise BrokenState(f"what was learned of a quota cannot be read: {error}") from error
