"""The index of outcomes: what is written, and that another reader finds it as the page says."""

import random
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from batchdrop.core.collection.outcome_index import RECORD_BYTES, OutcomeIndex, Place, Window, likely_window, places

PAGE = Path(__file__).parents[3] / "docs" / "schemas" / "outcomes-index.md"


def index_of(names: list[str]) -> bytes:
    """The index of lines of ten bytes each, one a name."""
    index = OutcomeIndex()
    for number, name in enumerate(names):
        index.add(name, 11 * number, 10)
    return b"".join(index.sorted_pieces())


@pytest.mark.parametrize("count", [1, 2, 300, 50_000])
def test_each_name_is_found_in_one_short_range(count: int) -> None:
    """Whatever the number of items, the place of each follows from its name, and one range of a few records shows it."""
    content = index_of([f"r{number}" for number in range(count)])
    looked_for = range(0, count, 1 + count // 500)

    ranges = [likely_window(f"r{number}", len(content)) for number in looked_for]

    found = [
        places(f"r{number}", content[window.start : window.end], window, len(content))
        for number, window in zip(looked_for, ranges, strict=True)
    ]
    assert found == [[Place(11 * number, 10)] for number in looked_for]
    assert len(content) == RECORD_BYTES * count
    assert max(window.end - window.start for window in ranges) <= RECORD_BYTES * (8 * count**0.5 + 64)


def test_a_name_that_is_not_there_is_known_to_be_none() -> None:
    """A miss within the range is an answer, an empty index too."""
    content = index_of([f"r{number}" for number in range(1_000)])
    window = likely_window("x", len(content))

    assert places("x", content[window.start : window.end], window, len(content)) == []
    assert places("x", b"", likely_window("x", 0), 0) == []


def test_a_range_that_does_not_reach_the_place_says_so() -> None:
    """Bad luck is told from a name that is not there; the whole index then answers."""
    content = index_of([f"r{number}" for number in range(1_000)])
    first, whole = Window(0, RECORD_BYTES), Window(0, len(content))
    number = next(number for number in range(1_000) if likely_window(f"r{number}", len(content)).start)

    assert places(f"r{number}", content[:RECORD_BYTES], first, len(content)) is None
    assert places(f"r{number}", content, whole, len(content)) == [Place(11 * number, 10)]


def test_names_whose_digests_collide_are_all_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader looks at the lines: no item hides another."""
    monkeypatch.setattr("batchdrop.core.collection.outcome_index._digest", lambda _name: b"\0" * 8)
    content = index_of(["a", "b"])

    assert places("a", content, Window(0, len(content)), len(content)) == [Place(0, 10), Place(11, 10)]


def test_the_same_outcomes_give_the_same_bytes() -> None:
    """Merging twice changes nothing."""
    names = [f"r{number}" for number in range(500)]

    assert index_of(names) == index_of(names)


def test_an_index_takes_a_few_bytes_an_item() -> None:
    """A million items fit into a function beside all else: at most 64 bytes each, while it is written too."""
    count = 50_000
    names = [f"{number:09d}" for number in range(count)]
    tracemalloc.start()
    try:
        index = OutcomeIndex()
        for name in names:
            index.add(name, 1 << 40, 10)
        for _ in index.sorted_pieces():
            pass
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes <= 64 * count


def test_the_reader_of_the_page_finds_every_item() -> None:
    """Whoever copies the code of the page reads what we write."""
    code = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    reader: dict[str, Any] = {}
    exec(code[0], reader)  # noqa: S102 - the page is ours
    names = [f"{random.Random(number).random()}" for number in range(2_000)]  # noqa: S311 - names, not secrets
    lines = [b'{"name":"%s"}' % name.encode() for name in names]
    index, offset = OutcomeIndex(), 0
    for name, line in zip(names, lines, strict=True):
        index.add(name, offset, len(line))
        offset += len(line) + 1
    files = {"outcomes.index": b"".join(index.sorted_pieces()), "outcomes.jsonl": b"\n".join(lines) + b"\n"}

    found = [
        reader["find"](name, lambda key: len(files[key]), lambda key, start, end: files[key][start:end])
        for name in names
    ]

    assert [outcome["name"] for outcome in found] == names
    assert reader["find"]("x", lambda _key: 0, lambda _key, _start, _end: b"") is None
