"""Batches as providers show them, read tolerantly.

Rule: what is absent, null or of an odd type becomes the field's nothing; a status is kept as it came, in lower case.
Services that speak this API differ in case, nulls and extra fields.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel

from batchdrop.core.model.batches import Batch, BatchError, BatchPage, FilePage, StoredFile
from batchdrop.core.model.dialects import OPENAI, Dialect

_END_TIMES = ("completed_at", "failed_at", "expired_at", "cancelled_at")


def as_mapping(answer: object) -> Mapping[str, object]:
    """Return the fields of what the SDK read, as they came; raises TypeError where it read no object.

    The SDK fills its models without checking them, and hands out text where the server did not send JSON.
    """
    if not isinstance(answer, BaseModel):
        raise TypeError(f"an object was expected, not {type(answer).__name__}")
    return answer.model_dump(warnings=False)


def read_list(content: bytes, dialect: Dialect = OPENAI) -> Mapping[str, object]:
    """Return the JSON object that *content*, a page of a list, is; raises TypeError where it is none.

    Lists are read by this: the SDK takes more than a millisecond to make a model of one batch, and a sweep sees a thousand.
    An array without anything around it is the whole list where the server has no pages, and no list at all anywhere else:
    what a proxy made up must not show that a batch is absent.
    """
    try:
        read = json.loads(content)
    except ValueError as error:
        raise TypeError(f"an object was expected, not {content[:40]!r}") from error
    if isinstance(read, list) and dialect.list_cursor == "none":
        return {"data": read}
    if not isinstance(read, dict):
        raise TypeError(f"an object was expected, not {type(read).__name__}")
    return read


def said_of(body: object) -> str:
    """Return the words of an error's *body*, whatever form it has: a text, `message`, or `detail` with a text or a list.

    Empty where there are none. `detail` is what FastAPI answers a 422 with: what is wrong, and where.
    """
    if isinstance(body, str):
        return body
    fields = _mapping(body)
    detail = fields.get("detail")
    said = _text(fields.get("message")) or _text(fields.get("error")) or _text(detail) or said_of_detail(detail)
    return said or (said_of(detail) if isinstance(detail, Mapping) else "")


def said_of_detail(detail: object) -> str:
    """Return the words of a list of what is wrong, each with its place."""
    said = []
    for entry in map(_mapping, _list(detail)):
        place = ".".join(map(str, _list(entry.get("loc"))))
        words = _text(entry.get("msg")) or _text(entry.get("message"))
        said.append(f"{place}: {words}" if place and words else place or words)
    return "; ".join(filter(None, said))


def read_page(page: Mapping[str, object], dialect: Dialect = OPENAI) -> BatchPage:
    """Return one page; the next follows its last batch where the provider says that there are more, or names the cursor."""
    entries = [entry for entry in _list(page.get("data")) if isinstance(entry, Mapping) and _text(entry.get("id"))]
    batches = tuple(read_batch(entry, dialect) for entry in entries)
    return BatchPage(batches, _next_after(page, batches[-1].id if batches else None))


def _next_after(page: Mapping[str, object], last: str | None) -> str | None:
    """Return what asks for the page after this one, which ends with *last*; None where there is none."""
    cursor = _text(_mapping(page.get("paging")).get("next_cursor"))
    return cursor or (last if page.get("has_more") is True else None)


def read_files(page: Mapping[str, object]) -> FilePage:
    """Return one page of files; as `read_page`."""
    entries = [entry for entry in _list(page.get("data")) if isinstance(entry, Mapping) and _text(entry.get("id"))]
    files = tuple(map(read_file, entries))
    return FilePage(files, _next_after(page, files[-1].id if files else None))


def read_file(raw: Mapping[str, object]) -> StoredFile:
    """Return one file."""
    created_at = _time(raw.get("created_at")) or 0
    return StoredFile(
        _text(raw.get("id")), _text(raw.get("filename")), created_at, status=_text(raw.get("status")).lower()
    )


def read_created(raw: Mapping[str, object], dialect: Dialect = OPENAI) -> Batch | None:
    """Return the batch that a create was answered with, also where it lies below `job`; None where it has no id."""
    batch = read_batch(raw if _text(raw.get("id")) else _mapping(raw.get("job")), dialect)
    return batch if batch.id else None


def read_batch(raw: Mapping[str, object], dialect: Dialect = OPENAI) -> Batch:
    """Return one batch, its status in OpenAI's words."""
    counts = _mapping(raw.get("request_counts"))
    metadata = raw.get("metadata")
    return Batch(
        id=_text(raw.get("id")),
        status=dialect.status(_text(raw.get("status"))),
        created_at=_time(raw.get("created_at")) or 0,
        endpoint=_text(raw.get("endpoint")),
        input_file=_text(raw.get("input_file_id")),
        output_file=_text(raw.get("output_file_id")) or None,
        error_file=_text(raw.get("error_file_id")) or None,
        errors=tuple(_errors(raw)),
        total=_number(counts.get("total")),
        completed=_number(counts.get("completed")),
        failed=_number(counts.get("failed")),
        ended_at=next((time for name in _END_TIMES if (time := _time(raw.get(name)))), 0),
        expires_at=_time(raw.get("expires_at")) or _time(raw.get("job_deadline")) or 0,
        metadata={str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, Mapping) else None,
    )


def _errors(raw: Mapping[str, object]) -> Iterator[BatchError]:
    """Yield what is wrong with a batch: a list in an object, a list by itself, or a sentence."""
    errors = raw.get("errors")
    yield from map(_error, _list(errors) or _list(_mapping(errors).get("data")))
    if sentence := _text(raw.get("error")):
        yield BatchError("", sentence, None)


def _error(entry: object) -> BatchError:
    fields = _mapping(entry)
    return BatchError(
        _code(fields.get("code")),
        _text(fields.get("message")),
        _number(fields.get("line")),
        param=_text(fields.get("param")) or None,
    )


def _mapping(raw: object) -> Mapping[str, object]:
    return raw if isinstance(raw, Mapping) else {}


def _list(raw: object) -> Sequence[object]:
    return raw if isinstance(raw, list | tuple) else ()


def _code(raw: object) -> str:
    """Return a code as it came, also where it is a number."""
    number = _number(raw)
    return _text(raw) if number is None else str(number)


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""


def _number(raw: object) -> int | None:
    """Return a whole number, also where it came as a float; True, False, infinity and the like are none."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not raw.is_integer():
        return None
    return int(raw)


def _time(raw: object) -> int | None:
    """Return seconds since 1970, where they came as a number or as ISO 8601 text; text without a zone is UTC."""
    if not isinstance(raw, str):
        return _number(raw)
    try:
        read = datetime.fromisoformat(raw)
    except ValueError:
        return None
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
