"""What tokens cost, and where the prices come from."""

import subprocess
import sys
from decimal import Decimal

import pytest
from fakes.prices import flat, listed
from genai_prices import Usage as ListedUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.dialects import Dialects
from batchdrop.core.model.outcomes import Usage
from batchdrop.core.model.prices import Cost, Price, PriceList, Rates, cost, kinds_of, micro_dollars
from batchdrop.edge.prices import BundledPrices

OPENAI = "https://api.openai.com/v1"
NOVEMBER_2026 = 1_795_305_600

MINI = flat("0.40", "1.60", "0.10")
usages = st.builds(
    Usage,
    st.integers(20, 10**9),
    st.integers(0, 10**9),
    cached_tokens=st.integers(0, 10),
    cache_write_tokens=st.integers(0, 10),
)


def dollars(usage: Usage, prices: PriceList = MINI, requests: int = 1) -> Cost:
    """What *usage* costs."""
    found = cost(prices, usage, requests)
    assert found is not None
    return found


def test_a_batch_pays_half_of_the_list_price() -> None:
    """Of input, cached input and output alike."""
    found = dollars(Usage(1_000_000, 1_000_000, cached_tokens=500_000))

    assert found == Cost(Decimal("0.20") + Decimal("0.05") + Decimal("1.60"), Decimal("0.925"))


def test_each_token_is_paid_once() -> None:
    """Cached tokens, and tokens that were written into the cache, are no other input besides."""
    kinds = kinds_of(Usage(100, 7, cached_tokens=60, cache_write_tokens=30))

    assert kinds == {"input": 10, "cached_input": 60, "cache_write": 30, "output": 7}


@given(usages, usages)
def test_what_is_paid_adds_up(first: Usage, second: Usage) -> None:
    """Two sums cost what their sum costs, to the last digit."""
    assert (
        dollars(first + second, MINI) == dollars(first) + dollars(second)
        or first.input_tokens < 20
        or second.input_tokens < 20
    )


def test_a_price_that_is_not_known_is_not_nothing() -> None:
    """Neither where the model has none, nor where one kind of its tokens has none; what is not used needs no price."""
    embedding = flat("0.02")

    assert cost(None, Usage(1, 1)) is None
    assert cost(embedding, Usage(1, 1)) is None
    assert cost(embedding, Usage(1_000_000, 0)) == Cost(Decimal("0.02"), Decimal("0.01"))


def test_long_requests_have_their_own_price() -> None:
    """It holds for all tokens of such a request, and not for many short ones that are as long together."""
    short, long = listed("1"), listed("2")
    prices = PriceList((Rates(0, short, short, short, short), Rates(1_000, long, long, long, long)))

    assert dollars(Usage(1_000, 0), prices).listed == Decimal("0.001")
    assert dollars(Usage(1_001, 0), prices).listed == Decimal("0.002002")
    assert dollars(Usage(100_000, 0), prices, requests=100).listed == Decimal("0.1")


@pytest.mark.parametrize(("amount", "micro"), [("0", 0), ("0.0000001", 1), ("0.000001", 1), ("1.0000011", 1_000_002)])
def test_the_ledger_rounds_up(amount: str, micro: int) -> None:
    """What is kept is never less than what is paid."""
    assert micro_dollars(Decimal(amount)) == micro


def bundled(model: str, base_url: str = OPENAI) -> PriceList | None:
    """The prices that came with the library."""
    return BundledPrices().price_list(model, base_url, NOVEMBER_2026)


def test_a_version_of_a_model_has_its_prices() -> None:
    """The provider reports the version that answered, not the name that was asked for."""
    versioned = bundled("gpt-4.1-mini-2025-04-14")

    assert versioned == bundled("gpt-4.1-mini")
    assert versioned is not None
    assert versioned.rates[0].input == Price(Decimal("0.4"), Decimal("0.2"))
    assert versioned.rates[0].output == Price(Decimal("1.6"), Decimal("0.80"))


def test_a_batch_pays_what_is_published_for_it() -> None:
    """For gpt-5.4's cached input that is $0.13, which is not half of $0.25; where nothing is published it is half."""
    published, halved = bundled("gpt-5.4"), bundled("gpt-4.1-mini")

    assert published is not None
    assert halved is not None
    assert published.rates[0].cached == Price(Decimal("0.25"), Decimal("0.13"))
    assert halved.rates[0].cached == Price(Decimal("0.1"), Decimal("0.05"))


def test_long_requests_are_known() -> None:
    """gpt-5.4 costs twice as much beyond 272,000 tokens."""
    prices = bundled("gpt-5.4")

    assert prices is not None
    assert [(rates.over_tokens, rates.input) for rates in prices.rates] == [
        (0, Price(Decimal("2.5"), Decimal("1.25"))),
        (272_000, Price(Decimal(5), Decimal("2.5"))),
    ]


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("ft:gpt-4.1-mini-2025-04-14:acme::abc", OPENAI),
        ("", OPENAI),
        ("\0" * 2_000, OPENAI),
        ("gpt-4.1-mini", "http://127.0.0.1:4000/v1"),
        ("gpt-4.1-mini", ""),
    ],
)
def test_what_the_list_does_not_have_is_not_known(model: str, base_url: str) -> None:
    """A model of one's own, a name that the provider made up, a service that nobody lists."""
    assert bundled(model, base_url) is None


# Each of them has a list price in genai-prices, and none of them a price in a batch that its provider documents for all models.
@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "https://api.together.xyz/v1"),
        ("gpt-4.1-mini", "https://acme.openai.azure.com/openai/v1"),
        ("gpt-4.1-mini", "https://acme.services.ai.azure.com/openai/v1"),
        ("grok-3", "https://api.x.ai/v1"),
        ("deepseek-chat", "https://api.deepseek.com/v1"),
        ("openai/gpt-4.1-mini", "https://openrouter.ai/api/v1"),
    ],
)
def test_a_list_price_is_no_price_in_a_batch(model: str, base_url: str) -> None:
    """Half of it is OpenAI's offer and Groq's; of anybody else it would be a guess, and cap and receipt half of the bill."""
    listed_price = calc_price(ListedUsage(), model, provider_api_url=base_url).model_price

    assert listed_price.input_mtok
    assert bundled(model, base_url) is None


def test_a_price_that_the_list_names_for_a_batch_is_known_of_anybody() -> None:
    """Where genai-prices tells the price in a batch apart, nothing is assumed."""
    found = bundled("mistral-small-latest", "https://api.mistral.ai/v1")

    assert found is not None
    assert found.rates[0].input == Price(Decimal("0.15"), Decimal("0.075"))


def test_cached_tokens_cost_what_the_provider_says() -> None:
    """Groq bills all tokens of a batch at half of the input price, cached or not; OpenAI halves the price of cached ones."""
    found = bundled("openai/gpt-oss-120b", "https://api.groq.com/openai/v1")

    assert found is not None
    assert found.rates[0].cached == found.rates[0].input


def test_a_chosen_dialect_makes_no_price_known() -> None:
    """A proxy that speaks as OpenAI does is not OpenAI: its base URL is in no list."""
    proxy = "http://proxy.internal/v1"

    assert BundledPrices(Dialects(proxy, "openai")).price_list("gpt-4.1-mini", proxy, NOVEMBER_2026) is None


def test_a_function_starts_without_the_price_list() -> None:
    """It would take 0.6 s and 90 MB of every start."""
    code = "import sys, batchdrop.edge.bootstrap; sys.exit('genai_prices' in sys.modules)"

    started = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603  this very interpreter

    assert started.returncode == 0
