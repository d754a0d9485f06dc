"""The demo: every example goes its whole way on this machine, and what came out is shown.

Rule: it says at its start and at its end who gave the answers. Nothing is sent to a provider that costs money unless it
was asked for by name, the estimate was shown, and a person agreed.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from batchdrop.core.delivery.receipt import Receipt
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.plan import Request
from batchdrop.edge.prices import BundledPrices
from batchdrop_cli.jobs.list_price import at_list_price
from batchdrop_cli.jobs.notifications import ReceivedNotification, mail_text, receive_notifications
from batchdrop_cli.jobs.quote import FileQuote, quotes, requests_of
from batchdrop_cli.jobs.status import COMPLETED, JobStatus
from batchdrop_cli.jobs.tasks import put_tasks
from batchdrop_cli.jobs.upload import inbox_key
from batchdrop_cli.jobs.waiting import WAIT_SECONDS_MAX, wait_for
from batchdrop_cli.local.description import StackDescription
from batchdrop_cli.local.provider import OPENAI_BASE_URL
from batchdrop_cli.local.stack import LocalSettings, LocalStack, ended_by_signals
from batchdrop_cli.stack import Connection, connection_to
from batchdrop_cli.views.console import show_heading, text
from batchdrop_cli.views.jobs import show_endings
from batchdrop_cli.views.notification import show_mail
from batchdrop_cli.views.progress import visible_progress
from batchdrop_cli.views.table import show_csv

SIMULATED_SECONDS_MAX = 180.0  # it takes some 20 s; a provider may take its 24 hours

SIMULATED = (
    "The answers are simulated: an imitation of the provider runs on this machine. No model is asked, nothing is "
    "sent anywhere, and nothing is spent."
)
RECEIPT_OF_SIMULATED = " (simulated answers; the receipt is at OpenAI's list price, and nothing was paid)"
SHOWN = "inbox/sentiment/reviews.csv"  # the example whose results are shown
EXIT_COMPLETED, EXIT_FAILED, EXIT_STOPPED = 0, 1, 130


@dataclass(frozen=True, slots=True)
class ExampleFile:
    """A file to drop, and its task; None where it holds ready-made requests."""

    path: Path
    task: str | None

    @property
    def key(self) -> str:
        """Where it goes in the inbox."""
        return inbox_key(self.path, self.task)


@dataclass(frozen=True, slots=True)
class Examples:
    """The example files of the repository."""

    folder: Path

    def task_files(self) -> list[Path]:
        """Return every task, by name."""
        return sorted((self.folder / "tasks").glob("*.yaml"))

    def drops(self) -> list[ExampleFile]:
        """Return every drop: the ready-made requests first."""
        drops = self.folder / "drops"
        ready_made = [ExampleFile(path, None) for path in sorted(drops.glob("*.*")) if path.is_file()]
        tables = [ExampleFile(path, path.parent.name) for path in sorted(drops.glob("*/*.*")) if path.is_file()]
        return ready_made + tables


def run_demo(console: Console, settings: LocalSettings) -> int:
    """Run the demo on a stack of its own and return the exit code: 0 only if every job completed."""
    say_who_answers(console, settings)
    exit_code = EXIT_STOPPED
    started = time.monotonic()
    with ended_by_signals(), LocalStack(settings, lambda line: console.print(text(line))) as stack:
        jobs = drop_and_wait(console, connection_to(stack.description), settings)
        show_outcome(console, stack.description, jobs, settings)
        exit_code = EXIT_COMPLETED if all(job.event == COMPLETED for job in jobs) else EXIT_FAILED
    if exit_code == EXIT_STOPPED:
        console.print("Stopped. Nothing is left running.")
        return exit_code
    console.print(f"Done in {time.monotonic() - started:.0f} s; nothing is left running.")
    console.print("Next, your own files: make local, then batchdrop drop in a second terminal.")
    say_who_answers(console, settings)
    return exit_code


def say_who_answers(console: Console, settings: LocalSettings) -> None:
    """Print whether the answers are real."""
    if settings.provider is None:
        console.print(SIMULATED, style="bold yellow")
    else:
        console.print(text(f"The answers come from {settings.provider.base_url}, and are paid for.", "bold"))


def drop_and_wait(console: Console, connection: Connection, settings: LocalSettings) -> list[JobStatus]:
    """Put the tasks, drop every example, and return how the jobs ended."""
    examples = Examples(settings.repository / "examples")
    names = list(put_tasks(connection, examples.task_files()))
    uploads = [connection.put_upload(example.path, example.key) for example in examples.drops()]
    console.print(text(f"Dropped {len(uploads)} files; the tasks are {', '.join(names)}."))
    timeout_seconds = SIMULATED_SECONDS_MAX if settings.provider is None else WAIT_SECONDS_MAX
    with visible_progress(console, uploads, is_passing=True) as watch:
        return wait_for(connection, uploads, watch, timeout_seconds=timeout_seconds)


def show_outcome(console: Console, stack: StackDescription, jobs: Sequence[JobStatus], settings: LocalSettings) -> None:
    """Print the totals; of one job the table that came back and the notification; and where its files are kept."""
    connection = connection_to(stack)
    notifications = receive_notifications(stack, {job.job for job in jobs})
    failed = [job for job in jobs if job.event != COMPLETED]
    show_endings(console, failed, stack.results_bucket)
    show_totals(console, jobs, list(notifications.values()))
    shown = next(job for job in jobs if job.upload.key == SHOWN)
    keys = Keys(shown.job, shown.upload.key)
    table = connection.read(connection.results_bucket, keys.merged("csv"))
    if table is not None:
        show_heading(console, f"{SHOWN} came back as results.csv")
        show_csv(console, table)
    summary = connection.read(connection.results_bucket, keys.summary)
    is_simulated = settings.provider is None
    mail = mail_text(shown, summary, notifications[shown.job], _as_of_openai if is_simulated else None)
    if mail is not None:
        show_heading(console, f"The notification by e-mail{RECEIPT_OF_SIMULATED if is_simulated else ''}")
        show_mail(console, notifications[shown.job].subject, mail)
    for key in (keys.report, keys.merged("csv")):
        content = connection.read(connection.results_bucket, key)
        if content is not None:
            path = settings.state / Path(key).name
            path.write_bytes(content)
            console.print(text(f"Kept: {path}"), soft_wrap=True)


def _as_of_openai(receipt: Receipt) -> Receipt:
    prices, now = BundledPrices(), int(time.time())
    return at_list_price(receipt, OPENAI_BASE_URL, lambda model, base_url: prices.price_list(model, base_url, now))


def show_totals(console: Console, jobs: Sequence[JobStatus], notifications: Sequence[ReceivedNotification]) -> None:
    """Print the sums over all jobs, as the notifications counted."""
    counted = [notification.counts for notification in notifications]
    console.print(
        f"{len(jobs)} jobs, {len(notifications)} notifications, {sum(counts.items for counts in counted):,} items: "
        f"{sum(counts.succeeded for counts in counted):,} succeeded, {sum(counts.failed for counts in counted):,} failed.",
        style="bold",
    )


def estimates(repository: Path, base_url: str) -> list[FileQuote]:
    """Return what all examples may cost at *base_url*, by model."""
    return quotes((request for drop in _request_batches(repository) for request in drop), base_url)


def _request_batches(repository: Path) -> Iterator[Iterator[Request]]:
    examples = Examples(repository / "examples")
    for example in examples.drops():
        task = examples.folder / "tasks" / f"{example.task}.yaml"
        content = task.read_bytes() if example.task else None
        yield requests_of(example.key, example.path.read_bytes(), content, Limits())
