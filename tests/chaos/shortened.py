"""Waits of the deployed stack, cut from hours to seconds, so that a run of minutes meets all of them.

Rule: only settings that a deployment may set, and the platform's own time-outs; nothing of the code is changed. Each keeps the
relation to the others, and to the provider's delays, that the defaults have.
"""

import time
from typing import TYPE_CHECKING, Final

import boto3

from batchdrop_cli.local.description import StackDescription

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

FUNCTION_TIMEOUT_SECONDS: Final = 60
# A message comes again once the worker that took it must have ended.
VISIBILITY_SECONDS: Final = FUNCTION_TIMEOUT_SECONDS + 5

SETTINGS: Final[dict[str, int]] = {
    "WORKER_TIMEOUT_SECONDS": FUNCTION_TIMEOUT_SECONDS,
    "BATCHDROP_STOP_MARGIN_SECONDS": 8,
    "BATCHDROP_WAKEUP_MARGIN_SECONDS": 5,
    "BATCHDROP_CREATE_TIMEOUT_SECONDS": 4,
    "BATCHDROP_CREATE_MARGIN_SECONDS": 5,
    # Time-out, create time-out and margin together, and the clock's grain.
    "BATCHDROP_GRACE_SECONDS": 70,
    # The provider's list lags by 10 s and a deletion by 5 (the hostile profile): the wait is longer than both.
    "BATCHDROP_FENCE_WAIT_SECONDS": 20,
    "BATCHDROP_FILE_VISIBLE_SECONDS_MAX": 15,
    "BATCHDROP_PARKED_RETRY_SECONDS": 30,
    "BATCHDROP_CIRCUIT_SECONDS": 10,
    "BATCHDROP_NO_QUOTA_BACKOFF_SECONDS": 10,
    "BATCHDROP_NO_QUOTA_BACKOFF_SECONDS_MAX": 30,
    "BATCHDROP_ANSWERS_RETRY_SECONDS": 10,
    "BATCHDROP_ANSWERS_MISSING_SECONDS_MAX": 60,
    "BATCHDROP_RETRIEVE_INTERVAL_SECONDS": 20,
    "BATCHDROP_TASK_WAIT_SECONDS": 30,
    "BATCHDROP_INBOX_ROUND_SECONDS": 30,
    "BATCHDROP_EVENT_AWAITED_SECONDS": 20,
    "BATCHDROP_TOLD_AGAIN_SECONDS": 60,
    "BATCHDROP_REDELIVERY_SECONDS": 2,
    "BATCHDROP_WITHHELD_RETRY_SECONDS": 2,
    # Pieces are cut smaller too, so that there are many of them to strike.
    "BATCHDROP_CHUNK_LINES_MAX": 100,
    "BATCHDROP_SHARD_REQUESTS_MAX": 250,
    "BATCHDROP_PLAN_CHECKPOINT_BYTES": 100_000,
}
# The template's own parameters. The quota is the provider's (its hostile profile), as an account's page would state it: a queue
# that is said to be full at a batch of three requests would be believed, and teach a quota of three.
PARAMETERS: Final[dict[str, str]] = {"MaximumConcurrency": "4", "EnqueuedTokensPerModel": "2000000"}

_UPDATE_SECONDS_MAX: Final = 30.0
_LOOK_SECONDS: Final = 0.1


def shorten(stack: StackDescription) -> None:
    """Give every function of *stack* the settings above, and the queues their visibility."""
    functions = boto3.client("lambda", **stack.client_options())
    for name in (stack.submit_function, stack.poll_function, stack.complete_function):
        _shorten_function(functions, name)
    queues = boto3.client("sqs", **stack.client_options())
    for url in (stack.submissions_queue_url, stack.completions_queue_url):
        queues.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)})


def _shorten_function(functions: "LambdaClient", name: str) -> None:
    """Update one function and wait until it is ready again."""
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables = variables | {setting: str(value) for setting, value in SETTINGS.items()}
    functions.update_function_configuration(
        FunctionName=name, Timeout=FUNCTION_TIMEOUT_SECONDS, Environment={"Variables": variables}
    )
    deadline = time.monotonic() + _UPDATE_SECONDS_MAX
    while functions.get_function_configuration(FunctionName=name)["LastUpdateStatus"] != "Successful":
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} was not updated within {_UPDATE_SECONDS_MAX:g} s")
        time.sleep(_LOOK_SECONDS)
