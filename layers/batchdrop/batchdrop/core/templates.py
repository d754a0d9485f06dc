r"""Templates: a task's body, compiled once into ready-made JSON bytes with what a record gives spliced between.

Rule: only what the task's author wrote is a template; what a record holds is never looked at as one.
A plain `{{ column }}` costs no template engine; everything else runs in minijinja, which reaches no file, no name that starts
with an underscore and no global but `range`, and is stopped by fuel and by its limit on recursion.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import minijinja
import msgspec

from batchdrop.core.errors import ItemRefused
from batchdrop.core.planning import JsonValue
from batchdrop.core.wording import listed

# Instructions that one template may run: thousands of loop steps, well under a second.
_FUEL = 100_000
# Values in a body; a task that a person wrote has dozens. YAML aliases could multiply them without end.
_VALUES_MAX = 10_000
_GLOBALS_REMOVED = ("cycler", "debug", "dict", "joiner", "namespace")
# Words that are no column where they stand alone in an expression.
_RESERVED = frozenset(
    {"true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else"}
    | {"loop", "row", "range", "self", "super", "caller"},
)

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_PLAIN = rf"(?P<column>{_NAME})|row\.(?P<member>{_NAME})|row\[(?:\"(?P<double>[^\"\\]*)\"|'(?P<single>[^'\\]*)')\]"
_PLAIN_EXPRESSION = re.compile(r"\{\{\s*(?:" + _PLAIN + r")\s*\}\}")
_EXPRESSION_ALONE = re.compile(r"\{\{[-+]?(?P<inside>.*?)[-+]?\}\}", re.DOTALL)
_CODE = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_MEMBER_OF_ROW = re.compile(r"\brow\s*\[\s*(?:\"([^\"\\]*)\"|'([^'\\]*)')\s*\]")
_MARKS = ("{{", "{%", "{#")

RAW_HINT = "a literal {{ stands between {% raw %} and {% endraw %}"

# What Python methods of JSON values raise inside a template, besides the engine's own error.
_RENDER_FAULTS = (
    minijinja.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

_encode = msgspec.json.Encoder().encode

type Row = Mapping[str, JsonValue]
type Piece = Callable[[Row], bytes]


class TemplateInvalid(ValueError):
    """A template that cannot be compiled; the message names where in the body."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A body that waits for records."""

    start: bytes
    pieces: tuple[tuple[Piece, bytes], ...]  # what a record gives, and what follows it
    columns: frozenset[str]  # names without which no record can succeed

    def render(self, row: Row) -> bytes:
        """Return the body's JSON for one record. Raises ItemRefused."""
        body = self.start
        for piece, ready in self.pieces:
            body += piece(row) + ready
        return body


def is_template(text: str) -> bool:
    """Whether *text* holds anything but literal text."""
    return any(mark in text for mark in _MARKS)


def compile_body(body: JsonValue) -> Compiled:
    """Return *body* compiled. Raises TemplateInvalid."""
    compiler = _Compiler()
    compiler.value(body, "body")
    start, *pieces = _merged(compiler.pieces)
    return Compiled(start[1], tuple(pieces), frozenset(compiler.columns))


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

    def __init__(self) -> None:
        self.pieces: list[bytes | Piece] = []
        self.columns: set[str] = set()
        self._values = 0
        self._texts = _environment(text_of)
        self._captured: list[object] = []
        self._typed = _environment(self._capture)

    def value(self, value: JsonValue, place: str) -> None:
        """Append what *value* becomes."""
        self._values += 1
        if self._values > _VALUES_MAX:
            raise TemplateInvalid(f"the body holds more than {_VALUES_MAX} values")
        if isinstance(value, dict):
            self._mapping(value, place)
        elif isinstance(value, list):
            self._sequence(value, place)
        elif isinstance(value, str) and is_template(value):
            self._template(value, place)
        else:
            self.pieces.append(_constant(value, place))

    def _mapping(self, value: dict[str, JsonValue], place: str) -> None:
        self.pieces.append(b"{")
        for number, (key, member) in enumerate(value.items()):
            if not isinstance(key, str):
                raise TemplateInvalid(f"{place}: the key {key!r} is no text; put it in quotes")
            self.pieces.append((b"," if number else b"") + _encode(key) + b":")
            self.value(member, f"{place}.{key}")
        self.pieces.append(b"}")

    def _sequence(self, value: list[JsonValue], place: str) -> None:
        self.pieces.append(b"[")
        for number, element in enumerate(value):
            self.pieces.append(b"," if number else b"")
            self.value(element, f"{place}[{number}]")
        self.pieces.append(b"]")

    def _template(self, source: str, place: str) -> None:
        alone = _PLAIN_EXPRESSION.fullmatch(source)
        if alone and (column := _plain_column(alone)):
            self.columns.add(column)
            self.pieces.append(_typed_column(column))
        elif parts := _plain_parts(source):
            self.columns.update(part[0] for part in parts if isinstance(part, tuple))
            self.pieces += [b'"', *(_part(part) for part in parts), b'"']
        else:
            self._engine_template(source, place)

    def _engine_template(self, source: str, place: str) -> None:
        self._add(self._texts, place, source)
        self.columns |= _columns_of(self._texts, source)
        if (alone := _EXPRESSION_ALONE.fullmatch(source)) and self._is_expression(alone["inside"]):
            self._add(self._typed, place, "{{ (" + alone["inside"] + ") }}")
            self.pieces.append(lambda row: self._render_typed(place, row))
        else:
            self.pieces.append(lambda row: _encode(_rendered(self._texts, place, row)))

    def _add(self, environment: minijinja.Environment, place: str, source: str) -> None:
        try:
            environment.add_template(place, source)
        except minijinja.TemplateError as error:
            raise TemplateInvalid(
                f"{place}, line {error.line} of the text: {error.detail or error.kind}; {RAW_HINT}"
            ) from error

    def _is_expression(self, inside: str) -> bool:
        """Whether *inside* is one expression, rather than the inside of `{{ a }} and {{ b }}`."""
        try:
            self._typed.add_template("probe", "{{ (" + inside + ") }}")
        except minijinja.TemplateError:
            return False
        return True

    def _capture(self, value: object) -> str:
        self._captured.append(value)
        return ""

    def _render_typed(self, place: str, row: Row) -> bytes:
        """Return the expression's value as JSON. eval_expr would be shorter, but takes what is undefined for null."""
        self._captured.clear()
        _rendered(self._typed, place, row)
        value = self._captured[-1]
        try:
            return _encode(str(value) if isinstance(value, str) else value)
        except TypeError as error:
            raise ItemRefused("template_failed", f"{place} gives what is no JSON: {error}") from error


def _environment(finalizer: Callable[[object], str]) -> minijinja.Environment:
    environment = minijinja.Environment(
        undefined_behavior="strict",
        fuel=_FUEL,
        auto_escape_callback=lambda _name: None,
        keep_trailing_newline=True,
        finalizer=finalizer,
        debug=True,  # so that errors name what is undefined
        pycompat=False,
    )
    for name in _GLOBALS_REMOVED:
        environment.remove_global(name)
    return environment


def _rendered(environment: minijinja.Environment, place: str, row: Row) -> str:
    """Return the text of a template. Raises ItemRefused; the message names what is undefined and which columns there are."""
    try:
        return environment.render_template(place, **{**row, "row": row})
    except _RENDER_FAULTS as error:
        if isinstance(error, minijinja.TemplateError) and error.kind == "UndefinedError":
            raise undefined(error.detail or "something in it is undefined", row) from error
        detail = (error.detail or error.kind) if isinstance(error, minijinja.TemplateError) else str(error)
        raise ItemRefused("template_failed", f"{place}: {detail}") from error


def undefined(what: str, row: Row) -> ItemRefused:
    """Return the refusal of a record that lacks what a template names."""
    return ItemRefused("undefined", f"{what}; the record has: {listed(row)}; {RAW_HINT}")


def text_of(value: object) -> str:
    """Return *value* as it stands in a longer text: null as nothing, and whatever is no text as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else _encode(value).decode()


def _constant(value: JsonValue, place: str) -> bytes:
    if not isinstance(value, str | int | float | bool | None):
        raise TemplateInvalid(f"{place} is a {type(value).__name__}, which JSON does not have; put it in quotes")
    return _encode(value)


def _plain_column(found: re.Match[str]) -> str | None:
    """Return the column that a plain expression names, or None where the word means something else."""
    name = found["column"]
    if name is not None:
        return None if name in _RESERVED else name
    return next(found[group] for group in ("member", "double", "single") if found[group] is not None)


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
    return _encode(part)[1:-1] if isinstance(part, str) else _text_column(part[0])


def _typed_column(column: str) -> Piece:
    def piece(row: Row) -> bytes:
        return _encode(_member(row, column))

    return piece


def _text_column(column: str) -> Piece:
    def piece(row: Row) -> bytes:
        return _encode(text_of(_member(row, column)))[1:-1]

    return piece


def _member(row: Row, column: str) -> JsonValue:
    try:
        return row[column]
    except KeyError as error:
        raise undefined(f"`{column}` is undefined", row) from error


def _columns_of(environment: minijinja.Environment, source: str) -> set[str]:
    """Return the columns that *source* cannot do without: all that it names but those that it asks about first."""
    names = environment.undeclared_variables_in_str(source) - {"row", "range"}
    if "{% raw" not in source and "{%- raw" not in source:
        code = " ".join(_CODE.findall(source))
        names |= {double or single for double, single in _MEMBER_OF_ROW.findall(code)}
    return {name for name in names if not _is_optional(name, source)}


def _is_optional(name: str, source: str) -> bool:
    return bool(
        re.search(rf"{re.escape(name)}[\"'\]\s]*(?:\|\s*(?:default|d)\b|is\s+(?:not\s+)?(?:un)?defined\b)", source)
    )
