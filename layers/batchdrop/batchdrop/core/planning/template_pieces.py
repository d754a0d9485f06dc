"""Defines what plain columns and the template engine share: what a template becomes, and how it or a record is refused."""

from collections.abc import Callable, Mapping
from typing import Final

from batchdrop.core.model.digits import encode_json
from batchdrop.core.model.errors import ItemRefused
from batchdrop.core.model.reading import canonical_name
from batchdrop.core.model.wording import listed
from batchdrop.core.planning.plan import JsonValue

RAW_HINT = "a literal {{ is written between {% raw %} and {% endraw %}"

_LISTED: Final = ("input", "prompt")

type Row = Mapping[str, JsonValue]
type Piece = Callable[[Row], bytes]


class TemplateInvalid(ValueError):
    """A template that cannot be compiled; the message names where in the body."""


def undefined(what: str, row: Row) -> ItemRefused:
    """Return the refusal of a record that lacks what a template names."""
    return ItemRefused("undefined", f"{what}; the record has: {listed(row)}; {RAW_HINT}")


def value_of(row: Row, column: str) -> JsonValue:
    """Return what *row* has in *column*, a canonical name. Raises ItemRefused where it has no such column."""
    try:
        return row[column]
    except KeyError as error:
        for name in row:  # of JSON; a table's columns have canonical names
            if canonical_name(name) == column:
                return row[name]
        raise undefined(f"`{column}` is undefined", row) from error


def too_large(place: str, bytes_max: int) -> ItemRefused:
    """Return the refusal of a record of which a template makes more than *bytes_max* bytes."""
    return ItemRefused("template_too_large", f"{place} makes more than {bytes_max:,} bytes of this record")


def as_text_or_parts(value: object, field: str, encode: Callable[[object], bytes] = encode_json) -> object:
    """Return *value* as a *field* takes it that wants a text, or a list of parts. Raises ItemRefused(`no_text`) for null.

    The fields `input` and `prompt` take any list: texts or tokens. Elsewhere a list that is not of objects becomes text.
    """
    if isinstance(value, str):
        return str(value)  # an engine has a class of its own
    if value is None:
        raise ItemRefused("no_text", f"`{field}` takes a text, and this record gives null")
    if isinstance(value, list | tuple):
        is_parts = bool(value) and all(isinstance(part, Mapping) for part in value)
        if is_parts or field in _LISTED:
            return value
    return encode(value).decode()


def text_of(value: object) -> str:
    """Return *value* as part of a longer text: null as an empty text, and anything but a text as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else encode_json(value).decode()
