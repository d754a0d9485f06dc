"""One run: a scenario, what strikes it, and the verdict; and the words that replay it.

Rule: a run is named by one line of text, and that line gives the same run again, byte for byte.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from simulation.gate import LASTING, Call, Exact, Fault, Plan, Storm
from simulation.installation import TURNS_MAX, Installation
from simulation.invariants import judge
from simulation.journals import Finding
from simulation.refusals import watch
from simulation.scenarios import BY_NAME
from simulation.timing import Timing, drawn

from batchdrop.core.model.change import Row
from batchdrop.edge.aws.row_format import INSTALL_KEY, RowKey

PAIRS_OF_A_FIRST = 2


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be simulated. *faults* strike by place of call; *seed* draws the timing, and a storm where *is_storm*.

    *is_for_good*: what the first fault does is done to every later call of that name, until `refusals` has seen enough.
    """

    scenario: str
    faults: tuple[tuple[str, Fault], ...] = ()
    lasts: bool = False
    seed: int | None = None
    is_storm: bool = False
    is_for_good: bool = False

    def __str__(self) -> str:
        words = [self.scenario, *(f"{place}={fault}" for place, fault in self.faults)]
        words += ["lasts"] * self.lasts + ([f"seed={self.seed}"] if self.seed is not None else [])
        return " ".join([*words, *(["storm"] * self.is_storm), *(["for-good"] * self.is_for_good)])


def read_run(text: str) -> Run:
    """Return the run that *text* names."""
    scenario, *words = text.split()
    faults, seed = [], None
    for word in words:
        name, _, value = word.partition("=")
        if ":" in name:
            faults.append((name, Fault(value)))
        elif name == "seed":
            seed = int(value)
    return Run(scenario, tuple(faults), "lasts" in words, seed, "storm" in words, "for-good" in words)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run came out."""

    run: Run
    findings: tuple[Finding, ...]
    calls: tuple[Call, ...]
    struck: int

    @property
    def invariants(self) -> frozenset[int]:
        """The numbers of what did not hold."""
        return frozenset(finding.invariant for finding in self.findings)

    def __str__(self) -> str:
        told = "\n".join(f"  {finding}" for finding in self.findings[:8])
        return f"{told}\n  replay: PYTHONPATH=tests .venv/bin/python -m simulation.runs '{self.run}'"


def build(run: Run, *, ticks_each_minute: bool = False) -> Installation:
    """Return the world of *run*, not yet started. A long story is told in larger steps, unless each minute matters."""
    scenario = BY_NAME[run.scenario]
    random = Random(f"{run.scenario}/{run.seed}")  # noqa: S311 - replayable on purpose
    timing = Timing() if run.seed is None else drawn(random)
    if not (run.is_for_good or ticks_each_minute):
        timing = replace(timing, tick=max(timing.tick, scenario.tick_seconds_min))
    plan: Plan = Exact(dict(run.faults), lasts=run.lasts or run.is_for_good)
    if run.is_storm:
        plan = Storm(random, rate=random.choice((0.02, 0.1, 0.3)), count_max=random.choice((5, 20, 60)))
    return Installation(
        scenario, plan, timing, random if run.is_storm else None, pollers=1 + run.is_storm, seed=run.seed or 0
    )


def execute(run: Run, stops_at: frozenset[int] = frozenset(), turns_max: int = TURNS_MAX) -> Verdict:
    """Return the verdict on *run*.

    It is over once an invariant of *stops_at* is seen broken, or after *turns_max* turns: a broken world may never end.
    """
    here = build(run)
    here.stops_at, here.turns_max = stops_at, turns_max
    if run.is_for_good:
        watch(here)
    here.run()
    finish(here)
    findings = judge(here)
    return Verdict(run, tuple(findings), tuple(here.gate.calls), len(here.gate.struck))


def finish(here: Installation) -> None:
    """After the end: redrive dead letters, deliver every event once more. Nothing may come of it (invariant 20)."""
    here.gate.is_calm = True
    for queue in (here.submissions, here.completions):
        queue.redrive()
    here.run()
    rows, objects = _rows_of_jobs(here), dict(here.storage.objects)
    notifications, batches = len(here.notifications.published), len(here.simulator.account.batches)
    for upload in dict.fromkeys(here.uploads):
        here.announce(upload)
    here.run()
    if here.scenario.is_emptied or here.scenario.is_restored:
        return
    if (
        rows != _rows_of_jobs(here)
        or objects != here.storage.objects
        or notifications != len(here.notifications.published)
    ):
        here.report(20, "a duplicate event changed something")
    if batches != len(here.simulator.account.batches):
        here.report(20, "a duplicate event made a batch")


def _rows_of_jobs(here: Installation) -> dict[RowKey, Row]:
    """Return all rows but the installation's, which also changes by the hour."""
    return {key: row for key, row in here.ledger.rows.items() if key != INSTALL_KEY}


def singles(run: Run, calls: tuple[Call, ...], *, lasts_everywhere: bool = True) -> list[Run]:
    """Return *run* with one more fault, each way that there is: every fault at every call that it can strike.

    A fault that may last is tried both ways, or lasting only from the first call of each name on. What was struck before
    stays, so that the second of a pair may strike the recovery from the first.
    """
    found = []
    for call in _after(run, calls):
        for fault in call.faults:
            more = replace(run, faults=(*run.faults, (call.place, fault)))
            found.append(more)
            may_last = lasts_everywhere or call.place.endswith(":0")
            if fault in LASTING and not run.faults and may_last:
                found.append(replace(more, lasts=True))
    return found


def fitting(calls: Sequence[Call], calls_max: int) -> int:
    """Return how many runs like the one that made *calls* take about *calls_max* calls: a few at least, not too many."""
    return min(max(calls_max // len(calls), 2), 20)


def _after(run: Run, calls: Sequence[Call]) -> list[Call]:
    """Return the *calls* behind the last that *run* strikes already."""
    struck = {place for place, _ in run.faults}
    last = max((number for number, call in enumerate(calls) if call.place in struck), default=-1)
    return list(calls[last + 1 :])


def sampled(runs: Sequence[Run], count: int, purpose: str) -> list[Run]:
    """Return *count* of *runs*, the same each time for one *purpose*."""
    return Random(purpose).sample(runs, min(count, len(runs)))  # noqa: S311 - replayable on purpose


def struck_twice(scenario: str, seed: int) -> Iterator[Verdict]:
    """Yield the verdicts on one fault, and on the same with each of some others behind it, the timing drawn by *seed*.

    The first strikes anywhere, the others after it: in the rest of the way or in the recovery.
    """
    random = Random(f"pair/{scenario}/{seed}")  # noqa: S311 - replayable on purpose
    first = execute(_struck_more(Run(scenario, seed=seed), calls_of(scenario), random))
    yield first
    for _ in range(PAIRS_OF_A_FIRST):
        yield execute(_struck_more(first.run, first.calls, random))


@cache
def calls_of(scenario: str) -> tuple[Call, ...]:
    """Return the calls of *scenario* when nothing is struck."""
    return execute(Run(scenario)).calls


def _struck_more(run: Run, calls: tuple[Call, ...], random: Random) -> Run:
    later = _after(run, calls)
    if not later:
        return run
    call = random.choice(later)
    return replace(run, faults=(*run.faults, (call.place, random.choice(call.faults))))


def main() -> int:
    """Replay the runs that are named on the command line and say what did not hold."""
    is_clean = True
    for text in sys.argv[1:]:
        verdict = execute(read_run(text))
        is_clean = is_clean and not verdict.findings
        sys.stdout.write(json.dumps({"run": text, "calls": len(verdict.calls), "struck": verdict.struck}) + "\n")
        sys.stdout.writelines(f"{finding}\n" for finding in verdict.findings)
    return not is_clean


if __name__ == "__main__":
    sys.exit(main())
