"""Decides what a refusal concerns: the account, the key, one model, or what was asked.

Rule: a refusal concerns the smallest thing that it names. The key and the account are meant only where a status or a code says
so; everything else that the provider refuses for good is the matter of one line, shard, model or job.
"""

from typing import Final

# https://developers.openai.com/api/docs/guides/error-codes (2026-11-22): no money, so every other create is refused, too.
MONEY_CODES: Final = frozenset(
    {
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
# The SDK itself repeats 408, 409, 425 and 429, and a key (401, 403) is put right by a person: none of them is final.
NOT_FINAL: Final = frozenset({401, 403, 408, 409, 425, 429})

# `model_not_found`, `model_access_denied`, Groq's `model_permission_blocked_project`, Azure's `DeploymentNotFound`
# (https://console.groq.com/docs/model-permissions, reported): servers differ in the rest of the word.
_MODEL_WORDS: Final = ("model", "deployment")
_REFUSALS: Final = range(400, 500)
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404


def is_money_code(code: str) -> bool:
    """Whether the provider refuses the account behind the key, for want of money or quota, and not the key itself."""
    return code.lower() in MONEY_CODES


def is_about_model(status: int, code: str) -> bool:
    """Whether a refusal means one model alone: the key is good, and other models continue. By the code, never by the words."""
    return status in (_FORBIDDEN, _NOT_FOUND) and any(word in code.lower() for word in _MODEL_WORDS)


def is_account_refused(status: int, code: str) -> bool:
    """Whether the key or the account is refused, so that every other create would be refused as well."""
    if is_money_code(code) or status == _UNAUTHORIZED:
        return True
    return status == _FORBIDDEN and not is_about_model(status, code)


def is_definite(status: int, code: str) -> bool:
    """Whether an answer is a no that repeating the call does not change, and that concerns neither key nor account."""
    if is_account_refused(status, code):
        return False
    return is_about_model(status, code) or (status in _REFUSALS and status not in NOT_FINAL)
