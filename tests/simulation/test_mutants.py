"""Suite 7: every rule is there for a reason, and a run shows it."""

import pytest
from simulation.mutant import Mutant
from simulation.mutants import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_rule_that_is_taken_away_is_missed(mutant: Mutant) -> None:
    """The mutant breaks an invariant that it is known to break; without it the same run keeps all of them."""
    assert mutant.is_killed()
    assert not mutant.broken()


def test_enough_rules_are_tried() -> None:
    """Each mutant has a name of its own."""
    names = [mutant.name for mutant in MUTANTS]

    assert len(set(names)) == len(names) >= 20
