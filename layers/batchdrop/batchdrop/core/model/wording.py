"""Writes names out of a file, and times, as they appear in a message to a person.

Rule: a message stays short whatever the file holds. A file without a header has content where names belong, so each name is
cut, and only the first of many are listed. What a provider says is shown without what may be a key.
"""

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Final
from unicodedata import combining, is_normalized

from batchdrop.core.model.limits import DAY, HOUR, MINUTE

# Longer than nearly every column's name, and too short for a text.
NAME_CHARS_MAX: Final = 40
NAMES_MAX: Final = 20
# A provider's refusal of a key or an account is a sentence or two.
PROVIDER_CHARS_MAX: Final = 500
# Keys as they are written (`sk-…`, `gsk_…`, `xai-…`), and what a provider starred out. Model names and links are neither.
_WRITTEN_KEY: Final = re.compile(
    # Possessive and from the beginning of a word alone, so that a long text is looked at once.
    r"\b(?:sk|gsk|rk|pk|xai)[-_][\w*.-]*[\w*]|(?<![\w-])[\w-]*+\*{3,}[\w*-]*"
)
# A key, or the id of a file on Azure, by which a refusal is understood: left out where a person reads it alone.
_DIGEST: Final = re.compile(r"\b[0-9A-Za-z]{32,}\b")
_MASK: Final = "[key]"
_SPANS: Final = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s"))


def shown_name(name: str) -> str:
    """Return *name* in backticks, cut where it is long; invisible characters, such as a no-break blank, as their escapes."""
    shown = printable(name[:NAME_CHARS_MAX])
    if not is_normalized("NFC", shown):  # looks like a name with composed letters
        shown = "".join(_escape(char) if combining(char) else char for char in shown)
    return f"`{shown}{'…' if len(name) > NAME_CHARS_MAX else ''}`"


def printable(text: str, kept: Collection[str] = ()) -> str:
    """Return *text* with every character that is not printable (control, direction, line end) as its escape, but for *kept*."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in kept else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def cut(text: str, chars_max: int) -> str:
    """Return *text*, or its beginning and how much is left out."""
    left_out = len(text) - chars_max
    return text if left_out <= 0 else f"{text[:chars_max]}… ({left_out:,} more characters)"


def without_keys(text: str) -> str:
    """Return *text*, a provider's, without what is written as a key: refusals quote keys, whole or in part."""
    return _WRITTEN_KEY.sub(_MASK, text)


def provider_words(message: str) -> str:
    """Return *message*, a provider's, as a sentence in a text of ours: short, and without what may be a key. Empty for none."""
    words = " ".join(_DIGEST.sub(_MASK, without_keys(message)).split())
    cut = words if len(words) <= PROVIDER_CHARS_MAX else f"{words[:PROVIDER_CHARS_MAX]}…"
    return f"The provider says: {cut}" if cut else ""


def listed(names: Iterable[str]) -> str:
    """Return the first of *names* in a row, and how many more there are; `none` for none."""
    rest = iter(names)
    shown = ", ".join(map(shown_name, islice(rest, NAMES_MAX)))
    more = sum(1 for _ in rest)
    return f"{shown} and {more:,} more" if more else shown or "none"


def iso_time(seconds: int) -> str | None:
    """Return whole *seconds* since 1970 as ISO 8601 in UTC; None for never."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def seconds_in_words(seconds: int) -> str:
    """Return a span of time in its largest unit and the next smaller one."""
    for (size, unit), (smaller_size, smaller) in pairwise(_SPANS):
        if seconds >= size:
            rest = seconds % size // smaller_size
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{max(0, seconds)} s"
