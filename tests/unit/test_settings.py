"""The environment becomes typed settings, or the function stops with a variable's name."""

from dataclasses import fields

import pytest

from batchdrop.core.limits import Limits
from batchdrop.edge.settings import BadSetting, limit_variable, read_settings, settings_table


def test_every_limit_can_be_set() -> None:
    """Each by a variable of its own."""
    environment = {limit_variable(limit.name): str(number) for number, limit in enumerate(fields(Limits), start=7)}

    limits = read_settings(environment).limits

    assert [getattr(limits, limit.name) for limit in fields(Limits)] == list(range(7, 7 + len(fields(Limits))))


def test_an_empty_environment_gives_the_defaults() -> None:
    """And so does an empty variable, which a template may leave behind."""
    assert read_settings({}) == read_settings({"TABLE_NAME": "", "BATCHDROP_ATTEMPTS_MAX": ""})
    assert read_settings({}).limits == Limits()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ROOM_TOKENS_PER_MODEL", "many"),
        ("WORKER_TIMEOUT_SECONDS", "0"),
        ("BATCHDROP_ATTEMPTS_MAX", "-1"),
        ("BATCHDROP_ATTEMPTS_MAX", "1.5"),
        ("BATCHDROP_ATEMPTS_MAX", "3"),
        ("OPENAI_BASE_URL", "api.openai.com"),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
    ],
)
def test_a_bad_value_stops_with_the_name_of_its_variable(variable: str, value: str) -> None:
    """A misspelt limit is bad too: it would not hold."""
    with pytest.raises(BadSetting, match=rf"^{variable}: "):
        read_settings({variable: value})


def test_what_a_function_needs_is_asked_for_by_name() -> None:
    """A function that does without a setting need not be given it."""
    settings = read_settings({"TABLE_NAME": "ledger"})

    assert settings.required("table_name") == "ledger"
    with pytest.raises(BadSetting, match=r"^SECRET_ARN: "):
        settings.required("secret_arn")


def test_the_table_names_every_variable() -> None:
    """One line each, with its default."""
    table = settings_table()

    assert all(f"| `{limit_variable(limit.name)}` | `{limit.default}` |" in table for limit in fields(Limits))
    assert "| `OPENAI_BASE_URL` | `https://api.openai.com/v1` |" in table
    assert table.count("\n") == 2 + len(fields(Limits)) + 10
