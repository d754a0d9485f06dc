"""Writes a quote, a cap and a hold, in documents and in words.

Rule: amounts in documents are US dollars as numbers; what is unknown is null and named, never nothing.
"""

from collections.abc import Iterator

from batchdrop.core.admission.budget import approved_of, unpriced_sent
from batchdrop.core.model.job import Hold, Job, Quote
from batchdrop.core.model.money import dollar_words, dollars
from batchdrop.core.model.reasons import Reason

UNKNOWN_CODE = "price_unknown"
ABOVE_CODE = "above_cap"


def quote_document(quote: Quote) -> dict[str, object]:
    """Return *quote* as it is written in a status and in a notification."""
    return {
        "usd": None if quote.unpriced else dollars(quote.microdollars),
        "unpriced_models": list(quote.unpriced),
        "input_tokens": quote.input_tokens,
        "output_tokens": quote.output_tokens,
        "answers_learned": quote.learned_answers,
        "answers_assumed": quote.assumed_answers,
    }


def cost_document(job: Job, allowed_microdollars: int | None) -> dict[str, object] | None:
    """Return what is known of the cost of *job*; None before it is planned."""
    if job.money.quote is None:
        return None
    is_known = not unpriced_sent(job)
    return {
        "quote": quote_document(job.money.quote),
        "spent_usd": dollars(job.money.spent) if is_known else None,
        "reserved_usd": dollars(job.money.reserved) if is_known else None,
        "allowed_usd": None if allowed_microdollars is None else dollars(allowed_microdollars),
        "approved_usd": dollars(job.money.approved) if job.money.approved else None,
        "holds": job.hold.number if job.hold else 0,
    }


def hold_reason(hold: Hold, allowed_microdollars: int | None) -> Reason:
    """Return why a job is held."""
    known = dollar_words(hold.quote.microdollars)
    cap = "" if allowed_microdollars is None else f"; it may cost {dollar_words(allowed_microdollars)}"
    if hold.quote.unpriced:
        models = ", ".join(hold.quote.unpriced)
        rest = f" What is known comes to {known}." if hold.quote.microdollars else ""
        return Reason(UNKNOWN_CODE, f"The batch price of {models} isn't known{cap}.{rest}")
    return Reason(ABOVE_CODE, f"It is expected to cost {known} in all{cap}.")


def quote_lines(quote: Quote) -> Iterator[str]:
    """Yield what a quote rests on, for a person."""
    priced = "at a price that is not known" if quote.unpriced else "at the price of a batch"
    yield f"Expected: {quote.input_tokens:,} tokens in and {quote.output_tokens:,} out, {priced}."
    if quote.assumed_answers:
        yield f"The length of {quote.assumed_answers:,} answers is assumed: no request limits it, and none has come yet."


def approval_words(quote: Quote) -> str:
    """Return how far an approval of *quote* lets a job go."""
    known = dollar_words(approved_of(quote))
    if not quote.unpriced:
        return f"up to {known}"
    return "whatever these models cost" + (f", up to {known} for the others" if quote.microdollars else "")
