"""submit: called with messages of the submissions queue, an upload's event, a word to a job or a hint."""

from collections.abc import Mapping

from batchdrop.edge.aws.messages import Control, Drop, Hint, read_messages
from batchdrop.edge.bootstrap import limits, ports, redelivery
from batchdrop.edge.clock import Context
from batchdrop.flow import commands as control
from batchdrop.flow import submit


def handler(event: Mapping[str, object], context: Context) -> None:
    """Take every drop, word and hint. What is raised makes the queue deliver the messages again, soon."""
    outside = ports(context)
    with redelivery(outside).soon(event):
        for message in read_messages(event, outside):
            match message:
                case Drop(upload):
                    submit.take_drop(outside, limits(), upload)
                case Hint(job, shard):
                    submit.take_hint(outside, limits(), job, shard)
                case Control(job, word):
                    control.take_word(outside, limits(), job, word)
