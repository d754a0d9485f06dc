"""The pictures of a report: bars, histograms, and the curve of progress.

Rule: a picture is SVG in the page, and every figure in it also stands as text beside it.
"""

from collections.abc import Sequence
from typing import Final

from batchdrop.core.limits import DAY, HOUR, MINUTE
from batchdrop.core.markup import Html, element, joined

# More steps than this cannot be told apart on a screen.
POINTS_MAX: Final = 200
_WIDTH: Final = 1_000
_HEIGHT: Final = 100


def seconds_in_words(seconds: int) -> str:
    """Return a span of time in its two largest units."""
    if seconds < MINUTE:
        return f"{max(0, seconds)} s"
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"))
    size, unit = next((size, unit) for size, unit in units if seconds >= size)
    smaller = {DAY: (HOUR, "h"), HOUR: (MINUTE, "min"), MINUTE: (1, "s")}[size]
    whole, rest = divmod(seconds, size)
    return f"{whole} {unit}" + (f" {rest // smaller[0]} {smaller[1]}" if rest >= smaller[0] else "")


def bar(count: int, whole: int, *, is_bad: bool = False) -> Html:
    """Return a bar that is *count* of *whole* long."""
    share = f"{100 * count / whole:.2f}%" if whole else "0%"
    ground = element("rect", width="100%", height="100%", rx=3, class_="ground")
    filled = element("rect", width=share, height="100%", rx=3)
    return element("svg", ground, filled, class_="bar bad" if is_bad else "bar", aria_hidden="true")


def histogram(rows: Sequence[tuple[str, int]]) -> Html:
    """Return a bar for each label."""
    most = max((count for _, count in rows), default=0)
    lines = [
        element(
            "tr", element("td", label), element("td", bar(count, most)), element("td", f"{count:,}", class_="number")
        )
        for label, count in rows
    ]
    return element("table", element("tbody", *lines), class_="bars")


def curve(points: Sequence[tuple[int, int]], whole: int) -> Html:
    """Return a curve of steps: how many of *whole* were done after so many seconds. The points ascend."""
    span = max(1, points[-1][0])
    path = f"M0,{_HEIGHT}"
    for seconds, done in _thinned(points):
        x = round(_WIDTH * max(0, seconds) / span, 1)
        path += f"H{x}V{round(_HEIGHT - _HEIGHT * done / max(1, whole), 1)}"
    picture = element(
        "svg",
        element("path", d=f"{path}H{_WIDTH}V{_HEIGHT}Z", class_="area"),
        element("path", d=f"{path}H{_WIDTH}", class_="edge", vector_effect="non-scaling-stroke"),
        viewBox=f"0 -3 {_WIDTH} {_HEIGHT + 3}", preserveAspectRatio="none", class_="curve", aria_hidden="true",
    )  # fmt: skip
    shares = ((25, "a quarter"), (50, "half"), (75, "three quarters"), (100, "all"))
    reached = [(words, next((seconds for seconds, done in points if 100 * done >= share * whole), None))
               for share, words in shares]  # fmt: skip
    told = ", ".join(f"{words} after {seconds_in_words(seconds)}" for words, seconds in reached if seconds is not None)
    return joined(
        element("div", element("span", f"{whole:,} items"), class_="axis"),
        picture,
        element("div", element("span", "dropped"), element("span", seconds_in_words(span)), class_="axis"),
        element("p", f"Done: {told}.") if told else None,
    )


def _thinned(points: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Return at most POINTS_MAX of *points*, the last among them."""
    step = -(-len(points) // POINTS_MAX)
    return [*points[:-1:step], points[-1]]
