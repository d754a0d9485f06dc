"""Invokes the Poll function again and again, so that no person waits for the schedule's minute.

Rule: one tick at a time; a tick that failed is counted and logged, and made good by the next one.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from batchdrop_cli.local.emulator import Address

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

logger = logging.getLogger(__name__)


class Ticker:
    """Invokes one function at an interval, on a thread of its own, and counts."""

    def __init__(self, functions: "LambdaClient", function: str, interval_seconds: float) -> None:
        self.completed = 0
        self.failed = 0
        self._functions = functions
        self._function = function
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()

    def tick(self) -> None:
        """Invoke the function once and wait for its end."""
        try:
            reply = self._functions.invoke(FunctionName=self._function, Payload=b"{}")
        except (BotoCoreError, ClientError) as error:
            self._note_failure(str(error))
            return
        if "FunctionError" in reply:
            self._note_failure(reply["Payload"].read().decode())
        else:
            self.completed += 1

    def run(self) -> None:
        """Tick until stopped."""
        while not self._stopping.wait(self._interval_seconds):
            self.tick()

    def stop(self) -> None:
        """Start no further tick. One under way is not waited for: it ends with the emulator."""
        self._stopping.set()

    def _note_failure(self, reason: str) -> None:
        if not self._stopping.is_set():
            self.failed += 1
            logger.warning("tick.failed", extra={"function": self._function, "reason": reason})


@contextmanager
def ticking(address: Address, function: str, interval_seconds: float) -> Iterator[Ticker]:
    """Invoke *function* every *interval_seconds* until left."""
    ticker = Ticker(boto3.client("lambda", **address.client_options()), function, interval_seconds)
    thread = threading.Thread(target=ticker.run, name="ticker", daemon=True)
    thread.start()
    try:
        yield ticker
    finally:
        ticker.stop()
