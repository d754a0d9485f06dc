"""HTML by elements: what is no element is text, and text cannot become one.

Rule: an `Html` is made here alone; every string that comes as a child or an attribute is escaped, and what a browser would
obey without showing it (control and direction characters) appears as its escape.
"""

import html
from dataclasses import dataclass
from typing import Final

# Joiners belong to the spelling of words and of emoji; line ends and tabs to the layout of a text.
_KEPT: Final = frozenset("\n\t\u200c\u200d")


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that is complete in itself."""

    text: str


type Child = Html | str | None


def element(tag: str, /, *children: Child, **attributes: object) -> Html:
    """Return an element. Attributes of None are left out; an underscore in a name is a hyphen, one at its end is dropped."""
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    opened = "".join(f' {key}="{html.escape(visible(str(value)))}"' for key, value in named)
    return Html(f"<{tag}{opened}>{joined(*children).text}</{tag}>")


def void(tag: str, /, **attributes: object) -> Html:
    """Return an element that has no end tag, such as `meta`."""
    return Html(element(tag, **attributes).text.removesuffix(f"</{tag}>"))


def joined(*children: Child) -> Html:
    """Return *children* one behind the other; None is nothing."""
    return Html(
        "".join(child.text if isinstance(child, Html) else escaped(child) for child in children if child is not None)
    )


def escaped(text: str) -> str:
    """Return *text* so that a browser shows it as it is."""
    return html.escape(visible(text), quote=False)


def visible(text: str) -> str:
    """Return *text* with each character that cannot be seen as its escape."""
    if text.isprintable():
        return text
    return "".join(char if _is_visible(char) else char.encode("unicode_escape").decode("ascii") for char in text)


def _is_visible(char: str) -> bool:
    return char.isprintable() or char in _KEPT or (char.isspace() and ord(char) >= 0xA0 and char not in "\u2028\u2029")  # noqa: PLR2004  the first space beyond ASCII and its controls


def cut(text: str, chars_max: int) -> str:
    """Return *text*, or its beginning and how much is left out."""
    left_out = len(text) - chars_max
    return text if left_out <= 0 else f"{text[:chars_max]}… ({left_out:,} more characters)"
