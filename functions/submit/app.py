"""submit: called with messages of the submissions queue, an upload's event or a hint."""

from collections.abc import Mapping

from batchdrop.edge.bootstrap import limits, ports
from batchdrop.edge.clock import Context
from batchdrop.edge.events import Drop, Hint, read_messages
from batchdrop.flow import submit


def handler(event: Mapping[str, object], context: Context) -> None:
    """Take every drop and hint. What is raised makes the queue deliver the messages again."""
    outside = ports(context)
    for message in read_messages(event, outside):
        match message:
            case Drop(upload):
                submit.take_drop(outside, limits(), upload)
            case Hint(job, shard):
                submit.take_hint(outside, limits(), job, shard)
