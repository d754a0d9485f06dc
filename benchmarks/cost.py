"""What a month costs by the cost model: `python benchmarks/cost.py`.

Rule: nothing is measured here. The model's counts are held to what production code asks for by a test, its seconds by `scale.py`,
and its prices are AWS's lists as they were quoted.
"""

import sys
from collections.abc import Sequence
from typing import Final

from table import Row, at_most, print_rows

from batchdrop.core.model.job import ItemAccess
from batchdrop_cli.aws.cost_model import Month, idle_lines, total, work_lines

ITEMS: Final = 1_000_000
OBJECTS_DOLLARS_MAX: Final = 7.0
INDEX_DOLLARS_MAX: Final = 2.0
IDLE_DOLLARS_MAX: Final = 3.0


def measure() -> Sequence[Row]:
    """Return what a million items of a month cost, and a month without any."""
    objects, index = (total(work_lines(Month(ITEMS, access))) for access in (ItemAccess.OBJECTS, ItemAccess.INDEX))
    idle = total(idle_lines())
    what = "a month of a million items"
    return [
        at_most(f"cost: {what}, an object for each", objects, OBJECTS_DOLLARS_MAX, "$"),
        at_most(f"cost: {what}, with an index", index, INDEX_DOLLARS_MAX, "$"),
        at_most("cost: a month in which nothing is dropped", idle, IDLE_DOLLARS_MAX, "$", "on top of the others"),
    ]


if __name__ == "__main__":
    sys.exit(print_rows(measure()))
