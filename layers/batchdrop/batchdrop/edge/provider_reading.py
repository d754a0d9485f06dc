"""Batches as providers show them, read tolerantly.

Rule: what is absent, null or of an odd type becomes the field's nothing; a status is kept as it came, in lower case.
Services that speak this API differ in case, nulls and extra fields.
"""

import json
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from batchdrop.core.batches import Batch, BatchError, BatchPage, FilePage, StoredFile

_END_TIMES = ("completed_at", "failed_at", "expired_at", "cancelled_at")


def as_mapping(answer: object) -> Mapping[str, object]:
    """Return the fields of what the SDK read, as they came; raises TypeError where it read no object.

    The SDK fills its models without checking them, and hands out text where the server did not send JSON.
    """
    if not isinstance(answer, BaseModel):
        raise TypeError(f"an object was expected, not {type(answer).__name__}")
    return answer.model_dump(warnings=False)


def read_object(content: bytes) -> Mapping[str, object]:
    """Return the JSON object that *content* is; raises TypeError where it is none.

    Lists are read by this: the SDK takes more than a millisecond to make a model of one batch, and a sweep sees a thousand.
    """
    try:
        read = json.loads(content)
    except ValueError as error:
        raise TypeError(f"an object was expected, not {content[:40]!r}") from error
    if not isinstance(read, dict):
        raise TypeError(f"an object was expected, not {type(read).__name__}")
    return read


def read_page(page: Mapping[str, object]) -> BatchPage:
    """Return one page; the next follows its last batch where the provider says that there are more."""
    entries = [entry for entry in _list(page.get("data")) if isinstance(entry, Mapping) and _text(entry.get("id"))]
    batches = tuple(read_batch(entry) for entry in entries)
    has_more = page.get("has_more") is True and bool(batches)
    return BatchPage(batches, batches[-1].id if has_more else None)


def read_files(page: Mapping[str, object]) -> FilePage:
    """Return one page of files; as `read_page`."""
    entries = [entry for entry in _list(page.get("data")) if isinstance(entry, Mapping) and _text(entry.get("id"))]
    files = tuple(
        StoredFile(_text(entry.get("id")), _text(entry.get("filename")), _number(entry.get("created_at")) or 0)
        for entry in entries
    )
    has_more = page.get("has_more") is True and bool(files)
    return FilePage(files, files[-1].id if has_more else None)


def read_batch(raw: Mapping[str, object]) -> Batch:
    """Return one batch."""
    counts = _mapping(raw.get("request_counts"))
    metadata = raw.get("metadata")
    return Batch(
        id=_text(raw.get("id")),
        status=_text(raw.get("status")).lower(),
        created_at=_number(raw.get("created_at")) or 0,
        endpoint=_text(raw.get("endpoint")),
        input_file=_text(raw.get("input_file_id")),
        output_file=_text(raw.get("output_file_id")) or None,
        error_file=_text(raw.get("error_file_id")) or None,
        errors=tuple(_error(entry) for entry in _list(_mapping(raw.get("errors")).get("data"))),
        total=_number(counts.get("total")),
        completed=_number(counts.get("completed")),
        failed=_number(counts.get("failed")),
        ended_at=next((time for name in _END_TIMES if (time := _number(raw.get(name)))), 0),
        expires_at=_number(raw.get("expires_at")) or 0,
        metadata={str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, Mapping) else None,
    )


def _error(entry: object) -> BatchError:
    fields = _mapping(entry)
    return BatchError(
        _text(fields.get("code")),
        _text(fields.get("message")),
        _number(fields.get("line")),
        param=_text(fields.get("param")) or None,
    )


def _mapping(raw: object) -> Mapping[str, object]:
    return raw if isinstance(raw, Mapping) else {}


def _list(raw: object) -> Sequence[object]:
    return raw if isinstance(raw, list | tuple) else ()


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""


def _number(raw: object) -> int | None:
    """Return a whole number, also where it came as a float; True, False, infinity and the like are none."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not raw.is_integer():
        return None
    return int(raw)
