"""Finds out how a CSV is read: its separator, its quoting, and where its header is.

Rule: the answer follows from the first bytes, the task's columns and what the task says of its files; from nothing else. It is
looked for once, before the first record is planned.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from typing import Final

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.reading import SEPARATORS, CsvOptions, Reading, canonical_name
from batchdrop.core.model.wording import listed

# Excel writes and heeds it (https://en.wikipedia.org/wiki/Delimiter-separated_values, read 2026-12-01).
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_BACKSLASH_QUOTE: Final = '\\"'
_ESCAPED: Final = re.compile(r'\\(["\\])')
_ROWS_LOOKED_AT: Final = 100
_HEADER_LINES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class _Try:
    """A separator that was tried: the rows as it cuts them, and whether a quote was out of place."""

    separator: str
    rows: Sequence[Sequence[str]]
    is_broken: bool

    @property
    def names(self) -> frozenset[str]:
        return frozenset(map(canonical_name, self.rows[0])) if self.rows else frozenset()

    def rank(self, columns: AbstractSet[str]) -> tuple[bool, bool, bool, float]:
        """Return how well it fits: the task's columns first, then a table of several columns whose rows have one width."""
        width = len(self.rows[0]) if self.rows else 0
        alike = sum(len(row) == width for row in self.rows)
        share = alike / max(1, len(self.rows)) if width > 1 else 0
        return columns <= self.names, width > 1, not self.is_broken, share


def csv_reading(
    start: bytes, extension: str, columns: AbstractSet[str], options: CsvOptions | None, *, is_whole: bool
) -> Reading:
    """Return how the CSV that begins with *start* is read, of whose columns the task names *columns*.

    Raises UploadRejected(`header_elsewhere`) where the header seems to be further down.
    """
    options = options or CsvOptions()
    prefers = "," if extension in ("csv", "txt") else "\t"
    lines = start if is_whole else start[: start.rfind(b"\n") + 1]
    text = lines.decode(errors="replace").removeprefix("\ufeff")
    named = _SEPARATOR_LINE.match(text)
    lines_before = max(options.header - 1, 0) or int(named is not None)
    asked = options.separator or (named[1] if named else "")
    body = "".join(islice(_lines(text), lines_before, None))
    separators = [asked] if asked else sorted(SEPARATORS, key=lambda separator: separator != prefers)
    tries = [_tried(body, separator, escape=options.escape) for separator in separators]
    best = max(tries, key=lambda one: one.rank(columns))
    escape = options.escape
    if not escape and _BACKSLASH_QUOTE in body:
        escaped = max((_tried(body, one, escape="\\") for one in separators), key=lambda one: one.rank(columns))
        if escaped.rank(columns) > best.rank(columns):
            best, escape = escaped, "\\"
    if not options.header and columns and not columns <= best.names:
        _look_further_down(text, columns, separators)
    return Reading(separator=best.separator, escape=escape, lines_before=lines_before)


def unescaped(text: str) -> str:
    """Return *text* of a file that escapes by backslashes as a file has it that doubles its quotes."""
    return _ESCAPED.sub(lambda found: '""' if found[1] == '"' else "\\", text) if "\\" in text else text


def _tried(text: str, separator: str, *, escape: str) -> _Try:
    rows: list[list[str]] = []
    lines = _lines(text)
    reader = csv.reader(map(unescaped, lines) if escape else lines, delimiter=separator, strict=True)
    try:
        rows.extend(row for row in islice(reader, _ROWS_LOOKED_AT) if any(row))
    except csv.Error as error:
        return _Try(separator, rows or [[]], "unexpected end" not in str(error))
    return _Try(separator, rows, is_broken=False)


def _lines(text: str) -> Iterator[str]:
    """Return the lines of *text* with their line feeds; nothing else ends a line."""
    return iter(io.StringIO(text, newline="\n"))


def _look_further_down(text: str, columns: AbstractSet[str], separators: Sequence[str]) -> None:
    """Raise UploadRejected where one of the first lines but the first has all *columns*."""
    for number, line in enumerate(islice(_lines(text), _HEADER_LINES_MAX), 1):
        if any(columns <= frozenset(map(canonical_name, _fields(line, separator))) for separator in separators):
            if number > 1:
                raise UploadRejected(
                    "header_elsewhere",
                    f"line 1 of the CSV lacks {listed(sorted(columns))}, and line {number} has them. If that is the header, say "
                    f"so in the task: `csv: {{header: {number}}}`. Otherwise remove the lines above it",
                )
            return


def _fields(line: str, separator: str) -> Iterator[str]:
    try:
        yield from next(csv.reader((line,), delimiter=separator), [])
    except csv.Error:
        return
