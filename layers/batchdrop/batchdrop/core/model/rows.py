"""The rows of the ledger as values: the job, the shard, the room of a model, the installation.

Rule: a row changes only by a `Change`, which names every row as it was read. `revision` grows by one with each write and
`writer` names the invocation that wrote, so that a write whose reply was lost can tell itself from another's.
All times are whole seconds since 1970; 0 or None means never.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SCHEMA = 1


class JobState(StrEnum):
    """The state of a job. An ENDED job stays so, unless it was rejected and a person retries it."""

    PLANNING = "PLANNING"  # the upload is read into chunks
    HELD = "HELD"  # nothing is admitted until a person approves the cost; batches at the provider continue
    RUNNING = "RUNNING"  # chunks become shards, shards become batches
    FINISHING = "FINISHING"  # every item has an outcome; results are merged
    NOTIFYING = "NOTIFYING"  # the summary is written; the notification is pending (the outbox)
    ENDED = "ENDED"  # the notification is sent


class WaitingFor(StrEnum):
    """What a job or an installation waits for. The values are in rows and in `status.json`."""

    NOTHING = ""
    TASK = "task"  # it is not there yet
    UPLOAD = "upload"  # it cannot be read
    ROOM = "room"  # quota of the model; comes automatically
    NEXT_ATTEMPT = "next attempt"
    APPROVAL = "approval"
    CANCELLATION = "cancellation"
    DAILY_CAP = "daily cap"
    REFUSED = "refused"  # its uploads or its creates
    MODEL = "model"
    DISK = "disk"
    # Of one of its shards.
    CREATE = "create"
    BATCH = "batch"
    ANSWERS = "answers"
    # Of the whole installation.
    KEY = "key"
    ACCOUNT = "account"
    PROVIDER = "provider"


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


@dataclass(frozen=True, slots=True)
class Lease:
    """Who works on a row, and until when. It only saves work; correctness never depends on it."""

    owner: str
    until: int


@dataclass(frozen=True, slots=True)
class Rate:
    """What a million tokens cost in a batch, in millionths of a US dollar."""

    input: int
    cached: int
    output: int


@dataclass(frozen=True, slots=True)
class Group:
    """The chunks of one endpoint and model of a job, and how many of their lines are cut into shards."""

    endpoint: str
    model: str
    chunks: int = 0
    lines: int = 0
    cut_lines: int = 0
    served_at: int = 0  # when a shard of it last got room: jobs take turns at each model
    tokens: int = 0  # estimated by bytes alone
    answer_tokens: int = 0  # the most that answers may have, of the requests that limit them
    unlimited: int = 0  # answers that have no limit
    rate: Rate | None = None  # as of when the job was planned; None where nobody knows it
    extra_answers: int = 0  # beyond one a request


@dataclass(frozen=True, slots=True)
class PlanCursor:
    """How far planning came: the next byte of the upload, the records read, the pages written."""

    offset: int = 0
    row: int = 0
    pages: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something failed: a stable code for programs and a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Outage:
    """Calls of the provider that fail, time after time: since when, why the first of them did, and when the last one did."""

    since: int
    cause: str
    last_at: int = 0  # 0 where that is not kept
    asked_seconds: int = 0  # the longest that it asked to be left alone, where it is asked again sooner


class Scope(StrEnum):
    """What a refusal concerns: the smallest thing that it names."""

    LINE = "line"  # one request, which is too large by itself
    SHARD = "shard"
    MODEL = "model"  # all shards of it


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the provider refuses for good: its last words, how often it did, and since when."""

    reason: Reason
    count: int
    since: int
    scope: Scope = Scope.SHARD


@dataclass(frozen=True, slots=True)
class Wait:
    """A cause that a job waited for and that a person can put right; the notification about it is owed until it is told."""

    reason: Reason
    is_told: bool = False


class ItemAccess(StrEnum):
    """How one item of a job can be read without the others."""

    OBJECTS = "objects"  # an object for each
    INDEX = "index"  # a range of `outcomes.jsonl`, which an index names
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What a task says beside how to ask. A default is what uploads without a task get, and rows of older releases."""

    items: ItemAccess = ItemAccess.OBJECTS
    dedupe: bool = False  # identical requests of a shard are sent once
    microdollars_max: int = 0  # what a job may cost before a person has to approve of it; 0 for no limit


@dataclass(frozen=True, slots=True)
class Quote:
    """What work is expected to cost, in millionths of a US dollar, and what that rests on."""

    microdollars: int = 0  # of the models whose price is known
    unpriced: tuple[str, ...] = ()  # models whose price is not, the first of them
    input_tokens: int = 0
    output_tokens: int = 0
    learned_answers: int = 0  # answers whose length is known from earlier ones of the task
    assumed_answers: int = 0  # answers whose length nobody knows


@dataclass(frozen=True, slots=True)
class Hold:
    """A time that a job was held for a person to approve of its cost; the notification about it is owed until it is told."""

    number: int  # counts from 1
    since: int
    quote: Quote  # of the whole job: what is spent and reserved, and what is still to be sent
    is_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One upload on its way through."""

    id: str
    bucket: str
    key: str
    version: str
    created_at: int
    state: JobState = JobState.PLANNING
    task: str = "-"
    snapshot: str = ""  # SHA-256 of the task's snapshot, empty where there is none
    options: TaskOptions = TaskOptions()  # the snapshot's
    plan: PlanCursor = PlanCursor()
    groups: tuple[Group, ...] = ()
    items: int = 0
    refused: int = 0  # records that planning refused; they have failed outcomes
    shards: int = 0
    shards_done: int = 0
    succeeded: int = 0
    failed: int = 0  # `refused` included
    event: str = ""  # the notification that ends the job, once it is known
    reason: Reason | None = None
    waiting_for: WaitingFor = WaitingFor.NOTHING
    waiting_since: int = 0
    waiting_code: str = ""  # of that among `waits`, where it is one of them
    waits: tuple[Wait, ...] = ()  # each cause once
    waited_seconds: int = 0  # for room, until it last got some
    cancelled_at: int = 0  # from then on nothing is cut or sent
    unsent: int = 0  # of `failed`, those planned items that were never sent
    given_up: Refusal | None = (
        None  # what its shards were refused for a day: how many failed for it, and the last one when
    )
    delivered_row: int = 0  # up to which items of a cancelled job that were never cut have their objects
    retries: int = 0  # times that a person started it again after it was rejected
    # Attempts of planning or of finishing that were begun since the last checkpoint, and when the last one was counted.
    stalled_attempts: int = 0
    stalled_at: int = 0
    withheld_at: int = 0  # since when S3 refuses to give the upload
    quote: Quote | None = None  # as it was planned
    spent_microdollars: int = 0  # by what the provider counted
    reserved_microdollars: int = 0  # the sum of what its shards hold
    hold: Hold | None = None  # the last one
    approved_microdollars: int = 0  # up to which a person approved; 0 for never
    is_unpriced_approved: bool = False  # a person let go what has no price
    ended_at: int = 0
    progressed_at: int = 0  # when it last got further: a state, a count; never by being tried again
    due_at: int | None = None
    lease: Lease | None = None
    expires_at: int | None = None
    revision: int = 0
    writer: str = ""
    schema: int = SCHEMA

    @property
    def is_cut(self) -> bool:
        """Whether no line will be cut into a shard any more: each is, or the job was cancelled."""
        return bool(self.cancelled_at) or all(group.cut_lines == group.lines for group in self.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """The uploaded file that a create call names, and how far that call and its fence have come. A fresh file starts anew."""

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
    room_tokens: int = 0  # what it holds of its model's room right now
    room_inputs: int = 0  # what it holds of its account's room for embedding inputs right now
    taken_at: int = 0  # when its batch was first seen past validation: the provider had room for it
    answer_tokens: int = 0  # expected of the answers
    # What it holds of its job's money, from when it is let in until its attempt is harvested.
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
    is_cancelled: bool = False  # what is at the provider is let end, and nothing is sent again
    failed_uploads: int = 0  # of this try, because the provider was not there
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


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of finished batches: what their requests were estimated at by bytes, and how many tokens the provider counted."""

    base_tokens: int
    counted_tokens: int
    learned_at: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of finished batches: how many answers the provider counted, and how many tokens they had."""

    answers: int
    tokens: int
    learned_at: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """What experience says of one room. All amounts are in our own estimates, which need not be the provider's."""

    limit: int = 0  # how much may be used; 0 while nothing was learned
    proven: int = 0  # the most that the provider was seen to take at one time
    refused: int = 0  # the least that it was seen to refuse; 0 where it refused nothing
    calm: int = 0  # shards that were taken near the limit since the last refusal
    cool_until: int = 0  # until then no shard is admitted
    creates_until_ms: int = (
        0  # creates of an account: when the ones until now are paid off, at the rate that is allowed
    )
    ratios: Mapping[str, Ratio] = field(default_factory=dict)  # by task; for the model as a whole by `EVERY_TASK`
    lengths: Mapping[str, Lengths] = field(default_factory=dict)  # by task
    most: int = 0  # the most that was ever proven, whatever was refused since
    refusal: Refusal | None = None  # of the model as a whole; `cool_until` says when it is asked again


EVERY_TASK = ""  # no task is called so
WHOLE_ACCOUNT = ""  # no model is called so


@dataclass(frozen=True, slots=True)
class Room:
    """What one model of one account may still take, in tokens; or WHOLE_ACCOUNT, in embedding inputs.

    `used` is the sum of what shards hold; `taken` of that what the provider was seen to have taken.
    """

    account: str
    model: str
    used: int = 0
    taken: int = 0
    lesson: Lesson = Lesson()
    revision: int = 0  # of the lesson


class Asked(StrEnum):
    """What a call of the provider is for: a key may be good for some and not for others."""

    SEND = "send"  # uploads and creates
    LOOK = "look"  # lists, and looks at one batch or file
    FETCH = "fetch"  # answers


@dataclass(frozen=True, slots=True)
class Circuit:
    """Creating is pointless until *open_until*: the key or the account is refused."""

    open_until: int
    reason: Reason
    since: int = 0  # when it was refused last
    is_of_answers: bool = False  # batches are taken and then fail: only an answer, not a create, shows that it is over
    count: int = 1  # how often that happened in a row
    refused: Asked = Asked.SEND  # the calls whose answer shows that the key is good again


@dataclass(frozen=True, slots=True)
class Round:
    """How far a walk came that is made again and again. *after* is where it goes on; empty while none is under way."""

    began_at: int = 0
    after: str = ""
    after_version: str = ""
    before: int = 0  # when the walk before this one began
    put_off_at: int = 0  # since when the next one waits for a queue to become short


@dataclass(frozen=True, slots=True)
class CommonWait:
    """A cause that jobs of the whole installation wait for. One notification tells of it, for all of them."""

    waits_for: WaitingFor  # KEY, ACCOUNT, PROVIDER or DAILY_CAP
    reason: Reason
    since: int
    number: int  # counts all common waits from 1; part of the notification's id
    jobs: int = 0  # how many waited when it began
    is_for_a_person: bool = True  # else only time helps
    is_for_all: bool = True  # else for those jobs alone of which calls fail
    is_of_sending: bool = False  # for those jobs alone that have something to be sent
    asked_at: int = 0  # when a worker was last asked to send the notification
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class PastWait:
    """A common wait that ended: its number, when that was, and whether its notification was sent."""

    number: int
    ended_at: int
    is_told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """This installation: its id travels in every ticket, so that stacks in one project do not see each other."""

    id: str
    started_at: int
    admission: Lease | None = None
    circuits: Mapping[str, Circuit] = field(default_factory=dict)  # by `circuit_key`
    proofs: Mapping[str, str] = field(default_factory=dict)  # by `circuit_key`: a batch that its project holds
    inbox_round: Round = Round()
    files_swept_at: int = 0
    unanswered: Outage | None = None  # no call of a tick is answered
    no_list: Outage | None = None  # other calls are, but not the list of batches
    wait: CommonWait | None = None
    day_wait: CommonWait | None = None  # the last one for another day's money
    past_waits: Mapping[str, PastWait] = field(default_factory=dict)  # by the code of their reason, the last few
    waits_counted: int = 0
    # The statuses of all jobs are being written again, by job id: the last one that was. None while they are not.
    statuses_after: str | None = None
    revision: int = 0
    writer: str = ""
    schema: int = SCHEMA


type Row = Job | Shard | Install


@dataclass(frozen=True, slots=True)
class Write:
    """One row from what was read (None: there was none) to what it becomes."""

    before: Row | None
    after: Row


@dataclass(frozen=True, slots=True)
class RoomWrite:
    """A room whose lesson must be as it was read, the lesson from now on, and how much may be used afterwards.

    *limit* is looked at where more is used than before; a room that was not used takes any amount.
    """

    before: Room
    lesson: Lesson
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

    Room moves with the shards: for each room the difference of what they hold over all *writes* is added to what is used.
    *rooms* are those that must be as they were read. *unchanged* are rows that must still be as they were read. *day* is
    what the change adds to a day's money.
    """

    writes: tuple[Write, ...]
    rooms: tuple[RoomWrite, ...] = ()
    unchanged: tuple[Row, ...] = ()
    day: DayMove | None = None


def ticket_of(install: str, shard: Shard) -> str:
    """Return the name of the try that *shard* is at: install, job, shard, attempt, try."""
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


def circuit_key(base_url: str, fingerprint: str) -> str:
    """Return the key of what is known about one API key at one base URL."""
    return f"{fingerprint}@{base_url}"
