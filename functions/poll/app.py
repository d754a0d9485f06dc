"""Starts poll, each minute by the schedule; and for an operator with `{"recover": true}`, after a restore of the table."""

from collections.abc import Mapping
from dataclasses import asdict

from batchdrop.edge.bootstrap import limits, ports
from batchdrop.edge.clock import Context
from batchdrop.flow import poll
from batchdrop.flow.submission import restore


def handler(event: Mapping[str, object], context: Context) -> dict[str, object] | None:
    """Do one round. What is raised is the schedule's to note: the next minute does it again."""
    outside = ports(context)
    if event.get("recover") is True:
        return asdict(restore.recover_all(outside, limits()))
    poll.tick(outside, limits())
    return None
