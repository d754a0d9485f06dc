"""Suite 2: two faults, the second of which may strike the recovery from the first."""

import pytest
from simulation.runs import calls_of, fitting, struck_twice
from simulation.scenarios import SHORT

CALLS = 450


@pytest.mark.parametrize("scenario", SHORT)
def test_any_two_calls_may_fail(scenario: str) -> None:
    """A sample, the same each time, with the provider's timing drawn anew for each first fault."""
    count = fitting(calls_of(scenario), CALLS)

    verdicts = [verdict for seed in range(count) for verdict in struck_twice(scenario, seed)]

    assert not [str(verdict) for verdict in verdicts if verdict.findings]
