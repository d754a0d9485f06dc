"""Counting outcomes together, beside counting them one by one."""

from collections.abc import Sequence
from random import Random

import msgspec
from fakes.answered import chat_body
from fakes.prices import listed
from fakes.shards import new_shard
from hypothesis import given, settings
from hypothesis import strategies as st

from batchdrop.core.delivery.receipt import Receipt, open_bill
from batchdrop.core.delivery.report_facts import Facts, open_facts
from batchdrop.core.delivery.summary import Results, Tally
from batchdrop.core.model.job import Job
from batchdrop.core.model.outcomes import Failure, Outcome, Usage
from batchdrop.core.model.prices import PriceList, Rates

JOB = Job(id="0123456789abcdef0123", bucket="inbox", key="inbox/r.csv", version="v1", created_at=1_795_305_600)
SHARDS = [
    new_shard(
        job=JOB.id, number=number, account="a", endpoint="e", model="m", group=0, batch=f"b{number}", base_url="u"
    )
    for number in range(3)
]
SHORT, LONG = listed("1"), listed("2")
PRICES = PriceList((Rates(0, SHORT, SHORT, SHORT, SHORT), Rates(1_000, LONG, LONG, LONG, LONG)))
MANY = 150  # more models, codes and ends than are told apart


def outcome(row: int, chance: Random, variety: int) -> Outcome:
    """Return an outcome of any kind, with one of so many models, codes and ends."""
    is_failed, is_copy = chance.random() < 0.4, chance.random() < 0.1
    usage = Usage(chance.randrange(2_000), chance.randrange(100), chance.randrange(3))
    return Outcome(
        name=f"item-{row}", row=row, status="failed" if is_failed else "succeeded", finish=f"end-{chance.randrange(variety)}",
        model=f"model-{chance.randrange(variety)}", usage=None if is_copy or chance.random() < 0.1 else usage,
        response=msgspec.Raw(msgspec.json.encode(chat_body("x"))), status_code=chance.choice([200, 400, None]),
        batch_id=f"b{chance.randrange(4)}", same_as="another" if is_copy else msgspec.UNSET,
        error=Failure(f"code-{chance.randrange(variety)}", f"message {row}") if is_failed else None,
    )  # fmt: skip


def counted(runs: Sequence[Sequence[Outcome]]) -> tuple[Results, Receipt, Facts]:
    """Return all that is kept of outcomes that pass in these runs."""
    bill, facts = open_bill(JOB, SHARDS, lambda model, _: None if model.endswith("1") else PRICES), open_facts(SHARDS)
    tally = Tally(bill, facts)
    for run in runs:
        tally.add(run)
    return tally.results(()), bill.receipt(), facts


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, MANY]), st.integers(2, 400))
def test_counts_are_the_same_however_outcomes_pass(seed: int, variety: int, together: int) -> None:
    """Results, receipt and report say the same whether outcomes are counted one by one or many together."""
    chance = Random(seed)  # noqa: S311  no secret
    outcomes = [outcome(row, chance, variety) for row in range(1, 401)]

    found = counted([outcomes[start : start + together] for start in range(0, 400, together)])

    assert found == counted([[one] for one in outcomes])
