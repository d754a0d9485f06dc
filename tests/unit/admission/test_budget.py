"""What is expected of answers, what that costs, and how it is shown."""

from dataclasses import replace

import msgspec
import pytest
from fakes.drops import job_of, planned
from fakes.memory import MemoryStorage
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.admission.budget import allowed_microdollars, approved_of, cost_of, quote_of_rest
from batchdrop.core.admission.quota_estimator import TASKS_MAX, Expected, after_answers, expected_answers, lengths_of
from batchdrop.core.admission.quote_text import quote_document
from batchdrop.core.model.answer_bounds import (
    ANSWER_FIELDS,
    ANSWER_TOKENS_ASSUMED,
    ANSWER_TOKENS_MAX,
    AnswerBound,
    answer_bound,
)
from batchdrop.core.model.job import Group, Job, JobMoney, Quote, Rate
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.money import dollar_words
from batchdrop.core.model.quota import Lengths, QuotaEstimate
from batchdrop.core.planning.task import parse_task, recipe_of_task

CHAT = "/v1/chat/completions"
RATE = Rate(input=200_000, cached=50_000, output=800_000)
JOB = Job(id="j", bucket="b", key="inbox/t/x.csv", version="v", created_at=1, task="t")


@pytest.mark.parametrize(
    ("endpoint", "body", "bound"),
    [
        (CHAT, {"max_tokens": 50}, (1, 50, 0)),
        (CHAT, {"max_completion_tokens": 70, "max_tokens": 50}, (1, 70, 0)),
        (CHAT, {"max_completion_tokens": 50, "max_tokens": 70}, (1, 70, 0)),
        ("/v1/responses", {"max_output_tokens": 90}, (1, 90, 0)),
        (CHAT, {"max_tokens": 50, "n": 3}, (3, 150, 0)),
        (CHAT, {"n": 128}, (128, 0, 128)),
        ("/v1/completions", {"max_tokens": 50, "n": 2, "best_of": 5}, (5, 250, 0)),
        ("/v1/completions", {"max_tokens": 50, "n": 2, "prompt": ["a", "b", "c"]}, (6, 300, 0)),
        ("/v1/completions", {"max_tokens": 50, "prompt": [1, 2, 3]}, (1, 50, 0)),
        (CHAT, {}, (1, 0, 1)),
        (CHAT, {"max_tokens": None}, (1, 0, 1)),
        (CHAT, {"max_tokens": -1}, (1, 0, 1)),
        (CHAT, {"max_tokens": "50"}, (1, 50, 0)),
        (CHAT, {"max_tokens": True}, (1, 0, 1)),
        (CHAT, {"max_tokens": 10**30}, (1, ANSWER_TOKENS_MAX, 0)),
        (CHAT, {"max_tokens": 50, "n": "many"}, (1, 50, 0)),
        (CHAT, {"reasoning_effort": "high"}, (1, 19 * ANSWER_TOKENS_ASSUMED, 1)),
        (CHAT, {"reasoning_effort": "high", "max_completion_tokens": 90}, (1, 90, 0)),
        (
            "/v1/responses",
            {"reasoning": {"effort": "low"}, "text": {"verbosity": "high"}},
            (1, 5 * ANSWER_TOKENS_ASSUMED, 1),
        ),
        ("/v1/images/generations", {"n": 4, "quality": "low"}, (4, 4 * 408, 0)),
        ("/v1/images/generations", {"quality": "auto"}, (1, 6_240, 0)),
        ("/v1/embeddings", {"max_tokens": 50}, (1, 0, 0)),
        ("/v1/moderations", {}, (1, 0, 0)),
        ("/v1/chat/completions", {"max_tokens": "5000", "n": "3"}, (3, 15_000, 0)),
        ("/v1/chat/completions", {"max_tokens": "5e3"}, (1, 5_000, 0)),
        ("/v1/chat/completions", {"max_tokens": "9" * 5_000}, (1, 1_000_000, 0)),
        ("/v1/chat/completions", {"max_tokens": 5e3, "n": 2.0}, (2, 10_000, 0)),
        ("/v1/chat/completions", {"max_tokens": " 5_000 "}, (1, 5_000, 0)),
        ("/v1/chat/completions", {"max_tokens": 1e300}, (1, 1_000_000, 0)),
        *[
            ("/v1/chat/completions", {"max_tokens": slip}, (1, 0, 1))
            for slip in ("nan", "inf", "-5", "0.5", "many", "", 0.5)
        ],
    ],
)
def test_a_body_bounds_its_answers(endpoint: str, body: dict[str, object], bound: tuple[int, int, int]) -> None:
    """By the members that the endpoints have for it; a slip is no limit and upsets no sum."""
    assert answer_bound(endpoint, body) == AnswerBound(*bound)


GROWING = {
    **dict.fromkeys(("max_output_tokens", "max_completion_tokens", "max_tokens"), st.integers(1, 10**7)),
    **dict.fromkeys(("n", "best_of", "max_tool_calls", "partial_images"), st.integers(1, 10**5)),
    "prompt": st.integers(1, 50).map(lambda count: ["x"] * count),
    "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
    "reasoning": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]).map(
        lambda effort: {"effort": effort}
    ),
    "verbosity": st.sampled_from(["low", "medium", "high"]),
    "text": st.sampled_from(["low", "medium", "high"]).map(lambda verbosity: {"verbosity": verbosity}),
    "modalities": st.sampled_from([["text"], ["text", "audio"]]),
    "prediction": st.integers(0, 1_000).map(lambda count: {"type": "content", "content": "x" * count}),
    "quality": st.sampled_from(["low", "medium", "high"]),
    "size": st.just("1024x1024"),
}
ORDER = ["none", "minimal", "low", "medium", "high", "xhigh"]


def size_of(value: object) -> int:
    """Return what orders the values of a field."""
    text = next(iter(value.values())) if isinstance(value, dict) and len(value) == 1 else value
    if isinstance(text, str) and text in ORDER:
        return ORDER.index(text)
    return value if isinstance(value, int) else len(msgspec.json.encode(value))


@given(data=st.data(), endpoint=st.sampled_from([CHAT, "/v1/responses", "/v1/completions", "/v1/images/generations"]))
def test_a_quote_does_not_fall_when_a_field_grows(data: st.DataObject, endpoint: str) -> None:
    """Of every field that multiplies or lengthens answers, whatever else stands in the body, learned lengths or not.

    A first limit is no growth: it bounds what had none.
    """
    body = data.draw(st.fixed_dictionaries({}, optional=GROWING))
    field = data.draw(st.sampled_from(sorted(GROWING)))
    values = sorted((data.draw(GROWING[field]), data.draw(GROWING[field])), key=size_of)
    lengths = data.draw(st.none() | st.builds(Lengths, st.integers(1, 1_000), st.integers(0, 10**6), st.just(1)))
    bounds = [answer_bound(endpoint, {**body, field: value}) for value in values]

    smaller, larger = (
        expected_answers(lengths, bound.answers, bound.tokens, bound.unlimited).tokens for bound in bounds
    )

    assert smaller <= larger
    assert field in ANSWER_FIELDS


def test_ten_requests_for_128_choices_are_quoted_128_fold() -> None:
    """The cap is compared with what is paid, and so is what is learned."""
    lines = [
        {"custom_id": f"{number}", "method": "POST", "url": CHAT, "body": {"model": "m", "messages": [], "n": count}}
        for count in (1, 128) for number in range(10)
    ]  # fmt: skip
    storage = MemoryStorage()
    quotes = []
    for start in (0, 10):
        content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines[start : start + 10])
        job = planned(storage, job_of(storage, f"inbox/{start}.jsonl", content))
        quotes.append(quote_of_rest(job, {"m": QuotaEstimate()}).output_tokens)
        learned = quote_of_rest(replace(job, task="t"), {"m": QuotaEstimate(lengths={"t": Lengths(10, 70, 1)})})
        quotes.append(learned.output_tokens)

    assert quotes == [10 * ANSWER_TOKENS_ASSUMED, 70, 1_280 * ANSWER_TOKENS_ASSUMED, 128 * 70]


@pytest.mark.parametrize(("limit", "tokens"), [("40", 40), ('"{{ most }}"', 7), ('"{{ nothing }}"', 0)])
def test_a_task_limits_answers_for_all_records_or_for_each(limit: str, tokens: int) -> None:
    """A limit that a template gives is read from what it was rendered to."""
    task = f'endpoint: {CHAT}\nbody:\n  model: m\n  max_tokens: {limit}\n  messages: [{{role: user, content: "{{{{ a }}}}"}}]\n'

    request = recipe_of_task(parse_task("t", task.encode()), Limits()).build(
        {"a": "x", "most": 7, "nothing": None}, "1"
    )

    assert request.answers == AnswerBound(1, tokens, unlimited=not tokens)
    assert msgspec.json.decode(request.body)["model"] == "m"


@given(lines=st.integers(0, 10**6), limit=st.integers(0, 10**4), share=st.floats(0, 1), mean=st.floats(0, 10**4))
def test_what_is_expected_lies_within_the_limits(lines: int, limit: int, share: float, mean: float) -> None:
    """Limited answers never count for more than their limits; what is learned or assumed is said of each answer."""
    unlimited = int(lines * share)
    limits = limit * (lines - unlimited)
    lengths = Lengths(1_000, int(mean * 1_000), 1)

    blank = expected_answers(None, lines, limits, unlimited)
    learned = expected_answers(lengths, lines, limits, unlimited)

    assert blank == Expected(limits + unlimited * ANSWER_TOKENS_ASSUMED, 0, unlimited)
    assert learned.tokens <= limits + -(-unlimited * lengths.tokens // lengths.answers)
    assert (learned.assumed, learned.learned <= lines) == (0, True)


def test_lengths_are_learned_by_task_and_half_forgotten() -> None:
    """A task whose answers grow longer is followed; ready-made requests teach nothing of each other."""
    quota_estimate = QuotaEstimate()
    for _ in range(50):
        quota_estimate = after_answers(quota_estimate, "t", 1_000, 10_000, 1)
    for _ in range(50):
        quota_estimate = after_answers(quota_estimate, "t", 1_000, 90_000, 2)

    known = lengths_of(quota_estimate, "t")

    assert known
    assert 85 <= known.tokens / known.answers <= 90
    assert known.answers < 25_000
    assert after_answers(quota_estimate, "-", 1_000, 10_000, 1) == quota_estimate
    assert lengths_of(quota_estimate, "another") is None


def test_a_model_s_row_stays_small() -> None:
    """Of many tasks those are forgotten that were seen longest ago."""
    quota_estimate = QuotaEstimate()

    for number in range(2 * TASKS_MAX):
        quota_estimate = after_answers(quota_estimate, f"t{number}", 10, 100, number)

    assert set(quota_estimate.lengths) == {f"t{number}" for number in range(TASKS_MAX, 2 * TASKS_MAX)}


def test_money_is_rounded_up_and_cached_tokens_are_cheaper() -> None:
    """A part of a microdollar counts as one; an unknown price stays unknown."""
    assert cost_of(RATE, 1_000_000, 1_000_000) == 1_000_000
    assert cost_of(RATE, 1_000_000, 0, cached_tokens=1_000_000) == 50_000
    assert cost_of(RATE, 1, 0) == 1
    assert cost_of(RATE, 0, 0) == 0
    assert cost_of(None, 1, 1) is None


@given(
    lines=st.integers(1, 10**5), cut=st.floats(0, 1), tokens=st.integers(1, 10**9), limits=st.integers(0, 10**9),
)  # fmt: skip
def test_the_rest_costs_its_share(lines: int, cut: float, tokens: int, limits: int) -> None:
    """What is cut and what is left cost together what the whole does, and a rounding."""
    group = Group(CHAT, "m", 1, lines, tokens=tokens, answer_tokens=limits, rate=RATE)
    cut_lines = int(lines * cut)
    quota_estimates = {"m": QuotaEstimate()}

    def quoted(*groups: Group) -> int:
        return quote_of_rest(
            Job(id="j", bucket="b", key="k", version="v", created_at=1, groups=groups), quota_estimates
        ).microdollars

    whole = quoted(group)
    rest = quoted(Group(CHAT, "m", 1, lines, cut_lines, 0, tokens, limits, 0, RATE))
    other = quoted(Group(CHAT, "m", 1, lines, lines - cut_lines, 0, tokens, limits, 0, RATE))

    assert whole <= rest + other <= whole + 4


@pytest.mark.parametrize(
    ("of_task", "of_stack", "approved", "allowed"),
    [
        (0, 0, 0, None),
        (5, 0, 0, 5),
        (0, 7, 0, 7),
        (5, 7, 0, 5),
        (9, 7, 0, 7),
        (5, 7, 12, 12),
        (5, 7, 3, 5),
        (0, 0, 12, None),
    ],
)
def test_the_smaller_cap_bounds_what_nobody_approved_of(
    of_task: int, of_stack: int, approved: int, allowed: int | None
) -> None:
    """An approval raises a cap and sets none."""
    job = replace(JOB, options=replace(JOB.options, microdollars_max=of_task), money=JobMoney(approved=approved))

    assert allowed_microdollars(job, Limits(max_cost_microdollars=of_stack)) == allowed


def test_approving_allows_half_as_much_again() -> None:
    """Rounded up."""
    assert [approved_of(Quote(amount)) for amount in (0, 1, 10, 11)] == [0, 2, 15, 17]


@pytest.mark.parametrize(
    ("microdollars", "words"),
    [(0, "0.00"), (1, "0.000001"), (4_080, "0.00408"), (10_000, "0.01"), (999_999, "0.999999"), (1_000_000, "1.00"),
     (12_345_678, "12.35"), (1_234_567_890, "1,234.57")],
)  # fmt: skip
def test_amounts_are_cents_for_a_person(microdollars: int, words: str) -> None:
    """Never too low, and with more digits where cents would say nothing."""
    assert dollar_words(microdollars) == f"{words} US dollars"


def test_an_unknown_price_is_null_in_documents() -> None:
    """And the models are named."""
    document = quote_document(Quote(5_000_000, unpriced=("x",), input_tokens=3))

    assert (document["usd"], document["unpriced_models"]) == (None, ["x"])
