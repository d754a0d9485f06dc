"""Suite 2: two faults, the second of which may strike the recovery from the first."""

import pytest
from simulation.runs import Run, execute, fitting, sampled_pairs
from simulation.scenarios import SCENARIOS

CALLS = 1_200


@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_any_two_calls_may_fail(scenario: str) -> None:
    """A sample, the same each time, with the provider's timing drawn anew for each pair."""
    count = fitting(execute(Run(scenario)).calls, CALLS)
    pairs = list(sampled_pairs(scenario, count))

    verdicts = [execute(pair) for pair in pairs]

    assert not [str(verdict) for verdict in verdicts if verdict.findings]
