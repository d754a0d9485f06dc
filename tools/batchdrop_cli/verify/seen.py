"""What a look at an assumption found."""

from dataclasses import dataclass
from enum import StrEnum


class SeenVerdict(StrEnum):
    """What a look says of an assumption."""

    HOLDS = "holds"
    BREACHED = "breached"
    NOT_SEEN = "not seen"


@dataclass(frozen=True, slots=True)
class Seen:
    """An assumption, what was seen, and what that says."""

    assumption: str
    seen: str
    verdict: SeenVerdict
