"""Suite 9: any one call of the provider is refused for good."""

import pytest
from simulation.gate import Fault
from simulation.refusals import CROWD
from simulation.refused_runs import refusals
from simulation.runs import Run, execute

# Of the kinds that a crowd may meet; the others are for the campaign.
OF_CROWD = frozenset({Fault.DENIED, Fault.BROKEN})
RUNS = [run for run in refusals() if run.scenario != CROWD or run.faults[0][1] in OF_CROWD]


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_refusal_that_lasts_is_told_and_not_repeated(run: Run) -> None:
    """Every job ends or says what it waits for within an hour; when the provider obeys again, everything ends."""
    verdict = execute(run)

    findings = [str(finding) for finding in verdict.findings]  # a verdict has every call, which takes minutes to show
    assert not findings, verdict
