"""Defines the row of a job: one upload, from its plan to its notification."""

from dataclasses import dataclass
from enum import StrEnum

from batchdrop.core.model.reading import AS_EVER, CsvOptions, Reading
from batchdrop.core.model.reasons import NotificationEvent, Reason, Refusal, Wait, WaitingFor
from batchdrop.core.model.row import SCHEMA, Lease


class JobState(StrEnum):
    """The state of a job. An ENDED job stays so, unless it was rejected and a person retries it."""

    PLANNING = "PLANNING"  # the upload is read into chunks
    HELD = "HELD"  # nothing is admitted until a person approves the cost; batches at the provider continue
    RUNNING = "RUNNING"  # chunks become shards, shards become batches
    FINISHING = "FINISHING"  # every item has an outcome; results are merged
    NOTIFYING = "NOTIFYING"  # the summary is written; the notification is pending (the outbox)
    ENDED = "ENDED"  # the notification is sent


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
    served_at: int = 0  # when a shard of it last got quota: jobs take turns at each model
    tokens: int = 0  # estimated by bytes alone
    answer_tokens: int = 0  # the most that answers may have, of the requests that limit them
    unlimited: int = 0  # answers that have no limit
    rate: Rate | None = None  # as of when the job was planned; None if unknown
    extra_answers: int = 0  # beyond one a request


@dataclass(frozen=True, slots=True)
class PlanCursor:
    """How far planning came: the next byte of the upload, the records read, the pages written."""

    offset: int = 0
    row: int = 0
    pages: int = 0


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
    csv: CsvOptions | None = None
    encoding: str = ""  # of its files; empty where it says nothing


@dataclass(frozen=True, slots=True)
class Quote:
    """What work is expected to cost, in millionths of a US dollar, and what that rests on."""

    microdollars: int = 0  # of the models whose price is known
    unpriced: tuple[str, ...] = ()  # models whose price is not, the first of them
    input_tokens: int = 0
    output_tokens: int = 0
    learned_answers: int = 0  # answers whose length is known from earlier ones of the task
    assumed_answers: int = 0  # answers whose length is assumed


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold of a job, for a person to approve its cost; its notification is pending until it is marked as sent."""

    number: int  # counts from 1
    since: int
    quote: Quote  # of the whole job: what is spent and reserved, and what is still to be sent
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class JobWait:
    """What a job waits for. `JobWait()` is nothing."""

    cause: WaitingFor = WaitingFor.NOTHING
    since: int = 0
    code: str = ""  # of its reason among the job's `waits`, where it has one


@dataclass(frozen=True, slots=True)
class StalledAttempts:
    """Attempts of planning or of finishing that were begun since the last checkpoint, which is `StalledAttempts()`."""

    attempts: int = 0
    at: int = 0  # when the last one was counted


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMoney:
    """What a job costs, in millionths of a US dollar."""

    quote: Quote | None = None  # as it was planned
    spent: int = 0  # by what the provider counted
    reserved: int = 0  # the sum of what its shards hold
    approved: int = 0  # up to which a person approved; 0 for never
    is_unpriced_approved: bool = False  # a person let go what has no price


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
    reading: Reading = AS_EVER
    plan: PlanCursor = PlanCursor()
    groups: tuple[Group, ...] = ()
    items: int = 0
    refused: int = 0  # records that planning refused; they have failed outcomes
    shards: int = 0
    shards_done: int = 0
    succeeded: int = 0
    failed: int = 0  # `refused` included
    event: NotificationEvent = NotificationEvent.NOTHING  # the one that ends the job, once it is known
    reason: Reason | None = None
    waiting: JobWait = JobWait()
    waits: tuple[Wait, ...] = ()  # each cause once
    waited_seconds: int = 0  # for quota, until it last got some
    cancelled_at: int = 0  # from then on nothing is cut or sent
    unsent: int = 0  # of `failed`, those planned items that were never sent
    given_up: Refusal | None = None  # for a day its shards were refused: how many failed for it, and the last one when
    delivered_row: int = 0  # up to which items of a cancelled job that were never cut have their objects
    retries: int = 0  # times that a person started it again after it was rejected
    stalled: StalledAttempts = StalledAttempts()
    withheld_at: int = 0  # since when S3 refuses to give the upload
    money: JobMoney = JobMoney()
    hold: Hold | None = None  # the last one
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
