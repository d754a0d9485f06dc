"""Finds drops whose event never came: the inbox is listed against the claims, round after round, a few pages a tick.

Rule: it starts nothing itself. A version that no job has claimed is announced to the submit function as its event would have.
So a round is idempotent, and may be cut short or walked by two pollers: one version is one job.
"""

from dataclasses import replace

from batchdrop.core.model.install import Round
from batchdrop.core.operations.missed_uploads import (
    InboxPage,
    is_round_due,
    is_to_be_told,
    may_be_put_off,
    may_be_started,
)
from batchdrop.flow.unit_of_work import Work, change_install


def reconcile(work: Work) -> int:
    """Continue the round over the inbox, or begin one that is due, and return how many drops were announced."""
    now, step = work.ports.clock.now(), work.install.inbox_round
    if not step.after:
        if not is_round_due(work.install, now, work.limits) or _is_put_off(work, step):
            return 0
        step = Round(began_at=now, before=step.began_at)
    told = 0
    for _ in range(work.limits.inbox_pages_per_tick_max):
        if not work.may_go_on():
            break
        page = work.ports.storage.list_inbox(step.after, step.after_version)
        told += _tell_missed(work, step, page)
        step = replace(step, after=page.next_after, after_version=page.next_version)
        if not step.after:
            break
    _keep(work, step)
    return told


def _is_put_off(work: Work, step: Round) -> bool:
    """Whether events are still queued that the list would take for missed; written down when it begins."""
    now = work.ports.clock.now()
    if not may_be_put_off(step, now, work.limits):
        return False
    queued = work.ports.wakeups.count_submissions()
    if queued <= work.limits.queued_messages_max:
        return False
    if not step.put_off_at:
        work.ports.log.info("round.put_off", count=queued)
        _keep(work, replace(step, put_off_at=now))
    return True


def _tell_missed(work: Work, step: Round, page: InboxPage) -> int:
    """Tell the submit function of each upload of *page* that is due a job and has none; return how many."""
    now, told = work.ports.clock.now(), 0
    for listed in page.uploads:
        upload = listed.upload
        if not may_be_started(listed, work.install, now, work.limits) or not is_to_be_told(listed, step, work.limits):
            continue
        if work.ports.ledger.job(upload.job_id):
            continue
        work.ports.log.warning("drop.missed", job_id=upload.job_id, seconds=now - listed.modified_at)
        work.ports.wakeups.drop(upload)
        told += 1
    return told


def _keep(work: Work, step: Round) -> None:
    """Write how far the round came. Of two pollers the later one wins: at worst a page is looked at twice."""
    change_install(work, lambda install: replace(install, inbox_round=step))
