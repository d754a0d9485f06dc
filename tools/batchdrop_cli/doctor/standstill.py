"""What `doctor` finds of jobs that wait or get no further: what holds up all of them, and which are stuck, and why."""

from collections.abc import Sequence

from batchdrop.core.model.dialects import Dialect
from batchdrop.core.model.install import Hang, Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.reasons import WaitingFor
from batchdrop.core.model.shard import Shard
from batchdrop.core.model.wording import iso_time
from batchdrop.core.operations.progress import listed, stalled
from batchdrop.core.submission.common_waits import concerns
from batchdrop_cli.doctor.finding import Finding

STALLED_SHOWN_MAX = 5
# What the provider refuses of one job, while others continue.
_OF_ONE_JOB = frozenset({WaitingFor.REFUSED, WaitingFor.MODEL})
_ADVICE = {
    WaitingFor.KEY: "Put a key there that the provider takes: batchdrop key set. All jobs continue automatically.",
    WaitingFor.ACCOUNT: "Look at the limits and the billing of the account at the provider. All jobs continue automatically.",
    WaitingFor.PROVIDER: "They continue automatically once it answers; see docs/runbooks/provider-outage.md.",
}


def hang_of(hang: Hang | None) -> Finding:
    """Return whether batches are created, or uploads hang, while no key is refused."""
    if hang is None:
        return Finding("circuit", "closed: batches are created")
    seen = (
        f"{'creates' if hang.is_of_create else 'uploads'} are not answered since {iso_time(hang.since)}: {hang.cause}"
    )
    return Finding("circuit", seen, "One is tried every few minutes, and the rest follows it; see provider-outage.md.")


def waits_of(install: Install | None, rows: Sequence[Job | Shard]) -> Finding:
    """Return what holds up jobs of the whole installation, and how many of *rows*, which are all under way."""
    wait = install.wait if install else None
    for_a_day = sum(isinstance(row, Job) and row.waiting.cause == WaitingFor.DAILY_CAP for row in rows)
    if wait is None and for_a_day:
        what = f"{for_a_day:,} {'job waits' if for_a_day == 1 else 'jobs wait'} for another day's money (the daily cap)"
        return Finding("waits", what, "They continue automatically tomorrow (UTC), or when DailyCostUsdMax is raised.")
    if install is None or (wait is None and install.no_list is None):
        return _waits_of_some(rows)
    if wait is None:
        assert install.no_list is not None  # noqa: S101  # it is one of the two
        seen = f"the list of batches has not come since {iso_time(install.no_list.since)}: {install.no_list.cause}"
        advice = (
            "Without it batches are looked at one by one, an uncertain create is parked. Put it right at the provider."
        )
        return Finding("waits", seen, advice)
    jobs = [row for row in rows if isinstance(row, Job)]
    shards = [row for row in rows if isinstance(row, Shard)]
    count = sum(concerns(wait, job, [shard for shard in shards if shard.job == job.id]) for job in jobs)
    what = f"{count:,} {'job waits' if count == 1 else 'jobs wait'} for the {wait.waits_for}"
    seen = f"{what} since {iso_time(wait.since)}: {wait.reason.message} ({wait.reason.code})"
    return Finding("waits", seen, _ADVICE[wait.waits_for])


def _waits_of_some(rows: Sequence[Job | Shard]) -> Finding:
    """Return how many jobs wait for something of their own, as their statuses say."""
    refused = sum(isinstance(row, Job) and row.waiting.cause in _OF_ONE_JOB for row in rows)
    if refused:
        what = f"{refused:,} {'job waits' if refused == 1 else 'jobs wait'} because the provider refuses what they send"
        return Finding(
            "waits",
            what,
            "Read the provider's words: batchdrop status JOB. A notification with them comes after ten minutes.",
        )
    unanswered = len({row.job for row in rows if isinstance(row, Shard) and row.unanswered})
    if unanswered:
        of = f"{unanswered:,} {'job' if unanswered == 1 else 'jobs'}"
        what = f"calls for {of} were not answered; they are tried again each minute"
        return Finding("waits", what)
    return Finding("waits", "no job waits for the key, the account or the provider")


def progress_of(rows: Sequence[Job | Shard], now: int, dialect: Dialect) -> Finding:
    """Return which jobs got no further for longer than their state allows."""
    found = stalled(rows, now, Limits(), dialect)
    if not found:
        return Finding("progress", "every job gets further, or waits for what may take its time")
    return Finding("progress", f"no further: {listed(found, STALLED_SHOWN_MAX)}", "See docs/runbooks/no-progress.md.")
