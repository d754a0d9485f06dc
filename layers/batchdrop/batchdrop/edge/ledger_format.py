"""How ledger rows lie in the table: their keys, their bytes, and what a change asks of each.

Rule: nothing is written that could not be read again. A row of a newer schema is refused, never guessed at.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec

from batchdrop.core.errors import BrokenState
from batchdrop.core.ledger_rows import SCHEMA, Change, Install, Job, Room, Row, Shard

type RowKey = tuple[str, str]
type RoomKey = tuple[str, str]

# DynamoDB takes 400 KB a row, 2,048 bytes of partition key and 100 rows a transaction
# (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html, 2026-11-22).
# A job of 100 groups or a shard with the tickets of five tries needs a tenth of what is allowed here.
ROW_BYTES_MAX = 200_000
PARTITION_KEY_BYTES_MAX = 2_048
CHANGE_ROWS_MAX = 100

INSTALL_KEY: RowKey = ("I", "META")

_encoder = msgspec.json.Encoder()
_decoders: Mapping[str, msgspec.json.Decoder[Job] | msgspec.json.Decoder[Shard] | msgspec.json.Decoder[Install]] = {
    "job": msgspec.json.Decoder(Job),
    "shard": msgspec.json.Decoder(Shard),
    "install": msgspec.json.Decoder(Install),
}


class _Schema(msgspec.Struct):
    """The one field that is read before any other."""

    schema: int


_schema_decoder = msgspec.json.Decoder(_Schema)


def job_key(job: str) -> RowKey:
    """Return where a job's row lies."""
    return (_checked_partition(f"J#{job}"), "META")


def shard_key(job: str, number: int) -> RowKey:
    """Return where a shard's row lies; six digits keep the order of numbers and of keys the same."""
    return (_checked_partition(f"J#{job}"), f"S#{number:06d}")


def room_key(account: str, model: str) -> RowKey:
    """Return where a model's room row lies. An account's own `#` is escaped, so that two rooms never share a row."""
    escaped = account.replace("%", "%25").replace("#", "%23")
    return (_checked_partition(f"R#{escaped}#{model}"), "META")


def row_key(row: Row) -> RowKey:
    """Return where *row* lies."""
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
    encoded = _encoder.encode(row)
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
        schema = _schema_decoder.decode(encoded).schema
        if schema <= SCHEMA:
            return _decoders[kind].decode(encoded)
    except (msgspec.MsgspecError, KeyError) as error:
        raise BrokenState(f"a {kind} row cannot be read: {error}") from error
    raise BrokenState(f"a {kind} row has schema {schema}; this release knows {SCHEMA}")


def named_by_condition(row: Row) -> dict[str, str | int]:
    """Return what a write says of the row that it leaves: its revision, a job's state, a shard's state and ticket."""
    match row:
        case Job():
            return {"revision": row.revision, "state": row.state.value}
        case Shard():
            return {"revision": row.revision, "state": row.state.value, "ticket": row.ticket}
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
    keys += [room_key(*key) for key in {*room_moves(change), *cooled(change)}]
    if len(set(keys)) != len(keys) or len(keys) > CHANGE_ROWS_MAX:
        raise ValueError(f"a change names a row twice, or more than {CHANGE_ROWS_MAX} rows")
    for write in change.writes:
        if write.before is not None and row_key(write.before) != row_key(write.after):
            raise ValueError(f"a write exchanges {row_key(write.before)} for {row_key(write.after)}")
        encode_row(write.after)


def room_moves(change: Change) -> dict[RoomKey, int]:
    """Return how much each model's room is used more (or less) after *change*, where it is not the same."""
    moves: Counter[RoomKey] = Counter()
    for write in change.writes:
        if isinstance(write.before, Shard):
            moves[write.before.account, write.before.model] -= write.before.room_tokens
        if isinstance(write.after, Shard):
            moves[write.after.account, write.after.model] += write.after.room_tokens
    return {key: tokens for key, tokens in moves.items() if tokens}


def cooled(change: Change) -> dict[RoomKey, Room]:
    """Return the models that *change* cools."""
    return {(room.account, room.model): room for room in change.cool}
