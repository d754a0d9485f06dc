"""Runs templates that are more than a column, in minijinja.

Rule: a template reaches no file, no name that starts with an underscore and no global but `range`. It cannot change a record.
Fuel and `template_bounds` stop it. `templates` imports this module for the first such template.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import minijinja
import msgspec

from batchdrop.core.model.digits import Digits, written
from batchdrop.core.model.errors import ItemRefused
from batchdrop.core.model.reading import canonical_name
from batchdrop.core.planning.plan import JsonValue
from batchdrop.core.planning.template_bounds import STEPS_MAX, TEXT_BYTES_MAX, Bounds, Unbounded, bounds_of
from batchdrop.core.planning.template_code import asked_about, members_of_row, names_whole_row, unused_code
from batchdrop.core.planning.template_pieces import (
    RAW_HINT,
    Piece,
    Row,
    TemplateInvalid,
    as_text_or_parts,
    text_of,
    too_large,
    undefined,
)

_GLOBALS_REMOVED = ("cycler", "debug", "dict", "joiner", "namespace")

_EXPRESSION_ALONE = re.compile(r"\{\{[-+]?(?P<inside>.*?)[-+]?\}\}", re.DOTALL)

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


class _TooLarge(Exception):
    """A template gave more than TEXT_BYTES_MAX."""


class _ReadOnly(Mapping[str, object]):
    """An object of a record as a template sees it: without what changes a dict, and lists in it are tuples."""

    __slots__ = ("inner",)

    def __init__(self, inner: Mapping[str, JsonValue]) -> None:
        self.inner = inner

    def __getitem__(self, name: str) -> object:
        return _read_only(self.inner[name] if name in self.inner else self._called(name))

    def _called(self, name: str) -> JsonValue:
        """Return what is called *name* but for what is invisible. Raises KeyError."""
        wanted = canonical_name(name)
        for key, value in self.inner.items():
            if canonical_name(key) == wanted:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)

    def __str__(self) -> str:
        return str(self.inner)


def _read_only(value: JsonValue) -> object:
    if isinstance(value, dict):
        return _ReadOnly(value)
    return tuple(map(_read_only, value)) if isinstance(value, list) else value


def _plain(value: object) -> object:
    """Return what a read-only object or a number stands for; for the encoder of JSON."""
    return value.inner if isinstance(value, _ReadOnly) else written(value)


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


@dataclass(frozen=True, slots=True)
class EngineTemplate:
    """A template that is more than a column."""

    piece: Piece
    columns: frozenset[str]  # those that it cannot do without
    uses_record: bool


class Engine:
    """The templates of one body."""

    def __init__(self) -> None:
        self._printed_bytes = 0
        self._row: Row = {}  # the one that is rendered
        self._digits: dict[float, Digits | None] | None = None  # its numbers, once one is printed
        self._texts = _environment(self._print)
        self._captured: list[object] = []
        self._typed = _environment(self._capture)

    def compiled(self, source: str, place: str, field: str | None = None) -> EngineTemplate:
        """Return what *source* becomes, in a *field* that takes text or parts, or anywhere else. Raises TemplateInvalid."""
        self._add(self._texts, place, source)
        try:
            bounds = bounds_of(source)
        except Unbounded as error:
            raise TemplateInvalid(f"{place}: {error}") from error
        if unused := unused_code(source):
            raise TemplateInvalid(
                f"{place}: `{unused}` shows nothing of a record, so the engine would swallow it; {RAW_HINT}"
            )
        self._texts.fuel = self._typed.fuel = min(self._texts.fuel or STEPS_MAX, bounds.steps)
        names = self._texts.undeclared_variables_in_str(source) - {"range"}
        columns = frozenset(map(canonical_name, ((names - {"row"}) | members_of_row(source)) - asked_about(source)))
        piece = self._piece(source, place, bounds, field)
        if names_whole_row(source):
            piece = _refusing_a_column_called_row(piece)
        return EngineTemplate(piece, columns, bool(names))

    def _piece(self, source: str, place: str, bounds: Bounds, field: str | None) -> Piece:
        if (alone := _EXPRESSION_ALONE.fullmatch(source)) and self._is_expression(alone["inside"]):
            self._add(self._typed, place, "{{ (" + alone["inside"] + ") }}")
            return lambda row: self._render_typed(place, row, bounds, field)
        return lambda row: _encode(self._rendered(self._texts, place, row, bounds))

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

    def _print(self, value: object) -> str:
        """Return the text of *value*, and count its size. Raises _TooLarge."""
        value = self._with_digits(value)
        text = _encode(value).decode() if isinstance(value, _ReadOnly | tuple | list | dict) else text_of(value)
        self._printed_bytes += len(text)
        if self._printed_bytes > TEXT_BYTES_MAX:
            raise _TooLarge
        return text

    def _capture(self, value: object) -> str:
        self._captured.append(value)
        return ""

    def _with_digits(self, value: object) -> object:
        """Return *value*, which came out of the engine, with the digits that its numbers have in the record.

        The engine knows only floats, and takes whole ones for integers. A number that equals one of the record's is taken for
        it; where the record has several equal ones that are written differently, the engine's digits stay.
        """
        if isinstance(value, float | int) and not isinstance(value, bool):
            if self._digits is None:
                self._digits = _digits_of(list(self._row.values()))
            digits = self._digits.get(value)
            return value if digits is None else digits
        return list(map(self._with_digits, value)) if isinstance(value, list | tuple) else value

    def _render_typed(self, place: str, row: Row, bounds: Bounds, field: str | None) -> bytes:
        """Return the expression's value as JSON. eval_expr would be shorter, but takes what is undefined for null."""
        self._captured.clear()
        self._rendered(self._typed, place, row, bounds)
        value = self._with_digits(self._captured[-1])
        try:
            if field is not None:
                value = as_text_or_parts(value, field, _encode)
            encoded = _encode(str(value) if isinstance(value, str) else value)
        except (TypeError, ValueError) as error:
            raise ItemRefused("template_failed", f"{place} gives what is not JSON: {error}") from error
        if len(encoded) > TEXT_BYTES_MAX:
            raise too_large(place, TEXT_BYTES_MAX)
        return encoded

    def _rendered(self, environment: minijinja.Environment, place: str, row: Row, bounds: Bounds) -> str:
        """Return the text of a template. Raises ItemRefused; the message names what is undefined and which columns there are."""
        if bounds.growth > 1 and len(_encode(row)) > bounds.record_bytes_max:
            message = f"{place} may lengthen texts, and then takes records of at most {bounds.record_bytes_max:,} bytes"
            raise ItemRefused("template_too_large", message)
        self._printed_bytes, self._row, self._digits = 0, row, None
        # Not a column called `loop`: `template_bounds` takes the loop's members for numbers.
        names: dict[str, object] = {name: _read_only(value) for name, value in row.items() if name != "loop"}
        try:
            return environment.render_template(place, **{**names, "row": _ReadOnly(row)})
        except _TooLarge as error:
            raise too_large(place, TEXT_BYTES_MAX) from error
        except _RENDER_FAULTS as error:
            if isinstance(error, minijinja.TemplateError) and error.kind == "UndefinedError":
                raise undefined(error.detail or "something in it is undefined", row) from error
            raise ItemRefused("template_failed", f"{place}: {_fault_words(error, environment.fuel)}") from error


def _fault_words(error: Exception, steps_max: int | None) -> str:
    """Return the words of *error* for the author of a template."""
    if not isinstance(error, minijinja.TemplateError):
        return str(error)
    if error.kind == "OutOfFuel":
        return f"it takes more than {steps_max or STEPS_MAX:,} steps, the most for this task; shorten its loops"
    return error.detail or error.kind


def _environment(finalizer: Callable[[object], str]) -> minijinja.Environment:
    environment = minijinja.Environment(
        undefined_behavior="strict",
        fuel=STEPS_MAX,
        auto_escape_callback=lambda _name: None,
        keep_trailing_newline=True,
        finalizer=finalizer,
        debug=True,  # so that errors name what is undefined
        pycompat=False,
    )
    for name in _GLOBALS_REMOVED:
        environment.remove_global(name)
    return environment


def _digits_of(value: JsonValue) -> dict[float, Digits | None]:
    """Return the numbers in *value* that were written with a point or an exponent; None for one that is written in two ways."""
    found: dict[float, Digits | None] = {}
    for number in _numbers(value):
        known = found.setdefault(number, number if isinstance(number, Digits) else None)
        if known and (not isinstance(number, Digits) or known.text != number.text):
            found[number] = None
    return found


def _numbers(value: JsonValue) -> Iterator[float]:
    if isinstance(value, list | dict):
        for inner in value if isinstance(value, list) else value.values():
            yield from _numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _refusing_a_column_called_row(piece: Piece) -> Piece:
    def checked(row: Row) -> bytes:
        if "row" in row:
            message = '`row` is the whole record, and this record has a column of that name: write {{ row["row"] }}'
            raise ItemRefused("ambiguous", message)
        return piece(row)

    return checked
