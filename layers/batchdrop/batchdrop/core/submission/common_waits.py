"""Decides what jobs of the whole installation wait for at once: the key, money, or a provider that does not answer.

Rule: it is one field of the installation's row, and one notification. Which jobs it concerns is derived from rows whenever a
status is written or jobs are counted, so that a cause that concerns thousands of jobs costs as many writes as one that concerns
one. A provider's own words are shown, without what may be a key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from batchdrop.core.model.install import Asked, Circuit, CommonWait, Hang, Install, PastWait
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.reasons import Outage, Reason, WaitingFor
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.model.wording import iso_time, provider_words, seconds_in_words
from batchdrop.core.submission.refusals import is_money_code

_W = WaitingFor

# What a job's row says while it waits for nothing of its own. Older releases wrote common waits into it.
NOT_WAITING: Final = frozenset({_W.NOTHING, _W.KEY, _W.ACCOUNT})

_UNTIL_SET: Final = "Nothing is sent or fetched until it is set: batchdrop key set."
_KEY_REFUSED: Final = "The provider refuses the API key: nothing is sent or fetched until it is put right."
_SENDING_REFUSED: Final = (
    "The provider refuses the API key for uploads and new batches: nothing is sent until it is put right."
)
_ACCOUNT_REFUSED: Final = "The provider takes no work from this account, for want of quota or a bill that is not paid."
_UNAVAILABLE: Final = "provider_unavailable"
_ASKED_TO_WAIT: Final = "asked_to_wait"

# How many causes that ended are remembered: codes are the provider's.
PAST_WAITS_MAX: Final = 20

_TO_BE_SENT: Final = frozenset({ShardState.WAITING, ShardState.RESERVED, ShardState.UPLOADED})


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that holds up jobs of the whole installation."""

    waits_for: WaitingFor
    reason: Reason
    is_for_a_person: bool = True
    is_for_all: bool = True
    is_of_sending: bool = False


def cause_of(circuit: Circuit | None, lack: Reason | None) -> Cause | None:
    """Return what holds jobs up; None where nothing does. *circuit* is the open one of the key, *lack* why there is no key."""
    if lack is not None:
        return Cause(_W.KEY, Reason(lack.code, f"{lack.message} {_UNTIL_SET}"))
    if circuit is None:
        return None
    refused = circuit.reason
    waits_for, ours, is_of_sending = _W.KEY, _KEY_REFUSED, circuit.refused is Asked.SEND
    if is_money_code(refused.code):
        waits_for, ours, is_of_sending = _W.ACCOUNT, _ACCOUNT_REFUSED, True
    elif is_of_sending:
        ours = _SENDING_REFUSED
    reason = Reason(refused.code, f"{ours} {provider_words(refused.message)}")
    return Cause(waits_for, reason, is_of_sending=is_of_sending)


def outage_of(whole: Outage | None, shards: Iterable[Shard], now: int, limits: Limits) -> Cause | None:
    """Return that the provider has not answered for long, or asks for a long wait; None where it does neither.

    *whole*: since when no call is answered, the last ones just now. Of *shards* some may have calls that never are. One that is
    asked to wait for long is not answered for long, either: that is one cause, and it is said at once.
    """
    of_shards = [shard.unanswered for shard in shards if shard.unanswered]
    lasting = [outage for outage in of_shards if outage.last_at - outage.since >= limits.unavailable_seconds]
    if whole is not None and now - whole.since >= limits.unavailable_seconds:
        return _unavailable("anything", whole, is_for_all=True)
    asked = [outage for outage in of_shards if outage.asked_seconds]
    if asked:
        return _asked_to_wait(max(asked, key=lambda outage: outage.asked_seconds), limits)
    if lasting:
        return _unavailable("some of the calls", min(lasting, key=lambda outage: outage.since), is_for_all=False)
    return None


def _unavailable(what: str, outage: Outage, *, is_for_all: bool) -> Cause:
    message = f"The provider has not answered {what} since {iso_time(outage.since)}. {provider_words(outage.cause)}"
    return Cause(_W.PROVIDER, Reason(_UNAVAILABLE, message), is_for_a_person=False, is_for_all=is_for_all)


def hang_of(hang: Hang | None, base_url: str, now: int, limits: Limits) -> Cause | None:
    """Return that no upload is answered, once that lasts: all that is to be sent waits for the one that asks for all."""
    if hang is None or hang.base_url != base_url or now - hang.since < limits.unavailable_seconds:
        return None
    return Cause(_W.PROVIDER, _hang_reason(hang), is_for_a_person=False, is_of_sending=True)


def early_wait(hang: Hang | None, base_url: str) -> CommonWait | None:
    """Return what a status says of *hang* from its beginning, before a notification about it is due."""
    if hang is None or hang.base_url != base_url:
        return None
    return CommonWait(_W.PROVIDER, _hang_reason(hang), hang.since, number=0, is_for_a_person=False, is_of_sending=True)


def _hang_reason(hang: Hang) -> Reason:
    what = "create" if hang.is_of_create else "upload"
    message = (
        f"The provider has not answered any {what} since {iso_time(hang.since)}. One is tried every few minutes, and whatever "
        f"else is to be sent waits for it. {provider_words(hang.cause)}"
    )
    return Reason(_UNAVAILABLE, message)


def _asked_to_wait(outage: Outage, limits: Limits) -> Cause:
    most = seconds_in_words(limits.retry_after_seconds_max)
    message = (
        f"The provider asks not to be called for {seconds_in_words(outage.asked_seconds)}. It is asked again after {most}, and "
        f"every {most} from then on; no attempt is used. {provider_words(outage.cause)}"
    )
    return Cause(_W.PROVIDER, Reason(_ASKED_TO_WAIT, message), is_for_a_person=False, is_for_all=False)


def concerns(cause: Cause | CommonWait, job: Job, shards: Iterable[Shard]) -> bool:
    """Whether *job* is among those that *cause* holds up; *shards* are all that it has under way.

    Without money, or a key that may send, only what is to be sent waits; without any key, or an answer to anything, what is there
    does, too.
    """
    if job.state is not JobState.RUNNING or job.cancelled_at:
        return False
    if not cause.is_for_all:
        return any(shard.unanswered for shard in shards)
    is_of_sending = cause.is_of_sending or cause.waits_for == _W.ACCOUNT
    return not is_of_sending or not job.is_cut or any(shard.state in _TO_BE_SENT for shard in shards)


def waiting_jobs(cause: Cause, jobs: Iterable[Job], shards: Iterable[Shard]) -> int:
    """Return how many of *jobs* wait for *cause*; *shards* are those of all jobs."""
    by_job: dict[str, list[Shard]] = {}
    for shard in shards:
        by_job.setdefault(shard.job, []).append(shard)
    return sum(concerns(cause, job, by_job.get(job.id, ())) for job in jobs)


def after_cause(install: Install, cause: Cause | None, jobs: int, now: int, limits: Limits) -> Install:
    """Return *install* as *cause*, for which that many jobs wait, leaves it: the same where nothing is new.

    A cause begins once a job waits for it. Where it begins or ends, the statuses of all jobs are to be written again.
    """
    wait = install.wait
    if wait and cause and (wait.waits_for, wait.reason.code) == (cause.waits_for, cause.reason.code):
        scope = (cause.is_for_all, cause.is_of_sending)
        if (wait.is_for_all, wait.is_of_sending) == scope:
            return install
        spread = replace(wait, is_for_all=cause.is_for_all, is_of_sending=cause.is_of_sending, reason=cause.reason)
        return replace(install, wait=spread, statuses_after="")
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
        cause.waits_for, cause.reason, now, number, jobs, is_for_a_person=cause.is_for_a_person, is_for_all=cause.is_for_all,
        is_of_sending=cause.is_of_sending, is_told=same is not None and same.is_told,
    )  # fmt: skip
    return replace(install, wait=wait, waits_counted=max(number, install.waits_counted), statuses_after="")


def _recent(install: Install, now: int, limits: Limits) -> Mapping[str, PastWait]:
    return {code: past for code, past in install.past_waits.items() if now - past.ended_at < limits.same_wait_seconds}


def to_be_told(wait: CommonWait | None, now: int, limits: Limits) -> CommonWait | None:
    """Return *wait* as it is once a worker is asked to tell of it; None if no worker is to be asked now."""
    if (
        wait is None
        or wait.is_told
        or now - wait.asked_at < limits.worker_timeout_seconds + limits.wakeup_margin_seconds
    ):
        return None
    return replace(wait, asked_at=now)


def told(install: Install, number: int) -> Install | None:
    """Return *install* knowing that the notification of its wait *number* was sent; None where that is nothing new."""
    wait, day_wait = (
        replace(one, is_told=True) if one and one.number == number else one for one in (install.wait, install.day_wait)
    )
    after = replace(install, wait=wait, day_wait=day_wait)
    return None if after == install else after
