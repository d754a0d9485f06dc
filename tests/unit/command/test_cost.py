"""What a deployment costs a month: the model's counts are counted here. Run this file to write the tables of docs/cost.md again.

Calls are counted in the flows, series and lines in what they log, alarms and queues in the template.
"""

import io
import re
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics
from click.testing import CliRunner
from fakes.memory import MemoryWakeups
from fakes.metered import MeteredLedger
from fakes.scaled import LIMITS, Scaled
from fakes.spool import SpoolStorage, Table
from fakes.world import World

from batchdrop.core.model.job import ItemAccess
from batchdrop.core.model.limits import DAY, MINUTE
from batchdrop.core.operations.metrics import COUNTED, NAMESPACE, counted
from batchdrop.edge.aws.telemetry import PowertoolsLog
from batchdrop_cli.aws import cost_model
from batchdrop_cli.aws.cost_model import BillLine, DropSize, Month, RequestKind, idle_lines, requests, total, work_lines
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import parse
from batchdrop_cli.main import main

PAGE = REPOSITORY / "docs/cost.md"
MILLION = 1_000_000
# CloudWatch Logs counts 26 bytes besides each line (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatchLogsConcepts.html);
# Lambda itself logs about 1,000 bytes of an invocation.
LINE_BYTES, PLATFORM_BYTES = 26, 1_000
IDLE, WORK = (re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL) for name in ("idle", "work"))


class Looked(MemoryWakeups):
    """Counts how often the queue is looked at."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def count_submissions(self) -> int:
        """Return how many messages wait."""
        self._counts["looks"] += 1
        return super().count_submissions()


@cache
def idle_day(folder: Path) -> tuple[Counter[str], list[tuple[str, dict[str, Any]]]]:
    """Return what is counted, and the log lines, of a day in which nothing is dropped."""
    world = World()
    storage = SpoolStorage(folder)
    ledger = MeteredLedger(world.ledger, storage.counts)
    world.storage, world.ledger = storage, ledger  # type: ignore[assignment]  # they count, and hand on
    world.wakeups = Looked(storage.counts)
    for _ in range(DAY // MINUTE):
        world.tick()
    return storage.counts, [(event, fields) for _, event, fields in world.log.lines]


def tick_bytes(fields: dict[str, Any]) -> int:
    """Return what an idle round writes into its log group."""
    lines, metrics = io.StringIO(), io.StringIO()
    with redirect_stdout(metrics):
        PowertoolsLog(Logger(service="poll", stream=lines), Metrics(namespace=NAMESPACE, service="batchdrop")).info(
            "tick.done", **fields
        )
    written = [*lines.getvalue().splitlines(), *metrics.getvalue().splitlines()]
    return sum(len(line) + LINE_BYTES for line in written) + PLATFORM_BYTES


def table(lines: list[BillLine], heading: str) -> str:
    """Return a bill as a Markdown table."""
    rows = [f"| {line.what} | {line.count} | ${line.dollars:.2f} |" for line in lines]
    head = [f"| {heading} | how much | list price |", "|---|---|---|"]
    return "\n".join([*head, *rows, f"| together | | ${sum(line.dollars for line in lines):.2f} |"]) + "\n"


def idle_table() -> str:
    """Return the bill of an idle month."""
    return table(list(idle_lines()), "idle, a month")


def work_table() -> str:
    """Return what a million items cost beside it, one column for each way to read them."""
    bills = {access: list(work_lines(Month(MILLION, access))) for access in ItemAccess}
    columns = " | ".join(f"`items: {access}`" for access in bills)
    rows = [
        f"| {lines[0].what} | " + " | ".join(f"${line.dollars:.2f}" for line in lines) + " |"
        for lines in zip(*bills.values(), strict=True)
    ]
    totals = " | ".join(f"${sum(line.dollars for line in lines):.2f}" for lines in bills.values())
    head = [f"| a million items of 2 KB, a month | {columns} |", "|---|" + "---|" * len(bills)]
    return "\n".join([*head, *rows, f"| together | {totals} |"]) + "\n"


def test_idle_costs_less_than_three_dollars_a_month() -> None:
    """Whoever forgets a deployment is not reminded by the bill."""
    assert total(idle_lines()) < 3


@pytest.mark.parametrize(("access", "most"), [(ItemAccess.OBJECTS, 7), (ItemAccess.INDEX, 2), (ItemAccess.NONE, 2)])
def test_a_million_items_cost_what_was_promised(access: ItemAccess, most: int) -> None:
    """In one file or in many, under way for hours or for a day; with a key of one's own, a dollar and a little more."""
    for drops, hours in ((1, 24.0), (30, 4.0), (1_000, 1.0)):
        month = Month(MILLION, access, drops=drops, hours=hours)
        with_key = Month(MILLION, access, drops=drops, hours=hours, has_own_key=True)

        assert total(work_lines(month)) < most
        assert 1 < total(work_lines(with_key)) - total(work_lines(month)) < 1.25


def test_an_idle_day_is_what_the_model_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One half read a round; each hour a look through the inbox, and the provider never."""
    counts, logged = idle_day(tmp_path_factory.getbasetemp())
    ticks = DAY // MINUTE
    (ticked, *_) = [fields for event, fields in logged if event == "tick.done"]

    assert {event for event, _ in logged} == {"tick.done"}
    assert counts["LIST"] == counts["looks"] == cost_model.IDLE_DAY_LISTS
    assert counts["ledger half reads"] <= ticks * cost_model.IDLE_HALF_READS + 2 * cost_model.IDLE_DAY_READS + 4
    assert counts["ledger writes"] == pytest.approx(2 * cost_model.IDLE_DAY_WRITES, abs=4)
    assert tick_bytes(ticked) == pytest.approx(cost_model.IDLE_TICK_LOG_BYTES, rel=0.1)
    assert len({metric for event, fields in logged for metric in counted(event, fields)}) == cost_model.IDLE_SERIES


def test_the_template_is_what_the_model_says() -> None:
    """Alarms, and the memory of each function."""
    resources = parse((REPOSITORY / "template.yaml").read_text())["Resources"]
    types = [resource["Type"] for resource in resources.values()]
    memory = {name: resources[name.title()]["Properties"]["MemorySize"] / 1_000 for name in cost_model.MEMORY_GIGABYTES}

    assert types.count("AWS::CloudWatch::Alarm") == cost_model.ALARMS
    assert memory == pytest.approx(cost_model.MEMORY_GIGABYTES, rel=0.03)


@pytest.mark.parametrize(
    ("items", "access", "shard_requests_max"),
    [(6_000, ItemAccess.OBJECTS, 50_000), (4_000, ItemAccess.INDEX, 50_000), (4_000, ItemAccess.NONE, 2_000)],
)
def test_a_drop_takes_what_the_model_says(
    items: int, access: ItemAccess, shard_requests_max: int, tmp_path: Path
) -> None:
    """As the flows ask, within a seventh, the bytes that stay too; what is read with each round depends on how many there are."""
    scaled = Scaled(tmp_path, items, access, limits=replace(LIMITS, shard_requests_max=shard_requests_max))
    drop = DropSize(items, access, Table.ROW_BYTES, scaled.provider.answer_bytes)
    shards = -(-items // shard_requests_max)

    scaled.run()
    expected = requests(drop, shards)

    assert scaled.job().shards == shards
    for kind, count in expected.items():
        assert scaled.counts[kind] == pytest.approx(count, rel=0.5 if kind is RequestKind.HALF_READ else 0.15), kind
    assert scaled.storage.stored_bytes.total() + drop.upload_bytes == pytest.approx(drop.stored_bytes, rel=0.1)


def test_the_readme_shows_this_bill() -> None:
    """The tables in docs/cost.md are those that are computed here."""
    assert IDLE.findall(PAGE.read_text()) == [idle_table()]
    assert WORK.findall(PAGE.read_text()) == [work_table()]


def test_the_readme_counts_the_series_of_a_busy_month() -> None:
    """Each metric that work adds is a series more."""
    metrics = {metric for fields in COUNTED.values() for metric in fields}

    assert f"up to {len(metrics) - 1} more series" in PAGE.read_text()


def test_the_command_shows_both_bills() -> None:
    """Without an account or a network, and nothing for work where there is none."""
    busy = CliRunner().invoke(main, ["cost-model", "1000000", "--items", "index", "--own-kms-key"])
    idle = CliRunner().invoke(main, ["cost-model", "0"])

    assert "KMS, a key of your own" in busy.output
    assert f"${total(idle_lines()):.2f}" in busy.output
    assert "PUT" not in idle.output


if __name__ == "__main__":
    written = IDLE.sub(lambda _: idle_table(), PAGE.read_text())
    PAGE.write_text(WORK.sub(lambda _: work_table(), written))
