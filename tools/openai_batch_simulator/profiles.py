"""Bundles of behaviour and faults under a name.

Rule: `calm` breaks nothing, `busy` limits but breaks nothing, `hostile` breaks everything that a client must survive,
each at a rate that lets work get done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from openai_batch_simulator.account.behaviour import BUSY, CALM, Behaviour
from openai_batch_simulator.faults.switches import Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A fault of a profile; None leaves a matter to the fault's own default."""

    fault: str
    rate: float
    value: float | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """What a simulator starts with."""

    behaviour: Behaviour
    rates: tuple[Rate, ...] = ()

    def switch_on(self, faults: Faults) -> None:
        """Switch the faults of this profile on."""
        for rate in self.rates:
            faults.switch(rate.fault, rate=rate.rate, value=rate.value, operation=rate.operation)


# Waits are short enough to watch; a test on a virtual clock sets the long ones itself.
_HOSTILE = (
    Rate(fault="dropped_before", rate=0.02),
    Rate(fault="dropped_after", rate=0.1),
    Rate(fault="failed_after", rate=0.05),
    Rate(fault="redirected", rate=0.03),
    Rate(fault="garbled", rate=0.03),
    Rate(fault="accepted_late", rate=0.05, value=20.0),
    Rate(fault="delayed", rate=0.03, value=5.0),
    Rate(fault="dripped", rate=0.03, value=5.0),
    Rate(fault="refused", rate=0.02, value=503),
    Rate(fault="rate_limited", rate=0.03),
    Rate(fault="file_unseen", rate=0.1, value=3.0),
    Rate(fault="batch_unseen", rate=0.1, value=3.0),
    Rate(fault="list_lags", rate=0.2, value=10.0),
    Rate(fault="list_reordered", rate=0.2),
    Rate(fault="deletion_delayed", rate=0.2, value=5.0),
    Rate(fault="output_ids_late", rate=0.2, value=5.0),
    Rate(fault="queue_full", rate=0.1),
    Rate(fault="internal_error", rate=0.03),
    Rate(fault="stuck_in_finalizing", rate=0.05, value=20.0),
    Rate(fault="unknown_status", rate=0.02),
    Rate(fault="unknown_fields", rate=0.3),
    Rate(fault="counts_null", rate=0.05),
    Rate(fault="content_cut", rate=0.1),
    Rate(fault="content_unavailable", rate=0.1),
    Rate(fault="lines_missing", rate=0.05, value=1),
    Rate(fault="lines_doubled", rate=0.1, value=0.05),
    Rate(fault="lines_blank", rate=0.1, value=0.05),
    Rate(fault="lines_foreign", rate=0.05, value=1),
    Rate(fault="lines_status_zero", rate=0.1, value=0.02),
    Rate(fault="lines_body_string", rate=0.1, value=0.02),
    Rate(fault="final_newline_missing", rate=0.2),
    Rate(fault="line_refused", rate=0.2, value=0.02),
    Rate(fault="line_rate_limited", rate=0.2, value=0.02),
    Rate(fault="line_server_error", rate=0.2, value=0.02),
    Rate(fault="line_timeout", rate=0.2, value=0.02),
    Rate(fault="answers_cut", rate=0.1, value=0.02),
    Rate(fault="answers_refused", rate=0.1, value=0.02),
)

PROFILES: Mapping[str, Profile] = {
    "calm": Profile(CALM),
    "busy": Profile(BUSY),
    "hostile": Profile(replace(CALM, cancel_seconds=3.0, enqueued_tokens_default=2_000_000), _HOSTILE),
}
