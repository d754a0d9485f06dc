"""Suite 3: storms of faults over two pollers that take turns with every worker, by seed."""

import pytest
from simulation.runs import Run, calls_of, execute, fitting
from simulation.scenarios import SHORT

CALLS = 1_200


@pytest.mark.parametrize("scenario", SHORT)
def test_storms_lose_nothing_and_pay_nothing_twice(scenario: str) -> None:
    """Duplicate and reordered messages, crashes, sleepers, lateness: when the storm is over, everything ends as it should."""
    count = fitting(calls_of(scenario), CALLS)
    runs = [Run(scenario, seed=seed, is_storm=True) for seed in range(count)]

    verdicts = [execute(run) for run in runs]

    assert not [str(verdict) for verdict in verdicts if verdict.findings]
