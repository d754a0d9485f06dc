"""Starts complete, for messages of the completions queue: a wake-up, or the installation's notification."""

from collections.abc import Mapping

from batchdrop.edge.aws.messages import Tell, Wakeup, read_messages
from batchdrop.edge.bootstrap import limits, ports, redelivery
from batchdrop.edge.clock import Context
from batchdrop.flow import complete


def handler(event: Mapping[str, object], context: Context) -> None:
    """Take every message. What is raised makes the queue deliver the messages again, soon."""
    outside = ports(context)
    with redelivery(outside).soon(event):
        for message in read_messages(event, outside):
            match message:
                case Wakeup(job, shard):
                    complete.handle_wakeup(outside, limits(), job, shard)
                case Tell():
                    complete.tell(outside, limits())
