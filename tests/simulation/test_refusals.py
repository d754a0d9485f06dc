"""Suite 9: any one call of the provider is refused for good."""

import pytest
from simulation.gate import DEFINITE, Fault
from simulation.refusals import KINDS, STORIES
from simulation.runs import Run, execute

_DEFINITE = frozenset(DEFINITE)
_PASSING = frozenset({Fault.TURNED_AWAY, Fault.BROKEN, Fault.HANG, Fault.UNREACHABLE})
# What does not hold yet, with the rule that is to make it hold; each goes when its rule is there.
AWAITED: dict[str, tuple[frozenset[Fault], str]] = {}


def _cases() -> list[object]:
    return [
        pytest.param(call, kind, id=f"{call} {kind}", marks=_marks(call, kind)) for call in STORIES for kind in KINDS
    ]


def _marks(call: str, kind: Fault) -> list[pytest.MarkDecorator]:
    kinds, reason = AWAITED.get(call, (frozenset(), ""))
    return [pytest.mark.xfail(reason=f"issue 11: {reason}", strict=True)] if kind in kinds else []


@pytest.mark.parametrize(("call", "kind"), _cases())
def test_a_refusal_that_lasts_is_told_and_not_repeated(call: str, kind: Fault) -> None:
    """Every job ends or says what it waits for within an hour; when the provider obeys again, everything ends."""
    run = Run(STORIES[call], ((f"http-{call.replace(' ', '-')}:0", kind),), is_for_good=True)

    verdict = execute(run)

    assert not verdict.findings, verdict
