"""Writes structured logs, and the metrics that are read off them, through Powertools.

Rule: only fields of the list below are written, so that no prompt, answer or key can reach a log by accident. An unknown
field is dropped and named in the record; the log of the tests takes it for an error.
"""

from typing import TYPE_CHECKING

from batchdrop import __version__
from batchdrop.core.operations.metrics import counted

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics

# Names of things, counts, times and codes. A field that may hold what a person wrote does not belong here;
# `error` is the text of our own exceptions and of the provider's refusals.
FIELDS = frozenset(
    {
        "admitted", "again", "approvals", "attempt", "batch_id", "batches", "cause", "code", "count", "due", "error",
        "error_lines", "failed", "file_id", "held", "input_tokens", "items", "job_id", "jobs", "key_bytes", "message_id",
        "missing", "moved", "oldest_due_seconds", "outage", "output_lines", "output_tokens", "reason", "refused",
        "request_id", "retry_after_seconds", "row", "rows", "seconds", "shard", "size_bytes", "stalled", "state", "status",
        "succeeded", "task", "ticket", "tokens", "uncertain", "unknown", "wakeups",
    }
)  # fmt: skip


class PowertoolsLog:
    """The log of one function; what of it is counted goes to CloudWatch as a line in its embedded metric format.

    Each line says which release wrote it.
    """

    def __init__(self, logger: "Logger", metrics: "Metrics") -> None:
        logger.append_keys(release=__version__)
        self._logger = logger
        self._metrics = metrics

    def info(self, event: str, **fields: object) -> None:
        """Record what was decided."""
        self._logger.info(event, extra=_allowed(fields))
        self._count(event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Record what an operator may want to see."""
        self._logger.warning(event, extra=_allowed(fields))
        self._count(event, fields)

    def _count(self, event: str, fields: dict[str, object]) -> None:
        """Write at once what the event counts: a function that dies later has counted what it did."""
        values = counted(event, fields)
        for metric, value in values.items():
            self._metrics.add_metric(metric.name, metric.unit, value)
        if values:
            self._metrics.flush_metrics()


def _allowed(fields: dict[str, object]) -> dict[str, object]:
    """Return the fields that may be written, and the names of those that may not."""
    dropped = sorted(fields.keys() - FIELDS)
    allowed = {name: value for name, value in fields.items() if name in FIELDS}
    return allowed | ({"dropped_fields": dropped} if dropped else {})
