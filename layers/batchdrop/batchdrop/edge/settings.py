"""Reads a deployment's settings from the environment, once.

Rule: no other module reads the environment. A bad value stops the function at its start with the name of the variable.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from batchdrop.core.model.bounds import first_breach
from batchdrop.core.model.dialects import BY_HOST, DIALECTS
from batchdrop.core.model.errors import BatchdropError
from batchdrop.core.model.limits import Limits

LIMIT_PREFIX = "BATCHDROP_"
# A setting of the template has its parameter's name, without the prefix. The code counts its dollars in millionths.
_SET_BY_THE_TEMPLATE = frozenset(
    {"enqueued_tokens_per_model", "max_cost_microdollars", "daily_cost_microdollars_max", "worker_timeout_seconds"}
)
_DOLLARS = re.compile(r"(\d{1,6})(?:\.(\d{1,6}))?")
_URLS = frozenset({"openai_base_url", "aws_endpoint_url"})
_URL = re.compile(r"https?://.+")


class BadSetting(BatchdropError):
    """A variable of the environment cannot be used; the message begins with its name. For the operator."""


def _setting(meaning: str, default: str = "") -> Any:  # noqa: ANN401 - a field stands for its value
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The environment as values. What a function does not use it need not be given."""

    inbox_bucket: str = _setting("Bucket that people drop files into.")
    results_bucket: str = _setting("Bucket that results are written to.")
    table: str = _setting("Table of the ledger.")
    topic_arn: str = _setting("Topic of the notifications.")
    secret_arn: str = _setting("Secret that holds the provider's API key as plain text.")
    submissions_queue_url: str = _setting("Queue of wake-up messages for the submit function.")
    completions_queue_url: str = _setting("Queue of wake-up messages for the complete function.")
    stack_name: str = _setting("Name of the stack: what its metrics are told apart by.", "batchdrop")
    openai_base_url: str = _setting("Where the Files and Batches API is served.", "https://api.openai.com/v1")
    provider_dialect: str = _setting(
        f"What kind of server that is: {', '.join(DIALECTS)}, or {BY_HOST} to tell it by its host.", BY_HOST
    )
    aws_endpoint_url: str = _setting("Replaces AWS, as for every AWS client; an emulator's address.")
    aws_region: str = _setting("Region of the stack; Lambda sets it.")
    aws_use_fips_endpoint: str = _setting("`true` for the endpoints of AWS that are validated by FIPS 140.")
    limits: Limits = field(default_factory=Limits)

    @property
    def is_fips(self) -> bool:
        """Whether every client is to use FIPS endpoints; boto3 reads the same variable."""
        return self.aws_use_fips_endpoint.lower() == "true"

    def required(self, name: str) -> str:
        """Return the setting called *name*; raises BadSetting where the function was not given it."""
        value = getattr(self, name)
        if not value:
            raise BadSetting(f"{name.upper()}: this function needs it")
        return str(value)


def limit_variable(name: str) -> str:
    """Return the variable that sets the limit called *name*."""
    variable = name.upper().replace("MICRODOLLARS", "USD")
    return variable if name in _SET_BY_THE_TEMPLATE else f"{LIMIT_PREFIX}{variable}"


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings; raises BadSetting with the variable's name. An empty variable counts as unset.

    A misspelt `BATCHDROP_` variable is refused too: a limit that was meant to hold must not be missing in silence.
    """
    given = {name: value for name, value in environment.items() if value}
    known = {limit_variable(field.name): field.name for field in fields(Limits)}
    misspelt = [name for name in given if name.startswith(LIMIT_PREFIX) and name not in known]
    if misspelt:
        raise BadSetting(f"{misspelt[0]}: no such setting")
    limits = Limits(**{field: _limit(field, given[name]) for name, field in known.items() if name in given})
    breach = first_breach(limits)
    if breach:
        raise BadSetting(f"{limit_variable(breach.name)}: {breach.complaint}")
    own = {name: given[name.upper()] for name in _named_settings() if name.upper() in given}
    for name in _URLS & own.keys():
        if not _URL.fullmatch(own[name]):
            raise BadSetting(f"{name.upper()}: has to begin with http:// or https://")
    if own.get("provider_dialect", BY_HOST) not in (BY_HOST, *DIALECTS):
        raise BadSetting(f"PROVIDER_DIALECT: has to be one of {', '.join((BY_HOST, *DIALECTS))}")
    return Settings(**own, limits=limits)


def _named_settings() -> dict[str, Field[str]]:
    """Return the settings that have a variable of their own name."""
    return {setting.name: setting for setting in fields(Settings) if setting.name != "limits"}


def _limit(name: str, value: str) -> int:
    variable = limit_variable(name)
    if "microdollars" in name:
        return _microdollars(variable, value)
    try:
        limit = int(value)
    except ValueError as error:
        raise BadSetting(f"{variable}: has to be a whole number") from error
    least = 0 if name == "enqueued_tokens_per_model" else 1  # 0: it is learned
    if limit < least:
        raise BadSetting(f"{variable}: has to be {least} or more")
    return limit


def _microdollars(variable: str, value: str) -> int:
    found = _DOLLARS.fullmatch(value)
    if found is None:
        raise BadSetting(f"{variable}: has to be US dollars, such as 12.50, with six decimal places at most")
    return int(found[1]) * 1_000_000 + int((found[2] or "0").ljust(6, "0"))


def settings_table() -> str:
    """Return every variable with its default and meaning as a Markdown table, for docs/settings.md."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, setting in _named_settings().items():
        default = f"`{setting.default}`" if setting.default else ""
        lines.append(f"| `{name.upper()}` | {default} | {setting.metadata['meaning']} |")
    for limit in fields(Limits):
        default = "" if limit.default is MISSING else f"`{limit.default}`"
        lines.append(f"| `{limit_variable(limit.name)}` | {default} | {limit.metadata['meaning']}. |")
    return "\n".join(lines) + "\n"
