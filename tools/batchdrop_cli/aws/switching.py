"""Switching a stack off and on: its schedule, and the mappings by which its functions read their queues.

Rule: switched off, nothing of the stack runs but what ran already; messages wait in the queues.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3

from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.stack import Site

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# What UpdateSchedule takes: it replaces the whole, so everything else is handed back as it was
# (https://docs.aws.amazon.com/scheduler/latest/APIReference/API_UpdateSchedule.html, 2026-11-22).
_SCHEDULE_FIELDS = frozenset(
    {
        "ActionAfterCompletion", "Description", "EndDate", "FlexibleTimeWindow", "GroupName", "KmsKeyArn", "Name",
        "ScheduleExpression", "ScheduleExpressionTimezone", "StartDate", "Target",
    }
)  # fmt: skip
SETTLE_SECONDS_MAX = 180  # a mapping takes some seconds to stop
LOOK_SECONDS = 1.0

type Sleep = Callable[[float], object]


def switch(site: Site, *, on: bool, sleep: Sleep = time.sleep) -> None:
    """Enable or disable the stack's schedule and both mappings, and return once that is so. Raises CommandFailed."""
    schedules: Any = boto3.client("scheduler", **site.options)
    found = schedules.get_schedule(Name=site.named("Schedule"))
    same = {name: value for name, value in found.items() if name in _SCHEDULE_FIELDS and value is not None}
    schedules.update_schedule(**same, State="ENABLED" if on else "DISABLED")
    functions, wanted = boto3.client("lambda", **site.options), "Enabled" if on else "Disabled"
    for mapping in _mappings(site, functions):
        functions.update_event_source_mapping(UUID=mapping, Enabled=on)
    for mapping in _mappings(site, functions):
        _wait_for(functions, mapping, wanted, sleep)


def _mappings(site: Site, functions: "LambdaClient") -> Iterator[str]:
    for name in ("SubmitFunction", "CompleteFunction"):
        for mapping in functions.list_event_source_mappings(FunctionName=site.named(name))["EventSourceMappings"]:
            yield mapping["UUID"]


def _wait_for(functions: "LambdaClient", mapping: str, wanted: str, sleep: Sleep) -> None:
    for _ in range(int(SETTLE_SECONDS_MAX / LOOK_SECONDS)):
        state = functions.get_event_source_mapping(UUID=mapping).get("State")
        if state == wanted:
            return
        sleep(LOOK_SECONDS)
    raise CommandFailed(
        f"The event source mapping {mapping} did not become {wanted.lower()} in {SETTLE_SECONDS_MAX} s."
    )
