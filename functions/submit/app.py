"""submit: called with one message of the submissions queue, an upload's event or a hint."""

from typing import Any

from batchdrop.edge.bootstrap import limits, ports
from batchdrop.edge.events import Drop, Hint, read_messages
from batchdrop.flow import submit


def handler(event: dict[str, Any], context: Any) -> None:
    """Take every drop and hint in *event*. What is raised makes the queue deliver the message again."""
    outside = ports(context)
    for message in read_messages(event, outside):
        match message:
            case Drop(upload):
                submit.take_drop(outside, limits(), upload)
            case Hint(job, shard):
                submit.take_hint(outside, limits(), job, shard)
