"""poll: called by the schedule, each minute."""

from collections.abc import Mapping

from batchdrop.edge.bootstrap import limits, ports
from batchdrop.edge.clock import Context
from batchdrop.flow import poll


def handler(_event: Mapping[str, object], context: Context) -> None:
    """Do one round. What is raised is the schedule's to note: the next minute does it again."""
    poll.tick(ports(context), limits())
