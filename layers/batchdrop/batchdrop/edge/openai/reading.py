"""Reads batches as providers show them, tolerantly.

Rule: what is absent, null, of an odd type or beyond any bound becomes the field's nothing; a status is kept as it came, in lower
case. Services that speak this API differ in case, nulls and extra fields, and one absurd number must not hide
what is around it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from batchdrop.core.model.batches import Batch, BatchError, BatchPage, FilePage, StoredFile
from batchdrop.core.model.dialects import OPENAI, Dialect
from batchdrop.core.model.wording import without_keys
from batchdrop.edge.openai.key_mask import KeyMask

# The longest ids are those of LiteLLM, some hundreds of characters; a row of the ledger has to hold what is kept of them.
ID_CHARS_MAX: Final = 1_000
STATUS_CHARS_MAX: Final = 100
# A code, or a parameter's path, and the provider's id of a request: some dozens of characters.
NAME_CHARS_MAX: Final = 200
# Words about what is wrong, a sentence or two.
MESSAGE_CHARS_MAX: Final = 1_000
# No valid number here is longer.
DIGITS_MAX: Final = 20
NUMBER_MAX: Final = 2**53
# The last second that a date can name.
TIME_MAX: Final = 253_402_300_799
# How many details may lie within one another.
DETAILS_MAX: Final = 3
# What is shown of an answer that cannot be read; the key is looked for before it is cut.
SHOWN_BYTES_MAX: Final = 20_000
SHOWN_CHARS_MAX: Final = 40
_END_TIMES = ("completed_at", "failed_at", "expired_at", "cancelled_at")


def read_json(content: bytes, mask: KeyMask) -> object:
    """Return the JSON that *content* is, without the key; raises TypeError where it is none, or nests without end.

    Not the SDK's own reading: that gives up on a page for one number of 5,000 digits, takes more than a millisecond to make a
    model of one batch (a sweep sees a thousand), and hands out text where the server did not send JSON.
    """
    try:
        read = _loaded(content)
        return mask.values(read) if mask.may_be_in(content) else read
    except (ValueError, RecursionError) as error:
        shown = mask.text(content[:SHOWN_BYTES_MAX].decode(errors="replace"))[:SHOWN_CHARS_MAX]
        raise TypeError(f"JSON was expected, not {shown!r}") from error


def _loaded(content: bytes) -> object:
    try:
        return json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        return json.loads(content, parse_int=lambda digits: int(digits) if len(digits) <= DIGITS_MAX else None)


def read_object(content: bytes, mask: KeyMask) -> Mapping[str, object]:
    """Return the JSON object that *content* is; raises TypeError where it is none."""
    read = read_json(content, mask)
    if not isinstance(read, dict):
        raise TypeError(f"an object was expected, not {type(read).__name__}")
    return read


def read_list(content: bytes, dialect: Dialect, mask: KeyMask) -> Mapping[str, object]:
    """Return the JSON object that *content*, a page of a list, is; raises TypeError where it is none.

    An array without anything around it is the whole list where the server has no pages, and no list at all anywhere else:
    what a proxy made up must not show that a batch is absent.
    """
    read = read_json(content, mask)
    if isinstance(read, list) and dialect.list_cursor == "none":
        return {"data": read}
    if not isinstance(read, dict):
        raise TypeError(f"an object was expected, not {type(read).__name__}")
    return read


def said_of(body: object, details_max: int = DETAILS_MAX) -> str:
    """Return the words of an error's *body*, whatever form it has: a text, `message`, or `detail` with a text or a list.

    Empty where there are none. `detail` is what FastAPI answers a 422 with: what is wrong, and where; it may hold another one.
    """
    if isinstance(body, str):
        return body
    fields = _mapping(body)
    detail = fields.get("detail")
    said = _text(fields.get("message")) or _text(fields.get("error")) or _text(detail) or said_of_detail(detail)
    return said or (said_of(detail, details_max - 1) if isinstance(detail, Mapping) and details_max else "")


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
    entries = [entry for entry in _list(page.get("data")) if isinstance(entry, Mapping) and read_id(entry.get("id"))]
    batches = tuple(read_batch(entry, dialect) for entry in entries)
    return BatchPage(batches, _next_after(page, batches[-1].id if batches else None))


def _next_after(page: Mapping[str, object], last: str | None) -> str | None:
    """Return what asks for the page after this one, which ends with *last*; None where there is none."""
    cursor = _text(_mapping(page.get("paging")).get("next_cursor"))
    return cursor or (last if page.get("has_more") is True else None)


def read_files(page: Mapping[str, object]) -> FilePage:
    """Return one page of files; as `read_page`."""
    entries = [entry for entry in _list(page.get("data")) if isinstance(entry, Mapping) and read_id(entry.get("id"))]
    files = tuple(map(read_file, entries))
    return FilePage(files, _next_after(page, files[-1].id if files else None))


def read_file(raw: Mapping[str, object]) -> StoredFile:
    """Return one file."""
    created_at = _time(raw.get("created_at")) or 0
    return StoredFile(
        read_id(raw.get("id")), _text(raw.get("filename")), created_at, status=_status(raw.get("status")).lower()
    )


def read_created(raw: Mapping[str, object], dialect: Dialect = OPENAI) -> Batch | None:
    """Return the batch that a create was answered with, also if it is below `job`; None if it has no id."""
    batch = read_batch(raw if read_id(raw.get("id")) else _mapping(raw.get("job")), dialect)
    return batch if batch.id else None


def read_batch(raw: Mapping[str, object], dialect: Dialect = OPENAI) -> Batch:
    """Return one batch, its status in OpenAI's words."""
    counts = _mapping(raw.get("request_counts"))
    return Batch(
        id=read_id(raw.get("id")),
        status=dialect.status(_status(raw.get("status"))),
        created_at=_time(raw.get("created_at")) or 0,
        endpoint=read_id(raw.get("endpoint")),
        input_file=read_id(raw.get("input_file_id")),
        output_file=read_id(raw.get("output_file_id")) or None,
        error_file=read_id(raw.get("error_file_id")) or None,
        errors=tuple(_errors(raw)),
        total=_count(counts.get("total")),
        completed=_count(counts.get("completed")),
        failed=_count(counts.get("failed")),
        ended_at=next((time for name in _END_TIMES if (time := _time(raw.get(name)))), 0),
        expires_at=_time(raw.get("expires_at")) or _time(raw.get("job_deadline")) or 0,
        metadata=_metadata(raw.get("metadata")),
    )


def _errors(raw: Mapping[str, object]) -> Iterator[BatchError]:
    """Yield what is wrong with a batch: a list in an object, a list alone, or a sentence."""
    errors = raw.get("errors")
    yield from map(_error, _list(errors) or _list(_mapping(errors).get("data")))
    if sentence := _text(raw.get("error")):
        yield BatchError("", _words(sentence), None)


def _error(entry: object) -> BatchError:
    fields = _mapping(entry)
    return BatchError(
        _code(fields.get("code")),
        _words(_text(fields.get("message"))),
        _number(fields.get("line")),
        param=_name(fields.get("param")) or None,
    )


def _mapping(raw: object) -> Mapping[str, object]:
    return raw if isinstance(raw, Mapping) else {}


def _list(raw: object) -> Sequence[object]:
    return raw if isinstance(raw, list | tuple) else ()


def _code(raw: object) -> str:
    """Return a code as it came, also where it is a number."""
    number = _number(raw)
    return _name(raw) if number is None else str(number)


def read_id(raw: object) -> str:
    """Return the id that *raw* is; empty where it is none, and no row could hold it."""
    return raw if isinstance(raw, str) and len(raw) <= ID_CHARS_MAX else ""


def _status(raw: object) -> str:
    return raw if isinstance(raw, str) and len(raw) <= STATUS_CHARS_MAX else ""


def _name(raw: object) -> str:
    return raw if isinstance(raw, str) and len(raw) <= NAME_CHARS_MAX else ""


def _words(text: str) -> str:
    """Return what is kept of *text*, a provider's, in which the key was masked: a row of the ledger has to hold it."""
    return without_keys(text[:MESSAGE_CHARS_MAX])


def _metadata(raw: object) -> Mapping[str, str] | None:
    """Return the texts and numbers in a batch's metadata; None where it has none."""
    if not isinstance(raw, Mapping):
        return None
    return {str(key): str(value) for key, value in raw.items() if read_id(value) or isinstance(value, int | float)}


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""


def _number(raw: object) -> int | None:
    """Return a whole number, also where it came as a float; True, False, infinity and the like are none."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not raw.is_integer() or abs(raw) > NUMBER_MAX:
        return None
    return int(raw)


def _count(raw: object) -> int | None:
    """Return a number of requests; less than none is none."""
    number = _number(raw)
    return None if number is None or number < 0 else number


def _time(raw: object) -> int | None:
    """Return seconds since 1970, where they came as a number or as ISO 8601 text; text without a zone is UTC.

    What no date can name is none: what is kept as a time is shown as a date.
    """
    seconds = _seconds_of_text(raw) if isinstance(raw, str) else _number(raw)
    return seconds if seconds is not None and 0 <= seconds <= TIME_MAX else None


def _seconds_of_text(text: str) -> int | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
