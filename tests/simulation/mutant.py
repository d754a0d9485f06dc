"""What a mutant is, and how it is found out.

Rule: a mutant names the invariants of which it breaks at least one, and the run in which that is seen; without the mutant the
same run is clean.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from simulation.installation import TURNS_MAX
from simulation.mutations import Patch
from simulation.rows import ROWS, play
from simulation.runs import execute, read_run

MUTANT_TURNS_MAX = 1_500  # a mutant may keep its world busy for ever


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change, what it breaks, and the run that shows it; of a row of the table it is *is_row*."""

    name: str
    patches: tuple[Patch, ...]
    breaks: frozenset[int]
    run: str = ""
    is_row: bool = False

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Let the mutant live while the context lasts."""
        with ExitStack() as patched:
            for change in self.patches:
                patched.enter_context(change())
            yield

    def broken(self, turns_max: int = TURNS_MAX) -> frozenset[int]:
        """Return the numbers of what does not hold in its run; whether it is alive is the caller's matter."""
        if self.is_row:
            row = next(row for row in ROWS if row.run == self.run)
            return frozenset(finding.invariant for finding in play(row).findings)
        return execute(read_run(self.run), self.breaks, turns_max).invariants

    def is_killed(self) -> bool:
        """Return whether it breaks an invariant that it is known to break."""
        with self.alive():
            # An hour of ticks takes more turns than most stories.
            turns_max = TURNS_MAX if self.is_row or "for-good" in self.run else MUTANT_TURNS_MAX
            return bool(self.broken(turns_max) & self.breaks)


def mutant(name: str, breaks: set[int], run: str, *patches: Patch) -> Mutant:
    """Return the mutant that is seen in a *run* of the simulation."""
    return Mutant(name, patches, frozenset(breaks), run)


def mutant_of_row(name: str, row: str, *patches: Patch) -> Mutant:
    """Return the mutant that is seen in the *row* of the table whose run is called so."""
    return Mutant(name, patches, frozenset({1, 2, 3, 4, 23, 24}), row, is_row=True)
