"""What came of a chaos run, for the terminal and for the scoreboard.

Rule: pure but for the circumstances; it says what was struck as plainly as what held.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from chaos.evidence import Evidence
from chaos.judge import Verdict
from chaos.shortened import FUNCTION_TIMEOUT_SECONDS, PARAMETERS, SETTINGS, VISIBILITY_SECONDS
from scoreboard import table

_VIOLATIONS_SHOWN: Final = 5
_SHORTENED: Final = (
    f"Shortened for it: function time-outs {FUNCTION_TIMEOUT_SECONDS} s, visibility {VISIBILITY_SECONDS} s, "
    f"{', '.join(f'`{name}={value}`' for name, value in (PARAMETERS | SETTINGS).items())}."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was asked for."""

    items: int
    minutes: float
    seed: int

    @property
    def command(self) -> str:
        """The command that runs the same again."""
        return f"make chaos ITEMS={self.items} MINUTES={self.minutes:g} SEED={self.seed}"


@dataclass(slots=True)
class Report:
    """A run, as far as it came. *left* is what had not ended when the time was over."""

    asked: Asked
    killed: Counter[str] = field(default_factory=Counter)  # processes, by function
    begun: Counter[str] = field(default_factory=Counter)  # invocations, by function
    died: Counter[str] = field(default_factory=Counter)  # of these, those that never ended
    struck: Counter[str] = field(default_factory=Counter)  # the provider's faults, by kind
    events_again: int = 0
    redriven: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    evidence: Evidence | None = None
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether every promise was."""
        return bool(self.verdicts) and not any(verdict.violations for verdict in self.verdicts)

    def lines(self) -> Iterator[str]:
        """Yield what a person at a terminal is told."""
        for line in self.left:
            yield f"LEFT OVER  {line}"
        for verdict in self.verdicts:
            yield f"{_word(verdict):<7} {verdict.promise} ({verdict.looked_at})"
            yield from (f"        {violation}" for violation in verdict.violations[:_VIOLATIONS_SHOWN])
        yield f"killed {dict(self.killed)}, invocations that died {dict(self.died)} of {dict(self.begun)}"
        yield f"struck by the provider {dict(self.struck)}"
        yield f"seconds { {name: round(seconds) for name, seconds in self.seconds.items()} }"

    def section(self, circumstances: str) -> str:
        """Return the section of the scoreboard."""
        parts = (
            circumstances,
            self._struck_how(),
            table(
                ("promise", "looked at", "result"), ((one.promise, one.looked_at, _word(one)) for one in self.verdicts)
            ),
            table(("what happened", "how often"), self._happened()),
            table(("function", "processes killed", "invocations", "of these died"), self._functions()),
            table(("fault of the provider", "struck"), sorted(self.struck.items())),
            table(("phase", "seconds"), ((name, round(seconds)) for name, seconds in self.seconds.items())),
            _SHORTENED,
        )
        return "\n\n".join(parts)

    def _struck_how(self) -> str:
        return (
            f"{self.killed.total()} function processes were killed (SIGKILL), at random moments until the last job ended. "
            f"Two pollers ticked; each event came three times ({self.events_again} more than dropped); {self.redriven} "
            "dead letters were redriven."
        )

    def _functions(self) -> Iterator[tuple[str, int, int, int]]:
        for name in sorted(self.killed.keys() | self.begun.keys()):
            yield name, self.killed[name], self.begun[name], self.died[name]

    def _happened(self) -> Iterator[tuple[str, int]]:
        seen = self.evidence
        if seen is None:
            return
        yield "items dropped", sum(one.drop.items for one in seen.dropped)
        yield "jobs", len(seen.dropped)
        yield "batches created", len(seen.batches)
        yield from ((f"of these {status}", count) for status, count in sorted(_statuses(seen).items()))
        yield "of these a later attempt at what had failed", sum(batch.attempt > 1 for batch in seen.batches)
        yield (
            "of these a later try: there was no quota, it was turned away, or uncertain",
            sum(not batch.ticket.endswith(".1") for batch in seen.batches),
        )
        yield "requests that ran", len(seen.lines)
        yield "requests charged", sum(line.is_charged for line in seen.lines)
        yield "items that ran more than once", sum(len(runs) > 1 for runs in seen.runs.values())
        outcomes = [outcome for results in seen.results.values() for outcome in results.outcomes]
        yield "items succeeded", sum(outcome.is_success for outcome in outcomes)
        reasons = Counter(outcome.code for outcome in outcomes if not outcome.is_success)
        yield from ((f"items failed with `{code}`", count) for code, count in sorted(reasons.items()))
        yield "notifications received, copies among them", len(seen.notifications)


def _statuses(seen: Evidence) -> Mapping[str, int]:
    return Counter(batch.status for batch in seen.batches)


def _word(verdict: Verdict) -> str:
    return "BROKEN" if verdict.violations else "kept"
