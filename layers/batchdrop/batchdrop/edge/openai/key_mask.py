"""The key, taken out of whatever a provider says: a server may echo it, and what it says is kept and shown.

Rule: masking comes before cutting, or half of a key would stay. What is short enough to be a word is masked in no answer, and
what is shorter still is no secret.
"""

from typing import Final
from urllib.parse import quote

from batchdrop.flow.ports import ByteSink

MASK: Final = "[key]"
# Shorter ones stand for "no key" where a server wants none (`EMPTY`, `none`), or are words.
KEY_CHARS_MIN: Final = 6
# Answers hold what people and models write: of a shorter key they might hold a part of a word.
KEY_BYTES_IN_ANSWERS_MIN: Final = 20


class KeyMask:
    """Finds one key, or the first half of it and more, as it is or as a part of an address."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._forms = [form for form in dict.fromkeys((key, quote(key, safe=""))) if len(form) >= KEY_CHARS_MIN]

    def text(self, text: str) -> str:
        """Return *text* without the key."""
        for form in self._forms:
            text = _without(text, form)
        return text

    def values(self, read: object) -> object:
        """Return JSON that was *read*, without the key in any text of it. It is nested a little at most."""
        if isinstance(read, str):
            return self.text(read)
        if isinstance(read, list):
            return list(map(self.values, read))
        if isinstance(read, dict):
            return {self.text(name): self.values(value) for name, value in read.items()}
        return read

    def may_be_in(self, content: bytes) -> bool:
        """Whether texts of the JSON *content* may hold the key; one that is escaped is written in many ways."""
        return b"\\" in content or any(_first_half(form).encode() in content for form in self._forms)

    def is_in(self, text: str) -> bool:
        """Whether *text* holds the key."""
        return any(_first_half(form) in text for form in self._forms)

    def sink(self, target: ByteSink) -> "MaskedSink":
        """Return what takes the bytes of a file for *target*, without the key."""
        return MaskedSink(target, self._key.encode() if len(self._key) >= KEY_BYTES_IN_ANSWERS_MIN else b"")


def _first_half(form: str) -> str:
    return form[: max(KEY_CHARS_MIN, (len(form) + 1) // 2)]


def _without(text: str, form: str) -> str:
    half = _first_half(form)
    start, found_at, pieces = 0, text.find(half), list[str]()
    while found_at >= 0:
        end = found_at + len(half)
        while end < len(text) and text[end : end + 1] == form[end - found_at : end - found_at + 1]:
            end += 1
        pieces += (text[start:found_at], MASK)
        start, found_at = end, text.find(half, end)
    return "".join((*pieces, text[start:]))


class MaskedSink:
    """Passes bytes on without the key, as many as came: what is counted and ranges that are read later stay right."""

    def __init__(self, target: ByteSink, key: bytes) -> None:
        self._target = target
        self._key = key
        self._mask = MASK.encode().ljust(len(key), b"*")
        self._held = b""  # may be the beginning of a key that goes on in what comes next

    def write(self, content: bytes) -> int:
        """Append *content* and return how many bytes it has."""
        if not self._key:
            return self._target.write(content)
        joined = (self._held + content).replace(self._key, self._mask)
        kept = self._open_end(joined)
        self._held = joined[len(joined) - kept :]
        self._target.write(joined[: len(joined) - kept])
        return len(content)

    def _open_end(self, content: bytes) -> int:
        """Return how many bytes at the end of *content* a key may begin with."""
        tail = content[-(len(self._key) - 1) :]
        return next((len(tail) - at for at in range(len(tail)) if self._key.startswith(tail[at:])), 0)

    def finish(self) -> None:
        """Write what was held back."""
        if self._held:
            self._target.write(self._held)
            self._held = b""
