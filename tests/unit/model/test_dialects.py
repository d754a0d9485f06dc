"""The table of servers: which row holds for which base URL, and what rows may say."""

import re

import pytest

from batchdrop.core.model.dialects import BY_HOST, CAUTIOUS, DIALECTS, OPENAI, Dialect, Dialects, Lifetime, dialect_of
from batchdrop.core.model.endpoints import ENDPOINTS
from batchdrop.core.model.limits import DAY, HOUR, Limits
from batchdrop.core.submission.batch_signals import STATUS_FAILED, STATUSES_UNDER_WAY, STATUSES_WITH_ANSWERS
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import parse

ROWS = tuple(DIALECTS.values())


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://acme.openai.azure.com/openai/v1", "azure"),
        ("https://ACME.OpenAI.Azure.com/openai/v1", "azure"),
        ("https://acme.cognitiveservices.azure.com/openai/v1", "azure"),
        ("https://acme.services.ai.azure.com/openai/v1", "azure"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.together.ai/v1", "together"),
        ("https://api.together.xyz/v1", "together"),
        ("http://127.0.0.1:4000/v1", "cautious"),
        ("https://openai.azure.com.example.org/v1", "cautious"),
        ("https://notapi.openai.com.evil.example/v1", "cautious"),
        ("https://fakeopenai.azure.com/v1", "cautious"),
        ("", "cautious"),
    ],
)
def test_a_row_is_chosen_by_the_host(base_url: str, name: str) -> None:
    """By the whole host or what it ends with behind a dot; never by what merely looks like it."""
    assert dialect_of(base_url).name == name


def test_a_deployment_may_choose_for_its_own_base_url() -> None:
    """Batches of an earlier base URL keep the row of their host."""
    chosen = Dialects("http://gateway.internal/v1", "litellm")

    assert chosen.of("http://gateway.internal/v1").name == "litellm"
    assert chosen.of("https://api.openai.com/v1") is OPENAI
    assert Dialects("http://gateway.internal/v1").of("http://gateway.internal/v1") is CAUTIOUS


def test_the_parameter_names_every_row() -> None:
    """What the template lets a person choose is what there is."""
    parameter = parse((REPOSITORY / "template.yaml").read_text())["Parameters"]["ProviderDialect"]

    assert parameter["AllowedValues"] == [BY_HOST, *DIALECTS]
    assert parameter["Default"] == BY_HOST


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_speaks_of_what_there_is(row: Dialect) -> None:
    """Its endpoints are ours, its statuses become OpenAI's, and its hosts are written as they are compared."""
    known = {"validating", *STATUSES_UNDER_WAY, *STATUSES_WITH_ANSWERS, STATUS_FAILED}

    assert row.short_endpoints <= set(ENDPOINTS)
    assert row.free_endpoints <= set(ENDPOINTS)
    assert set(row.statuses.values()) <= known
    assert not known & set(row.statuses)
    assert all(re.fullmatch(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)+", host) for host in row.hosts)


def test_no_host_has_two_rows() -> None:
    """Else their order would decide."""
    hosts = [host for row in ROWS for host in row.hosts]

    assert len(hosts) == len(set(hosts))


def test_what_is_not_known_is_not_assumed_to_the_owners_cost() -> None:
    """Of a server that nobody told of: no price, no fence, no lifetime that it may refuse, and nothing that is free."""
    assert CAUTIOUS.batch_price is None
    assert not CAUTIOUS.is_fence_known
    assert CAUTIOUS.file_lifetime is None
    assert not CAUTIOUS.free_endpoints


@pytest.mark.parametrize(("wanted", "kept"), [(HOUR, 14 * DAY), (20 * DAY, 20 * DAY), (90 * DAY, 30 * DAY)])
def test_a_lifetime_is_moved_into_the_range_that_is_taken(wanted: int, kept: int) -> None:
    """The closest end of it."""
    assert Lifetime(14 * DAY, 30 * DAY).nearest(wanted) == kept


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_file_outlives_what_needs_it(row: Dialect) -> None:
    """Wherever files expire they are kept as long as a create may be looked for, and as our own limit says or longer."""
    kept = row.lifetime_seconds(Limits().input_file_lifetime_seconds)

    assert kept is None or kept >= Limits().input_file_lifetime_seconds
