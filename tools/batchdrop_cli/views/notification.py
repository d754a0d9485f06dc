"""A notification as its subscribers receive it."""

from rich.console import Console
from rich.json import JSON

from batchdrop_cli.jobs.notifications import ReceivedNotification, mail_text
from batchdrop_cli.jobs.status import JobStatus
from batchdrop_cli.views.console import show_heading, text


def show_notification(console: Console, job: JobStatus, summary: bytes | None, received: ReceivedNotification) -> None:
    """Print a notification as a subscriber by e-mail and one by SQS receive it."""
    mail = mail_text(job, summary, received)
    if mail is not None:
        show_heading(console, "The notification by e-mail")
        console.print(text(f"Subject: {received.subject}", "bold"))
        for line in mail.splitlines():
            console.print(text(line), soft_wrap=True)
    show_heading(console, "The same notification as JSON, from the queue that is subscribed (line breaks added)")
    console.print(JSON(received.content))
