"""Finding drops whose event never came: the inbox is listed against the claims, round after round, a few pages a tick.

Rule: it starts nothing itself. What no job has claimed is told to the submit function as its event would have, so that a
round may be repeated, cut short or walked by two pollers: one version is one job.
"""

from dataclasses import replace

from batchdrop.core.inbox import InboxPage, may_be_started
from batchdrop.core.ledger_rows import Change, Round, Write
from batchdrop.flow.steps import Work, settle, written


def reconcile(work: Work) -> int:
    """Go on with the round over the inbox if one is due, and return how many drops were told anew."""
    limits, now = work.limits, work.ports.clock.now()
    step = work.install.inbox_round
    if not step.after:
        if now - step.began_at < limits.inbox_round_seconds:
            return 0
        step = Round(began_at=now)
    told = 0
    for _ in range(limits.inbox_pages_per_tick_max):
        if not work.may_go_on():
            break
        page = work.ports.storage.list_inbox(step.after)
        told += _tell_missed(work, page)
        step = replace(step, after=page.next_after)
        if not step.after:
            break
    _keep(work, step)
    return told


def _tell_missed(work: Work, page: InboxPage) -> int:
    """Tell the submit function of each upload of *page* that is due a job and has none; return how many."""
    now, told = work.ports.clock.now(), 0
    for listed in page.uploads:
        upload = listed.upload
        if not may_be_started(listed, work.install, now, work.limits) or work.ports.ledger.job(upload.job_id):
            continue
        work.ports.log.warning("drop.missed", job_id=upload.job_id, seconds=now - listed.modified_at)
        work.ports.hints.drop(upload)
        told += 1
    return told


def _keep(work: Work, step: Round) -> None:
    """Write how far the round came. Of two pollers the later one wins: at worst a page is looked at twice."""

    def decide() -> Change | None:
        install = work.ports.ledger.install()
        if install is None:
            return None
        return Change((Write(install, written(work.ports, replace(install, inbox_round=step))),))

    settle(work.ports, decide)
