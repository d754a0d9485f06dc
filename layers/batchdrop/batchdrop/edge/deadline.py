"""Sets a total deadline for one call, even if the other side drips.

Rule: time-outs of a socket bound each wait, not their sum; an alarm of the process bounds the sum. It reaches the main
thread only, which is where Lambda runs a handler. On another thread (a test's) only the socket's time-outs hold.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class DeadlinePassed(BaseException):
    """The call took too long. No Exception, so that nothing on the way takes it for the network's and tries again."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlinePassed inside of the block once it has run for *seconds*."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGALRM, _raise)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise DeadlinePassed
