"""What is expected of answers, what that costs, and how it is shown."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.estimates import ANSWER_TOKENS_ASSUMED, ANSWER_TOKENS_MAX, answer_tokens
from batchdrop.core.learning import TASKS_MAX, Expected, after_answers, expected_answers, lengths_of
from batchdrop.core.ledger_rows import Group, Job, Lengths, Lesson, Quote, Rate
from batchdrop.core.limits import Limits
from batchdrop.core.money import allowed_microdollars, approved_of, cost_of, quote_of_rest
from batchdrop.core.quoting import dollar_words, quote_document
from batchdrop.core.tasks import parse_task, recipe_of_task

CHAT = "/v1/chat/completions"
RATE = Rate(input=200_000, cached=50_000, output=800_000)
JOB = Job(id="j", bucket="b", key="inbox/t/x.csv", version="v", created_at=1, task="t")


@pytest.mark.parametrize(
    ("endpoint", "body", "tokens"),
    [
        (CHAT, {"max_tokens": 50}, 50),
        (CHAT, {"max_completion_tokens": 70, "max_tokens": 50}, 70),
        ("/v1/responses", {"max_output_tokens": 90}, 90),
        (CHAT, {"max_tokens": 50, "n": 3}, 150),
        (CHAT, {}, None),
        (CHAT, {"max_tokens": None}, None),
        (CHAT, {"max_tokens": -1}, None),
        (CHAT, {"max_tokens": "50"}, None),
        (CHAT, {"max_tokens": 10**30}, ANSWER_TOKENS_MAX),
        (CHAT, {"max_tokens": 50, "n": "many"}, 50),
        ("/v1/embeddings", {"max_tokens": 50}, 0),
        ("/v1/moderations", {}, 0),
    ],
)
def test_a_request_may_limit_its_answer(endpoint: str, body: dict[str, object], tokens: int | None) -> None:
    """By the members that the endpoints have for it; a slip is no limit and upsets no sum."""
    assert answer_tokens(endpoint, body) == tokens


@pytest.mark.parametrize(("limit", "tokens"), [("40", 40), ('"{{ most }}"', 7), ('"{{ none }}"', None)])
def test_a_task_limits_answers_for_all_records_or_for_each(limit: str, tokens: int | None) -> None:
    """A limit that a template gives is read from what it was rendered to."""
    task = f'endpoint: {CHAT}\nbody:\n  model: m\n  max_tokens: {limit}\n  messages: [{{role: user, content: "{{{{ a }}}}"}}]\n'

    request = recipe_of_task(parse_task("t", task.encode()), Limits()).build({"a": "x", "most": 7, "none": None}, "1")

    assert request.answer_tokens == tokens
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
    lesson = Lesson()
    for _ in range(50):
        lesson = after_answers(lesson, "t", 1_000, 10_000, 1)
    for _ in range(50):
        lesson = after_answers(lesson, "t", 1_000, 90_000, 2)

    known = lengths_of(lesson, "t")

    assert known
    assert 85 <= known.tokens / known.answers <= 90
    assert known.answers < 25_000
    assert after_answers(lesson, "-", 1_000, 10_000, 1) == lesson
    assert lengths_of(lesson, "another") is None


def test_a_model_s_row_stays_small() -> None:
    """Of many tasks those are forgotten that were seen longest ago."""
    lesson = Lesson()

    for number in range(2 * TASKS_MAX):
        lesson = after_answers(lesson, f"t{number}", 10, 100, number)

    assert set(lesson.lengths) == {f"t{number}" for number in range(TASKS_MAX, 2 * TASKS_MAX)}


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
    lessons = {"m": Lesson()}

    def quoted(*groups: Group) -> int:
        return quote_of_rest(
            Job(id="j", bucket="b", key="k", version="v", created_at=1, groups=groups), lessons
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
    job = replace(JOB, options=replace(JOB.options, microdollars_max=of_task), approved_microdollars=approved)

    assert allowed_microdollars(job, Limits(job_microdollars_max=of_stack)) == allowed


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
