"""Templates that are more than a column: they run in minijinja.

Rule: it reaches no file, no name that starts with an underscore and no global but `range`, and is stopped by fuel and by its
limit on recursion. `core.templates` imports this module for the first such template.
"""

import re
from collections.abc import Callable

import minijinja
import msgspec

from batchdrop.core.errors import ItemRefused
from batchdrop.core.templates import RAW_HINT, Piece, Row, TemplateInvalid, text_of, undefined

# Instructions that one template may run: thousands of loop steps, well under a second.
_FUEL = 100_000
_GLOBALS_REMOVED = ("cycler", "debug", "dict", "joiner", "namespace")

_EXPRESSION_ALONE = re.compile(r"\{\{[-+]?(?P<inside>.*?)[-+]?\}\}", re.DOTALL)
_CODE = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_MEMBER_OF_ROW = re.compile(r"\brow\s*\[\s*(?:\"([^\"\\]*)\"|'([^'\\]*)')\s*\]")

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


class Engine:
    """The templates of one body."""

    def __init__(self) -> None:
        self._texts = _environment(text_of)
        self._captured: list[object] = []
        self._typed = _environment(self._capture)

    def compiled(self, source: str, place: str) -> tuple[Piece, set[str]]:
        """Return the piece that *source* becomes and the columns that it cannot do without. Raises TemplateInvalid."""
        self._add(self._texts, place, source)
        columns = _columns_of(self._texts, source)
        if (alone := _EXPRESSION_ALONE.fullmatch(source)) and self._is_expression(alone["inside"]):
            self._add(self._typed, place, "{{ (" + alone["inside"] + ") }}")
            return (lambda row: self._render_typed(place, row)), columns
        return (lambda row: _encode(_rendered(self._texts, place, row))), columns

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
