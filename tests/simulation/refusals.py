"""Any one call of the provider refused for good: what is asked meanwhile, how often, and what people are told (invariant 24).

Rule: with any one call of the provider refused for good, every job ends or says what it waits for within an hour, and repeats
of the refused call stay under 10 a minute; what is asked in its place keeps a tick's own bound.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Final

from simulation.gate import DEFINITE, Call, Fault
from simulation.installation import Installation

from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import DAY, HOUR, MINUTE

REPEATS_A_MINUTE_MAX: Final = 9  # under ten
SAYS_WITHIN_SECONDS: Final = HOUR
# After the provider obeys again. A create without an answer is looked for 20 minutes; its file is deleted, and 15 minutes later
# another call is made, whose batch takes minutes. Whatever is refused is asked again sooner.
ENDS_WITHIN_SECONDS: Final = 45 * MINUTE
# What a job waits for that passes without anybody's help, and says nothing about a refusal.
_QUOTA: Final = "room"
# What the tasks of ticks are called.
_TICK: Final = "poll-"
# What a person asked for needs no notification of its own: the job's end is one.
_ASKED: Final = "cancellation"

# Every call that the adapter makes, and the story in which it matters.
STORIES: Final[Mapping[str, str]] = {
    "POST files": "everyday",
    "POST batches": "everyday",
    "GET batches": "everyday",
    "GET batch": "unlisted",
    "POST cancel": "halted",
    "GET content": "everyday",
    "DELETE file": "everyday",
    "GET files": "swept",
    "GET file": "rotated",
}
# What is struck in a story of 40 jobs as well, where a repeat for each would be a storm.
CROWD: Final = "many"
CROWDED: Final = ("POST files", "POST batches", "GET batches", "GET batch", "GET content", "DELETE file")
KINDS: Final = (*sorted(DEFINITE), Fault.REFUSED, Fault.TURNED_AWAY, Fault.BROKEN, Fault.HANG, Fault.UNREACHABLE)


def watch(here: Installation) -> None:
    """Let the story of *here* go on until its fault has struck, and for an hour more, ticking as the schedule does.

    What does not hold is reported. Then the provider obeys again.
    """
    here.is_watched, here.paced_until = True, inf
    while not here.gate.struck and here.tasks.time.passed_seconds < DAY:
        here.run_for(MINUTE)
    if not here.gate.struck:
        here.report(24, "the call that is to be refused was never made")
        return
    refused = here.gate.struck[0][0]
    here.run_for(refused.at + SAYS_WITHIN_SECONDS + 2 * here.timing.tick - here.tasks.time.passed_seconds)
    for text in broken(here, refused.name, refused.at):
        here.report(24, text)
    here.is_watched, here.gate.is_calm = False, True
    if here.scenario.name == CROWD:
        here.run_for(ENDS_WITHIN_SECONDS)
        left = sum(job.state is not JobState.ENDED for job in here.jobs())
        if left:
            here.report(24, f"{left} jobs were not done 45 minutes after the provider obeyed again")
    here.paced_until = 0


def broken(here: Installation, name: str, began: float) -> Iterator[str]:
    """Yield how *here* does not keep the rule while calls named *name* are refused, from *began* on until now."""
    for called, calls in repeats_by_name(here, began).items():
        beside = [call for call in calls if called == name or not call.task.startswith(_TICK)]
        if busiest_minute([call.at for call in beside]) > REPEATS_A_MINUTE_MAX:
            yield f"{called} was repeated {busiest_minute([call.at for call in beside])} times in a minute"
        if called != name:
            yield from _beyond_a_tick(here, called, calls)
    for job in here.jobs():
        waits_for = waiting_for(here, job)
        if job.state is JobState.ENDED or waits_for:
            if waits_for not in ("", _ASKED) and first_notification(here, job.id, began) is None:
                yield f"{job.key} waits for {waits_for}, and nobody got a notification"
            continue
        yield f"{job.key} is {job.state} after an hour, and does not say what it waits for"


def _beyond_a_tick(here: Installation, called: str, calls: Sequence[Call]) -> Iterator[str]:
    """Yield where a tick made more *calls*, in the place of a refused one, than it ever may."""
    of_a_tick = {"http GET batches": here.limits.list_pages_max, "http GET batch": here.limits.retrieves_per_tick_max}
    allowed = max(REPEATS_A_MINUTE_MAX, of_a_tick.get(called, 0))
    for tick, count in Counter(call.task for call in calls if call.task.startswith(_TICK)).items():
        if count > allowed:
            yield f"{called} was repeated {count} times by {tick}"


def repeats_by_name(here: Installation, began: float) -> Mapping[str, Sequence[Call]]:
    """Return the calls of the provider that were repeats: asked from *began* on, and not the first about their thing."""
    repeats: defaultdict[str, list[Call]] = defaultdict(list)
    first = set[tuple[str, str, bool]]()
    for call in here.gate.calls:
        if not call.name.startswith("http") or call.at < began:
            continue
        # What a tick has looked at a worker may look at once more, to do something about it.
        about = (call.name, call.thing, call.task.startswith(_TICK))
        if about in first:
            repeats[call.name].append(call)
        first.add(about)
    return repeats


def busiest_minute(times: Sequence[float]) -> int:
    """Return the most of the ascending *times* that lie within a minute."""
    most, first = 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - MINUTE:
            first += 1
        most = max(most, last - first + 1)
    return most


def waiting_for(here: Installation, job: Job) -> str:
    """Return what the status of *job*, as it stands, says that it waits for; nothing where that is quota alone."""
    said = [told.waits_for for told in here.storage.told if told.job == job.id]
    return said[-1] if said and said[-1] != _QUOTA else ""


def first_notification(here: Installation, job: str, began: float) -> float | None:
    """Return when the first notification about *job*, or about the whole installation, came after *began*."""
    return min(
        (told.at for told in here.notifications.told if told.job in (job, "") and told.at >= began), default=None
    )


def first_word(here: Installation, job: str, began: float) -> float | None:
    """Return when *job*'s status or a notification first said that it waits, or that it ended, after *began*."""
    statuses = (told.at for told in here.storage.told if told.job == job and told.waits_for not in ("", _QUOTA))
    at = [found for found in (first_notification(here, job, began), min(statuses, default=None)) if found is not None]
    return min(at, default=None)
