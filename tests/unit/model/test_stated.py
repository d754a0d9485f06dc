"""The limit that a refusal states: scaled where it is scaled, grouped in any way, and unknown where it is not sure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.stated import stated_limit


@pytest.mark.parametrize(
    ("words", "stated"),
    [
        ("Enqueued token limit reached for gpt-4.1-mini. Limit: 2,000,000 enqueued tokens. Please", 2_000_000),
        ("Enqueued token limit reached for gpt-4.1. Limit: 90.000 enqueued tokens.", 90_000),
        ("enqueued token LIMIT is 1 500 000", 1_500_000),
        ("This batch exceeds the enqueued token limit of 30K for deployment x.", 30_000),
        ("limit of 30K.", 30_000),
        ("limit of 30 K tokens", 30_000),
        ("limit of 30 thousand tokens", 30_000),
        ("limit: 1.5M", 1_500_000),
        ("limit: 1,5 million enqueued tokens", 1_500_000),
        ("limit: 2 mn", 2_000_000),
        ("limit is 1.25B tokens", 1_250_000_000),
        ("limit: 2.000.000.", 2_000_000),
        ("limit 20,00,000 tokens", 2_000_000),
        ("limit 1'000'000", 1_000_000),
        ("limit 1\u2019000\u2019000 tokens", 1_000_000),
        ("limit 1_000_000 tokens", 1_000_000),
        ("limit of 30\u202f000 tokens", 30_000),
        ("limit of 30\u00a0000\u00a0000 tokens", 30_000_000),
        ("Limit: 2000000. Requested: 5", 2_000_000),
    ],
)
def test_a_limit_is_read_however_it_is_written(words: str, stated: int) -> None:
    """Grouped and scaled, as providers word it."""
    assert stated_limit(words) == stated


@pytest.mark.parametrize(
    "words",
    [
        "", "Enqueued token limit reached for o4-mini. Try again later.", "Limit: " + "9" * 40, "limit of 30Q",
        "limit of 30 dozen tokens", "limit: 90%", "limit: 90 %", "limit 2e6", "limit: 30-40K", "limit: 30 - 40K",
        "limit of 30 to 40K", "limit of 1,500K", "limit of 1.500 million", "limit 1.5 tokens", "Limit: 2,000,00 tokens",
        "limit of 200k/min", "limit of 200 per minute", "limit: 30 MB", "limit: 30KB", "limit: 2,000.000 tokens",
    ],
)  # fmt: skip
def test_what_is_not_sure_is_unknown(words: str) -> None:
    """A share, a rate, a range, another unit, a point that may be either: none of them is a limit."""
    assert stated_limit(words) == 0


@given(st.integers(1, 10**12), st.sampled_from([",", ".", "'", "\u2019", "_", " ", "\u00a0", "\u2009", "\u202f", ""]))
def test_every_separator_of_thousands_is_read(limit: int, separator: str) -> None:
    """Whatever stands between groups of three."""
    assert stated_limit(f"Limit: {f'{limit:,}'.replace(',', separator)} enqueued tokens.") == limit
