"""Masks the key in everything that a provider says: a server may echo it, and its words are kept and shown.

Rule: masking comes before cutting, or a part of a key would stay. A key short enough to be a word isn't masked in answers, and
an even shorter one isn't a secret.
"""

from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import quote

from batchdrop.flow.ports import ByteSink

MASK: Final = "[key]"
# Shorter ones stand for "no key" where a server wants none (`EMPTY`, `none`), or are words.
KEY_CHARS_MIN: Final = 6
# Answers hold what people and models write: of a shorter key they might hold a part of a word.
KEY_BYTES_IN_ANSWERS_MIN: Final = 20
# A run of this many characters of a key isn't an accident, and isn't the beginning of another key: it is longer than the longest
# prefix that keys have in common (`sk-ant-api03-`).
PART_CHARS_MIN: Final = 20
# Any part of that length holds a whole one of the blocks that a key is cut into, wherever it begins.
_BLOCK_CHARS: Final = PART_CHARS_MIN // 2
# Longer than anything of which more than a name or a sentence is kept.
TEXT_CHARS_MAX: Final = 20_000


class KeyMask:
    """Finds one key, its beginning, or any long part of it, as it is or as a part of an address."""

    def __init__(self, key: str) -> None:
        self._key = key
        forms = [form for form in dict.fromkeys((key, quote(key, safe=""))) if len(form) >= KEY_CHARS_MIN]
        self._pieces = {form: _pieces(form) for form in forms}
        self._any_piece = {piece for pieces in self._pieces.values() for piece in pieces}

    def text(self, text: str) -> str:
        """Return *text* without the key; the beginning of a long one, where the key is in it."""
        if not any(piece in text for piece in self._any_piece):
            return text
        text = text[:TEXT_CHARS_MAX]
        return _without(text, set(self._spans(text)))

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
        return b"\\" in content or any(piece.encode() in content for piece in self._any_piece)

    def is_in(self, text: str) -> bool:
        """Whether *text* holds the key."""
        return any(True for _ in self._spans(text))

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where *text* holds the beginning of the key, or so much of it from elsewhere that it can be nothing else."""
        for form, (beginning, *blocks) in self._pieces.items():
            yield from _runs(text, form, 0, len(beginning), len(beginning))
            for number, block in enumerate(blocks):
                yield from _runs(text, form, number * _BLOCK_CHARS, len(block), PART_CHARS_MIN)

    def sink(self, target: ByteSink) -> "MaskedSink":
        """Return what takes the bytes of a file for *target*, without the key."""
        return MaskedSink(target, self._key.encode() if len(self._key) >= KEY_BYTES_IN_ANSWERS_MIN else b"")


def _without(text: str, spans: Collection[tuple[int, int]]) -> str:
    """Return *text* with one mask for each of *spans*, and for those that lie within or run into one another."""
    pieces, kept_from = list[str](), 0
    for start, end in sorted(spans):
        if start >= kept_from:
            pieces += (text[kept_from:start], MASK)
        kept_from = max(kept_from, end)
    return "".join((*pieces, text[kept_from:]))


def _pieces(form: str) -> list[str]:
    """Return the beginning of *form* that is looked for, and blocks of it, one of which is in any part that is."""
    beginning = form[: max(KEY_CHARS_MIN, min(PART_CHARS_MIN, (len(form) + 1) // 2))]
    return [beginning, *(form[at : at + _BLOCK_CHARS] for at in range(0, len(form) - _BLOCK_CHARS + 1, _BLOCK_CHARS))]


def _runs(text: str, form: str, at: int, length: int, least: int) -> Iterator[tuple[int, int]]:
    """Yield where *text* goes as *form* does around the *length* characters at *at*, for at least *least* characters."""
    piece = form[at : at + length]
    found = text.find(piece)
    while found >= 0:
        start, end = found, found + length
        while start > 0 and start > found - at and text[start - 1] == form[at - (found - start) - 1]:
            start -= 1
        while end < len(text) and end - found < len(form) - at and text[end] == form[at + end - found]:
            end += 1
        if end - start >= least:
            yield start, end
        found = text.find(piece, found + 1)


class MaskedSink:
    """Passes bytes on without the key, as many as came: what is counted and ranges that are read later stay right."""

    def __init__(self, target: ByteSink, key: bytes) -> None:
        self._target = target
        self._key = key
        self._mask = MASK.encode().ljust(len(key), b"*")
        self._held = b""  # may be the beginning of a key that continues in the next piece

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
