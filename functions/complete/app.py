"""complete: called with hints of the completions queue."""

from collections.abc import Mapping

from batchdrop.edge.bootstrap import limits, ports
from batchdrop.edge.clock import Context
from batchdrop.edge.events import Hint, read_messages
from batchdrop.flow import complete


def handler(event: Mapping[str, object], context: Context) -> None:
    """Take every hint. What is raised makes the queue deliver the messages again."""
    outside = ports(context)
    for message in read_messages(event, outside):
        if isinstance(message, Hint):
            complete.take_hint(outside, limits(), message.job, message.shard)
