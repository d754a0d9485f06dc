"""The receipt of a job: what was counted, what it cost, what is not known."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import jsonschema
import msgspec
import pytest
from fakes.answered import AnsweredJob, answer_line, chat_body, chat_job, chat_request, error_line, json_lines, success
from fakes.prices import TABLE, TablePrices, flat, listed
from fakes.shards import changed, new_shard
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.collection.outcome_groups import OutcomeRun, run_of
from batchdrop.core.delivery.receipt import MODELS_MAX, Bill, Line, Receipt, Unknown, open_bill, receipt_document
from batchdrop.core.delivery.receipt_text import receipt_lines
from batchdrop.core.model.job import Job
from batchdrop.core.model.outcomes import Failure, Outcome, Usage
from batchdrop.core.model.prices import PriceList, Rates
from batchdrop.core.model.shard import Shard
from batchdrop.flow.delivery.merge import merge

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schemas" / "summary.schema.json").read_text())
JOB = Job(id="0123456789abcdef0123", bucket="inbox", key="inbox/r.csv", version="v1", created_at=1_795_305_600)
MINI = "gpt-4.1-mini"


def shard(endpoint: str = "/v1/chat/completions", batch: str = "batch_1", base_url: str = "https://x/v1") -> Shard:
    """A shard whose batch ended."""
    return new_shard(
        job=JOB.id, number=1, account="a", endpoint=endpoint, model=MINI, group=0, batch=batch, batches=(batch,),
        base_url=base_url, batch_ended_at=JOB.created_at + 3_600,
    )  # fmt: skip


def bill(*shards: Shard, prices: dict[str, PriceList] | None = None) -> Bill:
    """An empty bill at the tests' prices."""
    table = TablePrices(TABLE if prices is None else prices)
    return open_bill(JOB, shards or (shard(),), lambda model, base_url: table.price_list(model, base_url, 0))


def answered(
    usage: Usage | None = None, model: str | None = MINI, code: str | None = None, status: int = 200
) -> OutcomeRun:
    """An outcome with an HTTP status, alone."""
    outcome = Outcome(
        name="a", row=1, status="failed" if code else "succeeded", model=model, usage=usage, batch_id="batch_1",
        status_code=status, error=Failure(code, "m") if code else None,
    )  # fmt: skip
    return run_of([outcome])


@pytest.mark.parametrize("seconds", [(3_600, 7_200), (7_200, 3_600), (7_200, 3_600, 0)])
def test_a_receipt_is_finished_with_the_last_batch(seconds: tuple[int, ...]) -> None:
    """Whatever the number of the shard whose batch that was; one without a batch has no end."""
    ends = [
        changed(shard(), number=n, batch_ended_at=after and JOB.created_at + after) for n, after in enumerate(seconds)
    ]

    receipt = bill(*ends).receipt()

    assert receipt.finished_at == "2026-11-22T02:00:00Z"


def test_tokens_stand_by_model_and_kind() -> None:
    """Each kind has its list price and what a batch pays of it; the total is the list price less the discount."""
    account = bill()
    for usage in (Usage(600_000, 100_000, cached_tokens=100_000), Usage(400_000, 150_000, cached_tokens=150_000)):
        account.add(answered(usage))

    receipt = account.receipt()

    assert receipt.lines == (
        Line(MINI, "input", 0, 750_000, Decimal("0.40"), Decimal("0.3"), Decimal("0.15")),
        Line(MINI, "cached_input", 0, 250_000, Decimal("0.10"), Decimal("0.025"), Decimal("0.0125")),
        Line(MINI, "output", 0, 250_000, Decimal("1.60"), Decimal("0.4"), Decimal("0.2")),
    )
    assert (receipt.list_dollars, receipt.discount_dollars, receipt.total_dollars) == (
        Decimal("0.725"), Decimal("0.3625"), Decimal("0.3625"),
    )  # fmt: skip
    assert (receipt.number, receipt.unknown) == (f"BD-{JOB.id}", ())
    assert (receipt.ordered_at, receipt.finished_at) == ("2026-11-22T00:00:00Z", "2026-11-22T01:00:00Z")


def test_tokens_of_embeddings_are_called_so() -> None:
    """They have another price than a model's input, and no output."""
    account = bill(shard("/v1/embeddings"))

    account.add(answered(Usage(2_000_000, 0), model="text-embedding-3-small"))

    (line,) = account.receipt().lines
    assert (line.kind, line.tokens, line.dollars) == ("embedding", 2_000_000, Decimal("0.02"))


def test_what_was_paid_and_failed_is_named() -> None:
    """An answer of no use is paid for: it is in the total, and stands by itself."""
    account = bill()
    account.add(answered(Usage(1_000_000, 0)))
    account.add(answered(Usage(0, 1_000_000), code="incomplete"))

    receipt = account.receipt()

    assert (receipt.total_dollars, receipt.failed_items, receipt.failed_dollars) == (Decimal("1.0"), 1, Decimal("0.8"))


def test_long_requests_have_lines_of_their_own() -> None:
    """Each at the price of its length; many short ones are no long one."""
    short, long = listed("1"), listed("2")
    prices = {MINI: PriceList((Rates(0, short, short, short, short), Rates(1_000, long, long, long, long)))}
    account = bill(prices=prices)
    for tokens in (900, 900, 5_000):
        account.add(answered(Usage(tokens, 0)))

    receipt = account.receipt()

    assert [(line.over_tokens, line.tokens, line.list_dollars) for line in receipt.lines] == [
        (0, 1_800, Decimal("0.0018")),
        (1_000, 5_000, Decimal("0.01")),
    ]


@pytest.mark.parametrize(
    ("where", "model", "status", "usage", "code", "unknown"),
    [
        (shard(), "tuned", 200, Usage(10, 2), None, Unknown("price", 12, "tuned")),
        (shard(base_url=""), MINI, 200, Usage(10, 0), None, Unknown("price", 10, MINI)),
        (shard("/v1/images/generations"), MINI, 200, Usage(10, 0), None, Unknown("price", 10, MINI)),
        (shard(batch="batch_2"), MINI, 200, Usage(10, 0), None, Unknown("price", 10, MINI)),
        (shard(), MINI, 200, None, None, Unknown("usage", 1)),
        (shard(), None, 0, None, "answers_missing", Unknown("answers", 1)),
        (replace(shard(), duplicates=("batch_9",)), MINI, 200, Usage(0, 0), None, Unknown("duplicate_batches", 1)),
    ],
)
def test_what_is_not_known_is_said(
    where: Shard, model: str | None, status: int, usage: Usage | None, code: str | None, unknown: Unknown
) -> None:
    """A price, a count of tokens, an answer that nobody saw, a second batch: none of it is called nothing."""
    account = bill(where)

    account.add(answered(usage, model, code, status))

    receipt = account.receipt()
    assert receipt.unknown == (unknown,)
    assert receipt.total_dollars is None


@pytest.mark.parametrize(
    ("endpoint", "outcome"),
    [
        ("/v1/moderations", answered(model="omni-moderation-latest")),
        ("/v1/chat/completions", answered(code="http_400", status=400)),
        ("/v1/chat/completions", answered(code="batch_expired", status=0)),
    ],
)
def test_what_costs_nothing_is_no_riddle(endpoint: str, outcome: OutcomeRun) -> None:
    """Moderation is free, and what was not executed is not charged."""
    account = bill(shard(endpoint, base_url="https://api.openai.com/v1"))

    account.add(outcome)

    assert account.receipt() == Receipt(f"BD-{JOB.id}", "2026-11-22T00:00:00Z", "2026-11-22T01:00:00Z")


def test_what_is_free_at_one_provider_is_unknown_at_another() -> None:
    """That moderation costs nothing is what OpenAI says of OpenAI."""
    account = bill(shard("/v1/moderations", base_url="https://api.example.com/v1"))

    account.add(answered(model="omni-moderation-latest"))

    assert account.receipt().unknown == (Unknown("usage", 1),)


def test_models_that_the_provider_invents_are_bounded() -> None:
    """However many there are the receipt stays small, and no token is lost."""
    account = bill(prices={f"model-{number}": flat("1", "1") for number in range(1_000)})
    for number in range(1_000):
        account.add(answered(Usage(1, 1), model=f"model-{number}"))

    receipt = account.receipt()

    assert len(receipt.lines) <= 2 * (MODELS_MAX + 1)
    assert sum(line.tokens for line in receipt.lines) == 2_000
    assert [unknown.what for unknown in receipt.unknown] == ["price"]


amounts = st.lists(
    st.tuples(st.sampled_from([MINI, "unlisted"]), st.integers(0, 10**12), st.integers(0, 10**12)), max_size=5
)


@given(amounts)
def test_a_receipt_reads_back_and_adds_up(counts: list[tuple[str, int, int]]) -> None:
    """The JSON keeps every digit, and the lines are the total."""
    account = bill()
    for model, taken, given_back in counts:
        account.add(answered(Usage(taken, given_back), model=model))

    receipt = account.receipt()

    document = receipt_document(receipt)
    jsonschema.Draft202012Validator(SCHEMA["$defs"]["receipt"] | {"$defs": SCHEMA["$defs"]}).validate(
        json.loads(json.dumps(document))
    )
    assert msgspec.json.decode(msgspec.json.encode(document), type=Receipt) == receipt
    known = [line.dollars for line in receipt.lines if line.dollars is not None]
    sums = (receipt.list_dollars, receipt.discount_dollars, receipt.total_dollars)
    if receipt.unknown and not known:
        assert sums == (None, None, None)
    else:
        listed, discount, total = (dollars or Decimal(0) for dollars in sums)
        assert (sum(known), listed - discount) == (total, total)


def test_what_nobody_knows_is_null_and_never_nothing() -> None:
    """Where no price is known no sum is one, of failed and of saved answers neither; a job that paid nothing paid 0.00."""
    account = bill()
    account.add(answered(Usage(10, 10), model="unlisted"))
    account.add(answered(Usage(10, 10), model="unlisted", code="invalid_output"))

    document = receipt_document(account.receipt())

    sums = ("list_dollars", "discount_dollars", "total_dollars", "failed_dollars")
    assert [document[name] for name in sums] == [None] * 4
    assert document["deduplicated_dollars"] == "0.00"  # nothing was saved
    assert [receipt_document(bill().receipt())[name] for name in sums] == ["0.00"] * 4


def test_a_part_that_is_known_is_a_sum_of_what_is_known() -> None:
    """The unknown stands beside it; of the failed ones nothing is known."""
    account = bill()
    account.add(answered(Usage(1_000_000, 0)))
    account.add(answered(Usage(10, 10), model="unlisted", code="invalid_output"))

    receipt = account.receipt()

    assert (receipt.total_dollars, receipt.failed_dollars) == (Decimal("0.20"), None)
    assert [unknown.what for unknown in receipt.unknown] == ["price"]


def test_a_receipt_in_words() -> None:
    """Number, kinds with prices, discount, total, what was paid and failed, and what is unknown."""
    account = bill(replace(shard(), duplicates=("batch_9",)))
    account.add(answered(Usage(1_200_000, 300_000, cached_tokens=200_000)))
    account.add(answered(Usage(10_000, 0), code="incomplete"))
    account.add(answered(Usage(10, 2), model="tuned"))

    lines = list(receipt_lines(account.receipt()))

    assert lines == [
        "Receipt BD-0123456789abcdef0123",
        "  ordered 2026-11-22T00:00:00Z, finished 2026-11-22T01:00:00Z",
        "  gpt-4.1-mini",
        "    input: 1,010,000 tokens at $0.40 a million                  $0.404000",
        "    cached input: 200,000 tokens at $0.10 a million             $0.020000",
        "    output: 300,000 tokens at $1.60 a million                   $0.480000",
        "  tuned",
        "    input: 10 tokens at a price that is not known                 unknown",
        "    output: 2 tokens at a price that is not known                 unknown",
        "  List price                                                    $0.904000",
        "  Batch discount                                               -$0.452000",
        "  Total of what is known, US dollars                            $0.452000",
        "  Of this, items that failed although answered: 1               $0.002000",
        "  Unknown, and not in the total:",
        "    tokens of tuned, whose price in a batch is not known: 12",
        "    batches that ran beside those that count: 1",
        "  At list prices, from what the provider counted; its own bill is what counts.",
    ]


def test_where_nothing_is_known_no_sum_is_shown() -> None:
    """A bill of an unlisted provider is unknown, not $0."""
    account = bill(prices={})
    account.add(answered(Usage(10, 2)))
    account.add(answered(Usage(10, 2), code="incomplete"))

    text = "\n".join(receipt_lines(account.receipt()))

    assert "$" not in text
    assert text.count("Total, US dollars") == 1
    assert [line.split()[-1] for line in text.splitlines() if "Total, US" in line or "Of this" in line] == [
        "unknown"
    ] * 2


def test_the_usage_of_each_answer_is_what_is_paid() -> None:
    """The whole way: answers, one of no use, one that was refused, one that came in a second attempt after an expiry."""
    job = chat_job(4, response_format={"type": "json_object"})
    shard_1 = replace(job.shard(), base_url="https://x/v1")
    body = chat_body("{}") | {
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 40}}
    }
    first = job.harvest(
        shard_1, answer_line(1, body) + success(2, "no JSON"),
        answer_line(3, {"error": {"code": "e"}}, 400) + error_line(4, "batch_expired"), status="expired",
    )  # fmt: skip
    shard_2 = job.next_attempt(shard_1, first)
    job.harvest(shard_2, answer_line(4, body))

    results = merge(job.ports, job.planned, [shard_2])

    assert results.receipt is not None
    counted = {line.kind: line.tokens for line in results.receipt.lines}
    assert counted == {"input": 140, "cached_input": 80, "output": 23}
    assert (results.receipt.failed_items, results.receipt.unknown) == (1, ())
    assert json.loads(job.storage.objects[job.keys.summary])["receipt"]["total_dollars"] == "0.0000504"


def test_a_job_without_answers_asks_for_no_price() -> None:
    """The list takes a second to load; what needs none does not wait for it."""
    job = AnsweredJob("inbox/a.jsonl", json_lines([chat_request()]))

    def no_price(_model: str, _base_url: str) -> PriceList | None:
        raise AssertionError

    account = open_bill(job.job, [shard()], no_price)
    account.add(answered(code="http_400", status=400))

    assert account.receipt().lines == ()
