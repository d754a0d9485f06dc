"""What a benchmark says: rows with a goal, a figure and whether the one meets the other.

Rule: each benchmark has a function `measure() -> Sequence[Row]`, which prints nothing, and the same rows are printed by it alone
and gathered by all of them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. *met* is None where there is no goal, and *goal* is then empty."""

    name: str
    goal: str
    figure: float
    unit: str
    detail: str = ""
    met: bool | None = None


def at_most(name: str, figure: float, limit: float, unit: str, detail: str = "") -> Row:
    """Return a row that is met up to *limit*."""
    return Row(name, f"≤ {shown(limit, unit)}", figure, unit, detail, figure <= limit)


def at_least(name: str, figure: float, limit: float, unit: str, detail: str = "") -> Row:
    """Return a row that is met from *limit* on."""
    return Row(name, f"≥ {shown(limit, unit)}", figure, unit, detail, figure >= limit)


def shown(figure: float, unit: str) -> str:
    """Return a figure with its unit and about three digits; a share (`%`) is given as a fraction of one, a count has no unit."""
    if unit == "%":
        return f"{figure:.1%}" if figure < 0.1 else f"{figure:.0%}"  # noqa: PLR2004  a digit more where shares are small
    if not unit:
        return f"{figure:,.0f}"
    digits = 0 if abs(figure) >= 100 else 1 if abs(figure) >= 10 else 2  # noqa: PLR2004  so that three are left
    return f"{figure:,.{digits}f} {unit}"


def print_rows(rows: Sequence[Row]) -> int:
    """Print *rows*, each with its goal, and return an exit status: 0 where every goal is met."""
    for row in rows:
        verdict = {None: "", True: f"goal {row.goal}: met", False: f"goal {row.goal}: NOT MET"}[row.met]
        print(
            f"{row.name:<58} {shown(row.figure, row.unit):>14}  {verdict}{'  ' if verdict else ''}{row.detail}".rstrip()
        )
    return 0 if all(row.met is not False for row in rows) else 1
