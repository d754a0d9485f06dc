"""How deep JSON nests. What reads it counts levels for itself and gives up somewhere near 10,000, two levels of ours later too.

Rule: nothing that somebody else wrote is kept that nests deeper than NESTING_MAX, so that whatever we put around it can be read.
"""

import re
from typing import Final

from batchdrop.core.model.limits import NESTING_MAX

# A whole text, or one bracket; possessive, so that a long text is looked at once.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_OPENS: Final = (b"[", b"{")
_CLOSES: Final = (b"]", b"}")


def has_many_brackets(text: bytes) -> bool:
    """Whether *text* has so many brackets that it may nest too deep: hardly ever, and two searches tell."""
    return text.count(b"[") + text.count(b"{") > NESTING_MAX


def is_too_deep(text: bytes) -> bool:
    """Whether the JSON *text* nests deeper than NESTING_MAX. Of what is no JSON it says something."""
    if not has_many_brackets(text):
        return False
    depth = 0
    for found in _TOKEN.finditer(text):
        sign = found[0]
        depth += (sign in _OPENS) - (sign in _CLOSES)
        if depth > NESTING_MAX:
            return True
    return False
