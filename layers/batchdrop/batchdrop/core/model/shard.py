"""Defines the row of a shard: a run of request lines that becomes one batch, attempt by attempt."""

from dataclasses import dataclass
from enum import StrEnum

from batchdrop.core.model.reasons import Outage, Reason, Refusal
from batchdrop.core.model.row import SCHEMA, Lease


class ShardState(StrEnum):
    """The state of a shard. A DONE shard never changes again."""

    WAITING = "WAITING"  # has no quota
    RESERVED = "RESERVED"  # has quota and a ticket; its input file is not uploaded
    UPLOADED = "UPLOADED"  # its input file is at the provider
    CREATING = "CREATING"  # a create call was made, or may have been; its answer is unknown
    FENCING = "FENCING"  # the answer did not come; the input file is deleted, so that a late call creates nothing
    PARKED = "PARKED"  # quarantined after too many uncertain create calls; has no quota
    RUNNING = "RUNNING"  # a batch is known
    HARVESTING = "HARVESTING"  # the batch ended, or there will never be one; its outcomes are pending
    DONE = "DONE"  # every item of its last attempt has an outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """The uploaded file that a create call names, and how far that call and its fence have come. A new file starts at zero."""

    id: str = ""
    uploaded_at: int = 0
    is_doubted: bool = False  # its create was refused for the file, uploaded just before: it gets one more look
    intent_at: int = 0
    fencing_at: int = 0
    fenced_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What an attempt has done at the provider. The next attempt is `Attempt(number=number + 1)`: it inherits nothing."""

    number: int = 1
    try_number: int = 0
    ticket: str = ""
    tickets: tuple[str, ...] = ()  # all of this attempt
    file: InputFile = InputFile()
    first_intent_at: int = 0  # how far back the list of batches must be read
    uncertain: int = 0
    parked_at: int = 0
    is_unfenced: bool = False
    is_unlisted: bool = False  # parked because there was no list in which its batch would be seen
    batch: str = ""
    batch_status: str = ""
    batch_ended_at: int = 0
    is_unarchived: bool = False  # its batch has ended, and no worker has begun to copy the answers
    gone: Outage | None = None  # the provider no longer shows its batch that ran, or the answers of one that ended
    cancel_asked_at: int = 0  # when the provider was last asked to cancel the batch
    cancels_unheard: int = 0  # times in a row that this was not answered
    refused_count: int = 0  # times that the provider had no quota although nothing else of ours was enqueued
    refused_since: int = 0  # the first of them
    refusal: Refusal | None = None  # of its upload, or of its create; over once a batch is made


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A run of request lines of one endpoint and model: what becomes one batch."""

    job: str
    number: int
    account: str
    endpoint: str
    model: str
    # Which lines: a range of `source`, which is a group of the plan (`group`) on the first attempt, later the lines that
    # attempt `source_attempt` of shard `source_shard` was given.
    group: int
    source_shard: int | None = None
    source_attempt: int = 0
    first_line: int = 0
    end_line: int = 0
    state: ShardState = ShardState.WAITING
    tokens: int = 0  # estimated input tokens: those by bytes, times what was learned when it was cut
    base_tokens: int = 0  # estimated by bytes alone
    inputs: int = 0  # embedding inputs
    # Of all these, what is not sent because other lines of the attempt ask the same; known once its input was uploaded.
    saved_items: int = 0
    saved_tokens: int = 0
    saved_inputs: int = 0
    quota_tokens: int = 0  # what it holds of its model's quota right now
    quota_inputs: int = 0  # what it holds of its account's quota for embedding inputs right now
    taken_at: int = 0  # when its batch was first seen past validation: the provider had quota for it
    answer_tokens: int = 0  # expected of the answers
    # What it holds of its job's money, from its admission until its attempt is collected.
    reserved_microdollars: int = 0
    reserved_on: str = ""  # the day (UTC) whose money that is; empty where days are not counted
    # Of all attempts: the input tokens that the provider counted, and what had been estimated for the same items.
    counted_tokens: int = 0
    expected_tokens: int = 0
    attempt: Attempt = Attempt()
    unpaid_attempts: int = 0  # of those before this one: they met an account without money, and do not count
    base_url: str = ""
    fingerprint: str = ""
    unreachable_at: int = 0
    batches: tuple[str, ...] = ()  # every attempt's, for the summary
    duplicates: tuple[str, ...] = ()  # batches beside those that count, each reported once
    unanswered: Outage | None = None  # the calls that would move it on, which the provider does not answer
    is_stuck: bool = False  # its batch was given up while it may still run: it is collected, and nothing is sent again
    is_cancelled: bool = False  # its batch may end, and nothing is sent again
    failed_uploads: int = 0  # of this create call, because the provider was not there
    reason: Reason | None = None  # why all of its items fail, where there is no batch to ask
    progressed_at: int = 0  # when it last got further: a batch, its end, answers; never by being tried again
    due_at: int | None = None
    lease: Lease | None = None
    expires_at: int | None = None
    revision: int = 0
    writer: str = ""
    schema: int = SCHEMA

    @property
    def items(self) -> int:
        """How many items this attempt asks for."""
        return self.end_line - self.first_line

    @property
    def used_attempts(self) -> int:
        """How many attempts there were, this one counted, of those that may be made."""
        return self.attempt.number - self.unpaid_attempts

    @property
    def sent_items(self) -> int:
        """How many requests it sends for them."""
        return self.items - self.saved_items

    @property
    def sent_tokens(self) -> int:
        """Estimated input tokens of these requests."""
        return self.tokens - self.saved_tokens

    @property
    def sent_inputs(self) -> int:
        """Embedding inputs of these requests."""
        return self.inputs - self.saved_inputs


def ticket_of(install: str, shard: Shard) -> str:
    """Return the ticket of the create call that *shard* is at: install, job, shard, attempt, number."""
    return f"{install}.{shard.job}.{shard.number}.{shard.attempt.number}.{shard.attempt.try_number}"


@dataclass(frozen=True, slots=True)
class TryName:
    """What a ticket says."""

    install: str
    job: str
    shard: int
    attempt: int
    try_number: int


_TICKET_PARTS = 5


def read_ticket(ticket: str) -> TryName | None:
    """Return what *ticket* says, or None where it is none: anybody may put anything into metadata and file names."""
    parts = ticket.split(".")
    if len(parts) != _TICKET_PARTS or not all(part.isascii() and part.isdecimal() for part in parts[2:]):
        return None
    install, job, *numbers = parts
    shard, attempt, try_number = map(int, numbers)
    return TryName(install, job, shard, attempt, try_number)
