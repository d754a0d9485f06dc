"""Reads and writes CSV: a header, then one record a row; quoted fields may hold line ends.

Rule: rows are given back as they came, byte for byte, and answer columns are added behind them. Text that a spreadsheet would
run as a formula is disarmed in the answer columns, never in the user's own.
"""

import codecs
import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import BinaryIO, Self

import msgspec

from batchdrop.core.model.errors import ItemRefused, UploadRejected
from batchdrop.core.model.outcomes import Outcome
from batchdrop.core.model.reading import AS_EVER, Reading, canonical_name
from batchdrop.core.model.reasons import Reason
from batchdrop.formats.csv_fields import fields_of_line
from batchdrop.formats.csv_reading import unescaped
from batchdrop.formats.encodings import ENCODING_ADVICE
from batchdrop.formats.json_text import NULL, free_name
from batchdrop.formats.records import (
    NO_HEADER,
    RUN_BYTES,
    RUN_RECORDS,
    Columns,
    Header,
    JsonValue,
    Record,
    Skipped,
    check_blanks,
)

# As many as a sheet of Excel or LibreOffice has.
COLUMNS_MAX = 16_384
_BLANK_LINES = frozenset({b"\n", b"\r\n"})
_ANSWER_COLUMNS = ("output", "status", "error")
# https://owasp.org/www-community/attacks/CSV_Injection (2026-11-22), and the full-width forms of the same signs.
_FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - the full-width forms are meant
_PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INNER_FORMULA = re.compile(r"(?P<separator>[;\t|\r\n])(?P<cell>[=+\-@＝＋－＠][^;\t|\r\n]*)")  # noqa: RUF001 - as above
_SIGNS_SEARCHED_MAX = 50
_QUOTED = re.compile(rb'(?:\A|[,\n])(?P<open>"(?:[^"]++|"")*+)(?P<close>"?)')
_FIELD_ENDS = (b"", b",", b"\r", b"\n")
_ESCAPED = re.compile(rb'\\["\\]')
_QUOTE_ADVICE = 'a quote inside of a quoted field is written twice ("")'
_LINE_END_ADVICE = "it has a carriage return without a line feed; save the file with the line ends of Windows or Unix"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class CsvRows:
    """The format of `.csv`: UTF-8, LF or CRLF, with or without a byte order mark; separator and quoting as found."""

    record_bytes_max: int
    field_chars_max: int
    extension: str = "csv"
    reading: Reading = AS_EVER
    header: Header = NO_HEADER

    def open(self, stream: BinaryIO) -> Self:
        """Return the format of the upload in *stream*, which is at its first byte. Raises UploadRejected as `read_header`."""
        return replace(self, header=self.read_header(stream))

    def read_header(self, stream: BinaryIO) -> Header:
        """Return the columns; none in an empty file. Raises UploadRejected where there are too many."""
        reader, above = _RowReader(self, stream, _Place(0, line=1)), b""
        for _ in range(self.reading.lines_before):
            line = stream.readline(self.record_bytes_max + 1)
            reader.place.skip(line)
            above += line
        while line := stream.readline(self.record_bytes_max + 1):
            if line in _BLANK_LINES:
                check_blanks(0, reader.place.skip(line), self.record_bytes_max)
                continue
            raw, fields = reader.careful_row(line)
            if fields:
                columns, repeated = _columns(fields)
                return Header(reader.place.offset, above + raw, columns, _line_end(raw), tuple(fields), repeated)
        return Header(0)

    def read_runs(
        self, stream: BinaryIO, offset: int, row: int, skipped: Skipped | None = None
    ) -> Iterator[list[Record]]:
        """Yield the rows. A row with too few or too many fields has a problem.

        Blank lines, rows without any value, and the header again aren't records.
        """
        if not self.header.columns:
            return iter(())  # nothing but blank lines
        known_line = self.header.head.count(b"\n") + 1 if offset == self.header.body_start else None
        return _runs(
            self, stream, _Place(offset, known_line), row, header=self.header.fields, skipped=skipped or Skipped()
        )

    def decode(self, record: Record) -> JsonValue:
        """Return the row as an object by column; every value is text. Raises ItemRefused(`ragged_row`)."""
        if record.problem:
            raise ItemRefused(record.problem.code, record.problem.message)
        return {name: field for name, field in zip(self.header.columns, record.fields, strict=True)}  # noqa: C416  `dict` takes twice as long

    def columns(self, records: Sequence[Record], names: Collection[str]) -> Columns | None:
        """Return all columns, or None where a row does not fit the header."""
        del names  # all of them are there, or planning would not have begun
        if any([record.problem for record in records]):  # noqa: C419  `any` over a generator takes three times as long
            return None
        return dict(zip(self.header.columns, zip(*[record.fields for record in records], strict=True), strict=True))

    def json_text(self, record: Record, *, is_valid: bool = False) -> bytes:
        """Return the row as JSON, or `null` where its fields do not fit the header."""
        del is_valid
        return NULL if record.problem else _encode(dict(zip(self.header.columns, record.fields, strict=True)))

    def result_head(self) -> bytes:
        """Return the header with the answer columns; nothing for an empty file."""
        if not self.header.columns:
            return self.header.head
        taken = frozenset(self.header.columns)
        names = [free_name(name, taken) for name in _ANSWER_COLUMNS]
        return _without_line_end(self.header.head) + _cells(self.reading).joined(("", *names)) + self.header.line_end

    def result(self, record: Record, outcome: Outcome, *, is_first: bool) -> bytes:
        """Return the row as it came, then its answer.

        A row that does not fit the header is filled up to it, or has in its last column what would be behind that.
        """
        del is_first
        cells = _cells(self.reading)
        row = _without_line_end(record.raw)
        if record.problem:
            own = len(self.header.columns) - 1
            last = self.reading.separator.join(record.fields[own:])
            row = cells.joined((*(*record.fields, *[""] * own)[:own], last))
        return b"".join((row, cells.answer(outcome), self.header.line_end))

    def result_tail(self) -> bytes:
        """Return nothing."""
        return b""

    def failure_head(self) -> bytes:
        """Return the header as it came."""
        return self.header.head

    def failure(self, record: Record, *, is_first: bool) -> bytes:
        """Return the row as it came."""
        del is_first
        return record.raw

    def failure_tail(self) -> bytes:
        """Return nothing."""
        return b""


@dataclass(slots=True)
class _Place:
    """Where reading is: the byte, and the line if it is known (reading may have begun in the middle)."""

    offset: int
    line: int | None

    def skip(self, line: bytes) -> int:
        """Move behind *line* and return the byte there."""
        self.offset += len(line)
        if self.line:
            self.line += 1
        return self.offset

    def __str__(self) -> str:
        return f"line {self.line} (byte {self.offset})" if self.line else f"byte {self.offset}"


def _runs(
    limits: CsvRows, stream: BinaryIO, place: _Place, row: int, *, header: tuple[str, ...], skipped: Skipped
) -> Iterator[list[Record]]:
    """Yield the rows with the bytes that each came from. *place* is the position of *stream*.

    A row has a problem where it has not as many fields as the *header*.
    """
    width, first, separator, is_escaped = len(header), header[0], limits.reading.separator, bool(limits.reading.escape)
    line_bytes_max = min(limits.record_bytes_max, limits.field_chars_max)
    readline, reader = stream.readline, _RowReader(limits, stream, place)
    start, offset, filled, lines, run = place.offset, place.offset, place.offset, 0, list[Record]()
    blanks_max = limits.record_bytes_max
    while offset - filled <= blanks_max and (
        line := reader.unread.pop() if reader.unread else readline(limits.record_bytes_max + 1)
    ):
        raw = line
        try:
            text = unescaped(line.decode()) if is_escaped else line.decode()
            fields = fields_of_line(text, separator) if len(line) <= line_bytes_max else None
        except UnicodeDecodeError:
            fields = None
        if fields is None:
            reader.place = _Place(offset, place.line and place.line + lines)
            try:
                raw, fields = reader.row(line)
            except UploadRejected:
                if run:
                    yield run
                raise
            lines += raw.count(b"\n") - 1
        lines += 1
        end = offset + len(raw)
        if fields and (not "!" <= fields[0] <= "~" or fields[0] == first):  # hardly ever
            fields = _record_fields(raw, fields, offset, header, skipped)
        if fields:
            row += 1
            record = Record(row, offset, end, raw, fields)
            run.append(record if len(fields) == width else _ragged(record, width))
            filled = end
            if len(run) == RUN_RECORDS or end - start >= RUN_BYTES:
                yield run
                start, run = end, []
        offset = end
    if run:
        yield run
    check_blanks(filled, offset, blanks_max)


def _record_fields(raw: bytes, fields: list[str], offset: int, header: tuple[str, ...], skipped: Skipped) -> list[str]:
    """Return the *fields* of the row at *offset*, without a mark before them; none where it isn't a record, which is noted."""
    first, *rest = fields
    is_marked = raw.startswith(codecs.BOM_UTF8)  # files that were put together have a mark in the middle
    unmarked = [first.removeprefix("\ufeff"), *rest] if is_marked else fields
    if not any(map(str.strip, unmarked)):
        skipped.blank.append(offset)
        return []
    if tuple(unmarked) == header and rest:  # a single column may hold its own name
        skipped.headers.append(offset)
        return []
    return unmarked


class _RowReader:
    """Reads single rows that are more than a plain line. It knows its position and says what is wrong and where."""

    def __init__(self, limits: CsvRows, stream: BinaryIO, place: _Place) -> None:
        # The limit is the process's own; all readers of one process ask for the same.
        csv.field_size_limit(limits.field_chars_max)
        self.place = place
        self._limits, self._stream = limits, stream
        self._separator, self._is_escaped = limits.reading.separator, bool(limits.reading.escape)
        self._line_bytes_max = min(limits.record_bytes_max, limits.field_chars_max)
        self._lines: list[bytes] = []
        self.unread: list[bytes] = []  # lines that come before the stream, the next one last

    def row(self, line: bytes) -> tuple[bytes, list[str]]:
        """Return the row that begins with *line*, as it came and as fields; *stream* continues behind it.

        Raises UploadRejected.
        """
        return self._joined_row(line) or self.careful_row(line)

    def _joined_row(self, line: bytes) -> tuple[bytes, list[str]] | None:
        """Return the row made of *line* and of those that belong to it by their quotes; None where csv.reader has to look."""
        is_open, lines, size_bytes = self._is_odd(line), [line], len(line)
        if not is_open:
            return None
        while is_open and size_bytes <= self._line_bytes_max and (following := self._next_line()):
            is_open ^= self._is_odd(following)
            lines.append(following)
            size_bytes += len(following)
        raw = b"".join(lines)
        try:
            fields = (
                None
                if is_open or size_bytes > self._line_bytes_max
                else fields_of_line(self._plain(raw.decode()), self._separator)
            )
        except UnicodeDecodeError:
            fields = None
        if fields is None:
            self.unread += lines[:0:-1]
            return None
        return raw, fields

    def _is_odd(self, line: bytes) -> bool:
        """Whether *line* opens or closes a quoted field that other lines belong to."""
        return (_ESCAPED.sub(b"", line) if self._is_escaped else line).count(b'"') % 2 == 1

    def _next_line(self) -> bytes:
        return self.unread.pop() if self.unread else self._stream.readline(self._limits.record_bytes_max + 1)

    def careful_row(self, line: bytes) -> tuple[bytes, list[str]]:
        """Let csv.reader read the row: it asks for no line ahead, so the lines that it asked for are this row.

        The place is behind it then. Raises UploadRejected.
        """
        self._lines.clear()
        self.unread.append(line)
        try:
            fields = next(csv.reader(self._texts(), delimiter=self._separator, strict=True), [])
        except csv.Error as error:
            raise _broken(error, self._lines, self.place, self._limits.field_chars_max) from error
        return b"".join(self._lines), fields

    def _texts(self) -> Iterator[str]:
        """Yield the lines as text; their bytes are kept, and the place goes with them."""
        limit, size_bytes = self._limits.record_bytes_max, 0
        while line := self._next_line():
            size_bytes += len(line)
            if size_bytes > limit:
                raise self._too_large()
            text = self._text(line)
            self._lines.append(line)
            self.place.skip(line)
            yield text

    def _too_large(self) -> UploadRejected:
        limit = self._limits.record_bytes_max
        start, opened = _start(self._lines, self.place), _opening_quote(self._lines, self.place)
        return UploadRejected(
            "record_too_large",
            f"the row that starts at {start} is longer than {limit:,} bytes, the limit for one record "
            f"(record_bytes_max); {_unclosed(opened)}",
        )

    def _text(self, line: bytes) -> str:
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            where = _Place(self.place.offset + error.start, self.place.line)
            raise UploadRejected("not_utf8", f"the CSV is not UTF-8 at {where}: {ENCODING_ADVICE}") from error
        return self._plain(text if self._lines else text.removeprefix("\ufeff"))

    def _plain(self, text: str) -> str:
        """Return *text* as it would be with doubled quotes."""
        return unescaped(text) if self._is_escaped else text


def _broken(error: csv.Error, lines: Sequence[bytes], place: _Place, field_chars_max: int) -> UploadRejected:
    """Return what is wrong with the row made of *lines*, which ends at *place*."""
    start, opened = _start(lines, place), _opening_quote(lines, place)
    if "field limit" in str(error):
        message = (
            f"a field of the row that starts at {start} is longer than {field_chars_max:,} characters, the limit for one "
            f"field (csv_field_bytes_max); {_unclosed(opened)}"
        )
        return UploadRejected("record_too_large", message)
    if "unexpected end" in str(error):
        return UploadRejected("broken_csv", f"a quote that opens at {opened} is never closed; {_QUOTE_ADVICE}")
    if "expected after" not in str(error):
        return UploadRejected("broken_csv", f"the row that starts at {start} isn't CSV: {_LINE_END_ADVICE}")
    return UploadRejected(
        "broken_csv",
        f"the field whose quote opens at {opened} continues after its closing quote: it was not closed where it ends, or "
        f"{_QUOTE_ADVICE}",
    )


def _unclosed(opened: _Place) -> str:
    return f"if a quote was never closed, it opened at {opened}"


def _start(lines: Sequence[bytes], place: _Place) -> _Place:
    return _Place(place.offset - sum(map(len, lines)), place.line - len(lines) if place.line else None)


def _opening_quote(lines: Sequence[bytes], place: _Place) -> _Place:
    """Return where the quote opened that the row made of *lines* never closes, or closes before more text.

    The row's start where there is none.
    """
    start, row = _start(lines, place), b"".join(lines)
    for quoted in _QUOTED.finditer(row):
        if not quoted["close"] or row[quoted.end() : quoted.end() + 1] not in _FIELD_ENDS:
            before = row[: quoted.start("open")]
            return _Place(start.offset + len(before), start.line + before.count(b"\n") if start.line else None)
    return start


def _columns(fields: Sequence[str]) -> tuple[tuple[str, ...], Mapping[str, tuple[int, ...]]]:
    """Return what the columns are called, and which names several of them have. Raises UploadRejected(`bad_header`).

    A column without a name, or with one that others have too, is called by its number.
    """
    if len(fields) > COLUMNS_MAX:
        raise UploadRejected(
            "bad_header",
            f"the CSV header (line 1) has {len(fields):,} columns; {COLUMNS_MAX:,} is the most, as in a sheet",
        )
    numbers: dict[str, tuple[int, ...]] = {}
    for number, name in enumerate(map(canonical_name, fields), 1):
        numbers[name] = (*numbers.get(name, ()), number)
    repeated = {name: places for name, places in numbers.items() if name and len(places) > 1}
    taken = frozenset(numbers)
    named = [
        free_name(f"column {number}" if not name else f"{name} (column {number})", taken)
        if not name or name in repeated
        else name
        for number, name in enumerate(map(canonical_name, fields), 1)
    ]
    return tuple(named), repeated


def _ragged(record: Record, width: int) -> Record:
    problem = Reason(
        "ragged_row", f"row {record.row} has {len(record.fields)} fields; the header names {width} columns"
    )
    return Record(record.row, record.start, record.end, record.raw, record.fields, problem)


def _line_end(raw: bytes) -> bytes:
    return b"\r\n" if raw.endswith(b"\r\n") else b"\n"


def _without_line_end(raw: bytes) -> bytes:
    return raw.removesuffix(b"\n").removesuffix(b"\r")


class _Cells:
    """Writes cells that are not the user's own, as the file's own are written."""

    def __init__(self, separator: str, escape: str) -> None:
        self._separator, self._escape = separator, escape
        self._between = separator.encode()
        self._succeeded = f"{separator}succeeded{separator}".encode()
        self._failed = f"{separator}failed{separator}".encode()

    def answer(self, outcome: Outcome) -> bytes:
        """Return the answer columns, with the separator before them."""
        answer = self._between + self._cell(_text(outcome.output))
        if outcome.error is None:
            return answer + self._succeeded
        return answer + self._failed + self._cell(f"{outcome.error.code}: {outcome.error.message}")

    def joined(self, fields: Sequence[str]) -> bytes:
        """Return *fields* as a row without its end."""
        return self._separator.join(map(self._quoted, fields)).encode()

    def _cell(self, text: str) -> bytes:
        return self._quoted(disarmed(text)).encode()

    def _quoted(self, field: str) -> str:
        if not self._needs_quotes(field):
            return field
        if self._escape:
            return '"' + field.replace("\\", "\\\\").replace('"', '\\"') + '"'
        # Searched first, because replacing looks at each character: ten times as long if there is nothing to replace.
        return '"' + (field.replace('"', '""') if '"' in field else field) + '"'

    def _needs_quotes(self, field: str) -> bool:
        """Whether a reader would cut *field* or strip it. Asked sign by sign: one search for all takes twenty times as long."""
        if not field or field[0].isspace() or field[-1].isspace():
            return bool(field)
        is_plain = self._separator not in field and '"' not in field and "\n" not in field and "\r" not in field
        return not is_plain or (bool(self._escape) and "\\" in field)


@lru_cache(maxsize=16)
def _cells(reading: Reading) -> _Cells:
    return _Cells(reading.separator, reading.escape)


def _text(output: msgspec.Raw) -> str:
    """Return an answer as the text of a cell: a string as it is, null as nothing, anything else as JSON."""
    content = bytes(output)
    if content == NULL:
        return ""
    return str(_decode(content)) if content.startswith(b'"') else content.decode()


def disarmed(text: str) -> str:
    """Return *text* with an apostrophe wherever a spreadsheet would begin a formula: in front, and after another separator.

    A spreadsheet that takes semicolons, tabs or bars for separators does not heed quotes in the middle of a cell, and begins a
    row at each line end.
    """
    if _may_begin_inside(text):
        text = _INNER_FORMULA.sub(_with_apostrophe, text)
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) and not _PLAIN_NUMBER.fullmatch(text) else text


def _may_begin_inside(text: str) -> bool:
    """Whether a sign of a formula follows a separator.

    Searched sign by sign, because one search for two characters takes ten times as long, unless there are many of a sign.
    """
    find = text.find
    for sign in "=+-@" if text.isascii() else "=+-@＝＋－＠":  # noqa: RUF001 - as above
        if text.count(sign) > _SIGNS_SEARCHED_MAX:
            return _INNER_FORMULA.search(text) is not None
        at = find(sign, 1)
        while at > 0:
            if text[at - 1] in ";\t|\r\n":
                return True
            at = find(sign, at + 1)
    return False


def _with_apostrophe(found: re.Match[str]) -> str:
    """Return the separator and the cell that follow it; a number, and the dash of a list, aren't formulas."""
    separator, cell = found["separator"], found["cell"]
    is_item = cell[0] in "+-" and cell[1:2] in ("", " ", cell[0])
    return found[0] if is_item or _PLAIN_NUMBER.fullmatch(cell.rstrip()) else f"{separator}'{cell}"
