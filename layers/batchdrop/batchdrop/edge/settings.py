"""What a deployment sets, read once from the environment.

Rule: nobody else reads the environment. A bad value stops the function at its start with the name of the variable.
"""

import os
from collections.abc import Mapping
from dataclasses import MISSING, fields

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from batchdrop.core.bounds import first_breach
from batchdrop.core.errors import BatchdropError
from batchdrop.core.limits import Limits

LIMIT_PREFIX = "BATCHDROP_"
# Both have a variable of their own.
_NAMED_LIMITS = {
    "room_tokens_per_model": "ROOM_TOKENS_PER_MODEL",
    "worker_timeout_seconds": "WORKER_TIMEOUT_SECONDS",
}
_MAY_BE_ZERO = frozenset({"ROOM_TOKENS_PER_MODEL"})  # nothing is pinned: it is learned


class BadSetting(BatchdropError):
    """A variable of the environment cannot be used; the message begins with its name. For the operator."""


class Settings(BaseModel):
    """The environment as values. What a function does not use it need not be given."""

    model_config = ConfigDict(frozen=True)

    inbox_bucket: str = Field("", description="Bucket that people drop files into.")
    results_bucket: str = Field("", description="Bucket that results are written to.")
    table_name: str = Field("", description="Table of the ledger.")
    topic_arn: str = Field("", description="Topic of the notices.")
    secret_arn: str = Field("", description="Secret that holds the provider's API key as plain text.")
    submissions_queue_url: str = Field("", description="Queue of hints for the submit function.")
    completions_queue_url: str = Field("", description="Queue of hints for the complete function.")
    stack_name: str = Field("batchdrop", description="Name of the stack: what its metrics are told apart by.")
    openai_base_url: str = Field(
        "https://api.openai.com/v1", pattern=r"^https?://.+", description="Where the Files and Batches API is served."
    )
    aws_endpoint_url: str | None = Field(
        None, pattern=r"^https?://.+", description="Replaces AWS, as for every AWS client; an emulator's address."
    )
    limits: Limits = Limits()

    def required(self, name: str) -> str:
        """Return the setting called *name*; raises BadSetting where the function was not given it."""
        value = str(getattr(self, name) or "")
        if not value:
            raise BadSetting(f"{name.upper()}: this function needs it")
        return value


def limit_variable(name: str) -> str:
    """Return the variable that sets the limit called *name*."""
    return _NAMED_LIMITS.get(name, f"{LIMIT_PREFIX}{name.upper()}")


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings; raises BadSetting with the variable's name. An empty variable counts as unset.

    A misspelt `BATCHDROP_` variable is refused too: a limit that was meant to hold must not be missing in silence.
    """
    given = {name: value for name, value in environment.items() if value}
    known = {limit_variable(field.name): field.name for field in fields(Limits)}
    misspelt = [name for name in given if name.startswith(LIMIT_PREFIX) and name not in known]
    if misspelt:
        raise BadSetting(f"{misspelt[0]}: no such setting")
    limits = Limits(**{field: _limit(name, given[name]) for name, field in known.items() if name in given})
    breach = first_breach(limits)
    if breach:
        raise BadSetting(f"{limit_variable(breach.name)}: {breach.complaint}")
    own = {name: given[name.upper()] for name in Settings.model_fields if name != "limits" and name.upper() in given}
    try:
        return Settings.model_validate(own | {"limits": limits})
    except ValidationError as error:
        first = error.errors()[0]
        raise BadSetting(f"{str(first['loc'][0]).upper()}: {first['msg']}") from error


_limits = TypeAdapter(int)


def _limit(variable: str, value: str) -> int:
    try:
        limit = _limits.validate_python(value)
    except ValidationError as error:
        raise BadSetting(f"{variable}: {error.errors()[0]['msg']}") from error
    least = 0 if variable in _MAY_BE_ZERO else 1
    if limit < least:
        raise BadSetting(f"{variable}: has to be {least} or more")
    return limit


def settings_table() -> str:
    """Return every variable with its default and meaning as a Markdown table, for the README."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        if name != "limits":
            lines.append(
                f"| `{name.upper()}` | {f'`{field.default}`' if field.default else ''} | {field.description} |"
            )
    for limit in fields(Limits):
        default = "" if limit.default is MISSING else f"`{limit.default}`"
        lines.append(f"| `{limit_variable(limit.name)}` | {default} | limit: {limit.name.replace('_', ' ')} |")
    return "\n".join(lines) + "\n"
