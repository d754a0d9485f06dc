"""Jobs: a table of all, one in detail, how each ended and where its results are."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from batchdrop.core.model.money import amount, digits
from batchdrop.core.model.reasons import WaitingFor
from batchdrop_cli.jobs.status import COMPLETED, Counts, JobStatus, StatusCost, Waiting
from batchdrop_cli.views.console import new_table, text

PLACES = 4  # of a dollar, in status
JOBS_SHOWN_MAX = 100


def progress_of(counts: Counts) -> str:
    """Return how far the items are, in a few words."""
    failed = f", {counts.failed:,} failed" if counts.failed else ""
    return f"{counts.succeeded:,} of {counts.items:,} succeeded{failed}"


def state_of(job: JobStatus) -> str:
    """Return the state of a job: how it ended, else its state and what it waits for."""
    if job.event is not None:
        return job.event
    if job.waiting is None:
        return job.state
    return f"{job.state}, waiting for {'quota' if job.waiting.cause == WaitingFor.QUOTA else job.waiting.cause}"


# What `status.json` calls a cause, and who ends it.
_CAUSES = {
    WaitingFor.QUOTA: "quota at the provider; it continues automatically",
    WaitingFor.APPROVAL: "approval of what it may cost; an operator approves or cancels it",
    WaitingFor.DAILY_CAP: "the next day, because what all jobs may cost on this one is used up; it continues automatically",
    WaitingFor.KEY: "an API key that the provider takes; an operator sets it",
    WaitingFor.ACCOUNT: "quota or money at the provider; it continues automatically once that is put right",
    WaitingFor.PROVIDER: "the provider, which does not answer; it continues automatically once it does",
    WaitingFor.CREATE: "word of a create, whose batch is looked for; nothing is sent again until it is known that none runs",
    WaitingFor.BATCH: "its batch, which the provider does not show; it is looked for, for a day",
    WaitingFor.ANSWERS: "answers that the provider does not show; they are looked for, for a day",
    WaitingFor.NEXT_ATTEMPT: "its next attempt, with the items that the provider did not execute; it continues automatically",
    WaitingFor.DISK: "space on the disk of the submit function; it is tried again each hour, for a day",
    WaitingFor.REFUSED: "what the provider refuses; it is tried again a few times, then once an hour, for a day",
    WaitingFor.MODEL: "a model that the provider refuses; it is tried again a few times, then once an hour, for a day",
    "task": "its task, which is not there yet",
}


def wait_of(waiting: Waiting | None) -> str:
    """Return what a job waits for, since when, and what ends it; empty where it does not wait."""
    if waiting is None:
        return ""
    since = f"since {waiting.since}: " if waiting.since else ""
    models = f" (models: {', '.join(waiting.models)})" if waiting.models else ""
    reason = f". {waiting.reason.message} ({waiting.reason.code})" if waiting.reason else ""
    return since + _CAUSES.get(waiting.cause, waiting.cause) + models + reason


def style_of(job: JobStatus) -> str:
    """Return the colour of a job's state."""
    if job.event is None:
        return "yellow"
    return "green" if job.event == COMPLETED else "red"


def show_jobs(console: Console, jobs: Iterable[JobStatus]) -> None:
    """Print a table of the jobs, newest first."""
    ordered = sorted(jobs, key=lambda job: (job.created_at or "", job.job), reverse=True)
    if not ordered:
        console.print("No jobs yet. Drop a file: batchdrop drop FILE --task T")
        return
    table = new_table("job", "dropped", "file", "state", "items")
    for job in ordered[:JOBS_SHOWN_MAX]:
        table.add_row(
            job.job, text(job.created_at or ""), text(job.upload.key), text(state_of(job), style_of(job)),
            progress_of(job.counts),
        )  # fmt: skip
    console.print(table)
    if len(ordered) > JOBS_SHOWN_MAX:
        console.print(f"and {len(ordered) - JOBS_SHOWN_MAX:,} older ones")


def show_job(console: Console, job: JobStatus, bucket: str) -> None:
    """Print all that is known of one job."""
    counts = job.counts
    table = Table.grid(padding=(0, 2))
    rows = {
        "job": job.job,
        "file": f"s3://{job.upload.bucket}/{job.upload.key}",
        "version": job.upload.version,
        "task": job.task,
        "read as": job.read_as or "",
        "state": state_of(job),
        "waits for": wait_of(job.waiting),
        "reason": f"{job.reason.message} ({job.reason.code})" if job.reason else "",
        "items": f"{counts.items:,}: {counts.planned:,} planned, {counts.sent:,} sent, "
        f"{counts.succeeded:,} succeeded, {counts.failed:,} failed",
        "quote": quote_of(job.cost),
        "spent": cost_of(job.cost),
        "dropped": job.created_at or "",
        "updated": job.updated_at or "",
        "ended": job.ended_at or "",
        "results": f"s3://{bucket}/{job.folder}",
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, text(value, style_of(job) if name == "state" else ""))
    console.print(table)


def quote_of(cost: StatusCost | None) -> str:
    """Return what a job was expected to cost, in a line."""
    if cost is None:
        return ""
    quote = cost.quote
    unpriced = f" ({', '.join(quote.unpriced_models)})" if quote.usd is None else ""
    return f"{amount(quote.usd, PLACES)}{unpriced}, {quote.input_tokens:,} tokens in and {quote.output_tokens:,} out"


def cost_of(cost: StatusCost | None) -> str:
    """Return what a job has cost so far, and what it may cost, in a line."""
    if cost is None:
        return ""
    reserved = f", {digits(cost.reserved_usd, PLACES)} reserved" if cost.reserved_usd else ""
    allowed = f", {digits(cost.allowed_usd, PLACES)} allowed" if cost.allowed_usd is not None else ""
    return f"{amount(cost.spent_usd, PLACES)}{reserved}{allowed}"


def show_endings(console: Console, jobs: Sequence[JobStatus], bucket: str) -> None:
    """Print how each job ended, and where its results are."""
    for job in jobs:
        items = f"({progress_of(job.counts)})" if job.counts.items else ""
        console.print(text(state_of(job), style_of(job)), text(job.upload.key), items)
        if job.reason is not None:
            console.print("  ", text(f"{job.reason.message} ({job.reason.code})"), sep="")
        console.print("  ", text(f"s3://{bucket}/{job.folder}"), sep="", soft_wrap=True)
