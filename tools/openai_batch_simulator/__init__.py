"""A faithful and hostile simulator of OpenAI's Files and Batches API, on loopback or in the same process.

Rule: it imports nothing of Batchdrop, so that any client can be tested with it.
"""

from openai_batch_simulator.account.behaviour import BUSY, CALM, Behaviour
from openai_batch_simulator.app import Simulator
from openai_batch_simulator.clock import Clock, VirtualClock, WallClock
from openai_batch_simulator.faults.switches import FAULTS, OPERATIONS, UnknownSwitchError

__all__ = [
    "BUSY",
    "CALM",
    "FAULTS",
    "OPERATIONS",
    "Behaviour",
    "Clock",
    "Simulator",
    "UnknownSwitchError",
    "VirtualClock",
    "WallClock",
]
