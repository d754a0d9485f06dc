"""Other servers that speak this API, as their documents and sources have them: what they refuse, and what they say.

Rule: a dialect is data, read in the few places where servers differ; whatever it does not name is as OpenAI's. What isn't
documented is played as unkindly as it may be: unknown fields are refused, and a deleted file can still be used.
Read 2026-11-30, but never tried against the live service.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
CHAT, EMBEDDINGS, COMPLETIONS = "/v1/chat/completions", "/v1/embeddings", "/v1/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one kind of server wants and says."""

    name: str
    source: str
    key_header: Literal["authorization", "api-key"] = "authorization"
    upload_path: str = "/v1/files"
    needs_file_name: bool = False  # the form has a field `file_name`
    purpose: str | None = None  # the only purpose that it takes; None: those of the SDK
    expiry: tuple[int, int] | None = (HOUR_SECONDS, 30 * DAY_SECONDS)  # seconds that `expires_after` may say
    ignores_expiry: bool = False  # where it may say nothing: the field is ignored, not refused
    process_seconds: float = 0.0  # until then a new file is pending, and a create that names it is refused
    endpoints: frozenset[str] | None = None  # None: all
    urls: Mapping[str, str] = field(default_factory=dict)  # how an endpoint is written, where that is without `/v1`
    lines_are_bare: bool = False  # a line is `custom_id` and `body`, and nothing else
    window_expires: bool = True
    deletion_stops_create: bool = True
    statuses: Mapping[str, str] = field(default_factory=dict)  # its words for OpenAI's
    is_loud: bool = False  # statuses are in capitals
    shows_metadata: bool = True
    list_form: Literal["after", "cursor", "array"] = "after"
    files_page_max: int = 10_000
    batch_form: Literal["openai", "job"] = "openai"
    errors_are_a_list: bool = False
    leaves_out_null: bool = False
    refuses_in_detail: bool = False  # an error is below `detail`
    bodies_are_text: bool = False  # the body of an answer is JSON in a string
    names_empty_errors: bool = False  # there is an error file of no bytes where nothing failed
    keeps_file_names: bool = True
    tells_deleted: bool = True

    def url(self, endpoint: str) -> str:
        """Return how *endpoint* (`/v1/…`) is written here."""
        return self.urls.get(endpoint, endpoint)

    def endpoint(self, url: str) -> str:
        """Return the endpoint (`/v1/…`) that is written so here; what is written otherwise as it came, marked as wrong."""
        known = {written: endpoint for endpoint, written in self.urls.items()}
        wrong = f"{url} (it is written {self.urls[url]} here)" if url in self.urls else url
        return known.get(url, wrong)

    def status(self, status: str) -> str:
        """Return its word for a status of OpenAI's."""
        word = self.statuses.get(status, status)
        return word.upper() if self.is_loud else word


OPENAI: Final = Dialect(name="openai", source="the table below")
AZURE: Final = Dialect(
    name="azure",
    source="https://learn.microsoft.com/azure/foundry/openai/how-to/batch",
    key_header="api-key",
    purpose="batch",
    expiry=(14 * DAY_SECONDS, 30 * DAY_SECONDS),
    process_seconds=20.0,
    urls={CHAT: "/chat/completions", EMBEDDINGS: "/embeddings"},
    window_expires=False,
    deletion_stops_create=False,
    names_empty_errors=True,
)
GROQ: Final = Dialect(
    name="groq",
    source="https://console.groq.com/docs/batch",
    purpose="batch",
    expiry=None,
    endpoints=frozenset({CHAT}),
    deletion_stops_create=False,
    list_form="cursor",
    errors_are_a_list=True,
)
TOGETHER: Final = Dialect(
    name="together",
    source="https://docs.together.ai/docs/inference/batch/tutorial",
    upload_path="/v1/files/upload",
    needs_file_name=True,
    purpose="batch-api",
    expiry=None,
    endpoints=frozenset({CHAT}),
    lines_are_bare=True,
    deletion_stops_create=False,
    statuses={"cancelling": "canceling"},
    is_loud=True,
    shows_metadata=False,
    list_form="array",
    batch_form="job",
)
OGX: Final = Dialect(
    name="ogx",
    source="https://github.com/ogx-ai/ogx/blob/main/src/ogx/providers/inline/batches/reference/batches.py",
    purpose="batch",
    expiry=None,
    ignores_expiry=True,
    endpoints=frozenset({CHAT, COMPLETIONS, EMBEDDINGS}),
    window_expires=False,
    bodies_are_text=True,
)
AIBRIX: Final = Dialect(
    name="aibrix",
    source="https://github.com/vllm-project/aibrix/blob/main/python/aibrix/aibrix/metadata/api/v1/batch.py",
    purpose="batch",
    expiry=None,
    ignores_expiry=True,
    endpoints=frozenset({CHAT, COMPLETIONS, EMBEDDINGS}),
    statuses={"validating": "scheduling"},
    files_page_max=100,
    leaves_out_null=True,
    refuses_in_detail=True,
)
LITELLM: Final = Dialect(
    name="litellm",
    source="https://github.com/BerriAI/litellm/pull/39536",
    expiry=None,
    window_expires=False,
    deletion_stops_create=False,
    keeps_file_names=False,
    tells_deleted=False,
)
CAUTIOUS: Final = Dialect(
    name="cautious", source="of no known kind, and as unkind as they come", purpose="batch", expiry=None,
    deletion_stops_create=False,
)  # fmt: skip
DIALECTS: Final[Mapping[str, Dialect]] = {
    row.name: row for row in (OPENAI, AZURE, GROQ, TOGETHER, OGX, AIBRIX, LITELLM, CAUTIOUS)
}

# What Together's batch object has of OpenAI's, and how it calls it (https://docs.together.ai/reference/batch-create).
_JOB_MEMBERS: Final = ("id", "input_file_id", "endpoint", "output_file_id", "error_file_id")


def batch_as(dialect: Dialect, described: dict[str, object]) -> dict[str, object]:
    """Return OpenAI's batch object as a server of *dialect* shows it."""
    told = described | {"status": dialect.status(str(described["status"]))}
    told["endpoint"] = dialect.url(str(described["endpoint"]))
    if not dialect.shows_metadata:
        del told["metadata"]
    errors = described["errors"]
    if dialect.errors_are_a_list and isinstance(errors, dict):
        told["errors"] = errors["data"]
    if dialect.batch_form == "job":
        return _job(told)
    return {name: value for name, value in told.items() if not (dialect.leaves_out_null and value is None)}


def _job(told: dict[str, object]) -> dict[str, object]:
    counts, errors = told["request_counts"], told["errors"]
    total, done = (
        (int(counts["total"]), int(counts["completed"]) + int(counts["failed"])) if isinstance(counts, dict) else (0, 0)
    )
    sentences = [str(error["message"]) for error in errors["data"]] if isinstance(errors, dict) else []
    return {name: told[name] for name in _JOB_MEMBERS} | {
        "status": told["status"],
        "progress": 100.0 * done / total if total else 0.0,
        "created_at": _iso(told["created_at"]),
        "job_deadline": _iso(told["expires_at"]),
        "completed_at": _iso(told["completed_at"]),
        "model_id": told.get("model"),
        "error": "; ".join(sentences) or None,
    }


def _iso(seconds: object) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z") if isinstance(seconds, int) else None


def list_as(dialect: Dialect, page: dict[str, object]) -> object:
    """Return OpenAI's list object as a server of *dialect* gives it."""
    if dialect.list_form == "array":
        return page["data"]
    if dialect.list_form == "cursor":
        cursor = f"cursor_{page['last_id']}" if page["has_more"] else None
        return {"object": "list", "data": page["data"], "paging": {"next_cursor": cursor}}
    return page


def list_query(dialect: Dialect, query: Mapping[str, str]) -> Mapping[str, str]:
    """Return what is asked of a list in OpenAI's words; what the server does not know stays, and is refused."""
    if dialect.list_form == "array":
        return {f"{name} (no parameter here)": value for name, value in query.items()}
    if dialect.list_form == "cursor":
        names = {"cursor": "after"}
        return {
            names.get(name, f"{name} (no parameter here)"): value.removeprefix("cursor_")
            for name, value in query.items()
        }
    return query


def refusal_as(dialect: Dialect, envelope: dict[str, object]) -> dict[str, object]:
    """Return OpenAI's error envelope as a server of *dialect* sends it."""
    return {"detail": envelope} if dialect.refuses_in_detail else envelope
