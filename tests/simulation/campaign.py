"""The long run: every single fault of every story, pairs and storms by seed, on all processors.

Rule: whatever fails is told with the line that replays it, which then joins `REGRESSIONS` with what it found.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from simulation.runs import Run, Verdict, execute, sampled_pairs, singles
from simulation.scenarios import SCENARIOS


def _suites(seeds: int, start: int, only: str) -> Iterator[tuple[str, Iterable[Run]]]:
    for scenario in SCENARIOS:
        name = scenario.name
        if only not in ("", name):
            continue
        run = Run(name)
        yield "singles", singles(run, execute(run).calls)
        yield "pairs", sampled_pairs(name, seeds, start)
        yield "storms", (Run(name, seed=seed, is_storm=True) for seed in range(start, start + seeds))


def _verdict(run: Run) -> tuple[str, list[str], int]:
    """Return what is worth telling another process: the run, its findings and how many faults struck."""
    verdict: Verdict = execute(run)
    return str(run), [str(finding) for finding in verdict.findings], verdict.struck


def main() -> int:
    """Run everything and say how much it was; the exit code says whether anything was found."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, default=100, help="pairs and storms of each story")
    asked.add_argument("--start", type=int, default=1_000, help="the first seed")
    asked.add_argument("--only", default="", help="one story")
    given = asked.parse_args()
    runs: Counter[str] = Counter()
    struck = failed = 0
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for suite, planned in _suites(given.seeds, given.start, given.only):
            for text, findings, hits in pool.map(_verdict, planned, chunksize=8):
                runs[suite] += 1
                struck += hits
                if findings:
                    failed += 1
                    sys.stdout.write(f"FAILED  {text}\n" + "".join(f"    {finding}\n" for finding in findings[:5]))
                    sys.stdout.write(f"    replay: PYTHONPATH=tests .venv/bin/python -m simulation.runs '{text}'\n")
                    sys.stdout.flush()
    minutes = (time.monotonic() - began) / 60
    told = ", ".join(f"{count:,} {suite}" for suite, count in runs.items())
    sys.stdout.write(
        f"{told}; {struck:,} faults struck; {runs.total() / minutes:,.0f} runs a minute; {failed} failed\n"
    )
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
