"""`status.json`: what a person sees of a job while it runs.

Rule: it is a picture of the ledger, never read back. It is written after each step, and once more if the job moved while
the picture was taken.
"""

from batchdrop.core.jobs import Keys
from batchdrop.core.money import allowed_microdollars
from batchdrop.core.summary import status_document
from batchdrop.flow.steps import Work, read_job

_PICTURES_MAX = 3


def write_status(work: Work, job: str) -> None:
    """Write the job's status as the ledger has it now. May be repeated."""
    for _ in range(_PICTURES_MAX):
        before = read_job(work, job)
        shards = list(work.ports.ledger.shards(job))
        allowed = allowed_microdollars(before, work.limits)
        document = status_document(before, shards, work.ports.clock.now(), allowed)
        work.ports.storage.put(Keys(job, before.key).status, document)
        if read_job(work, job).revision == before.revision:
            return
