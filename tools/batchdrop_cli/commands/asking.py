"""Asks a person to agree before money is spent or anything is deleted."""

import sys

import click

from batchdrop_cli.failures import MisusedCommand


def agree(question: str = "Go ahead?", *, yes: bool, to: str = "go ahead") -> None:
    """Ask, unless *yes* was given. Raises MisusedCommand where there is no terminal, and Abort where the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise MisusedCommand(f"Not a terminal, so I can't ask. Pass --yes to {to}.")
    click.confirm(question, abort=True)
