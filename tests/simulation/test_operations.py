"""Suite 4: whatever people and the provider do, in whatever order, the promises hold."""

from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from simulation.gate import Exact, Fault
from simulation.installation import Installation
from simulation.invariants import judge
from simulation.runs import finish
from simulation.stories import Scenario, bodies
from simulation.timing import Timing
from simulation.wire import KEYS

from batchdrop.core.model.limits import DAY, HOUR, MINUTE
from openai_batch_simulator.account.batches import Happening

# What items may fail with when people cancel and the provider breaks things.
FAILURES = frozenset(
    {"cancelled", "batch_cancelled", "batch_expired", "answers_missing", "server_error", "invalid_value", "http_500"}
)
STORY = Scenario(
    name="operations",
    happenings=(),
    failures=FAILURES,
    calm_after_seconds=90 * DAY,
    limits={"answers_retry_seconds": 4 * HOUR},
)
# Faults of the provider that one switch turns on for the next batch or two.
MOODS: tuple[tuple[str, float | None], ...] = (
    ("expires", 0.5), ("lines_missing", 1), ("lines_doubled", 1), ("lines_foreign", 1), ("line_refused", 1),
    ("line_server_error", 1), ("queue_full", None), ("output_ids_late", 2 * HOUR), ("internal_error", None),
    ("unknown_status", None), ("counts_null", None), ("list_reordered", None), ("batch_unseen", 300),
    ("accepted_late", 2 * HOUR), ("dropped_after", None), ("failed_after", 500), ("garbled", None),
)  # fmt: skip


STRUCK = (
    "ledger.write",
    "http POST batches",
    "http POST files",
    "storage.put_many",
    "notifications.publish",
    "wakeups.send",
)


class Operations(RuleBasedStateMachine):
    """One installation, to which things are done."""

    @initialize(late=st.sampled_from((5, 700, 9000)), grace=st.sampled_from((90, 1200)), lag=st.sampled_from((0, 200)))
    def begin(self, late: float, grace: int, lag: float) -> None:
        """The provider's timing is drawn for each story."""
        timing = Timing(tick=120, late=late, grace=grace, list_lag=lag, file_visible=60)
        self.here = Installation(STORY, Exact({}), timing)
        self.dropped = 0

    @rule(items=st.integers(1, 4), overwrites=st.booleans())
    def drop(self, items: int, overwrites: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        """A file is dropped, or dropped over another."""
        self.dropped += not overwrites or not self.dropped
        name = f"{self.dropped} {len(self.here.uploads)}"
        self.here.drop(f"inbox/{self.dropped}.jsonl", bodies(items, name))

    @rule(choice=st.integers(0, 9))
    def announce_again(self, choice: int) -> None:
        """An event comes again."""
        if self.here.uploads:
            self.here.announce(self.here.uploads[choice % len(self.here.uploads)])

    @rule(choice=st.integers(0, 9), word=st.sampled_from(("cancel", "retry", "nonsense")))
    def ask(self, choice: int, word: str) -> None:
        """A person asks something of a job."""
        if self.here.uploads:
            self.here.ask(self.here.uploads[choice % len(self.here.uploads)], word)

    @rule(mood=st.sampled_from(MOODS), times=st.integers(1, 2))
    def upset(self, mood: tuple[str, float | None], times: int) -> None:
        """The provider breaks something."""
        fault, value = mood
        self.here.simulator.faults.switch(fault, value=value, times=times)

    @rule(seconds=st.sampled_from((1.0, 61.0, 20.0 * MINUTE, 2.0 * HOUR, 26.0 * HOUR)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.here.run_for(seconds)

    @rule(
        name=st.sampled_from(STRUCK), fault=st.sampled_from((Fault.CRASH_AFTER, Fault.ERROR_AFTER, Fault.CRASH_BEFORE))
    )
    def strike(self, name: str, fault: Fault) -> None:
        """The next call of a kind is struck."""
        seen = sum(call.name == name for call in self.here.gate.calls)
        self.here.gate.strike(Exact({f"{name.replace(' ', '-')}:{seen}": fault}))

    @rule(key=st.sampled_from(KEYS[:2]))
    def rotate(self, key: str) -> None:
        """Another key of the same project is put into the secret."""
        self.here.key = key

    @rule(quota=st.sampled_from((60, 2_000_000)), attempts=st.sampled_from((2, 3)))
    def redeploy(self, quota: int, attempts: int) -> None:
        """Functions are replaced, limits change, whatever runs is ended."""
        self.here.redeploy(enqueued_tokens_per_model=quota, attempts_max=attempts)

    @rule()
    def redrive(self) -> None:
        """Dead letters are sent once more."""
        self.here.submissions.redrive()
        self.here.completions.redrive()

    @rule(choice=st.integers(0, 9))
    def cancel_at_the_provider(self, choice: int) -> None:
        """Somebody cancels one of our batches by hand."""
        world = self.here.simulator.account
        running = [batch for batch in world.batches.values() if batch.can(Happening.CANCEL_ASKED)]
        if running:
            world.lifecycle.cancel(running[choice % len(running)], self.here.tasks.time.now())

    def teardown(self) -> None:
        """With faults off everything ends, and every promise was kept."""
        if not hasattr(self, "here"):
            return
        self.here.simulator.faults.clear()
        finish(self.here)
        findings = judge(self.here)
        assert not findings, [str(finding) for finding in findings]


Operations.TestCase.settings = settings(
    max_examples=60, stateful_step_count=16, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
TestOperations: Any = Operations.TestCase
