"""Defines a write of one or more rows, which names every row as it was read.

Rule: a row changes only by a `Change`, which names every row as it was read. `revision` grows by one with each write and
`writer` names the invocation that wrote, so that a write whose reply was lost can tell itself from another's.
All times are whole seconds since 1970; 0 or None means never.
"""

from dataclasses import dataclass

from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.quota import Quota, QuotaEstimate
from batchdrop.core.model.shard import Shard

type Row = Job | Shard | Install


@dataclass(frozen=True, slots=True)
class Write:
    """One row from what was read (None: there was none) to what it becomes."""

    before: Row | None
    after: Row


@dataclass(frozen=True, slots=True)
class QuotaWrite:
    """A quota whose quota estimate must be as it was read, the quota estimate from now on, and how much may be used afterwards.

    *limit* is looked at where more is used than before; a quota that was not used takes any amount.
    """

    before: Quota
    quota_estimate: QuotaEstimate
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class DayMove:
    """How much more (or less) is counted on one day, in millionths of a US dollar. *day* is `2026-11-22`, in UTC.

    *limit* is looked at where more is counted than before: not even the first of a day may exceed it.
    """

    day: str
    microdollars: int
    expires_at: int  # when the ledger may forget the day
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Rows that change together or not at all.

    Quota moves with the shards: for each quota the difference of what they hold over all *writes* is added to what is used.
    *quotas* are those that must be as they were read. *unchanged* are rows that must still be as they were read. *day* is
    what the change adds to a day's money.
    """

    writes: tuple[Write, ...]
    quotas: tuple[QuotaWrite, ...] = ()
    unchanged: tuple[Row, ...] = ()
    day: DayMove | None = None
