"""The table of what a provider may do for good, each row a story: what must come of it, how often is asked, who is told when.

Rule: a row is judged like any run, and on top of that by its own bounds; its figures go to the scoreboard.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from simulation.installation import Installation
from simulation.invariants import judge
from simulation.journals import Finding
from simulation.refusals import REPEATS_A_MINUTE_MAX, busiest_minute, first_word, repeats_by_name
from simulation.runs import build, finish, read_run

from batchdrop.core.model.job import JobState
from batchdrop.core.model.limits import HOUR, MINUTE
from batchdrop.core.model.shard import Shard

# Ticks come as the schedule sends them for so long; later ever less often while nothing happens.
_PACED_SECONDS: Final = 3 * HOUR

# Of a tick, what all calls of the provider take at most, as the issue of hanging servers asked; and what the rest takes here.
_CALLS_SECONDS: Final = 40
_REST_SECONDS: Final = 3

# For so long after a row's bound it is waited for what did not end.
_LATER_SECONDS: Final = 3 * HOUR

HEADS: Final = (
    "what the provider does",
    "repeats a minute, at most",
    "first word after",
    "ended after",
    "items came to",
)

type Check = Callable[[Installation], Iterator[str]]


def _nothing_more(_here: Installation) -> Iterator[str]:
    """The bounds of the row say all."""
    return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the provider does, as the *run* plays it, and the bounds of what must come of it.

    *came_to* counts items by how they end; *ends_within* is hours since the drop; *said_within* the hours until each job's
    first word, None where the job is to end without one; *notifications* how many people get while it lasts.
    """

    did: str
    run: str
    call: str
    came_to: Mapping[str, int]
    ends_within: float
    ends_after: float = 0
    said_within: float | None = 1
    notifications: int | None = None
    check: Check = _nothing_more


@dataclass(frozen=True, slots=True)
class Figures:
    """What was seen of a row."""

    row: Row
    findings: tuple[Finding, ...]
    repeats_a_minute: int
    first_word_minutes: float | None
    ended_hours: float
    came_to: Mapping[str, int]

    @property
    def cells(self) -> tuple[object, ...]:
        """The row of the scoreboard."""
        word = "at its end" if self.row.said_within is None else f"{self.first_word_minutes or 0:.0f} min"
        ended = f"{self.ended_hours:.1f} h" if self.ended_hours >= 1 else f"{self.ended_hours * 60:.0f} min"
        came_to = ", ".join(f"{count} {name}" for name, count in self.came_to.items())
        return self.row.did, self.repeats_a_minute, word, ended, came_to

    def __str__(self) -> str:
        return "\n".join(map(str, (self.row.did, f"replay: rows {self.row.run}", self.came_to, *self.findings[:8])))


def play(row: Row) -> Figures:
    """Return what comes of *row*: its story told to the end, what was refused staying refused."""
    here = build(read_run(row.run), ticks_each_minute=True)
    here.paced_until = _PACED_SECONDS
    while not here.is_over() and here.tasks.time.passed_seconds < row.ends_within * HOUR + _LATER_SECONDS:
        here.run_for(HOUR)
    ended = max((job.ended_at - here.began_at for job in here.jobs()), default=0)
    words = [first_word(here, job.id, 0) for job in here.jobs()]
    repeats = busiest_minute([call.at for call in repeats_by_name(here, 0).get(f"http {row.call}", ())])
    came_to = _came_to(here)
    told = [*_broken(here, row, ended / HOUR, words, repeats, came_to), *row.check(here)]
    if here.is_over():
        finish(here)
    findings = (*(Finding(24, text) for text in told), *judge(here))
    first = min((word for word in words if word is not None), default=None)
    return Figures(row, findings, repeats, None if first is None else first / MINUTE, ended / HOUR, came_to)


def _broken(
    here: Installation,
    row: Row,
    ended_hours: float,
    words: list[float | None],
    repeats: int,
    came_to: Mapping[str, int],
) -> Iterator[str]:
    if any(job.state is not JobState.ENDED for job in here.jobs()):
        yield "not every job has ended"
    if came_to != row.came_to:
        yield f"items came to {dict(came_to)} instead of {dict(row.came_to)}"
    if not row.ends_after <= ended_hours <= row.ends_within:
        yield f"it ended after {ended_hours:.1f} hours, not between {row.ends_after} and {row.ends_within}"
    if repeats > REPEATS_A_MINUTE_MAX:
        yield f"{row.call} was repeated {repeats} times in a minute"
    for word in words if row.said_within else ():
        if word is None or word > (row.said_within or 0) * HOUR:
            yield f"the first word came after {word} seconds"
    # A copy would be one too many: nothing here ends a function between telling and remembering it.
    waits = [told.identity for told in here.notifications.told if told.event == "waiting"]
    if row.notifications is not None and len(waits) != row.notifications:
        yield f"{len(waits)} notifications that something is waited for: {sorted(waits)}"


def _came_to(here: Installation) -> Mapping[str, int]:
    """Return how many items succeeded, and how many failed with each code."""
    counts: Counter[str] = Counter()
    for told in here.outcomes():
        error = told["error"]
        counts["succeeded" if error is None else error["code"]] += 1
    return counts


def _one_file_a_shard(here: Installation) -> Iterator[str]:
    files = [file for file in here.simulator.account.files.by_id.values() if file.purpose == "batch"]
    shards = [row for row in here.ledger.rows.values() if isinstance(row, Shard)]
    if len(files) != len(shards):
        yield f"{len(files)} files were uploaded for {len(shards)} shards"


def _no_file_is_left(here: Installation) -> Iterator[str]:
    now = here.tasks.time.now()
    left = [file for file in here.simulator.account.files.by_id.values() if file.is_there(now)]
    if left:
        yield f"{len(left)} files are left at the provider"


def _cancels_hourly(here: Installation) -> Iterator[str]:
    times: dict[str, list[float]] = {}
    for call in here.gate.calls:
        if call.name == "http POST cancel":
            times.setdefault(call.thing, []).append(call.at)
    for thing, asked in times.items():
        if any(later - sooner < HOUR for sooner, later in pairwise(asked)):
            yield f"{thing} was asked {len(asked)} times, less than an hour apart"


def _retrieves_are_bounded(here: Installation) -> Iterator[str]:
    times = [call.at for call in here.gate.calls if call.name == "http GET batch"]
    # A tick may begin a little early, so that two lie within a minute.
    if busiest_minute(times) > 2 * here.limits.retrieves_per_tick_max:
        yield f"{busiest_minute(times)} batches were asked for in a minute"


def _messages_say_something(here: Installation) -> Iterator[str]:
    for told in here.outcomes():
        # How often it was sent is no reason.
        if told["error"] is not None and not told["error"]["message"].partition("It was sent")[0].strip():
            yield f"{told['name']} failed without a word"


def _others_are_done_at_once(here: Installation) -> Iterator[str]:
    """The job whose model is not refused does not wait for the other."""
    for job in here.jobs():
        if job.key == "inbox/three.jsonl" and job.ended_at - here.began_at > HOUR:
            yield f"{job.key} took {(job.ended_at - here.began_at) / HOUR:.1f} hours"
        if job.key == "inbox/three.jsonl" and any(
            told.job in (job.id, "") and told.waits_for for told in here.notifications.told
        ):
            yield f"{job.key} was told to wait"


def _ticks_are_short(here: Installation) -> Iterator[str]:
    """Calls that hang leave a tick most of its time: all of them together end when it is over that they may take."""
    if here.tick_seconds_max > _CALLS_SECONDS + _REST_SECONDS:
        yield f"a tick took {here.tick_seconds_max:.0f} seconds"


_ALL: Final = {"succeeded": 9}

ROWS: Final[tuple[Row, ...]] = (
    Row(
        did="upload refused with 400 for good", run="upload_refused", call="POST files", came_to={"invalid_value": 9},
        ends_after=24, ends_within=27, notifications=2,
    ),
    Row(
        did="upload of a shard answered 413 with a page of HTML", run="upload_too_large", call="POST files",
        came_to={"succeeded": 6}, ends_within=1, said_within=None,
    ),
    Row(
        did="upload of a shard answered 400, 'File is too large'", run="upload_too_large_400", call="POST files",
        came_to={"succeeded": 6}, ends_within=1, said_within=None,
    ),
    Row(
        did="even one line too large", run="line_too_large", call="POST files", came_to={"file_too_large": 9},
        ends_after=24, ends_within=27, notifications=2,
    ),
    Row(
        did="create answered 404 each time", run="no_batches", call="POST batches", came_to={"http_404": 9},
        ends_after=24, ends_within=27, notifications=2, check=_no_file_is_left,
    ),
    Row(
        did="list of batches answered 405 for good", run="no_list", call="GET batches", came_to=_ALL,
        ends_within=1, said_within=None,
    ),
    Row(
        did="list of batches answered 501 for good", run="broken_list", call="GET batches", came_to=_ALL,
        ends_within=1, said_within=None,
    ),
    Row(
        did="the same, with 40 batches", run="no_list_for_many", call="GET batches", came_to={"succeeded": 40},
        ends_within=1, said_within=None, check=_retrieves_are_bounded,
    ),
    Row(
        did="list of batches hangs for good", run="everyday http-GET-batches:0=hang for-good", call="GET batches",
        came_to=_ALL, ends_within=2, said_within=None,
    ),
    Row(
        did="no list for two days, and one create uncertain", run="no_list_uncertain", call="GET batches", came_to=_ALL,
        ends_after=48, ends_within=50,
    ),
    Row(
        did="running batches vanish: 404, and not listed", run="vanished", call="GET batch",
        came_to={"succeeded": 5, "batch_gone": 4}, ends_after=24, ends_within=26,
    ),
    Row(
        did="a batch outlives its window and no cancel is obeyed", run="never_stops", call="POST cancel",
        came_to={"succeeded": 4, "batch_stuck": 5}, ends_after=72, ends_within=76, said_within=32, check=_cancels_hourly,
    ),
    Row(
        did="the same, and a person had cancelled the job", run="unstoppable", call="POST cancel",
        came_to={"succeeded": 4, "batch_stuck": 5}, ends_after=72, ends_within=76, check=_cancels_hourly,
    ),
    Row(
        did="the same, and nothing was answered", run="never_answers", call="POST cancel",
        came_to={"batch_stuck": 9}, ends_after=72, ends_within=76, said_within=32, check=_cancels_hourly,
    ),
    Row(
        did="download answered 400 for good", run="answers_refused", call="GET content", came_to={"answers_gone": 9},
        ends_after=24, ends_within=27,
    ),
    Row(
        did="download answered 410 for good", run="answers_expired", call="GET content", came_to={"answers_gone": 9},
        ends_after=24, ends_within=27,
    ),
    Row(
        did="create refused while the file is pending", run="pending", call="POST batches", came_to=_ALL,
        ends_within=1, said_within=None, check=_one_file_a_shard,
    ),
    Row(
        did="batches fail once with server_error, null, `[]`, null codes", run="nothing_ran", call="POST batches",
        came_to=_ALL, ends_within=2, said_within=None,
    ),
    Row(
        did="every batch fails without an error", run="nothing_runs", call="POST batches", came_to={"batch_failed": 9},
        ends_within=3, said_within=None, check=_messages_say_something,
    ),
    Row(
        did="batches fail with insufficient_quota for three hours", run="batch_without_money", call="POST batches",
        came_to=_ALL, ends_after=3, ends_within=5, notifications=1,
    ),
    Row(
        did="lines are answered 429 insufficient_quota for three hours", run="lines_without_money", call="POST batches",
        came_to=_ALL, ends_after=3, ends_within=5, notifications=1,
    ),
    Row(
        did="create answered 403 about one model, for good", run="model_denied", call="POST batches",
        came_to={"succeeded": 5, "model_not_found": 2}, ends_after=24, ends_within=27, said_within=None, notifications=1,
        check=_others_are_done_at_once,
    ),
    Row(
        did="a queue is full, 'limit of 30K'", run="limit_of_30k", call="POST batches", came_to={"succeeded": 3},
        ends_within=3, said_within=None,
    ),
    Row(
        did="connection refused at a create", run="everyday http-POST-batches:0=unreachable", call="POST batches",
        came_to=_ALL, ends_within=0.5, said_within=None, check=_one_file_a_shard,
    ),
    Row(
        did="a day of 503 for every call", run="outage", call="POST files", came_to={"succeeded": 3},
        ends_after=24, ends_within=27, notifications=1,
    ),
    Row(
        did="three hours in which no call is ever answered", run="hanging", call="GET batches", came_to=_ALL,
        ends_after=3, ends_within=5, notifications=1, check=_ticks_are_short,
    ),
    Row(
        did="the key refused with 40 jobs under way, for three hours", run="many_refused", call="GET batches",
        came_to={"succeeded": 40}, ends_after=3, ends_within=5, said_within=2, notifications=1,
    ),
)  # fmt: skip
