"""Lists each metric, and the logged event that it is read from.

Rule: the flows log what they decide and know no metric. A metric is read off the log, so a log line explains every count.
No metric has a dimension for the job: each further series costs $0.30 a month
(https://signoz.io/guides/cloudwatch-pricing, of 2026-02-15), and logs have the job.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

NAMESPACE: Final = "Batchdrop"


@dataclass(frozen=True, slots=True)
class Metric:
    """A series of one deployment. A minute in which it would be 0 has no value, so that an idle system pays for none."""

    name: str
    unit: str
    meaning: str


TICKS: Final = Metric("Ticks", "Count", "Rounds that poll finished; the only metric of an idle system.")
ACTIVE_ROWS: Final = Metric("ActiveRows", "Count", "Jobs and shards under way.")
DUE_ROWS: Final = Metric("DueRows", "Count", "Jobs and shards that a worker should take now.")
OLDEST_DUE: Final = Metric("OldestDueAge", "Seconds", "How long the first of these has been due.")
UNCERTAIN_CREATES: Final = Metric(
    "UncertainCreates", "Count", "Shards whose create call has been unresolved for over an hour."
)
CIRCUIT_OPEN: Final = Metric("CircuitOpen", "Count", "1 while work waits because the key or the account is refused.")
PROVIDER_OUTAGE: Final = Metric(
    "ProviderOutage", "Count", "1 while jobs wait because the provider has not answered for a quarter of an hour."
)
JOBS_STALLED: Final = Metric(
    "JobsStalled", "Count", "Jobs that got no further for longer than their state allows, whatever their due times."
)
JOBS_HELD: Final = Metric("JobsHeld", "Count", "Jobs that wait for a person to approve their cost.")
DUPLICATE_BATCHES: Final = Metric("DuplicateBatches", "Count", "Batches found that a shard has besides its own.")
ROWS_SKIPPED: Final = Metric(
    "RowsSkipped", "Count", "Readings of a row that a newer release wrote and this one leaves alone."
)
PROVIDER_ERRORS: Final = Metric(
    "ProviderErrors", "Count", "Calls that the provider, or the way to it, did not answer well."
)
LIST_FAILURES: Final = Metric(
    "ListFailures", "Count", "Rounds in which the list of batches did not come: each batch is looked at alone, in turn."
)
JOBS_BEGUN: Final = Metric("JobsBegun", "Count", "Drops that became a job.")
JOBS_ENDED: Final = Metric("JobsEnded", "Count", "Jobs that ended, their notification sent.")
JOBS_REJECTED: Final = Metric("JobsRejected", "Count", "Drops that could not be used.")
ITEMS_SUCCEEDED: Final = Metric("ItemsSucceeded", "Count", "Items with an answer, counted when their job is merged.")
ITEMS_FAILED: Final = Metric("ItemsFailed", "Count", "Items without one, counted when their job is merged.")
INPUT_TOKENS: Final = Metric("InputTokens", "Count", "Tokens that the provider read, counted when the job is merged.")
OUTPUT_TOKENS: Final = Metric("OutputTokens", "Count", "Tokens that it wrote, counted when the job is merged.")

# By event: each metric with the field that holds its value; "" counts the event itself.
COUNTED: Final[Mapping[str, Mapping[Metric, str]]] = {
    "tick.done": {
        TICKS: "",
        ACTIVE_ROWS: "rows",
        DUE_ROWS: "due",
        OLDEST_DUE: "oldest_due_seconds",
        UNCERTAIN_CREATES: "uncertain",
        CIRCUIT_OPEN: "held",
        PROVIDER_OUTAGE: "outage",
        JOBS_STALLED: "stalled",
        JOBS_HELD: "approvals",
    },
    "batch.duplicate": {DUPLICATE_BATCHES: ""},
    "ledger.row_skipped": {ROWS_SKIPPED: ""},
    "list.failed": {LIST_FAILURES: "", PROVIDER_ERRORS: ""},
    "create.uncertain": {PROVIDER_ERRORS: ""},
    "fence.failed": {PROVIDER_ERRORS: ""},
    "harvest.delayed": {PROVIDER_ERRORS: ""},
    "provider.unavailable": {PROVIDER_ERRORS: ""},
    "job.began": {JOBS_BEGUN: ""},
    "job.ended": {JOBS_ENDED: ""},
    "job.rejected": {JOBS_REJECTED: ""},
    "job.merged": {
        ITEMS_SUCCEEDED: "succeeded",
        ITEMS_FAILED: "failed",
        INPUT_TOKENS: "input_tokens",
        OUTPUT_TOKENS: "output_tokens",
    },
}


def counted(event: str, fields: Mapping[str, object]) -> dict[Metric, int]:
    """Return what one log line adds to each metric, but for zeros."""
    values = {metric: fields[name] if name else 1 for metric, name in COUNTED.get(event, {}).items()}
    return {metric: int(value) for metric, value in values.items() if isinstance(value, int) and value}
