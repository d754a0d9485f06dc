"""Suite 7: every rule is there for a reason, and a run shows it."""

import pytest
from simulation.mutants import MUTANT_TURNS_MAX, MUTANTS, Mutant
from simulation.runs import execute, read_run


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_rule_that_is_taken_away_is_missed(mutant: Mutant) -> None:
    """The mutant breaks an invariant that it is known to break; without it the same run keeps all of them."""
    run = read_run(mutant.run)

    with mutant.alive():
        mutated = execute(run, mutant.breaks, MUTANT_TURNS_MAX)
    clean = execute(run)

    assert mutated.invariants & mutant.breaks, mutated
    assert not clean.findings, clean


def test_enough_rules_are_tried() -> None:
    """Each mutant has a name of its own."""
    names = [mutant.name for mutant in MUTANTS]

    assert len(set(names)) == len(names) >= 20
