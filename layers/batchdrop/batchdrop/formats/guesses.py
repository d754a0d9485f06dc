"""Guesses what an upload is if its ending is wrong, so that the rejection is helpful.

Rule: a guess is made only of what is refused, or must be. Planning looks at the first bytes of each upload; what was planned is
read again without a look.
"""

import codecs
import re
from typing import Final

from batchdrop.core.model.errors import UploadRejected

# What is looked at: enough for the signatures and for the first line of anything.
START_BYTES: Final = 1 << 12

_UNPACK: Final = "unpack it and drop what is inside"
_AS_CSV: Final = "in the spreadsheet, save the sheet as `CSV UTF-8 (comma delimited)`"
# Long enough to be no column's name. Those that Python can write are compared with what it writes, in a test.
_SIGNATURES: Final = (
    (b"\x1f\x8b", "packed with gzip", _UNPACK),
    (b"BZh91AY&SY", "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "packed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard", _UNPACK),
    (b"PK\x03\x04", "an Excel workbook (.xlsx) or another zip archive", f"{_AS_CSV}, or {_UNPACK}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls)", _AS_CSV),
    (b"%PDF-", "a PDF", "its text has to be taken out first"),
    (b"PAR1\x15", "a Parquet file", "export it as JSON lines (.jsonl) or CSV"),
    (b"<!doctype html", "a web page", "perhaps a page to sign in was saved instead of the file"),
    (b"<html", "a web page", "perhaps a page to sign in was saved instead of the file"),
    (b"<?xml", "XML", "export it as JSON lines (.jsonl) or CSV"),
)
_ENDINGS: Final = {
    **dict.fromkeys(("xlsx", "xlsm", "xls", "ods", "numbers"), _AS_CSV),
    **dict.fromkeys(("gz", "zip", "bz2", "xz", "zst", "tar", "tgz", "7z"), _UNPACK),
    "txt": 'if it is CSV, say so in its task: `csv: {separator: ";"}`',
    **dict.fromkeys(("yaml", "yml"), "a task goes below tasks/, not below inbox/"),
    **dict.fromkeys(("parquet", "arrow", "feather", "xml"), "export it as JSON lines (.jsonl) or CSV"),
}
# Longer marks first: that of UTF-32 begins like that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# Of text in a European language nearly every other byte is NUL; in UTF-8 none is.
_NUL_SHARE_MIN: Final = 0.4
# Bytes that are control characters in Latin-1 and quotes, dashes or the euro sign in Windows-1252.
_WINDOWS_ALONE: Final = re.compile(rb"[\x80-\x9f]")
_SAVE_AS_UTF8: Final = "save it as UTF-8 (in Excel: `CSV UTF-8`)"
# An array whose first line does not end it.
_DOCUMENT: Final = re.compile(rb"\s*(?:\[[ \t]*\r?\n|\[.*,[ \t]*\r?\n)")
_JSON: Final = re.compile(rb'\s*(?:\[\s*)?\{\s*"')
# A first line of words with separators, and a second that has some too.
_TABLE: Final = re.compile(rb"\s*(?!true|false|null)[A-Za-z_][^{}\[\]:\n]*[,;\t|][^{}\[\]:\n]*\n[^\n]*[,;\t|]")


def check_start(start: bytes, extension: str) -> None:
    """Raise UploadRejected where *start*, the first bytes of an upload, shows that it is nothing that *extension* stands for."""
    lowered = start.lower()
    for signature, name, advice in _SIGNATURES:
        if start.startswith(signature) or lowered.startswith(signature):
            raise UploadRejected("unknown_format", f"the file is {name}, whatever its ending says; {advice}")
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            raise _not_utf8(f"it begins with the mark of {encoding}")
    if _has_nul_pattern(start):
        raise _not_utf8("every other byte is NUL, so it looks like UTF-16 without a mark")
    text = start.removeprefix(codecs.BOM_UTF8)
    if extension not in {"json", "jsonl", "ndjson"} and _JSON.match(text):
        raise UploadRejected(
            "unknown_format",
            "the file is JSON, whatever its ending says: name it .jsonl (one record a line) or .json (one array)",
        )
    if extension in {"jsonl", "ndjson"} and _TABLE.match(text):
        raise UploadRejected(
            "unknown_format", "the file looks like a table, and its first line is not JSON: name it .csv or .tsv"
        )
    if extension in {"jsonl", "ndjson"} and _DOCUMENT.match(text):
        raise UploadRejected(
            "one_document",
            f"a .{extension} file holds one JSON record a line, and this is one array over many lines: name it .json",
        )


def _has_nul_pattern(start: bytes) -> bool:
    whole = start[: len(start) & ~1]
    even, odd = (whole[parity::2].count(0) for parity in (0, 1))
    return max(even, odd) > _NUL_SHARE_MIN * len(whole) / 2 and not min(even, odd)


def _not_utf8(why: str) -> UploadRejected:
    return UploadRejected("not_utf8", f"the file is not UTF-8 at line 1 (byte 0): {why}; {_SAVE_AS_UTF8}")


def encoding_advice(text: bytes) -> str:
    """Return what *text*, which is not UTF-8, looks like, and what to do about it."""
    likely = "Windows-1252" if _WINDOWS_ALONE.search(text) else "Latin-1 or Windows-1252"
    return f"it looks like {likely}; {_SAVE_AS_UTF8}"


def ending_advice(extension: str) -> str:
    """Return what to do about a file of an ending that is not taken; empty where nothing special is known."""
    return _ENDINGS.get(extension, "")
