"""Decides that jobs wait once a day's money is used up: one notification for all of them, and one a day.

Rule: each job's row says that it waits, since another day's money is its turn; the notification is the installation's.
Older releases sent one for each job: such a job gets no second one.
"""

from collections.abc import Iterable
from dataclasses import replace

from batchdrop.core.admission.budget import day_of
from batchdrop.core.model.install import CommonWait, Install
from batchdrop.core.model.job import Job, JobWait
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.money import dollar_words
from batchdrop.core.model.reasons import Reason, WaitingFor
from batchdrop.core.submission.waits import DAILY_CAP_CODE, REFUSALS


def day_reason(limits: Limits) -> Reason:
    """Return why jobs wait for another day."""
    cap = dollar_words(limits.daily_cost_microdollars_max)
    message = (
        f"All jobs together may cost {cap} on one day, and that is used up, or too little is left. They continue automatically "
        "when the next day begins (UTC), or when DailyCostUsdMax is raised."
    )
    return Reason(DAILY_CAP_CODE, message)


def waits_for_a_day(job: Job, now: int) -> Job:
    """Return *job* waiting for another day's money, unless the provider refuses it, which lasts longer."""
    if job.waiting.cause == WaitingFor.DAILY_CAP or job.waiting.cause in REFUSALS:
        return job
    return replace(job, waiting=JobWait(WaitingFor.DAILY_CAP, now, DAILY_CAP_CODE))


def is_told_alone(job: Job) -> bool:
    """Whether an older release sent a notification for *job* alone."""
    return any(wait.is_told for wait in job.waits if wait.reason.code == DAILY_CAP_CODE)


def after_day(install: Install, waiting: Iterable[Job], now: int, limits: Limits) -> Install:
    """Return *install* as it is while those *waiting* wait for another day: the same where nothing is new.

    If no job waits any more, nothing is sent.
    """
    jobs, wait = list(waiting), install.day_wait
    if not jobs:
        return install if wait is None or wait.is_told else replace(install, day_wait=replace(wait, is_told=True))
    is_of_today = wait is not None and day_of(wait.since) == day_of(now)
    if is_of_today or all(is_told_alone(job) for job in jobs):
        return install
    number = install.waits_counted + 1
    begun = CommonWait(WaitingFor.DAILY_CAP, day_reason(limits), now, number, len(jobs), is_for_a_person=False)
    return replace(install, day_wait=begun, waits_counted=number)
