"""Sorts a run of outcomes into those that count alike, so that much is looked up and added once for many.

Rule: those alike come in the order of their first ones, and all come by row: what is kept of the first N is the same,
however the outcomes of a job are cut into runs.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from batchdrop.core.model.outcomes import Failure, Outcome, Usage


@dataclass(frozen=True, slots=True)
class Alike:
    """Outcomes of one run with the same model, batch, end, status and code; all are copies or none, counted or not."""

    first: Outcome
    outcomes: Sequence[Outcome]  # by row, *first* among them
    usages: Sequence[Usage]  # theirs; empty where no tokens were counted

    @property
    def code(self) -> str | None:
        """Why they failed; None where they succeeded."""
        return None if self.first.error is None else self.first.error.code


@dataclass(frozen=True, slots=True)
class OutcomeRun:
    """Outcomes of one job that follow one another by row."""

    outcomes: Sequence[Outcome]
    failures: Sequence[tuple[Outcome, Failure]]  # those of them that failed, and why
    alike: Sequence[Alike]


def run_of(outcomes: Sequence[Outcome]) -> OutcomeRun:
    """Return *outcomes*, which come by row, as one run."""
    failures = [(outcome, outcome.error) for outcome in outcomes if outcome.error is not None]
    alike: dict[tuple[object, ...], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        alike[
            outcome.model, outcome.batch_id, outcome.finish, outcome.status_code, outcome.error and outcome.error.code,
            outcome.is_copy, outcome.usage is None,
        ].append(outcome)  # fmt: skip
    return OutcomeRun(outcomes, failures, [_alike(found) for found in alike.values()])


def _alike(outcomes: Sequence[Outcome]) -> Alike:
    return Alike(outcomes[0], outcomes, [outcome.usage for outcome in outcomes if outcome.usage is not None])


def usage_of_all(usages: Sequence[Usage]) -> Usage:
    """Return the sum of *usages*."""
    return Usage(
        sum([usage.input_tokens for usage in usages]),
        sum([usage.output_tokens for usage in usages]),
        sum([usage.cached_tokens for usage in usages]),
        sum([usage.cache_write_tokens for usage in usages]),
    )
