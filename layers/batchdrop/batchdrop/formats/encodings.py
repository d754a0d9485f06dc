"""Finds out in which encoding a text is, and makes UTF-8 of it.

Rule: UTF-8 and what a mark says are certain. Windows-1252 is taken where what it gives is Western European in letters and words;
of everything else the bytes say too little, and the person is asked to say it in the task. A guess that is wrong would change
texts in silence: `charset-normalizer` 3.5.3 took short French and German texts for cp775 and iso8859_10 (tried 2026-12-01).
"""

import codecs
import re
from collections.abc import Callable, Iterator
from typing import Final

from batchdrop.core.model.errors import UploadRejected

# Longer marks first: that of UTF-32 begins like that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WINDOWS_WESTERN: Final = "windows-1252"
# Of text in a European language nearly every other byte is NUL; in UTF-8 none is.
_NUL_SHARE_MIN: Final = 0.4
# All that Windows-1252 has but letters that no language of Western Europe has, or Icelandic alone: in other encodings of one
# byte a letter, they and what is undefined here are frequent letters.
_WESTERN: Final = frozenset(bytes(range(0x80, 0x100)).decode(WINDOWS_WESTERN, "ignore")) - frozenset("ŠšŽžÝýÞþÐðƒ")
# What other encodings have where these letters and signs are: within a word, or before other letters than in these languages.
_ODD: Final = re.compile(
    r"[A-Za-z][\u00a1\u00a3\u00a5\u00ac\u00af\u00b3\u00bc\u00be\u00b6](?=[A-Za-z])|(?<=[A-Za-z])[\u00b9\u00bf]"
    r"|(?<=[A-Za-ln-z])\u00b3|[õÕ](?![eE])|[ñÑ](?![aeiouáéíóúAEIOUÁÉÍÓÚ])|[øØ][íÍ]|æ\b"
)
# Letters and signs beyond ASCII that follow each other, as in scripts of other encodings.
_RUN: Final = re.compile(r"[^\x00-\x7f]{4,}")
# A word of a Western language is of ASCII letters for the most part.
_OTHERS_SHARE_MAX: Final = 0.4


ENCODING_ADVICE: Final = (
    "it may be one of Windows-1250 (Central Europe), Windows-1251 (Cyrillic), Windows-1252, Shift-JIS or GBK. Say which in the "
    "task, as in `encoding: windows-1250`, or save the file as UTF-8 (in Excel: `CSV UTF-8`)"
)


def found_encoding(start: bytes, said: str) -> str:
    """Return the encoding of the text that begins with *start*: what the task *said*, or what is certain; empty for UTF-8.

    Raises UploadRejected(`not_utf8`) where it is neither.
    """
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    if said:
        return "" if codecs.lookup(said).name == "utf-8" else said
    if byte_order := _nul_order(start):
        return byte_order
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError as error:
        if is_western(start):
            return WINDOWS_WESTERN
        line = start.count(b"\n", 0, error.start) + 1
        raise UploadRejected(
            "not_utf8", f"the file is not UTF-8 at line {line} (byte {error.start}): {ENCODING_ADVICE}"
        ) from error
    return ""


def is_western(start: bytes) -> bool:
    """Whether *start*, which is not UTF-8, is a text of Western Europe in Windows-1252, or in Latin-1, which has its letters."""
    try:
        text = start.decode(WINDOWS_WESTERN)
    except UnicodeDecodeError:
        return False
    others = [char for char in text if char > "\x7f"]
    letters = sum(char.isalpha() for char in others)
    plain = sum(char.isascii() and char.isalpha() for char in text)
    is_rare = letters <= _OTHERS_SHARE_MAX * (letters + plain)
    runs = (run for run in _RUN.findall(text) if any(map(str.isalpha, run)))
    return _WESTERN.issuperset(others) and is_rare and not _ODD.search(text) and next(runs, None) is None


def _nul_order(start: bytes) -> str:
    """Return the byte order of UTF-16 without a mark; empty where it isn't."""
    whole = start[: len(start) & ~1]
    even, odd = (whole[parity::2].count(0) for parity in (0, 1))
    if max(even, odd) <= _NUL_SHARE_MIN * len(whole) / 2 or min(even, odd):
        return ""
    return "utf-16-be" if even else "utf-16-le"


def ends_lines_by_returns(text: bytes) -> bool:
    """Whether the lines of *text*, the start of a file, end in carriage returns alone, as those of old Macs."""
    return b"\r" in text and b"\n" not in text


def as_utf8(blocks: Iterator[bytes], encoding: str, *, has_returns: bool, mark: bytes = b"") -> Iterator[bytes]:
    """Yield a text's *blocks* in UTF-8, *mark* first; carriage returns become line feeds if *has_returns*.

    Raises UploadRejected(`not_utf8`) with the byte that the encoding does not have.
    """
    decoder = codecs.getincrementaldecoder(encoding or "utf-8")()
    offset, first = 0, mark
    for block in blocks:
        yield first + _written(lambda: decoder.decode(block), encoding, offset, has_returns=has_returns)  # noqa: B023 - called at once
        offset, first = offset + len(block), b""
    yield _written(lambda: decoder.decode(b"", final=True), encoding, offset, has_returns=has_returns)


def _written(decode: Callable[[], str], encoding: str, offset: int, *, has_returns: bool) -> bytes:
    try:
        text = decode()
    except UnicodeDecodeError as error:
        message = f"the file is not {encoding or 'UTF-8'} at byte {offset + error.start} of its text; {ENCODING_ADVICE}"
        raise UploadRejected("not_utf8", message) from error
    return (text.replace("\r", "\n") if has_returns else text).encode()
