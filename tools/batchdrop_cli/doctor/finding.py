"""What a look at one subject of a stack found: `doctor` shows them, one a line."""

from collections.abc import Callable
from dataclasses import dataclass

from batchdrop_cli.stack import Site


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of one subject; *advice* says what to do, and is empty where all is well."""

    subject: str
    seen: str
    advice: str = ""


type Check = Callable[[Site], Finding]
