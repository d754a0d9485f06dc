"""What AWS charges for a stack, idle and for N items a month: a bill in lines, computed without an account.

Rule: every figure is a count times a list price. Counts follow from the sizes of files and from what the flows were counted to
do, and tests count them again; prices are those of us-east-1, without free tiers but for SQS's first million of requests.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from batchdrop.core.model.job import ItemAccess
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits

DAYS = 30
TICKS = DAYS * DAY // MINUTE
MILLION = 1_000_000
GIGABYTE = 1e9

# https://cloudburn.io/blog/amazon-cloudwatch-pricing (February 2026)
ALARM, SERIES, LOGS_GIGABYTE = 0.10, 0.30, 0.50
# https://cloudburn.io/blog/amazon-sqs-pricing (2026-03-14): the first million requests of a month are free.
SQS_MILLION, SQS_FREE = 0.40, MILLION
# https://wring.co/blog/aws-lambda-pricing-guide (2026-03-08), on arm64
LAMBDA_MILLION, LAMBDA_GIGABYTE_SECOND = 0.20, 0.0000133334
# Long-standing list prices, not looked up again; compare https://aws.amazon.com/pricing/.
SECRET, SECRET_READS_MILLION = 0.40, 5.00
SCHEDULE_MILLION = 1.00
READ_MILLION, WRITE_MILLION = 0.125, 0.625
PUT_MILLION, GET_MILLION, STORED_GIGABYTE = 5.00, 0.40, 0.023
NOTICE_MILLION = 0.50
SENT_GIGABYTE = 0.09  # to the provider; the first 100 GB of an account's month are free, and not taken off
KEY, KEY_CALLS_MILLION = 1.00, 3.00

# What is in the template; a test counts.
ALARMS, MAPPINGS = 16, 2
MEMORY_GIGABYTES = {"submit": 1.769, "poll": 0.5, "complete": 1.769}

# Of an idle round and day; a test counts.
IDLE_SERIES = 1
IDLE_HALF_READS, IDLE_DAY_READS, IDLE_DAY_WRITES, IDLE_DAY_LISTS = 1, 29, 30, 29
IDLE_TICK_LOG_BYTES = 1_450
# Assumed, because it is AWS's own doing: Lambda looks into an empty queue 15 times a minute, as users count it
# (https://github.com/getlift/lift/issues/132); an idle round takes 0.1 s.
RECEIVES_PER_MINUTE = 15
TICK_SECONDS = 0.1

_LIMITS = Limits()
# Of the storage adapter: a long read is a request for each block, a long write one for each part and two around them.
_BLOCK_BYTES, _PART_BYTES = 8 << 20, 16 << 20
# What a line or an object has besides the record and the answer, in bytes; a test measures.
_LINE_BYTES, _ANSWER_BYTES, _OUTCOME_BYTES, _RESULT_BYTES = 200, 500, 640, 50
# Of the flows; a test counts.
_PUTS_OF_A_DROP, _GETS_OF_A_DROP, _GETS_OF_A_SHARD, _GETS_OF_A_PAGE = 7, 1, 7, 5
_WRITES_OF_A_DROP, _WRITES_OF_A_SHARD = 38, 76
_HALF_READS_OF_A_DROP, _HALF_READS_OF_A_SHARD = 170, 70
_LOG_LINES_OF_A_DROP, _LOG_LINES_OF_A_SHARD, _LOG_LINE_BYTES = 8, 12, 1_000
# Seconds, as `benchmarks/scale.py` measures CPU on a shared x86 processor and waits as it does, half as much again for Lambda's.
_SLOWER = 1.5
_SUBMIT_CPU, _COMPLETE_CPU, _PUT_CPU = 33e-6, 80e-6, 150e-6
_STORE_SECONDS, _PUTS_IN_FLIGHT, _SENT_BYTES_PER_SECOND = 0.022, 64, 50e6
# A bucket key saves up to 99 of 100 calls (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html).
_KEY_CALLS_SHARE = 0.01


class RequestKind(StrEnum):
    """What is counted: requests by kind, DynamoDB's units of capacity, and invocations."""

    PUT = "PUT"
    GET = "GET"
    HALF_READ = "ledger half reads"
    WRITE = "ledger writes"
    MESSAGE = "messages"
    NOTICE = "notifications"


@dataclass(frozen=True, slots=True)
class Month:
    """What is dropped in a month. *hours* is how long a drop is under way; sizes are in bytes."""

    items: int
    access: ItemAccess = ItemAccess.OBJECTS
    drops: int = 30
    record_bytes: int = 2_000
    answer_bytes: int = 400
    hours: float = 4.0
    has_own_key: bool = False

    @property
    def drop(self) -> "DropSize":
        """The drop that all of them are taken for."""
        return DropSize(ceil(self.items / self.drops), self.access, self.record_bytes, self.answer_bytes)


@dataclass(frozen=True, slots=True)
class DropSize:
    """One file, and what becomes of it."""

    items: int
    access: ItemAccess
    record_bytes: int
    answer_bytes: int

    @property
    def upload_bytes(self) -> int:
        """The file's."""
        return self.items * self.record_bytes

    @property
    def line_bytes(self) -> int:
        """Of all request lines."""
        return self.items * (self.record_bytes + _LINE_BYTES)

    @property
    def archive_bytes(self) -> int:
        """Of the provider's answers."""
        return self.items * (self.answer_bytes + _ANSWER_BYTES)

    @property
    def outcome_bytes(self) -> int:
        """Of all outcomes: the text is in the answer, and alone."""
        return self.items * (self.record_bytes + 2 * self.answer_bytes + _OUTCOME_BYTES)

    @property
    def result_bytes(self) -> int:
        """Of the results in the input's own format."""
        return self.items * (self.record_bytes + self.answer_bytes + _RESULT_BYTES)

    @property
    def shards(self) -> int:
        """Of how many batches there is quota for all."""
        return max(
            ceil(self.items / _LIMITS.shard_requests_max), ceil(self.line_bytes / _LIMITS.shard_bytes_max), 1
        )  # fmt: skip

    @property
    def chunks(self) -> int:
        """Into how many objects the request lines go."""
        return max(ceil(self.items / _LIMITS.chunk_lines_max), ceil(self.line_bytes / _LIMITS.chunk_bytes_max))

    @property
    def stored_bytes(self) -> int:
        """What is in both buckets afterwards; a month later the request lines, answers and parts are gone."""
        internal = self.line_bytes + self.archive_bytes + self.outcome_bytes
        copies = 2 if self.access is ItemAccess.OBJECTS else 1
        return self.upload_bytes + internal + copies * self.outcome_bytes + self.result_bytes


def requests(drop: DropSize, shards: int | None = None) -> Mapping[RequestKind, int]:
    """Return what one drop takes until its notification is out, without the rounds of poll that watch it."""
    count = shards or drop.shards
    pages = ceil(drop.upload_bytes / _LIMITS.plan_checkpoint_bytes)
    objects = drop.items if drop.access is ItemAccess.OBJECTS else 0
    of_shards = count * (_parts(drop.archive_bytes // count) + _parts(drop.outcome_bytes // count))
    results = _parts(drop.outcome_bytes) + _parts(drop.result_bytes) + (drop.access is ItemAccess.INDEX)
    return {
        RequestKind.PUT: objects + drop.chunks + 2 * pages + of_shards + results + _PUTS_OF_A_DROP,
        RequestKind.GET: 4 * drop.chunks
        + 3 * ceil(drop.upload_bytes / _BLOCK_BYTES)
        + ceil(drop.outcome_bytes / _BLOCK_BYTES)
        + _GETS_OF_A_PAGE * pages
        + _GETS_OF_A_SHARD * count
        + _GETS_OF_A_DROP,
        RequestKind.WRITE: _WRITES_OF_A_DROP + _WRITES_OF_A_SHARD * count,
        RequestKind.HALF_READ: _HALF_READS_OF_A_DROP + _HALF_READS_OF_A_SHARD * count,
        RequestKind.MESSAGE: count,
        RequestKind.NOTICE: 1,
    }


def _parts(size_bytes: int) -> int:
    """Return the requests of one long write."""
    return 1 if size_bytes <= _PART_BYTES else ceil(size_bytes / _PART_BYTES) + 2


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of the bill."""

    what: str
    count: str
    dollars: float


def idle_lines() -> Iterator[BillLine]:
    """Yield the bill of a month in which nothing is dropped."""
    receives = MAPPINGS * RECEIVES_PER_MINUTE * TICKS
    looks = receives + DAYS * IDLE_DAY_LISTS  # before the inbox is listed, poll looks how long the queue is
    gigabytes = TICKS * IDLE_TICK_LOG_BYTES / GIGABYTE
    reads, writes = TICKS * IDLE_HALF_READS / 2 + DAYS * IDLE_DAY_READS, DAYS * IDLE_DAY_WRITES
    lists = DAYS * IDLE_DAY_LISTS
    yield BillLine("CloudWatch alarms", f"{ALARMS}", ALARMS * ALARM)
    yield BillLine("Secrets Manager", "1 secret", SECRET)
    yield BillLine("CloudWatch metrics", f"{IDLE_SERIES} series", IDLE_SERIES * SERIES)
    yield BillLine("SQS, looked into by Lambda", f"{looks:,} requests", (looks - SQS_FREE) * SQS_MILLION / MILLION)
    yield BillLine("EventBridge Scheduler", f"{TICKS:,} rounds", TICKS * SCHEDULE_MILLION / MILLION)
    yield BillLine("CloudWatch Logs", f"about {round(gigabytes * 1000, -1):.0f} MB", gigabytes * LOGS_GIGABYTE)
    yield BillLine("Lambda", f"{TICKS:,} rounds", _invoked(TICKS) + _ran(TICKS * TICK_SECONDS, "poll"))
    yield BillLine(
        "DynamoDB", f"{reads:,.0f} reads, {writes:,} writes", (reads * READ_MILLION + writes * WRITE_MILLION) / MILLION
    )
    yield BillLine("S3", f"{lists:,} listings", lists * PUT_MILLION / MILLION)


def work_lines(month: Month) -> Iterator[BillLine]:
    """Yield what *month* costs beside the idle bill."""
    drop, drops = month.drop, month.drops
    counts = {kind: drops * count for kind, count in requests(drop).items()}
    watched = ceil(min(drops * month.hours * HOUR / MINUTE, TICKS))  # rounds of poll with something to watch
    stored, sent = drops * drop.stored_bytes / GIGABYTE, drops * drop.line_bytes / GIGABYTE
    seconds = function_seconds(drop)
    units = (counts[RequestKind.HALF_READ] + watched * (1 + drop.shards)) / 2
    messages = 3 * (drops + counts[RequestKind.MESSAGE])  # sent, received, deleted
    lines = drops * (_LOG_LINES_OF_A_DROP + _LOG_LINES_OF_A_SHARD * drop.shards)
    yield BillLine("S3, writing", f"{counts[RequestKind.PUT]:,} PUT", counts[RequestKind.PUT] * PUT_MILLION / MILLION)
    yield BillLine("S3, reading", f"{counts[RequestKind.GET]:,} GET", counts[RequestKind.GET] * GET_MILLION / MILLION)
    yield BillLine("S3, kept for a month", f"{stored:,.1f} GB", stored * STORED_GIGABYTE)
    yield BillLine("sent to the provider", f"{sent:,.1f} GB", sent * SENT_GIGABYTE)
    yield BillLine(
        "Lambda", f"{drops * sum(seconds.values()):,.0f} s",
        _invoked(drops + counts[RequestKind.MESSAGE]) + sum(_ran(drops * spent, name) for name, spent in seconds.items()),
    )  # fmt: skip
    yield BillLine(
        "DynamoDB", f"{units:,.0f} reads, {counts[RequestKind.WRITE]:,} writes",
        (units * READ_MILLION + counts[RequestKind.WRITE] * WRITE_MILLION) / MILLION,
    )  # fmt: skip
    yield BillLine("Secrets Manager", f"{watched:,} reads", watched * SECRET_READS_MILLION / MILLION)
    yield BillLine("SQS", f"{messages:,} requests", messages * SQS_MILLION / MILLION)
    yield BillLine(
        "SNS", f"{counts[RequestKind.NOTICE]:,} notifications", counts[RequestKind.NOTICE] * NOTICE_MILLION / MILLION
    )
    yield BillLine("CloudWatch Logs", f"{lines:,} lines", lines * _LOG_LINE_BYTES / GIGABYTE * LOGS_GIGABYTE)
    if month.has_own_key:
        calls = ceil((counts[RequestKind.PUT] + counts[RequestKind.GET]) * _KEY_CALLS_SHARE) + messages + watched
        yield BillLine("KMS, a key of your own", f"{calls:,} calls", KEY + calls * KEY_CALLS_MILLION / MILLION)


def function_seconds(drop: DropSize) -> Mapping[str, float]:
    """Return how long the functions run for one drop: work, and waiting for the store and the provider."""
    objects = drop.items if drop.access is ItemAccess.OBJECTS else 0
    sent = drop.line_bytes / _SENT_BYTES_PER_SECOND
    received = drop.archive_bytes / _SENT_BYTES_PER_SECOND
    submitting = (3 * drop.chunks + drop.upload_bytes / _BLOCK_BYTES) * _STORE_SECONDS
    waiting = objects * _STORE_SECONDS / _PUTS_IN_FLIGHT
    waiting += (2 * drop.chunks + 3 * drop.stored_bytes / _PART_BYTES) * _STORE_SECONDS
    return {
        "submit": _SLOWER * drop.items * _SUBMIT_CPU + sent + submitting,
        "complete": _SLOWER * (drop.items * _COMPLETE_CPU + objects * _PUT_CPU) + received + waiting,
    }


def _invoked(count: int) -> float:
    return count * LAMBDA_MILLION / MILLION


def _ran(seconds: float, function: str) -> float:
    return seconds * MEMORY_GIGABYTES[function] * LAMBDA_GIGABYTE_SECOND


def total(lines: Iterator[BillLine]) -> float:
    """Return what *lines* come to, in dollars."""
    return sum(line.dollars for line in lines)
