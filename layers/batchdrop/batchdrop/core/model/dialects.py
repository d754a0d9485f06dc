"""Lists how servers that speak the Files and Batches API differ: one table, a row for each.

Rule: a difference is a field of this table, and no code asks for a server by name. A row says what is documented or reported
of its server, and where nothing is known it assumes what can neither lose an answer nor pay for one twice.
`core/model/dialect_sources.py` says for each field of each row where it comes from; `docs/dialects.md` is written from both.
None of the rows was tried against the live service.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal
from urllib.parse import urlsplit

from batchdrop.core.model.limits import COMPLETION_WINDOW, DAY, HOUR

_CHAT, _RESPONSES, _EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
_VERSION: Final = "/v1"

# Spelt with one l, or with two: both are seen of one server.
_SPELLINGS: Final[Mapping[str, str]] = {"canceled": "cancelled", "canceling": "cancelling"}


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an input file may be kept, in seconds, both ends included."""

    least: int
    most: int

    def nearest(self, seconds: int) -> int:
        """Return *seconds*, or the end of the range that is closest to it."""
        return min(max(seconds, self.least), self.most)


@dataclass(frozen=True, slots=True)
class BatchPrice:
    """What a token of a batch costs where the price list names no price of its own for it: a share of the list price.

    *is_cache_discounted* says whether a cached token is a share of the list price of cached tokens, or costs what any other
    input costs.
    """

    share: Decimal
    is_cache_discounted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one kind of server wants, and what it does. The defaults are those of OpenAI's documents."""

    name: str
    title: str
    hosts: tuple[
        str, ...
    ] = ()  # `api.example.com`, or `.example.com` for whatever ends so; empty: chosen by name alone
    key_header: Literal["authorization", "api-key"] = "authorization"
    upload_path: str = "/files"
    sends_file_name: bool = False  # the upload's form has a field `file_name` of its own
    purpose: str = "batch"
    file_lifetime: Lifetime | None = None  # None: files are uploaded without `expires_after`
    waits_for_processed: bool = False  # a batch may be created once the file's status is `processed`
    short_endpoints: frozenset[str] = frozenset()  # these are sent without their `/v1`, in lines and at create
    lines_have_url: bool = True  # a line is `custom_id`, `method`, `url` and `body`; or only the first and the last
    completion_window: str = COMPLETION_WINDOW
    window_expires: bool = True  # a batch ends when its window is over
    overdue_seconds: int = 0  # how long after its window a batch may still run, where that is more than our own limit
    statuses: Mapping[str, str] = field(default_factory=lambda: _SPELLINGS)  # its words for OpenAI's, in lower case
    echoes_metadata: bool = True  # a batch shows the metadata that it was created with
    list_cursor: Literal["after", "cursor", "none"] = "after"  # what asks for the next page of a list
    files_page_max: int = 1_000  # a tenth of what OpenAI's list of files may hold
    is_fence_known: bool = False  # a batch whose input file was deleted is refused, or fails before it costs anything
    batch_price: BatchPrice | None = None  # None: unknown, but for what the price list names itself
    free_endpoints: frozenset[str] = frozenset()

    def status(self, word: str) -> str:
        """Return OpenAI's word for a status; an unknown one as it came, in lower case."""
        lowered = word.lower()
        return self.statuses.get(lowered, lowered)

    def endpoint(self, endpoint: str) -> str:
        """Return *endpoint* (`/v1/…`) as this server wants it."""
        return endpoint.removeprefix(_VERSION) if endpoint in self.short_endpoints else endpoint

    def lifetime_seconds(self, wanted_seconds: int) -> int | None:
        """Return how long an input file is kept that should be kept so long; None where that cannot be said."""
        return None if self.file_lifetime is None else self.file_lifetime.nearest(wanted_seconds)


# Half the price of the same requests at once, for input, cached input and output alike
# (https://developers.openai.com/api/docs/guides/batch, read 2026-09-26).
HALF: Final = Decimal("0.5")

OPENAI: Final = Dialect(
    name="openai",
    title="OpenAI",
    hosts=("api.openai.com", ".api.openai.com"),
    file_lifetime=Lifetime(HOUR, 30 * DAY),
    is_fence_known=True,
    batch_price=BatchPrice(HALF),
    free_endpoints=frozenset({"/v1/moderations"}),
)
AZURE: Final = Dialect(
    name="azure",
    title="Azure OpenAI",
    hosts=(".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"),
    key_header="api-key",
    file_lifetime=Lifetime(14 * DAY, 30 * DAY),
    waits_for_processed=True,
    short_endpoints=frozenset({_CHAT, _EMBEDDINGS}),
    window_expires=False,
)
GROQ: Final = Dialect(
    name="groq",
    title="Groq",
    hosts=("api.groq.com",),
    list_cursor="cursor",
    batch_price=BatchPrice(HALF, is_cache_discounted=False),
)
TOGETHER: Final = Dialect(
    name="together",
    title="Together AI",
    hosts=("api.together.ai", "api.together.xyz"),
    upload_path="/files/upload",
    sends_file_name=True,
    purpose="batch-api",
    lines_have_url=False,
    overdue_seconds=2 * DAY,
    echoes_metadata=False,
    list_cursor="none",
)
OGX: Final = Dialect(name="ogx", title="OGX (Llama Stack)", window_expires=False, is_fence_known=True)
AIBRIX: Final = Dialect(
    name="aibrix",
    title="AIBrix",
    statuses={**_SPELLINGS, "created": "validating", "scheduling": "validating"},
    files_page_max=100,
    is_fence_known=True,
)
LITELLM: Final = Dialect(name="litellm", title="LiteLLM proxy", window_expires=False)
CAUTIOUS: Final = Dialect(name="cautious", title="any other server")

DIALECTS: Final[Mapping[str, Dialect]] = {
    row.name: row for row in (OPENAI, AZURE, GROQ, TOGETHER, OGX, AIBRIX, LITELLM, CAUTIOUS)
}
BY_HOST: Final = "auto"  # what a deployment sets to have it chosen by the base URL


def dialect_of(base_url: str) -> Dialect:
    """Return the row of the server at *base_url*, by its host; the cautious row if none names it."""
    host = (urlsplit(base_url).hostname or "").lower()
    for row in DIALECTS.values():
        if any(host == known or (known.startswith(".") and host.endswith(known)) for known in row.hosts):
            return row
    return CAUTIOUS


@dataclass(frozen=True, slots=True)
class Dialects:
    """Which row holds for which base URL: for the deployment's own the one that it *chose*, for all else the host's."""

    base_url: str = ""
    chosen: str = BY_HOST

    def of(self, base_url: str) -> Dialect:
        """Return the row for *base_url*: batches of an earlier one may still be under way."""
        is_chosen = self.chosen != BY_HOST and base_url == self.base_url
        return DIALECTS[self.chosen] if is_chosen else dialect_of(base_url)
