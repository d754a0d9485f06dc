"""The long run: every single fault of every story, pairs and storms by seed, every refusal and every mutant, on all processors.

Rule: whatever fails is told with the line that replays it, which then joins `REGRESSIONS` with what it found. The last line
is the whole campaign as JSON.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from scoreboard import circumstances, table, write_section
from simulation.mutants import MUTANTS
from simulation.refused_runs import refusals
from simulation.rows import HEADS, ROWS, Figures, play
from simulation.runs import Run, Verdict, calls_of, execute, read_run, singles, struck_twice
from simulation.scenarios import SCENARIOS

FINDINGS_TOLD_MAX = 5  # of one run; the replay tells the rest


@dataclass(frozen=True, slots=True)
class Told:
    """What one process tells another of a verdict."""

    run: str
    suite: str
    findings: tuple[str, ...]
    struck: int


@dataclass(slots=True)
class Tally:
    """What was done so far."""

    runs: Counter[str] = field(default_factory=Counter)
    struck: int = 0
    failed: list[str] = field(default_factory=list)
    survived: list[str] = field(default_factory=list)  # mutants that nobody missed
    rows: list[tuple[object, ...]] = field(default_factory=list)  # of the table of refusals

    def take(self, told: Told) -> None:
        """Count a run, and tell at once if anything was found."""
        self.runs[told.suite] += 1
        self.struck += told.struck
        if told.findings:
            self.failed.append(told.run)
            found = "".join(f"    {finding}\n" for finding in told.findings[:FINDINGS_TOLD_MAX])
            _say(
                f"FAILED  {told.run}\n{found}    replay: PYTHONPATH=tests .venv/bin/python -m simulation.runs '{told.run}'"
            )

    def take_row(self, figures: Figures) -> None:
        """Count a row of the table of refusals, and tell at once if it is not as it should be."""
        self.runs["rows"] += 1
        self.rows.append(figures.cells)
        if figures.findings:
            self.failed.append(figures.row.run)
            _say(f"FAILED  {figures}")

    def summary(self, minutes: float) -> dict[str, object]:
        """Return the figures."""
        return {
            "runs": dict(self.runs), "faults_struck": self.struck, "minutes": round(minutes, 1),
            "runs_a_minute": round(self.runs.total() / minutes), "failed": self.failed, "mutants": len(MUTANTS),
            "survived": self.survived,
        }  # fmt: skip

    def section(self, command: str, minutes: float, every: int) -> str:
        """Return the section of the scoreboard, of one in *every* single faults."""
        which = "each at every call that it can strike" if every == 1 else f"one in {every} of those there are"
        rows = [
            ("stories", len(SCENARIOS)),
            (f"single faults tried, {which}", self.runs["singles"]),
            ("pairs, the second fault in the recovery from the first among them", self.runs["pairs"]),
            ("storms by seed, two pollers", self.runs["storms"]),
            ("calls refused for good, each call in each way", self.runs["refusals"]),
            ("faults that struck", self.struck),
            ("runs a minute", round(self.runs.total() / minutes)),
            ("runs that broke an invariant", len(self.failed)),
            ("mutants killed", f"{len(MUTANTS) - len(self.survived)} of {len(MUTANTS)}"),
        ]
        what = "Stories, faults and invariants are described in [tests/simulation](../tests/simulation/README.md)."
        refused = (
            "What the provider may do for good, a tick a minute: how often the call that it concerns is repeated, when the first "
            "person hears of it (by a notification or a status), and how it ends. A day is how long most refusals are waited for."
        )
        figures = (table(("what", "how many"), rows), refused, table(HEADS, self.rows))
        return "\n\n".join((circumstances(command, 60 * minutes), what, *figures))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _units(scenario: str, seeds: range, every: int) -> Iterator[str]:
    """Yield what one process does at a time: a run by its words, or a family of pairs as `pairs SCENARIO SEED`."""
    of_scenario = singles(Run(scenario), calls_of(scenario))
    yield from map(str, of_scenario[seeds.start % every :: every])
    for seed in seeds:
        yield f"pairs {scenario} {seed}"
        yield str(Run(scenario, seed=seed, is_storm=True))


def _examine(unit: str) -> list[Told]:
    if unit.startswith("pairs "):
        _, scenario, seed = unit.split()
        return [_told(verdict) for verdict in struck_twice(scenario, int(seed))]
    return [_told(execute(read_run(unit)))]


def _told(verdict: Verdict) -> Told:
    run = verdict.run
    suite = "storms" if run.is_storm else "pairs" if len(run.faults) > 1 else "singles"
    suite = "refusals" if run.is_for_good else suite
    return Told(str(run), suite, tuple(map(str, verdict.findings)), verdict.struck)


def _is_killed(name: str) -> bool:
    """Return whether the mutant called *name* breaks an invariant that it is known to break."""
    return next(mutant for mutant in MUTANTS if mutant.name == name).is_killed()


def _asked(words: Sequence[str] | None) -> argparse.Namespace:
    asked = argparse.ArgumentParser(prog="simulation.campaign", description=__doc__)
    asked.add_argument("--seeds", type=int, default=100, help="timings and storms of each story")
    asked.add_argument("--start", type=int, default=1_000, help="the first seed")
    asked.add_argument("--only", nargs="*", default=[], help="these stories")
    asked.add_argument("--every", type=int, default=1, help="one in so many of the single faults; --start says which")
    asked.add_argument("--scoreboard", type=Path, help="the page whose section is written, where all stories run")
    return asked.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run everything and say how much it was; the exit code says whether anything was found."""
    given = _asked(words)
    names = given.only or [scenario.name for scenario in SCENARIOS]
    seeds = range(given.start, given.start + given.seeds)
    tally = Tally()
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name in names:
            for all_told in pool.map(_examine, _units(name, seeds, given.every), chunksize=8):
                for told in all_told:
                    tally.take(told)
            _say(f"{name}: {tally.runs.total():,} runs so far, {len(tally.failed)} failed")
        for all_told in pool.map(_examine, map(str, refusals()), chunksize=4):
            for told in all_told:
                tally.take(told)
        for figures in pool.map(play, ROWS):
            tally.take_row(figures)
        _say(f"refusals: {tally.runs.total():,} runs so far, {len(tally.failed)} failed")
        mutants = [mutant.name for mutant in MUTANTS]
        is_killed = pool.map(_is_killed, mutants)
        tally.survived = [name for name, killed in zip(mutants, is_killed, strict=True) if not killed]
    asked = {"stories": len(names), "seeds": given.seeds, "start": given.start, "every": given.every}
    minutes = (time.monotonic() - began) / 60
    _say(json.dumps(asked | tally.summary(minutes)))
    if given.scoreboard and not given.only:
        command = f"make simulate SEEDS={given.seeds}" + (
            f' SIMULATE_OPTIONS="--every {given.every}"' if given.every > 1 else ""
        )
        write_section("simulation", tally.section(command, minutes, given.every), given.scoreboard)
    return bool(tally.failed or tally.survived)


if __name__ == "__main__":
    sys.exit(main())
