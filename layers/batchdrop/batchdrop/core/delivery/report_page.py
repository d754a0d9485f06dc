"""Writes the page of a report from `report.html.j2` and `style.css`.

Rule: every value is escaped, whatever its name, and a value that is missing is an error. The page loads and runs nothing.
What a browser would obey without showing it (control and direction characters) appears as its escape.
"""

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import minijinja

from batchdrop.core.model.wording import printable

_FOLDER: Final = Path(__file__).parent
_NAME: Final = "report.html.j2"
# Not printable, but shown: line ends and tabs lay out a text, joiners spell words and emoji, and spaces have many widths.
_KEPT: Final = frozenset("\n\t\u200c\u200d\xa0\u1680\u202f\u205f\u3000") | frozenset(map(chr, range(0x2000, 0x200B)))


def page_of(values: Mapping[str, object]) -> bytes:
    """Return the page that shows *values*, under the names that the template has for them."""
    return _environment().render_template(_NAME, **values).encode("utf-8", "replace")


@cache
def _environment() -> minijinja.Environment:
    style = (_FOLDER / "style.css").read_text("utf-8")
    # https://www.w3.org/TR/CSP3/ (2026-11-22): a hash allows one style sheet, and style attributes stay forbidden.
    policy = f"style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"
    return minijinja.Environment(
        templates={_NAME: (_FOLDER / _NAME).read_text("utf-8")},
        globals={"style": style, "policy": f"default-src 'none'; base-uri 'none'; form-action 'none'; {policy}"},
        auto_escape_callback=lambda _name: "html",
        undefined_behavior="strict",
        finalizer=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        pycompat=False,
        debug=False,  # so that no error quotes records and answers
    )


def _printed(value: object) -> object:
    """Return *value* as the page shows it, still to be escaped. Raises TypeError for what is neither text nor a whole number."""
    if isinstance(value, minijinja.Markup):  # a str: the style sheet, or what a macro made of values that are escaped
        return value
    if isinstance(value, str):
        return printable(value, _KEPT)
    if type(value) is int:
        return f"{value:,}"
    raise TypeError(f"a report does not show a value of type {type(value).__name__}")
