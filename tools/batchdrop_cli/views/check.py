"""How a checked file is shown: what would be refused and why, the first requests as they would go, the estimate.

Rule: whatever comes from the file is shown as text, and cut where it is long.
"""

from rich.console import Console

from batchdrop_cli.jobs.check import Checked
from batchdrop_cli.views.console import show_heading, text
from batchdrop_cli.views.estimates import show_estimates

REQUEST_CHARS_MAX = 2_000


def show_checked(console: Console, checked: Checked, base_url: str) -> None:
    """Print what dropping the file would do."""
    sent = checked.items - checked.refused
    console.print(f"{checked.items:,} records: {sent:,} would be sent, {checked.refused:,} refused.")
    console.print(text(f"Read as {checked.read_as}."))
    if checked.refused:
        _show_refusals(console, checked)
    if checked.first_requests:
        show_heading(console, f"The first {len(checked.first_requests)} requests, as they would go")
    for line in checked.first_requests:
        shown = line.decode()
        console.print(
            text(shown if len(shown) <= REQUEST_CHARS_MAX else f"{shown[:REQUEST_CHARS_MAX]}…"), soft_wrap=True
        )
    if checked.quotes:
        show_heading(console, "What it may cost")
        show_estimates(console, checked.quotes, base_url)
    if checked.dedupes:
        console.print("The task says `dedupe: true`: what repeats is sent once a batch, so it may cost less.")
    console.print("Nothing was sent.")


def _show_refusals(console: Console, checked: Checked) -> None:
    show_heading(console, "What would be refused")
    for code, count in checked.reasons.most_common():
        console.print(text(f"{code}: {count:,}"))
    for refusal in checked.first_refusals:
        console.print(text(f"  record {refusal.row} ({refusal.name}): {refusal.failure.message}"), soft_wrap=True)
    rest = checked.refused - len(checked.first_refusals)
    if rest:
        console.print(f"  and {rest:,} more")
