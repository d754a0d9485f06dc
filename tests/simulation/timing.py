"""How fast everything is: drawn independently of one another, because a simulation's own grain of time hides defects.

Rule: whatever is drawn, the list's lag and the deletion's delay together stay within the wait after the fence. That is the
one thing that the protocol asks of the provider.
"""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Timing:
    """The pace of the platform and of the provider, in seconds; the defaults are unremarkable."""

    tick: float = 60
    call: float = 0.05  # how long each call takes
    sleep: float = 300  # how long a slow task sleeps
    late: float = 600  # how late a late call is applied
    grace: int = 1200
    fence_wait: int = 900
    list_lag: float = 0
    deletion_delay: float = 0
    reading: float = 20  # from the create to the validation of its file
    running: float = 120
    output_lag: float = 0
    file_unseen: float = 0
    file_visible: int = 900  # how long our limits allow for that
    is_input_checked: bool = True  # at the create, or only when the batch reads it


def drawn(random: Random) -> Timing:
    """Return a timing of which nothing follows from anything else."""
    fence_wait = random.choice((300, 900))
    list_lag = random.choice((0, 0, 10, 70, fence_wait - 60))
    file_unseen = random.choice((0, 0, 20, 200))
    return Timing(
        tick=random.choice((60, 60, 60, 21, 290)),
        call=random.choice((0.0, 0.05, 0.3, 1.0)),
        sleep=random.choice((45, 300, 840)),
        late=random.choice((5, 100, 700, 1300, 2500, 9000)),
        grace=random.choice((90, 300, 1200)),
        fence_wait=fence_wait,
        list_lag=list_lag,
        deletion_delay=random.choice((0, 0, 30, max(0, fence_wait - list_lag - 30))),
        reading=random.choice((1, 20, 400, 1500)),
        running=random.choice((10, 120, 3000)),
        output_lag=random.choice((0, 0, 90, 4000)),
        file_unseen=file_unseen,
        file_visible=random.choice((file_unseen + 10, 900)),
        is_input_checked=random.choice((True, False)),
    )
