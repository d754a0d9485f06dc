"""What jobs of the whole installation wait for at once: a key that is missing or refused, money.

Rule: it is one field of the installation's row, and one notification. Which jobs it concerns is derived from rows whenever a
status is written or jobs are counted, so that a cause that concerns thousands of jobs costs as many writes as one that concerns
one. A provider's own words are shown, without what may be a key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from batchdrop.core.ledger_rows import CommonWait, Install, Job, JobState, PastWait, Reason, Shard, ShardState
from batchdrop.core.limits import Limits
from batchdrop.core.refusals import is_money_code
from batchdrop.core.wording import provider_words

# What a status calls them, and the middle of a notification's id.
KEY: Final = "key"
ACCOUNT: Final = "account"

# What a job's row says while it waits for nothing of its own. Older releases wrote common waits into it.
NOT_WAITING: Final = frozenset({"", KEY, ACCOUNT})

_UNTIL_SET: Final = "Nothing is sent or fetched until it is set: batchdrop key set."
_KEY_REFUSED: Final = "The provider refuses the API key: nothing is sent or fetched until it is put right."
_ACCOUNT_REFUSED: Final = "The provider takes no work from this account, for want of quota or a bill that is not paid."

# How many causes that ended are remembered: codes are the provider's.
PAST_WAITS_MAX: Final = 20

_TO_BE_SENT: Final = frozenset({ShardState.WAITING, ShardState.RESERVED, ShardState.UPLOADED})


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that holds up jobs of the whole installation."""

    waits_for: str
    reason: Reason
    is_for_a_person: bool = True


def cause_of(refused: Reason | None, lack: Reason | None) -> Cause | None:
    """Return what holds jobs up; None where nothing does. *refused* is why the circuit is open, *lack* why there is no key."""
    if lack is not None:
        return Cause(KEY, Reason(lack.code, f"{lack.message} {_UNTIL_SET}"))
    if refused is None:
        return None
    is_account = is_money_code(refused.code)
    ours = _ACCOUNT_REFUSED if is_account else _KEY_REFUSED
    return Cause(ACCOUNT if is_account else KEY, Reason(refused.code, f"{ours} {provider_words(refused.message)}"))


def concerns(waits_for: str, job: Job, shards: Iterable[Shard]) -> bool:
    """Whether *job* is among those that a common wait holds up; *shards* are all that it has under way.

    Without money only what is to be sent waits; without a key the answers do, too.
    """
    if job.state is not JobState.RUNNING or job.cancelled_at:
        return False
    return waits_for != ACCOUNT or not job.is_cut or any(shard.state in _TO_BE_SENT for shard in shards)


def waiting_jobs(waits_for: str, jobs: Iterable[Job], shards: Iterable[Shard]) -> int:
    """Return how many of *jobs* a common wait holds up; *shards* are those of all jobs."""
    by_job: dict[str, list[Shard]] = {}
    for shard in shards:
        by_job.setdefault(shard.job, []).append(shard)
    return sum(concerns(waits_for, job, by_job.get(job.id, ())) for job in jobs)


def after_cause(install: Install, cause: Cause | None, jobs: int, now: int, limits: Limits) -> Install:
    """Return *install* as *cause*, for which so many jobs wait, leaves it: the same where nothing is new.

    A cause begins once a job waits for it. Where it begins or ends, the statuses of all jobs are to be written again.
    """
    wait = install.wait
    if wait and cause and (wait.waits_for, wait.reason.code) == (cause.waits_for, cause.reason.code):
        return install
    ended = _ended(install, now, limits) if wait else install
    return _begun(ended, cause, jobs, now, limits) if cause and jobs else ended


def _ended(install: Install, now: int, limits: Limits) -> Install:
    wait = install.wait
    assert wait is not None  # noqa: S101 - the caller asked first
    past = {**_recent(install, now, limits), wait.reason.code: PastWait(wait.number, now, wait.is_told)}
    latest = dict(sorted(past.items(), key=lambda entry: -entry[1].ended_at)[:PAST_WAITS_MAX])
    return replace(install, wait=None, past_waits=latest, statuses_after="")


def _begun(install: Install, cause: Cause, jobs: int, now: int, limits: Limits) -> Install:
    same = _recent(install, now, limits).get(cause.reason.code)
    number = same.number if same else install.waits_counted + 1
    wait = CommonWait(
        cause.waits_for, cause.reason, now, number, jobs, is_for_a_person=cause.is_for_a_person,
        is_told=same is not None and same.is_told,
    )  # fmt: skip
    return replace(install, wait=wait, waits_counted=max(number, install.waits_counted), statuses_after="")


def _recent(install: Install, now: int, limits: Limits) -> Mapping[str, PastWait]:
    return {code: past for code, past in install.past_waits.items() if now - past.ended_at < limits.same_wait_seconds}


def to_be_told(wait: CommonWait | None, now: int, limits: Limits) -> CommonWait | None:
    """Return *wait* as it is once a worker is asked to tell of it; None where nobody is to be asked now."""
    if wait is None or wait.is_told or now - wait.asked_at < limits.worker_timeout_seconds + limits.hint_margin_seconds:
        return None
    return replace(wait, asked_at=now)


def told(install: Install, number: int) -> Install | None:
    """Return *install* knowing that the notification of its wait *number* was sent; None where that is nothing new."""
    wait = install.wait
    if wait is None or wait.number != number or wait.is_told:
        return None
    return replace(install, wait=replace(wait, is_told=True))
