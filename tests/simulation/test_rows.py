"""Suite 10: the table of what a provider may do for good, row by row."""

import pytest
from simulation.rows import ROWS, Row, play


@pytest.mark.parametrize("row", [pytest.param(row, id=row.run) for row in ROWS])
def test_a_row_of_the_table_keeps_its_bounds(row: Row) -> None:
    """Every item ends as the row says, in its time; nothing is asked in a loop, and people are told."""
    figures = play(row)

    assert not figures.findings, figures
