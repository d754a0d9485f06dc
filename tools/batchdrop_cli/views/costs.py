"""How costs are shown: a table for people, CSV for spreadsheets.

Rule: the CSV has every digit and no sums among its rows; what was left out is said beside both.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table

from batchdrop.core.delivery.receipt import number_of
from batchdrop.core.model.money import money, places_of
from batchdrop.core.model.wording import printable
from batchdrop.formats.csv_rows import disarmed
from batchdrop_cli.jobs.costs import INPUT_KINDS, Costs, Entry, Total, totals
from batchdrop_cli.views.console import new_table, text

ROWS_SHOWN_MAX = 100
COLUMNS = (
    "receipt", "job", "task", "file", "ended", "model", "input_tokens", "cached_input_tokens", "cache_write_tokens",
    "embedding_tokens", "output_tokens", "list_dollars", "dollars", "unknown",
)  # fmt: skip


def show_costs(console: Console, costs: Costs, month: str | None) -> None:
    """Print the latest jobs, the totals by model, and what is in none of it."""
    if not costs.entries:
        console.print(f"No job that ended{f' in {month}' if month else ''} has a receipt.")
    else:
        sums = totals(costs.entries)
        places = places_of(sums[-1].known)
        console.print(_entries_table(costs.entries[:ROWS_SHOWN_MAX], places))
        if len(costs.entries) > ROWS_SHOWN_MAX:
            console.print(f"and {len(costs.entries) - ROWS_SHOWN_MAX:,} older rows, which --csv has")
        console.print()
        console.print(_totals_table(sums, places))
    for line in left_out(costs):
        console.print(text(line))


def write_csv(target: TextIO, entries: Sequence[Entry]) -> None:
    """Write a row for each model of each job."""
    rows = csv.writer(target)
    rows.writerow(COLUMNS)
    for entry in entries:
        summary, tokens = entry.summary, entry.tokens
        dollars = ("", "") if entry.unknown else (f"{entry.list_dollars:f}", f"{entry.known:f}")
        rows.writerow([
            number_of(summary.job), summary.job, disarmed(summary.task), disarmed(summary.upload.key), summary.ended_at,
            disarmed(entry.model), tokens["input"], tokens["cached_input"], tokens["cache_write"], tokens["embedding"],
            tokens["output"], *dollars, entry.unknown,
        ])  # fmt: skip


def left_out(costs: Costs) -> Iterator[str]:
    """Yield what is in no sum."""
    if costs.running:
        yield f"Not over yet, and not counted: {costs.running:,} jobs."
    if costs.without_receipt:
        yield f"Without a receipt, from an older release: {costs.without_receipt:,} jobs."
    if costs.unreadable:
        yield f"Not readable: {len(costs.unreadable):,} summaries, the first is {printable(costs.unreadable[0])}."
    if not totals(costs.entries)[-1].is_complete:
        yield "What is unknown is in no sum; each job's receipt says what it is."


def _entries_table(entries: Sequence[Entry], places: int) -> Table:
    table = new_table("job", "task", "ended", "model", numbers=("tokens in", "cached", "tokens out", "US dollars"))
    table.add_column("unknown")
    for entry in entries:
        summary = entry.summary
        table.add_row(
            summary.job, text(summary.task), text(summary.ended_at), text(entry.model), *_counts(entry.tokens),
            money(entry.dollars, places), text(entry.unknown),
        )  # fmt: skip
    return table


def _totals_table(sums: Sequence[Total], places: int) -> Table:
    table = new_table("total", numbers=("jobs", "tokens in", "cached", "tokens out", "US dollars"))
    for total in sums:
        known = money(total.known, places) if total.known or total.is_complete else ""
        dollars = " and ".join(filter(None, [known, "" if total.is_complete else "unknown"]))
        table.add_row(
            text(total.model or "all", "" if total.model else "bold"),
            f"{total.jobs:,}",
            *_counts(total.tokens),
            dollars,
        )
    return table


def _counts(tokens: Counter[str]) -> tuple[str, str, str]:
    """Return tokens in, those of them that were cached, and tokens out."""
    taken = sum(tokens[kind] for kind in INPUT_KINDS)
    return f"{taken:,}", f"{tokens['cached_input']:,}", f"{tokens['output']:,}"
