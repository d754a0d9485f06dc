"""What is known of a chaos run once it is over, as values: what was dropped, what the provider did, what people received.

Rule: nothing in it was read from our own ledger.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from chaos.drops import Drop

from batchdrop.core.model.keys import Keys

type Item = tuple[str, int]  # job and row


@dataclass(frozen=True, slots=True)
class Dropped:
    """One drop, and the job that it must become."""

    drop: Drop
    job: str

    @property
    def keys(self) -> Keys:
        """Where its results lie."""
        return Keys(self.job, self.drop.key)


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch at the provider; its ticket says what it was made for."""

    id: str
    job: str
    shard: int
    attempt: int
    ticket: str
    status: str
    created_at: int
    file: str


@dataclass(frozen=True, slots=True)
class Line:
    """One request that the provider ran: the digest of its body, how it was answered, whether it was charged and delivered."""

    batch: str
    number: int  # 1-based, in the batch's input
    row: int
    digest: str
    status: int  # 0 where there was no HTTP answer
    is_charged: bool
    is_delivered: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of `outcomes.jsonl`; *digest* is the MD5 of its bytes, which S3 gives as the ETag of an object."""

    row: int
    name: str
    is_success: bool
    code: str  # why it failed
    batch: str
    line: str  # the provider's id of the answering line
    digest: str


@dataclass(frozen=True, slots=True)
class File:
    """A file of results: how many records it has, and its checksum."""

    records: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Results:
    """What lies in the results' folder of one job; *items* are the ETags of the item objects, by name."""

    outcomes: tuple[Outcome, ...] = ()
    items: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)  # as the summary has them
    counts: tuple[int, int, int] | None = None  # items, succeeded, failed, as the summary has them
    extension: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification as a subscriber received it."""

    id: str
    event: str
    job: str
    counts: tuple[int, int, int]  # items, succeeded, failed


@dataclass(frozen=True)
class Evidence:
    """Everything that is judged."""

    dropped: tuple[Dropped, ...]
    batches: tuple[Batch, ...] = ()
    lines: tuple[Line, ...] = ()
    results: Mapping[str, Results] = field(default_factory=dict)  # by job
    notifications: tuple[Notification, ...] = ()
    waiting_messages: Mapping[str, int] = field(default_factory=dict)  # by queue, the dead letters among them
    strays: tuple[str, ...] = ()  # keys of results that belong to no job
    changed: tuple[str, ...] = ()  # what a second delivery of every event changed
    told: tuple[str, ...] = ()  # where a prompt was found that must not be

    @cached_property
    def accepted(self) -> tuple[Dropped, ...]:
        """The drops that had to be worked on."""
        return tuple(dropped for dropped in self.dropped if not dropped.drop.is_rejected)

    @cached_property
    def by_batch(self) -> Mapping[str, Batch]:
        """The batches by their ids."""
        return {batch.id: batch for batch in self.batches}

    @cached_property
    def runs(self) -> Mapping[Item, Sequence[tuple[Batch, Line]]]:
        """How often each item ran, earliest batch first."""
        found: defaultdict[Item, list[tuple[Batch, Line]]] = defaultdict(list)
        for line in self.lines:
            batch = self.by_batch[line.batch]
            found[batch.job, line.row].append((batch, line))
        return {item: sorted(runs, key=lambda run: (run[0].created_at, run[0].attempt)) for item, runs in found.items()}

    def results_of(self, dropped: Dropped) -> Results:
        """Return what lies in the bucket about *dropped*."""
        return self.results.get(dropped.job, Results())
