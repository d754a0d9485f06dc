"""Reads what a provider says in a refusal: a code, words, and when to try again; all of it bounded, and without the key.

Rule: a provider's words and numbers are untrusted. What cannot be what it claims to be counts as absent.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2

from batchdrop.core.collection.answers import code_of
from batchdrop.core.model.wording import without_keys
from batchdrop.edge.openai.key_mask import TEXT_CHARS_MAX, KeyMask
from batchdrop.edge.openai.reading import MESSAGE_CHARS_MAX, NAME_CHARS_MAX, read_json, said_of

# What a server may ask for is bounded by the flow, which says so; no number is longer than this.
_ASKED_SECONDS_MAX: Final = 10**9


@dataclass(frozen=True, slots=True)
class Words:
    """A refusal. Each text is empty where the provider gave none that can be used."""

    code: str
    message: str  # with the provider's id of the request
    param: str


def read_words(response: httpx2.Response, fallback: str, mask: KeyMask) -> Words:
    """Return what *response*, an error of HTTP that was read, says; *fallback* stands for words that are not there."""
    body = _body(response, mask)
    fields = body if isinstance(body, Mapping) else {}
    message = bounded(said_of(body) or fallback, mask)
    request = name_of(response.headers.get("x-request-id"), mask)
    return Words(
        code=_code(fields.get("code"), mask),
        message=message + (f" (request {request})" if request else ""),
        param=name_of(fields.get("param"), mask),
    )


def bounded(words: str, mask: KeyMask) -> str:
    """Return *words* without this key and what is written as one, and short, because a proxy may answer with a page."""
    return without_keys(mask.text(words[:TEXT_CHARS_MAX]))[:MESSAGE_CHARS_MAX]


def name_of(raw: object, mask: KeyMask) -> str:
    """Return *raw* where it is a short text on one line; else nothing."""
    is_name = isinstance(raw, str) and len(raw) <= NAME_CHARS_MAX and raw.isprintable()
    return mask.text(str(raw)) if is_name else ""


def asked_seconds(headers: Mapping[str, str]) -> int:
    """Return for how many seconds a server asks to be left alone, as a number or as a date; 0 for none, and for what is neither.

    As the SDK reads it, which takes a number that it cannot hold for two minutes.
    """
    for name, divisor in (("retry-after-ms", 1_000), ("retry-after", 1)):
        asked = headers.get(name, "").strip()
        if asked[:1].isdigit():
            return _whole(asked, divisor)
    try:
        at = parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return 0
    return _bounded(at - time.time())


def _whole(asked: str, divisor: int) -> int:
    try:
        return _bounded(float(asked) / divisor)
    except ValueError:
        return 0


def _bounded(seconds: float) -> int:
    return int(min(max(seconds, 0), _ASKED_SECONDS_MAX))


def _body(response: httpx2.Response, mask: KeyMask) -> object:
    """Return the object that says what is wrong, or the text where there is none."""
    try:
        read = read_json(response.content, mask)
    except TypeError:
        return response.text.strip()
    inner = read.get("error") if isinstance(read, Mapping) else None
    return inner if isinstance(inner, Mapping | str) else read


def _code(raw: object, mask: KeyMask) -> str:
    """Return the code that *raw* is, be it a text or a number."""
    is_number = isinstance(raw, int) and not isinstance(raw, bool)
    text = str(raw) if is_number else raw
    return mask.text(code_of(text) or "") if isinstance(text, str) else ""
