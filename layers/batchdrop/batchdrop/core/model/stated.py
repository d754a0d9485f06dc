"""Reads the limit that a refusal states, as a number.

Rule: what cannot be read for sure is unknown. A limit that is read a thousand times too low fails requests that would fit.
"""

import re
from typing import Final

# Separators of thousands: comma, point, apostrophes, underline, and every kind of space.
_SEPARATORS: Final = ",.'\u2019_ \u00a0\u2009\u202f"
_LIMIT: Final = re.compile(
    rf"\blimit\s*+(?:is|of)?\s*+[:=]?\s*+(?P<number>\d++(?:[{_SEPARATORS}]\d++)*+)(?P<gap>[ \u00a0\u202f]?)(?P<rest>\S*)",
    re.IGNORECASE,
)
_GROUPED: Final = re.compile(rf"\d{{1,3}}([{_SEPARATORS}])\d{{3}}(?:\1\d{{3}})*")
_LAKHS: Final = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}")
_DECIMAL: Final = re.compile(r"(\d+)[.,](\d{1,2})")
_SCALES: Final = {
    "": 1, "k": 10**3, "thousand": 10**3, "m": 10**6, "mn": 10**6, "mio": 10**6, "million": 10**6, "millions": 10**6,
    "b": 10**9, "bn": 10**9, "billion": 10**9,
}  # fmt: skip
# What may follow a number that is not scaled. Any other word may be an unknown unit.
_FOLLOWING: Final = {
    "token", "tokens", "enqueued", "queued", "prompt", "input", "inputs", "embedding", "embeddings", "request", "requests",
    "for", "in", "on", "at", "and", "but", "has", "have", "was", "is", "reached", "exceeded", "please",
}  # fmt: skip
_WORD: Final = re.compile(r"[^\W\d_]*")
_STATED_MAX: Final = 10**15
_DIGITS_MAX: Final = 40  # with what separates them


def stated_limit(message: str) -> int:
    """Return the limit that a refusal names; 0 where it names none, or none that can be read for sure.

    Digits may be grouped in any way, and scaled (`30K`, `1.5M`, `2 million`).
    """
    found = _LIMIT.search(message)
    if found is None:
        return 0
    scale = _scale_of(found["rest"], is_apart=bool(found["gap"]))
    stated = _number(found["number"], scale) if scale else 0
    return stated if stated <= _STATED_MAX else 0


def _scale_of(rest: str, *, is_apart: bool) -> int:
    """Return what the number in front of *rest* is multiplied by; 0 where that is not sure."""
    word = _WORD.match(rest)
    unit, behind = (word.group().lower(), rest[word.end() :]) if word else ("", rest)
    if behind[:1] in ("-", "\u2013", "%", "/", "_", "^") or behind[:1].isdigit():
        return 0  # a range, a share, a rate, an exponent
    if unit in _SCALES:
        return _SCALES[unit]
    return 1 if is_apart and unit in _FOLLOWING else 0  # `30 tokens` is a number, `30x` and `30 dozen` are not


def _number(digits: str, scale: int) -> int:
    """Return *digits* times *scale*; 0 where separator and decimal point cannot be told apart, or no limit is so large."""
    if len(digits) > _DIGITS_MAX:
        return 0
    if digits.isdecimal():
        return int(digits) * scale
    decimal = _DECIMAL.fullmatch(digits)
    if decimal:
        whole, part = decimal.groups()
        return int(whole + part) * scale // 10 ** len(part) if scale > 1 else 0
    grouped = _GROUPED.fullmatch(digits)
    if grouped is None and not _LAKHS.fullmatch(digits):
        return 0
    is_sure = scale == 1 or grouped is None or grouped[1] not in ",."
    return int("".join(filter(str.isdecimal, digits))) * scale if is_sure else 0
