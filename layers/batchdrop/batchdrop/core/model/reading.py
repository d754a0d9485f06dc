"""Defines how an upload is read, which is found out once, from its first bytes and its task, and kept with the job.

Rule: each later reader of the upload reads it as the job says. The default is how uploads were read before anything was found.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from unicodedata import normalize

SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
VALUES: Final = "values"  # records one after the other, over lines as they like
NESTED: Final = "nested"  # one array of records, within an object
# Marks and signs of no width, which a program may put into a name; and blanks that are not the space bar's.
_UNSEEN: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_BLANKS: Final = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions:
    """What a task says of its CSV files; it overrides what would be found. Empty or 0 where it says nothing."""

    separator: str = ""
    escape: str = ""
    header: int = 0  # the line of the header; what is above it stays above


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How an upload is read, and which of its rows aren't records."""

    is_packed: bool = False  # with gzip
    encoding: str = ""  # empty for UTF-8
    is_copied: bool = False  # it is read from its copy in UTF-8, because it cannot be read from any byte on as it is
    separator: str = ","  # these three of CSV
    escape: str = ""  # what is before a quote in a quoted field; empty where quotes are doubled
    lines_before: int = 0  # before the header
    shape: str = ""  # these three of JSON that is laid out as its ending does not say
    body_start: int = 0  # of NESTED: where the first record is
    tail: str = ""  # of NESTED: what is behind the last one, once that was read
    blank_rows: int = 0  # without any value
    repeated_headers: int = 0


# How uploads were read before anything was found out.
AS_EVER: Final = Reading()


def canonical_name(name: str) -> str:
    """Return a column's *name* as names are compared: composed (NFC), without invisible marks, and trimmed."""
    if name.isascii():
        return name.strip()
    return normalize("NFC", _BLANKS.sub(" ", _UNSEEN.sub("", name))).strip()


def reading_words(extension: str, reading: Reading) -> str:
    """Return how an upload with that *extension* is read, in words: `CSV, semicolons; 12 empty rows skipped`."""
    packing = ("packed with gzip",) if reading.is_packed else ()
    encoding = (reading.encoding,) if reading.encoding else ()
    return "; ".join((", ".join((*_form_words(extension, reading), *encoding, *packing)), *_skipped_words(reading)))


def _form_words(extension: str, reading: Reading) -> Iterator[str]:
    if extension not in ("csv", "tab", "tsv", "txt"):
        yield {"json": "JSON", "jsonl": "JSON lines", "ndjson": "JSON lines"}.get(extension, extension)
        if reading.shape:
            yield {VALUES: "records one after the other", NESTED: "the array within an object"}[reading.shape]
        return
    yield "CSV"
    yield SEPARATORS.get(reading.separator, f"separated by `{reading.separator}`")
    if reading.escape:
        yield f"quotes after `{reading.escape}`"
    if reading.lines_before:
        yield f"header in line {reading.lines_before + 1}"


def _skipped_words(reading: Reading) -> Iterator[str]:
    for count, one, more in (
        (reading.blank_rows, "empty row", "empty rows"),
        (reading.repeated_headers, "repeated header", "repeated headers"),
    ):
        if count:
            yield f"{count:,} {one if count == 1 else more} skipped"
