"""Remembers which calls of the provider fail, from tick to tick: none is answered, or the list alone is not.

Rule: the installation's row says since when, and is written when that begins and when it ends, not in between.
"""

from collections.abc import Callable
from dataclasses import replace

from batchdrop.core.model.install import Install
from batchdrop.core.model.reasons import Outage
from batchdrop.flow.submission.observe import Look
from batchdrop.flow.unit_of_work import Work, change_install


def note_look(work: Work, look: Look) -> Work:
    """Write what *look* tells of the provider where that is new, and return *work* with the row as it is then."""
    now = work.ports.clock.now()
    work = replace(work, install=look.install) if look.install else work
    return _changed(work, lambda install: _after_look(install, look, now))


def forget_outages(work: Work) -> Work:
    """Return *work* with no outage: nothing is under way, so nothing asks whether there is one."""
    return _changed(work, lambda install: replace(install, unanswered=None, no_list=None))


def _after_look(install: Install, look: Look, now: int) -> Install:
    is_down = look.was_asked and not look.is_answered
    unanswered = install.unanswered or Outage(now, look.failed) if is_down else None
    no_list = install.no_list
    if not look.list_failed:
        no_list = None
    elif look.is_answered:  # else nothing tells a list that is missing from a provider that is down
        no_list = no_list or Outage(now, look.list_failed)
    return replace(install, unanswered=unanswered, no_list=no_list)


def _changed(work: Work, change: Callable[[Install], Install]) -> Work:
    if change(work.install) == work.install:
        return work
    return replace(work, install=change_install(work, change) or work.ports.ledger.install() or work.install)
