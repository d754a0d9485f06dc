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
    **dict.fromkeys(("zip", "bz2", "xz", "zst", "tar", "tgz", "7z"), _UNPACK),
    "txt": 'if it is CSV, say so in its task: `csv: {separator: ";"}`',
    **dict.fromkeys(("yaml", "yml"), "a task goes below tasks/, not below inbox/"),
    **dict.fromkeys(("parquet", "arrow", "feather", "xml"), "export it as JSON lines (.jsonl) or CSV"),
}
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


def ending_advice(extension: str) -> str:
    """Return what to do about a file of an ending that is not taken; empty where nothing special is known."""
    return _ENDINGS.get(extension, "")
