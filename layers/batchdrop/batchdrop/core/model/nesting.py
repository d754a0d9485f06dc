"""Measures how deep JSON nests. JSON readers give up near 10,000 levels, and we add two levels of our own.

Rule: foreign JSON is kept only if it nests at most NESTING_MAX deep, so that a document which contains it can be read.
"""

import re
from typing import Final

from batchdrop.core.model.limits import NESTING_MAX

# A whole text, or one bracket; possessive, so that a long text is looked at once.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_OPENS: Final = (b"[", b"{")
_CLOSES: Final = (b"]", b"}")


def has_many_brackets(text: bytes) -> bool:
    """Whether *text* has so many brackets that it may nest too deep: rare, and two searches show it."""
    return text.count(b"[") + text.count(b"{") > NESTING_MAX


def is_too_deep(text: bytes) -> bool:
    """Whether the JSON *text* nests deeper than NESTING_MAX. The answer is arbitrary for text that isn't JSON."""
    if not has_many_brackets(text):
        return False
    depth = 0
    for found in _TOKEN.finditer(text):
        sign = found[0]
        depth += (sign in _OPENS) - (sign in _CLOSES)
        if depth > NESTING_MAX:
            return True
    return False
