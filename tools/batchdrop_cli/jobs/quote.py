"""What drops would cost, estimated before anything is sent.

Rule: an estimate says what it rests on, and a price that is not known is called unknown, never nothing.
"""

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from batchdrop.core.model.answer_bounds import ANSWER_TOKENS_ASSUMED
from batchdrop.core.model.errors import ItemRefused
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Usage
from batchdrop.core.model.prices import cost
from batchdrop.core.planning.plan import JsonValue, Recipe, Request
from batchdrop.core.planning.requests import ready_made
from batchdrop.core.planning.task import parse_task, recipe_of_task
from batchdrop.edge.prices import BundledPrices
from batchdrop.formats import format_of
from batchdrop.formats.records import read_records


@dataclass(frozen=True, slots=True)
class FileQuote:
    """What the requests of one model may cost; *dollars* is None where the price is not known."""

    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    dollars: Decimal | None


def requests_of(key: str, content: bytes, task: bytes | None, limits: Limits) -> Iterator[Request]:
    """Yield the requests that dropping *content* at *key* would send. Records that would be refused are left out.

    Raises UploadRejected where nothing would be sent.
    """
    upload = Upload("-", key, "-")
    form = format_of(upload, limits)
    form = form.open(io.BytesIO(content))
    recipe = recipe_of_task(parse_task(upload.task, task), limits) if task is not None else ready_made(limits)
    for record in read_records(form, io.BytesIO(content[form.header.body_start :]), form.header.body_start, 0):
        try:
            yield _request(recipe, form.decode(record), record.row)
        except ItemRefused:
            continue


def _request(recipe: Recipe, value: JsonValue, row: int) -> Request:
    return recipe.build(value, recipe.name(value, row))


def quotes(requests: Iterable[Request], base_url: str) -> list[FileQuote]:
    """Return an estimate for each model, by its name, at the prices of the server at *base_url*."""
    totals: dict[str, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for request in requests:
        count, input_tokens, output_tokens = totals[request.model]
        answers = request.answers.tokens + request.answers.unlimited * ANSWER_TOKENS_ASSUMED
        totals[request.model] = (count + 1, input_tokens + request.tokens, output_tokens + answers)
    return [
        FileQuote(
            model, count, input_tokens, output_tokens, batch_price(model, count, input_tokens, output_tokens, base_url)
        )
        for model, (count, input_tokens, output_tokens) in sorted(totals.items())
    ]


def batch_price(model: str, requests: int, input_tokens: int, output_tokens: int, base_url: str) -> Decimal | None:
    """Return dollars for tokens of *model* in a batch, None where the bundled prices know nothing of it."""
    prices = BundledPrices().price_list(model, base_url, int(datetime.now(UTC).timestamp()))
    found = cost(prices, Usage(input_tokens, output_tokens), requests)
    return None if found is None else found.batch
