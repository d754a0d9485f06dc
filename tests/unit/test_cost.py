"""What an idle deployment costs a month, counted on an idle day. Run this file as a script to write the README's table anew.

Calls are counted in the flows, series and lines in what they log, alarms and queues in the template. Prices are AWS's for
us-east-1 as guides of 2026 quote its lists; what is assumed of AWS itself is named below.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from fakes.world import World

from batchdrop.core.limits import DAY, MINUTE
from batchdrop.core.metrics import COUNTED, NAMESPACE, counted
from batchdrop.edge.telemetry import PowertoolsLog
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import parse

README = REPOSITORY / "README.md"
TABLE = re.compile(r"(?<=<!-- idle -->\n).*?(?=<!-- /idle -->)", re.DOTALL)
DAYS = 30
TICKS = DAYS * DAY // MINUTE
MILLION = 1_000_000

# https://cloudburn.io/blog/amazon-cloudwatch-pricing (February 2026)
ALARM, SERIES, LOGS_GIGABYTE = 0.10, 0.30, 0.50
# https://cloudburn.io/blog/amazon-sqs-pricing (2026-03-14): the first million requests of a month are free.
SQS_MILLION, SQS_FREE = 0.40, MILLION
# https://aws.amazon.com/secrets-manager/pricing/
SECRET = 0.40
# https://aws.amazon.com/lambda/pricing/, on arm64
LAMBDA_MILLION, LAMBDA_GIGABYTE_SECOND = 0.20, 0.0000133334
# https://aws.amazon.com/eventbridge/pricing/
SCHEDULE_MILLION = 1.00
# https://aws.amazon.com/dynamodb/pricing/on-demand/
READ_MILLION, WRITE_MILLION = 0.125, 0.625
# https://aws.amazon.com/s3/pricing/
LIST_THOUSAND = 0.005

# Assumed, because it is AWS's own doing: Lambda looks into an empty queue 15 times a minute, as users count it
# (https://github.com/getlift/lift/issues/132); an idle round takes 0.1 s; Lambda itself logs 1,000 bytes about it.
RECEIVES_PER_MINUTE = 15
TICK_SECONDS = 0.1
PLATFORM_BYTES = 1_000
# CloudWatch Logs counts 26 bytes besides each line (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatchLogsConcepts.html).
LINE_BYTES = 26


class Counting:
    """Stands before a port and counts the calls of each method."""

    def __init__(self, port: object, calls: Counter[str]) -> None:
        self._port, self._calls = port, calls

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the port has
        self._calls[name] += 1
        return getattr(self._port, name)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the bill."""

    what: str
    count: str
    dollars: float


def idle_day() -> tuple[Counter[str], list[tuple[str, dict[str, object]]]]:
    """Return the calls and the log lines of a day in which nothing is dropped."""
    world, calls = World(), Counter[str]()
    world.ledger = Counting(world.ledger, calls)  # type: ignore[assignment]  # counts, and hands on
    world.storage = Counting(world.storage, calls)  # type: ignore[assignment]  # as above
    for _ in range(DAY // MINUTE):
        world.tick()
    return calls, [(event, fields) for _, event, fields in world.log.lines]


def tick_bytes(fields: dict[str, Any]) -> int:
    """Return what an idle round writes into its log group."""
    lines, metrics = io.StringIO(), io.StringIO()
    with redirect_stdout(metrics):
        PowertoolsLog(Logger(service="poll", stream=lines), Metrics(namespace=NAMESPACE, service="batchdrop")).info(
            "tick.done", **fields
        )
    written = [*lines.getvalue().splitlines(), *metrics.getvalue().splitlines()]
    return sum(len(line) + LINE_BYTES for line in written) + PLATFORM_BYTES


@cache
def bill() -> tuple[Line, ...]:
    """Return what an idle month costs. Once a process: a logger keeps the stream that it was first given."""
    return tuple(lines_of_bill())


def lines_of_bill() -> Iterator[Line]:
    """Yield each line."""
    resources = [
        resource["Type"] for resource in parse((REPOSITORY / "template.yaml").read_text())["Resources"].values()
    ]
    calls, lines = idle_day()
    alarms = resources.count("AWS::CloudWatch::Alarm")
    series = {metric for event, fields in lines for metric in counted(event, fields)}
    mappings = 2  # submit's and complete's
    receives = mappings * RECEIVES_PER_MINUTE * TICKS
    looks = calls["install_and_active"]
    reads = DAYS * (calls["install"] + looks / 2)  # the index answers eventually, for half the price
    lists = DAYS * calls["list_inbox"]
    (ticked, *_) = [fields for event, fields in lines if event == "tick.done"]
    gigabytes = TICKS * tick_bytes(ticked) / 1e9
    yield Line("CloudWatch alarms", f"{alarms}", alarms * ALARM)
    yield Line("Secrets Manager", "1 secret", SECRET)
    yield Line("CloudWatch metrics", f"{len(series)} series", len(series) * SERIES)
    yield Line("SQS, looked into by Lambda", f"{receives:,} requests", (receives - SQS_FREE) * SQS_MILLION / MILLION)
    yield Line("EventBridge Scheduler", f"{TICKS:,} rounds", TICKS * SCHEDULE_MILLION / MILLION)
    yield Line("CloudWatch Logs", f"about {round(gigabytes * 1000, -1):.0f} MB", gigabytes * LOGS_GIGABYTE)
    seconds = TICKS * TICK_SECONDS
    yield Line(
        "Lambda", f"{TICKS:,} rounds of 512 MB", TICKS * LAMBDA_MILLION / MILLION + seconds / 2 * LAMBDA_GIGABYTE_SECOND
    )
    writes = DAYS * calls["write"]
    dynamo = (reads * READ_MILLION + writes * WRITE_MILLION) / MILLION
    yield Line("DynamoDB", f"{reads:,.0f} reads, {writes:,} writes", dynamo)
    yield Line("S3", f"{lists:,} listings", lists * LIST_THOUSAND / 1000)


def idle_table() -> str:
    """Return the bill as a Markdown table."""
    lines = bill()
    rows = [f"| {line.what} | {line.count} | ${line.dollars:.2f} |" for line in lines]
    total = sum(line.dollars for line in lines)
    return (
        "\n".join(
            ["| idle, a month | how much | list price |", "|---|---|---|", *rows, f"| together | | ${total:.2f} |"]
        )
        + "\n"
    )


def test_idle_costs_less_than_two_dollars_a_month() -> None:
    """Whoever forgets a deployment is not reminded by the bill."""
    assert sum(line.dollars for line in bill()) < 2


def test_an_idle_tick_asks_the_ledger_once_and_the_provider_never() -> None:
    """The index of due work, which has the installation's row too; each hour a look through the inbox."""
    calls, logged = idle_day()
    ticks, rounds_max = DAY // MINUTE, 30

    assert calls["install_and_active"] == ticks
    assert calls["list_inbox"] <= rounds_max
    assert calls["install"] <= 2 * rounds_max
    assert calls["write"] <= rounds_max + 1
    assert {event for event, _ in logged} == {"tick.done"}


def test_the_readme_shows_this_bill() -> None:
    """The table in the README is the one that is computed here."""
    assert TABLE.findall(README.read_text()) == [idle_table()]


def test_the_readme_counts_the_series_of_a_busy_month() -> None:
    """Each metric that work adds is a series more."""
    metrics = {metric for fields in COUNTED.values() for metric in fields}

    assert f"up to {len(metrics) - 1} more series" in README.read_text()


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda _: idle_table(), README.read_text()))
