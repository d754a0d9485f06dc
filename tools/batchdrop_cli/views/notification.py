"""A notification as its subscribers by e-mail receive it."""

from rich.console import Console

from batchdrop_cli.views.console import text


def show_mail(console: Console, subject: str, mail: str) -> None:
    """Print a notification as a subscriber by e-mail receives it."""
    console.print(text(f"Subject: {subject}", "bold"))
    for line in mail.splitlines():
        console.print(text(line), soft_wrap=True)
