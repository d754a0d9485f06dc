"""Suite 1: every single fault at every call."""

import pytest
from simulation.runs import Run, calls_of, execute, fitting, sampled, singles
from simulation.scenarios import SHORT

# The smallest story is struck at every call here (faults that last: at the first of each name), the others as often as takes
# about so many calls; the rest is done by `make simulate`.
CALLS = 1_600


@pytest.mark.parametrize("scenario", SHORT)
def test_a_story_keeps_every_promise_when_nothing_is_struck(scenario: str) -> None:
    """Whatever the provider does to it, each story ends as it should."""
    run = Run(scenario)

    verdict = execute(run)

    assert not verdict.findings, verdict


@pytest.mark.parametrize("share", range(8))
def test_any_call_of_the_smallest_story_may_fail(share: int) -> None:
    """Crash, error, lateness, sleep and staleness at each call, passing and lasting: nothing is lost, nothing is paid twice."""
    run = Run("small")
    every = singles(run, calls_of("small"), lasts_everywhere=False)

    verdicts = [execute(single) for single in every[share::8]]

    assert not [str(verdict) for verdict in verdicts if verdict.findings]


@pytest.mark.parametrize("scenario", [name for name in SHORT if name != "small"])
def test_any_call_of_a_longer_story_may_fail(scenario: str) -> None:
    """A sample, the same each time."""
    run = Run(scenario)
    calls = calls_of(scenario)
    sample = sampled(singles(run, calls), fitting(calls, CALLS), scenario)

    verdicts = [execute(single) for single in sample]

    assert not [str(verdict) for verdict in verdicts if verdict.findings]
