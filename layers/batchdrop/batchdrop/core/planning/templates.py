r"""Compiles a task's body once, into ready-made JSON bytes and the pieces that each record fills in between.

Rule: only the task's author writes templates; a record's values are never treated as one.
A plain `{{ column }}` costs no template engine; everything else is for `template_engine`.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchdrop.core.model.digits import encode_json
from batchdrop.core.model.estimates import shows_files
from batchdrop.core.model.reading import canonical_name
from batchdrop.core.planning.plan import Columns, JsonValue, are_texts
from batchdrop.core.planning.template_pieces import (
    Piece,
    Row,
    TemplateInvalid,
    as_text_or_parts,
    text_of,
    too_large,
    value_of,
)

if TYPE_CHECKING:
    from batchdrop.core.planning.template_engine import Engine

# Values in a body; a task that a person wrote has dozens. YAML aliases could multiply them without end.
_VALUES_MAX = 10_000
# A body that is longer is refused: a record may have as much.
_BODY_BYTES_MAX = 16_000_000
# A body with at most this many pieces, or uses of each column, isn't measured: it is at most as long as this many records.
_PIECES_UNCOUNTED_MAX = 8
# Words that never name a column when they are alone in an expression: the engine has another meaning for them.
_RESERVED = frozenset({"true", "false", "none", "True", "False", "None", "not", "row", "loop"})

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# As a heading is written: `Customer Review`, `order-id`. With blanks around it, a hyphen is a minus.
_HEADING = r"[^\W\d]\w*(?:[ -]\w+)+"
_MEMBER = rf"row\.(?P<member>{_NAME})|row\[(?:\"(?P<double>[^\"\\]*)\"|'(?P<single>[^'\\]*)')\]"
_PLAIN = rf"(?P<heading>{_HEADING})|(?P<column>{_NAME})|{_MEMBER}"
_PLAIN_EXPRESSION = re.compile(r"\{\{\s*(?:" + _PLAIN + r")\s*\}\}")
# Words of the template language that may be between two others.
_OPERATORS = frozenset({"and", "or", "not", "in", "is", "if", "else"})
_MARKS = ("{{", "{%", "{#")
# How other programs write a column: `{review}`, `${review}`, `<review>`, `%(review)s`.
_OTHER_EXPRESSION = re.compile(rf"\$?\{{\s*({_NAME})\s*\}}|<({_NAME})>|%\(({_NAME})\)s|\$({_NAME})\b")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A body that waits for records."""

    start: bytes
    pieces: tuple[tuple[Piece, bytes], ...]  # what a record gives, and what follows it
    columns: frozenset[str]  # names without which no record can succeed
    values: tuple[str, ...]  # of these, those that give a whole value and not a part of a text
    shows_files: bool  # in the body itself, whatever the record holds
    uses_record: bool  # else all records make one and the same body

    def render(self, row: Row) -> bytes:
        """Return the body's JSON for one record. Raises ItemRefused."""
        if len(self.pieces) > _PIECES_UNCOUNTED_MAX:
            return b"".join(self._counted(row))
        parts = [self.start]
        for piece, ready in self.pieces:
            parts += (piece(row), ready)
        return b"".join(parts)

    def _counted(self, row: Row) -> Iterator[bytes]:
        """Yield the parts of the body for one record. Raises ItemRefused where they are too many bytes."""
        size_bytes = len(self.start)
        yield self.start
        for piece, ready in self.pieces:
            part = piece(row)
            size_bytes += len(part) + len(ready)
            if size_bytes > _BODY_BYTES_MAX:
                raise too_large("the body", _BODY_BYTES_MAX)
            yield part
            yield ready

    @property
    def is_plain(self) -> bool:
        """Whether it only inserts columns, none of them often, so that many records can be rendered together."""
        columns = Counter(piece.column for piece, _ in self.pieces if isinstance(piece, _Column))
        is_short = max(columns.values(), default=0) <= _PIECES_UNCOUNTED_MAX
        return not self.shows_files and is_short and columns.total() == len(self.pieces)

    def pieces_together(self, columns: Columns) -> list[list[bytes]] | None:
        """Return for each piece of a plain body what it gives for every record, or None where a record may show files."""
        if not all(are_texts(columns[column]) for column in self.values):
            return None
        return [piece.together(columns[piece.column]) for piece, _ in self.pieces if isinstance(piece, _Column)]

    def may_show_files(self, row: Row) -> bool:
        """Whether the body that *row* was rendered to is to be searched for files.

        A text shows none, whatever it says: its quotes are escaped. Searching took a tenth of planning.
        """
        if self.shows_files:
            return True
        for column in self.values:  # noqa: SIM110  `any` over a generator takes three times as long
            if not isinstance(row[column], str):
                return True
        return False


def is_template(text: str) -> bool:
    """Whether *text* holds anything but literal text."""
    return any(mark in text for mark in _MARKS)


def meant_as_column(body: object) -> str:
    """Return advice for *body*, which uses no column: what in it looks like one, written as other programs have it."""
    found = _OTHER_EXPRESSION.search(encode_json(body).decode())
    if not found:
        return "; a column is written as in {{ review }}"
    return f"; if `{found[0]}` is meant as a column, write {{{{ {next(filter(None, found.groups()))} }}}}"


def compile_body(body: JsonValue, texts: Collection[str] = ()) -> Compiled:
    """Return *body* compiled; its fields called as one of *texts* take text or parts. Raises TemplateInvalid."""
    compiler = _Compiler(texts)
    compiler.value(body, "body")
    start, *pieces = _merged(compiler.pieces)
    files = compiler.may_be_files or any(shows_files(ready) for _, ready in (start, *pieces))
    return Compiled(
        start[1], tuple(pieces), frozenset(compiler.columns), tuple(compiler.whole_columns), files, compiler.uses_record
    )


def _merged(pieces: list[bytes | Piece]) -> list[tuple[Piece, bytes]]:
    """Return each piece with the bytes that follow it; the first stands for the start alone."""
    merged: list[tuple[Piece, bytes]] = [(lambda _row: b"", b"")]
    for piece in pieces:
        if isinstance(piece, bytes):
            merged[-1] = (merged[-1][0], merged[-1][1] + piece)
        else:
            merged.append((piece, b""))
    return merged


class _Compiler:
    """Walks a body and gathers pieces; the places in messages are written as in `body.messages[0].content`."""

    def __init__(self, texts: Collection[str]) -> None:
        self.pieces: list[bytes | Piece] = []
        self.columns: set[str] = set()
        self.whole_columns: set[str] = set()
        self.may_be_files = False
        self.uses_record = False
        self._texts = texts
        self._values = 0
        self._engine: Engine | None = None

    def value(self, value: JsonValue, place: str, field: str = "") -> None:
        """Append what *value* becomes, which is in a *field*, or in the list of one."""
        self._values += 1
        if self._values > _VALUES_MAX:
            raise TemplateInvalid(f"{place}: the body holds more than {_VALUES_MAX} values")
        if isinstance(value, dict):
            self._mapping(value, place)
        elif isinstance(value, list):
            self._sequence(value, place, field)
        elif isinstance(value, str) and is_template(value):
            self._template(value, place, field)
        else:
            is_text = field in self._texts and place.endswith(field) and value is not None
            self.pieces.append(_constant(text_of(value) if is_text else value, place))

    def _mapping(self, value: dict[str, JsonValue], place: str) -> None:
        self.pieces.append(b"{")
        for number, (key, member) in enumerate(value.items()):
            if not isinstance(key, str):
                raise TemplateInvalid(f"{place}: the key {key!r} isn't a text; put it in quotes")
            self.pieces.append((b"," if number else b"") + encode_json(key) + b":")
            self.may_be_files |= key == "type" and isinstance(member, str) and is_template(member)
            self.value(member, f"{place}.{key}", key)
        self.pieces.append(b"}")

    def _sequence(self, value: list[JsonValue], place: str, field: str) -> None:
        self.pieces.append(b"[")
        for number, element in enumerate(value):
            self.pieces.append(b"," if number else b"")
            self.value(element, f"{place}[{number}]", field)
        self.pieces.append(b"]")

    def _template(self, source: str, place: str, field: str) -> None:
        alone = _PLAIN_EXPRESSION.fullmatch(source)
        if alone and (column := _plain_column(alone)):
            self.columns.add(column)
            self.whole_columns.add(column)
            self.pieces.append(_TextColumn(column, field) if field in self._texts else _Column(column))
            self.uses_record = True
        elif parts := _plain_parts(source):
            self.columns.update(part[0] for part in parts if isinstance(part, tuple))
            self.pieces += [b'"', *(_part(part) for part in parts), b'"']
            self.uses_record = True
        else:
            self._engine_template(source, place, field)

    def _engine_template(self, source: str, place: str, field: str) -> None:
        if self._engine is None:
            from batchdrop.core.planning.template_engine import Engine  # noqa: PLC0415 - 20 ms that a plain task need not wait for

            self._engine = Engine()
        compiled = self._engine.compiled(source, place, field if field in self._texts else None)
        self.pieces.append(compiled.piece)
        self.columns |= compiled.columns
        self.uses_record |= compiled.uses_record
        self.may_be_files = True  # what the engine gives isn't known


def _constant(value: JsonValue, place: str) -> bytes:
    if not isinstance(value, str | int | float | bool | None):
        raise TemplateInvalid(f"{place} is a {type(value).__name__}, which JSON does not have; put it in quotes")
    return encode_json(value)


def _plain_column(found: re.Match[str]) -> str | None:
    """Return the column that a plain expression names, or None where the word means something else."""
    if found["heading"] is not None:
        is_code = not _OPERATORS.isdisjoint(re.split("[ -]", found["heading"]))
        return None if is_code else canonical_name(found["heading"])
    name = found["column"]
    if name is not None:
        return None if name in _RESERVED else name
    return canonical_name(next(found[group] for group in ("member", "double", "single") if found[group] is not None))


def _plain_parts(source: str) -> list[str | tuple[str]] | None:
    """Return *source* as texts and one-tuples of column names, or None where it takes the engine."""
    parts: list[str | tuple[str]] = []
    position = 0
    for found in _PLAIN_EXPRESSION.finditer(source):
        column = _plain_column(found)
        if column is None:
            return None
        parts += [source[position : found.start()], (column,)]
        position = found.end()
    parts.append(source[position:])
    return None if any(isinstance(part, str) and is_template(part) for part in parts) else parts


def _part(part: str | tuple[str]) -> bytes | Piece:
    return encode_json(part)[1:-1] if isinstance(part, str) else _ColumnInText(part[0])


class _Column:
    """A column that is the whole value: it keeps its type."""

    __slots__ = ("column",)

    def __init__(self, column: str) -> None:
        self.column = column

    def __call__(self, row: Row) -> bytes:
        """Return what the record of *row* gives. Raises ItemRefused where it has no such column."""
        return self.together((value_of(row, self.column),))[0]

    def together(self, values: Sequence[JsonValue]) -> list[bytes]:
        """Return what records give that have *values* in the column."""
        return list(map(encode_json, values))


class _TextColumn(_Column):
    """A column that is the whole value of a field that takes text, or a list of parts."""

    __slots__ = ("field",)

    def __init__(self, column: str, field: str) -> None:
        super().__init__(column)
        self.field = field

    def together(self, values: Sequence[JsonValue]) -> list[bytes]:
        """Return what records give that have *values* in the column. Raises ItemRefused for null."""
        texts = values if are_texts(values) else [as_text_or_parts(value, self.field) for value in values]
        return list(map(encode_json, texts))


class _ColumnInText(_Column):
    """A column within a longer text."""

    __slots__ = ()

    def together(self, values: Sequence[JsonValue]) -> list[bytes]:
        """Return the texts of *values*, escaped, without their quotes."""
        texts = values if are_texts(values) else map(text_of, values)
        return [encoded[1:-1] for encoded in map(encode_json, texts)]
