"""Lists where each field of the table of servers comes from: a document, a report, or an assumption.

Rule: `documented` is what the server's makers wrote, in documents or in its source; `reported` is what others saw of it;
`assumed` is neither, and says why it is safe. `docs/dialects.md` is written from this; nothing that runs reads it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal

from batchdrop.core.model.dialects import DIALECTS, BatchPrice, Dialect, Lifetime
from batchdrop.core.model.limits import DAY, HOUR


@dataclass(frozen=True, slots=True)
class Source:
    """What a field rests on. *read* is the day on which *link* was read; both are empty of an assumption."""

    kind: Literal["documented", "reported", "assumed"]
    note: str = ""
    link: str = ""
    read: str = ""


def _documented(link: str, note: str = "", read: str = "2026-11-30") -> Source:
    return Source("documented", note, link, read)


def _reported(link: str, note: str = "", read: str = "2026-11-30") -> Source:
    return Source("reported", note, link, read)


def _assumed(note: str) -> Source:
    return Source("assumed", note)


AS_OPENAI: Final = _assumed("as OpenAI's")
# What names and hosts say needs no source of its own.
UNSOURCED: Final = frozenset({"name", "title"})

_GUIDE, _REFERENCE = "https://developers.openai.com/api/docs/guides/batch", "https://github.com/openai/openai-openapi"
_MICROSOFT = "https://learn.microsoft.com/azure/foundry/openai/how-to/batch"
_MICROSOFT_API = "https://learn.microsoft.com/azure/foundry/openai/latest"
_GROQ = "https://console.groq.com/docs/batch"
_TOGETHER = "https://docs.together.ai/docs/inference/batch/tutorial"
_TOGETHER_OVERVIEW = "https://docs.together.ai/docs/inference/batch/overview"
_TOGETHER_API = "https://docs.together.ai/reference/batch-create"
_OGX_BATCHES = "https://github.com/ogx-ai/ogx/blob/main/src/ogx/providers/inline/batches/reference/batches.py"
_OGX_FILES = "https://github.com/ogx-ai/ogx/blob/main/src/ogx/providers/inline/files/localfs/files.py"
_AIBRIX = "https://aibrix.readthedocs.io/latest/features/batch-api.html"
_AIBRIX_BATCH = "https://github.com/vllm-project/aibrix/blob/main/python/aibrix/aibrix/metadata/api/v1/batch.py"
_AIBRIX_FILES = "https://github.com/vllm-project/aibrix/blob/main/python/aibrix/aibrix/metadata/api/v1/files.py"
_LITELLM = "https://docs.litellm.ai/docs/batches"

_OWN_COMPUTERS = "its owner pays for computers, not for tokens"
_NO_LIFETIME = "leaving it out is never refused; files that nothing refers to are swept after a day"

SOURCES: Final[Mapping[str, Mapping[str, Source]]] = {
    "openai": {
        "hosts": _documented("https://github.com/openai/openai-python", "regions: `_data_residency.py`"),
        "key_header": _documented(_REFERENCE),
        "upload_path": _documented(_REFERENCE),
        "sends_file_name": _documented(_REFERENCE),
        "purpose": _documented(_GUIDE, read="2026-09-26"),
        "file_lifetime": _documented(_REFERENCE, "an hour to 30 days"),
        "waits_for_processed": _documented(_REFERENCE, "the file's `status` is deprecated"),
        "short_endpoints": _documented(_GUIDE, read="2026-09-26"),
        "lines_have_url": _documented(_GUIDE, read="2026-09-26"),
        "completion_window": _documented(_GUIDE, "`24h` alone", read="2026-09-26"),
        "window_expires": _documented(_GUIDE, read="2026-09-26"),
        "overdue_seconds": _assumed("our own limit: six hours after the window"),
        "statuses": _documented(_GUIDE, read="2026-09-26"),
        "echoes_metadata": _documented(_REFERENCE),
        "list_cursor": _documented(_REFERENCE),
        "files_page_max": _documented(_REFERENCE, "a tenth of the 10,000 that it may have"),
        "is_fence_known": _assumed("documented nowhere; `make verify-provider` asks for it"),
        "batch_price": _documented(_GUIDE, "half, cached input and output too", read="2026-09-26"),
        "free_endpoints": _documented("https://developers.openai.com/api/docs/guides/moderation", read="2026-11-22"),
    },
    "azure": {
        "hosts": _documented(_MICROSOFT_API, "at `/openai/v1`"),
        "key_header": _documented(_MICROSOFT_API),
        "file_lifetime": _documented(_MICROSOFT, "14 to 30 days"),
        "waits_for_processed": _reported(
            "https://github.com/openai/openai-dotnet/issues/312", "a create before that fails"
        ),
        "short_endpoints": _documented(
            _MICROSOFT, "`/chat/completions` at create and, in the older API, in lines; `/v1/responses` with its version"
        ),
        "completion_window": _documented(_MICROSOFT, "any other fails"),
        "window_expires": _documented(_MICROSOFT, "jobs that take longer run until they are cancelled"),
        "statuses": _documented(_MICROSOFT, "its own sample waits for `canceled`"),
        "echoes_metadata": _documented(_MICROSOFT_API),
        "list_cursor": _documented(_MICROSOFT),
        "is_fence_known": _assumed("unknown, so nothing rests on it"),
        "batch_price": _assumed(
            "half of Global Standard is documented, but `model` names a deployment, which may be any model"
        ),
        "free_endpoints": _assumed("none is documented"),
    },
    "groq": {
        "hosts": _documented(_GROQ, "at `/openai/v1`"),
        "key_header": _documented(_GROQ),
        "purpose": _documented(_GROQ),
        "file_lifetime": _documented(_GROQ, "30 days; no field for it is documented"),
        "short_endpoints": _documented(_GROQ, "chat completions alone, of what we send"),
        "completion_window": _documented(_GROQ, "up to `7d`; ours is the shortest"),
        "window_expires": _documented(_GROQ),
        "statuses": _documented(_GROQ),
        "echoes_metadata": _documented(_GROQ, "its batch object has `metadata`"),
        "list_cursor": _documented(_GROQ, "`paging.next_cursor`"),
        "is_fence_known": _assumed("unknown, so nothing rests on it"),
        "batch_price": _documented(_GROQ, "half, and cached tokens cost what other input costs"),
        "free_endpoints": _assumed("none is documented"),
    },
    "together": {
        "hosts": _documented(_TOGETHER, "and the older `api.together.xyz`"),
        "key_header": _documented(_TOGETHER),
        "upload_path": _documented(_TOGETHER),
        "sends_file_name": _documented(_TOGETHER),
        "purpose": _documented(_TOGETHER),
        "file_lifetime": _assumed(_NO_LIFETIME),
        "lines_have_url": _documented(_TOGETHER, "`custom_id` and `body`"),
        "completion_window": _documented(_TOGETHER_OVERVIEW, "`24h`, best effort"),
        "window_expires": _documented(_TOGETHER),
        "overdue_seconds": _documented(_TOGETHER_OVERVIEW, "72 hours in all before support is asked"),
        "statuses": _documented(_TOGETHER, "in capitals; `CANCELING` in its own client"),
        "echoes_metadata": _documented(_TOGETHER_API, "its batch object has no metadata"),
        "list_cursor": _documented(_TOGETHER_API, "the list is one array"),
        "is_fence_known": _assumed("unknown, so nothing rests on it"),
        "batch_price": _documented(_TOGETHER_OVERVIEW, "half for a few models, whose list changes, list price for all others"),
        "free_endpoints": _assumed("none is documented"),
    },
    "ogx": {
        "hosts": _assumed("runs anywhere: choose it by name"),
        "purpose": _documented(_OGX_FILES),
        "file_lifetime": _documented(_OGX_FILES, "ignored by its store on disk"),
        "short_endpoints": _documented(_OGX_BATCHES),
        "lines_have_url": _documented(_OGX_BATCHES),
        "completion_window": _documented(_OGX_BATCHES),
        "window_expires": _documented(_OGX_BATCHES, "nothing ends a batch; one that a restart cut stays `in_progress`"),
        "statuses": _documented(_OGX_BATCHES),
        "echoes_metadata": _documented(_OGX_BATCHES),
        "list_cursor": _documented(_OGX_BATCHES),
        "is_fence_known": _documented(_OGX_BATCHES, "a missing file fails validation"),
        "batch_price": _assumed(_OWN_COMPUTERS),
        "free_endpoints": _assumed(_OWN_COMPUTERS),
    },
    "aibrix": {
        "hosts": _assumed("runs anywhere: choose it by name"),
        "purpose": _documented(_AIBRIX),
        "file_lifetime": _documented(_AIBRIX_FILES, "its upload has no such field"),
        "short_endpoints": _documented(_AIBRIX),
        "lines_have_url": _documented(_AIBRIX),
        "completion_window": _documented(_AIBRIX),
        "window_expires": _documented(_AIBRIX),
        "statuses": _documented(_AIBRIX_BATCH, "`scheduling` before a job is admitted"),
        "echoes_metadata": _documented(_AIBRIX_BATCH),
        "list_cursor": _documented(_AIBRIX_BATCH),
        "files_page_max": _documented(_AIBRIX_FILES, "more is refused"),
        "is_fence_known": _documented(_AIBRIX_BATCH, "the file is read when the job is validated, after the create"),
        "batch_price": _documented(_AIBRIX, _OWN_COMPUTERS),
        "free_endpoints": _assumed(_OWN_COMPUTERS),
    },
    "litellm": {
        "hosts": _assumed("runs anywhere: choose it by name"),
        "purpose": _documented(_LITELLM),
        "file_lifetime": _assumed(f"what is behind it decides which is taken; {_NO_LIFETIME}"),
        "lines_have_url": _documented(_LITELLM),
        "completion_window": _documented(_LITELLM),
        "window_expires": _assumed("what is behind it may be Azure, whose batches do not expire"),
        "list_cursor": _reported("https://github.com/BerriAI/litellm/issues/36242", "the list may be broken"),
        "is_fence_known": _assumed("what is behind it decides, so nothing rests on it"),
        "batch_price": _assumed("what is behind it decides"),
        "free_endpoints": _assumed("what is behind it decides"),
    },
    "cautious": {
        "hosts": _assumed("whatever no other row names"),
        "file_lifetime": _assumed(_NO_LIFETIME),
        "is_fence_known": _assumed("unknown, so nothing rests on it"),
        "batch_price": _assumed("unknown is held where there is a cap"),
        "free_endpoints": _assumed("unknown is not free"),
    },
}  # fmt: skip


def source_of(row: Dialect, name: str) -> Source:
    """Return what the field called *name* of *row* rests on; where nothing is written, that it is assumed to be OpenAI's."""
    return SOURCES[row.name].get(name, AS_OPENAI)


# ------------------------------------------------------------------ as a page


def dialects_table() -> str:
    """Return the whole table as Markdown, a section for each row, for docs/dialects.md."""
    return "\n".join(line for row in DIALECTS.values() for line in _section(row))


def _section(row: Dialect) -> Iterator[str]:
    yield from (f"### {row.title} (`{row.name}`)", "", "| field | value | | source |", "|---|---|---|---|")
    for one in fields(Dialect):
        if one.name not in UNSOURCED:
            source = source_of(row, one.name)
            said = "; ".join(filter(None, [source.note, f"[read {source.read}]({source.link})" if source.link else ""]))
            yield f"| {_LABELS[one.name]} | {_shown(getattr(row, one.name))} | {source.kind} | {said} |"
    yield ""


_LABELS: Final[Mapping[str, str]] = {
    "hosts": "hosts",
    "key_header": "header of the key",
    "upload_path": "path of an upload",
    "sends_file_name": "the upload has a field `file_name`",
    "purpose": "purpose of an upload",
    "file_lifetime": "lifetime of an input file",
    "waits_for_processed": "the file must be `processed` before a create",
    "short_endpoints": "endpoints sent without `/v1`",
    "lines_have_url": "lines have `method` and `url`",
    "completion_window": "completion window",
    "window_expires": "a window expires",
    "overdue_seconds": "a batch may run on after it, at least",
    "statuses": "its words for OpenAI's statuses",
    "echoes_metadata": "a batch shows its metadata",
    "list_cursor": "the next page is asked for by",
    "files_page_max": "files on a page, at most",
    "is_fence_known": "deleting the input file stops a create",
    "batch_price": "price of a batch",
    "free_endpoints": "endpoints that are free",
}


def _shown(value: object) -> str:
    """Return a value for a person."""
    match value:
        case bool():
            shown = "yes" if value else "no"
        case None:
            shown = "not known"
        case Lifetime(least, most):
            shown = f"{_duration(least)} to {_duration(most)}"
        case BatchPrice(share, is_cache_discounted):
            cached = "" if is_cache_discounted else "; cached tokens as other input"
            shown = f"{share:.0%} of the list price{cached}"
        case int():
            shown = f"{value:,}" if value < HOUR else _duration(value)
        case Mapping():
            shown = ", ".join(f"`{theirs}` = `{ours}`" for theirs, ours in sorted(value.items())) or "none"
        case frozenset() | tuple():
            shown = ", ".join(f"`{entry}`" for entry in sorted(value)) or "none"
        case _:
            shown = f"`{value}`"
    return shown


def _duration(seconds: int) -> str:
    days, hours = divmod(seconds, DAY)
    return f"{days} days" if days else f"{hours // HOUR} h"
