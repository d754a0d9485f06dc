"""Starts submit, for messages of the submissions queue: an upload's event, a command to a job, or a wake-up."""

from collections.abc import Mapping

from batchdrop.edge.aws.messages import Control, Drop, Wakeup, read_messages
from batchdrop.edge.bootstrap import limits, ports, redelivery
from batchdrop.edge.clock import Context
from batchdrop.flow import commands as control
from batchdrop.flow import submit


def handler(event: Mapping[str, object], context: Context) -> None:
    """Take every drop, word and wake-up message. What is raised makes the queue deliver the messages again, soon."""
    outside = ports(context)
    with redelivery(outside).soon(event):
        for message in read_messages(event, outside):
            match message:
                case Drop(upload):
                    submit.handle_upload(outside, limits(), upload)
                case Wakeup(job, shard):
                    submit.handle_wakeup(outside, limits(), job, shard)
                case Control(job, word):
                    control.handle_command(outside, limits(), job, word)
