"""The page about servers is what the table says, and each of its fields says what it rests on.

`python tests/unit/model/test_dialects_page.py` writes the page anew.
"""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from batchdrop.core.model.dialect_sources import AS_OPENAI, SOURCES, UNSOURCED, dialects_table, source_of
from batchdrop.core.model.dialects import DIALECTS, OPENAI, Dialect

PATH = Path(__file__).parents[3] / "docs" / "dialects.md"
TABLE = re.compile(r"(?<=<!-- dialects -->\n).*?(?=<!-- /dialects -->)", re.DOTALL)
FIELDS = [field.name for field in fields(Dialect) if field.name not in UNSOURCED]
ROWS = tuple(DIALECTS.values())


def page() -> str:
    """The page as it is to be."""
    return TABLE.sub(lambda _: dialects_table(), PATH.read_text())


def test_the_page_is_current() -> None:
    """What people read is what runs."""
    assert PATH.read_text() == page()


def test_every_field_of_the_first_row_has_its_source() -> None:
    """The others may lean on it."""
    assert [name for name in FIELDS if source_of(OPENAI, name) is AS_OPENAI] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_differs_from_openai_is_never_said_to_be_as_openais(row: Dialect) -> None:
    """Each difference has a source of its own; and no source is of a field that there is not."""
    assert set(SOURCES[row.name]) <= set(FIELDS)
    for name in FIELDS:
        if getattr(row, name) != getattr(OPENAI, name):
            assert name in SOURCES[row.name], name


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_source_can_be_looked_up(row: Dialect) -> None:
    """A link and a day where something was read, a reason where nothing was."""
    for name in FIELDS:
        source = source_of(row, name)
        if source.kind == "assumed":
            assert (bool(source.note), source.link) == (True, ""), name
        else:
            assert source.link.startswith("https://"), name
            assert re.fullmatch(r"2026-\d\d-\d\d", source.read), name


def test_the_fence_is_known_of_nobody_by_assumption_but_openai() -> None:
    """There the promise says that it is assumed, and a command asks for it; anywhere else it must be documented."""
    assumed = [row.name for row in ROWS if row.is_fence_known and source_of(row, "is_fence_known").kind != "documented"]

    assert assumed == ["openai"]


def test_a_price_is_known_of_nobody_by_assumption() -> None:
    """An assumed price would be an assumed bill."""
    known = [row for row in ROWS if row.batch_price is not None]

    assert [source_of(row, "batch_price").kind for row in known] == ["documented"] * len(known)


if __name__ == "__main__":
    PATH.write_text(page())
