"""What `doctor`, `verify-provider` and `verify-aws` found, a line each."""

from collections.abc import Iterable, Sequence

from rich.console import Console

from batchdrop_cli.doctor.finding import Finding
from batchdrop_cli.verify.seen import Seen, SeenVerdict
from batchdrop_cli.views.console import text

SUBJECT_COLUMNS = 13
VERDICT_COLUMNS, ASSUMPTION_COLUMNS = 8, 78


def show_finding(console: Console, finding: Finding) -> None:
    """Print what was found of one subject, and below it what to do."""
    mark = text("do", "bold red") if finding.advice else text("ok", "green")
    console.print(mark, text(f"{finding.subject:<{SUBJECT_COLUMNS}}"), text(finding.seen), soft_wrap=True)
    if finding.advice:
        console.print("   " + " " * SUBJECT_COLUMNS, text(finding.advice, "yellow"), soft_wrap=True)


def show_seen(console: Console, seen: Seen) -> None:
    """Print a row of the table of assumptions, as soon as it was looked at."""
    style = {"holds": "green", "breached": "bold red"}.get(seen.verdict, "yellow")
    row = f"{seen.verdict:<{VERDICT_COLUMNS}}"
    console.print(
        text(row, style), text(f"{seen.assumption:<{ASSUMPTION_COLUMNS}}"), text(seen.seen), sep="  ", soft_wrap=True
    )


def show_each(console: Console, found: Iterable[Seen]) -> list[Seen]:
    """Print each row as soon as it was looked at, and return all of them."""
    seen = []
    for one in found:
        show_seen(console, one)
        seen.append(one)
    return seen


def show_verdicts(console: Console, subject: str, found: Sequence[Seen]) -> bool:
    """Print how many assumptions about *subject* ended in each verdict, and return whether all hold."""
    counts = {verdict: sum(seen.verdict is verdict for seen in found) for verdict in SeenVerdict}
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    console.print(text(f"{subject}: {words}."), soft_wrap=True)
    return counts[SeenVerdict.HOLDS] == len(found)
