"""Reads uploads as records and writes results in the same format: one module for each format."""

from collections.abc import Set as AbstractSet
from typing import Final

from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.keys import NO_TASK, Upload
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.reading import AS_EVER, VALUES, CsvOptions, Reading
from batchdrop.formats.csv_reading import csv_reading
from batchdrop.formats.csv_rows import CsvRows
from batchdrop.formats.guesses import ending_advice
from batchdrop.formats.json_array import JsonArray, JsonValues
from batchdrop.formats.json_reading import json_reading
from batchdrop.formats.jsonl import JsonLines
from batchdrop.formats.records import Format

_DEFAULT = Limits()
CSV_EXTENSIONS: Final = ("csv", "tsv", "tab", "txt")
_CSV_ONLY_IF_SAID: Final = "txt"
_ENDING_CHARS_MAX = 20
_TAKEN = ".csv or .tsv (with a task), .jsonl or .ndjson (one record a line), .json (one array of records)"


def found_reading(
    start: bytes, extension: str, columns: AbstractSet[str], options: CsvOptions | None, *, is_whole: bool
) -> Reading:
    """Return how an upload is read that begins with *start*; the whole of it if *is_whole*. Raises UploadRejected.

    *columns* are those that its task names, *options* what the task says of its CSV.
    """
    if extension in CSV_EXTENSIONS:
        return csv_reading(start, extension, columns, options, is_whole=is_whole)
    return json_reading(start, extension, is_whole=is_whole)


def format_of(upload: Upload, limits: Limits = _DEFAULT, reading: Reading = AS_EVER, *, is_csv: bool = False) -> Format:
    """Return the format of *upload* by its ending, read as *reading* says. Raises UploadRejected for what is not taken.

    *is_csv*: its task says how its CSV is read; then a `.txt` is one.
    """
    extension = upload.extension
    if extension in CSV_EXTENSIONS and (is_csv or extension != _CSV_ONLY_IF_SAID):
        if upload.task == NO_TASK:
            raise UploadRejected(
                "csv_without_task",
                "a CSV needs a task that says how its rows become requests: write tasks/<name>.yaml and drop the file "
                "below inbox/<name>/; ready-made requests, as .jsonl or .json, go directly below inbox/",
            )
        return CsvRows(limits.record_bytes_max, limits.csv_field_bytes_max, extension, reading)
    match extension:
        case "json" | "jsonl" | "ndjson" if reading.shape == VALUES:
            return JsonValues(limits.record_bytes_max, extension)
        case "jsonl" | "ndjson":
            return JsonLines(limits.record_bytes_max, extension)
        case "json":
            return JsonArray(limits.record_bytes_max, extension, reading)
        case _:
            found = f"the ending .{extension[:_ENDING_CHARS_MAX]} is" if extension else "a name without an ending is"
            advice = ending_advice(extension)
            raise UploadRejected("unknown_format", f"{found} not taken; {f'{advice}; ' if advice else ''}{_TAKEN} are")
