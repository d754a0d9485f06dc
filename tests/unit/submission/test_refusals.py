"""What a refusal concerns, by its status and code."""

import pytest

from batchdrop.core.submission.refusals import (
    MONEY_CODES,
    is_about_model,
    is_account_refused,
    is_definite,
    is_money_code,
)


@pytest.mark.parametrize("code", ["model_not_found", "MODEL_NOT_FOUND", "model_access_denied", "no_model_access_x",
                                  "model_permission_blocked_org", "DeploymentNotFound"])  # fmt: skip
def test_a_403_about_a_model_spares_the_key(code: str) -> None:
    """It is a definite no to that model alone; a 401 means the key whatever its code."""
    assert is_about_model(403, code)
    assert is_about_model(404, code)
    assert is_definite(403, code)
    assert not is_account_refused(403, code)
    assert is_account_refused(401, code)
    assert not is_definite(401, code)
    assert not is_about_model(400, code)


@pytest.mark.parametrize(
    ("status", "code"), [(401, ""), (403, ""), (403, "invalid_api_key"), (403, "unsupported_country")]
)
def test_401_and_403_concern_the_key(status: int, code: str) -> None:
    """Where no code speaks of a model."""
    assert is_account_refused(status, code)
    assert not is_definite(status, code)


@pytest.mark.parametrize("code", sorted(MONEY_CODES))
@pytest.mark.parametrize("status", [400, 402, 403, 429])
def test_money_concerns_the_account(status: int, code: str) -> None:
    """Under whatever status it comes."""
    assert is_money_code(code.upper())
    assert is_account_refused(status, code)
    assert not is_definite(status, code)


def test_every_other_4xx_is_definite() -> None:
    """But those that ask for another try."""
    definite = {status for status in range(100, 600) if is_definite(status, "")}

    assert definite == set(range(400, 500)) - {401, 403, 408, 409, 425, 429}
