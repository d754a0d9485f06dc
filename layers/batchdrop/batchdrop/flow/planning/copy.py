"""Copies an upload in UTF-8 and unpacked, where it cannot be read from any byte on as it is.

Rule: planning, joining and merging begin to read anywhere. What follows from the whole before it (gzip, another encoding, lines
that end in carriage returns) is undone once, into one object that all of them read. May be repeated: the same bytes are written.
"""

import codecs
from collections.abc import Callable
from dataclasses import replace

from batchdrop.core.model.errors import OutOfTime
from batchdrop.core.model.reading import AS_EVER, Reading
from batchdrop.flow.planned_job import IN_HAND_BYTES, PlannedJob, upload_of
from batchdrop.formats import CSV_EXTENSIONS
from batchdrop.formats.encodings import as_utf8, ends_lines_by_returns, found_encoding
from batchdrop.formats.packing import MAGIC, blocks_of, unpacked, unpacked_start


def copied_if_needed(planned: PlannedJob, start: bytes, should_stop: Callable[[], bool]) -> Reading:
    """Return how the upload that begins with *start* is packed and encoded.

    Its copy is written where it needs one, and is read from then on.

    Raises UploadRejected where that cannot be known or undone, and OutOfTime as soon as *should_stop* says so.
    """
    options, extension = planned.job.options, upload_of(planned.job).extension
    is_packed, is_table = start.startswith(MAGIC), extension in CSV_EXTENSIONS
    text = unpacked_start(start, IN_HAND_BYTES) if is_packed else start
    encoding = found_encoding(text, options.encoding)
    has_returns = is_table and ends_lines_by_returns(text.decode(encoding or "utf-8", "ignore").encode())
    if not (is_packed or encoding or has_returns):
        return AS_EVER
    mark = codecs.BOM_UTF8 if encoding and is_table else b""
    with (
        planned.open_upload(0) as stream,
        planned.storage.writer(planned.keys.copy, "text/plain; charset=utf-8") as copy,
    ):
        blocks = unpacked(stream, planned.limits.unpacked_bytes_max) if is_packed else blocks_of(stream)
        for block in as_utf8(blocks, encoding, has_returns=has_returns, mark=mark):
            if should_stop():
                raise OutOfTime
            copy.write(block)
    planned.read_from_copy()
    return Reading(is_packed=is_packed, encoding=encoding, is_copied=True)


def with_packing(found: Reading, packing: Reading) -> Reading:
    """Return how a text was *found* to be read, which is packed and encoded as *packing* says."""
    return replace(found, is_packed=packing.is_packed, encoding=packing.encoding, is_copied=packing.is_copied)
