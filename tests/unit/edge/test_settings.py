"""The environment becomes typed settings, or the function stops with a variable's name."""

from dataclasses import fields

import pytest

from batchdrop.core.model.bounds import BOUNDS, first_breach
from batchdrop.core.model.limits import Limits
from batchdrop.edge.settings import BadSetting, limit_variable, read_settings, settings_table


def test_every_limit_can_be_set() -> None:
    """Each by a variable of its own; one less than the default keeps every bound, and one more than none."""
    wanted = {limit.name: abs(int(str(limit.default)) - 1) for limit in fields(Limits)}

    dollars = {name: f"{value / 1_000_000:.6f}" for name, value in wanted.items() if "microdollars" in name}
    environment = {limit_variable(name): dollars.get(name, str(value)) for name, value in wanted.items()}

    limits = read_settings(environment).limits

    assert {limit.name: getattr(limits, limit.name) for limit in fields(Limits)} == wanted


def test_an_empty_environment_gives_the_defaults() -> None:
    """And so does an empty variable, which a template may leave behind."""
    assert read_settings({}) == read_settings({"TABLE": "", "BATCHDROP_ATTEMPTS_MAX": ""})
    assert read_settings({}).limits == Limits()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENQUEUED_TOKENS_PER_MODEL", "many"),
        ("WORKER_TIMEOUT_SECONDS", "0"),
        ("BATCHDROP_ATTEMPTS_MAX", "-1"),
        ("BATCHDROP_ATTEMPTS_MAX", "1.5"),
        ("BATCHDROP_ATEMPTS_MAX", "3"),
        ("MAX_COST_USD", "-0.01"),
        ("MAX_COST_USD", "0.0000001"),
        ("MAX_COST_USD", "NaN"),
        ("OPENAI_BASE_URL", "api.openai.com"),
        ("PROVIDER_DIALECT", "open-ai"),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
    ],
)
def test_a_bad_value_stops_with_the_name_of_its_variable(variable: str, value: str) -> None:
    """A misspelt limit is bad too: it would not hold."""
    with pytest.raises(BadSetting, match=rf"^{variable}: "):
        read_settings({variable: value})


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({"BATCHDROP_GRACE_SECONDS": "974"}, "BATCHDROP_GRACE_SECONDS"),
        ({"WORKER_TIMEOUT_SECONDS": "1200"}, "BATCHDROP_GRACE_SECONDS"),
        ({"WORKER_TIMEOUT_SECONDS": "119"}, "WORKER_TIMEOUT_SECONDS"),
        ({"BATCHDROP_SHARD_REQUESTS_MAX": "50001"}, "BATCHDROP_SHARD_REQUESTS_MAX"),
        ({"BATCHDROP_SHARD_EMBEDDING_INPUTS_MAX": "50001"}, "BATCHDROP_SHARD_EMBEDDING_INPUTS_MAX"),
        ({"BATCHDROP_SHARD_BYTES_MAX": "200000001"}, "BATCHDROP_SHARD_BYTES_MAX"),
        ({"BATCHDROP_SHARD_BYTES_MAX": "15999999"}, "BATCHDROP_SHARD_BYTES_MAX"),
        ({"BATCHDROP_OPEN_CHUNKS_BYTES_MAX": "7999999"}, "BATCHDROP_OPEN_CHUNKS_BYTES_MAX"),
        ({"BATCHDROP_INPUT_FILE_LIFETIME_SECONDS": "3599"}, "BATCHDROP_INPUT_FILE_LIFETIME_SECONDS"),
        ({"BATCHDROP_INPUT_FILE_LIFETIME_SECONDS": "2592001"}, "BATCHDROP_INPUT_FILE_LIFETIME_SECONDS"),
        ({"BATCHDROP_FILE_SWEEP_AGE_SECONDS": "2099"}, "BATCHDROP_FILE_SWEEP_AGE_SECONDS"),
        ({"BATCHDROP_ENDED_ROWS_KEPT_SECONDS": "1814399"}, "BATCHDROP_ENDED_ROWS_KEPT_SECONDS"),
        ({"BATCHDROP_EVENT_AWAITED_SECONDS": "601801"}, "BATCHDROP_EVENT_AWAITED_SECONDS"),
    ],
)
def test_limits_that_break_a_promise_together_stop_the_function(environment: dict[str, str], variable: str) -> None:
    """With the name of the variable, its bound, and why it has one."""
    with pytest.raises(BadSetting, match=rf"^{variable}: [\d,]+ is (less|more) than [\d,]+; \w"):
        read_settings(environment)


@pytest.mark.parametrize(
    "environment",
    [
        {"BATCHDROP_GRACE_SECONDS": "975"},
        {"WORKER_TIMEOUT_SECONDS": "120"},
        {"WORKER_TIMEOUT_SECONDS": "30", "BATCHDROP_CREATE_TIMEOUT_SECONDS": "5", "BATCHDROP_CREATE_MARGIN_SECONDS": "1",
         "BATCHDROP_STOP_MARGIN_SECONDS": "2", "BATCHDROP_GRACE_SECONDS": "36"},
        {"BATCHDROP_SHARD_BYTES_MAX": "200000000"},
        {"BATCHDROP_FILE_SWEEP_AGE_SECONDS": "2100"},
    ],
)  # fmt: skip
def test_a_limit_at_its_bound_is_taken(environment: dict[str, str]) -> None:
    """Short time-outs too, where the others are as short."""
    assert read_settings(environment)


def test_every_bound_is_of_a_limit_and_kept_by_the_defaults() -> None:
    """A bound of a name that is none would never be broken."""
    assert {bound.name for bound in BOUNDS} <= {limit.name for limit in fields(Limits)}
    assert first_breach(Limits()) is None


def test_what_a_function_needs_is_asked_for_by_name() -> None:
    """A function that does without a setting need not be given it."""
    settings = read_settings({"TABLE": "ledger"})

    assert settings.required("table") == "ledger"
    with pytest.raises(BadSetting, match=r"^SECRET_ARN: "):
        settings.required("secret_arn")


def test_the_table_names_every_variable() -> None:
    """One line each, with its default."""
    table = settings_table()

    assert all(f"| `{limit_variable(limit.name)}` | `{limit.default}` |" in table for limit in fields(Limits))
    assert "| `OPENAI_BASE_URL` | `https://api.openai.com/v1` |" in table
    assert table.count("\n") == 2 + len(fields(Limits)) + 13
