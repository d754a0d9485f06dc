"""Defines what plain columns and the template engine share: what a template becomes, and how it or a record is refused."""

from collections.abc import Callable, Mapping

import msgspec

from batchdrop.core.model.errors import ItemRefused
from batchdrop.core.model.wording import listed
from batchdrop.core.planning.plan import JsonValue

RAW_HINT = "a literal {{ is written between {% raw %} and {% endraw %}"

_encode = msgspec.json.Encoder().encode

type Row = Mapping[str, JsonValue]
type Piece = Callable[[Row], bytes]


class TemplateInvalid(ValueError):
    """A template that cannot be compiled; the message names where in the body."""


def undefined(what: str, row: Row) -> ItemRefused:
    """Return the refusal of a record that lacks what a template names."""
    return ItemRefused("undefined", f"{what}; the record has: {listed(row)}; {RAW_HINT}")


def too_large(place: str, bytes_max: int) -> ItemRefused:
    """Return the refusal of a record of which a template makes more than *bytes_max* bytes."""
    return ItemRefused("template_too_large", f"{place} makes more than {bytes_max:,} bytes of this record")


def text_of(value: object) -> str:
    """Return *value* as part of a longer text: null as an empty text, and anything but a text as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else _encode(value).decode()
