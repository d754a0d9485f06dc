"""What drops would cost, estimated before anything is sent.

Rule: an estimate says what it rests on, and a price that is not known is called unknown, never nothing.
"""

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from batchdrop.core.errors import ItemRefused
from batchdrop.core.jobs import Upload
from batchdrop.core.limits import Limits
from batchdrop.core.outcomes import Usage
from batchdrop.core.planning import JsonValue, Recipe, Request
from batchdrop.core.prices import cost
from batchdrop.core.requests import ready_made
from batchdrop.core.tasks import parse_task, recipe_of_task
from batchdrop.edge.prices import BundledPrices
from batchdrop.formats import format_of

# Where a request does not limit its answer: two short paragraphs.
OUTPUT_TOKENS_ASSUMED = 300
ENDPOINTS_WITHOUT_OUTPUT = frozenset({"/v1/embeddings", "/v1/moderations"})


@dataclass(frozen=True, slots=True)
class Quote:
    """What the requests of one model may cost; *dollars* is None where the price is not known."""

    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    dollars: Decimal | None


class OutputLimits(msgspec.Struct, frozen=True):
    """The members of a request body that limit its answer."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None

    @property
    def tokens(self) -> int:
        """How long the answer may be, or is assumed to be."""
        return self.max_output_tokens or self.max_completion_tokens or self.max_tokens or OUTPUT_TOKENS_ASSUMED


def requests_of(key: str, content: bytes, task: bytes | None, limits: Limits) -> Iterator[Request]:
    """Yield the requests that dropping *content* at *key* would send. Records that would be refused are left out.

    Raises UploadRejected where nothing would be sent.
    """
    upload = Upload("-", key, "-")
    form = format_of(upload, limits)
    header = form.read_header(io.BytesIO(content))
    recipe = recipe_of_task(parse_task(upload.task, task), limits) if task is not None else ready_made(limits)
    for record in form.read_records(io.BytesIO(content[header.body_start :]), header, header.body_start, 0):
        try:
            yield _request(recipe, form.decode(header, record), record.row)
        except ItemRefused:
            continue


def _request(recipe: Recipe, value: JsonValue, row: int) -> Request:
    return recipe.build(value, recipe.name(value, row))


def quotes(requests: Iterable[Request], base_url: str) -> list[Quote]:
    """Return an estimate for each model, by its name, at the prices of whoever serves *base_url*."""
    totals: dict[str, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for request in requests:
        count, input_tokens, output_tokens = totals[request.model]
        output = output_tokens_of(request.endpoint, request.body)
        totals[request.model] = (count + 1, input_tokens + request.tokens, output_tokens + output)
    return [
        Quote(
            model, count, input_tokens, output_tokens, batch_price(model, count, input_tokens, output_tokens, base_url)
        )
        for model, (count, input_tokens, output_tokens) in sorted(totals.items())
    ]


def batch_price(model: str, requests: int, input_tokens: int, output_tokens: int, base_url: str) -> Decimal | None:
    """Return dollars for tokens of *model* in a batch, None where the bundled prices know nothing of it."""
    prices = BundledPrices().price_list(model, base_url, int(datetime.now(UTC).timestamp()))
    found = cost(prices, Usage(input_tokens, output_tokens), requests)
    return None if found is None else found.batch


def output_tokens_of(endpoint: str, body: bytes | msgspec.Raw) -> int:
    """Return how long the answer to a request may be, or is assumed to be, in tokens."""
    if endpoint in ENDPOINTS_WITHOUT_OUTPUT:
        return 0
    try:
        return msgspec.json.decode(body, type=OutputLimits).tokens
    except msgspec.ValidationError:
        return OUTPUT_TOKENS_ASSUMED
