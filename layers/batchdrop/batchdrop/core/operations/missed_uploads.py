"""Finds uploads in a listing of the inbox whose event never came.

Rule: an upload is started without an event only if it is young, and younger than this installation. Rows that are gone may
have paid for anything older. So losing the table never causes a surprise bill.
"""

from dataclasses import dataclass

from batchdrop.core.model.install import Install, Round
from batchdrop.core.model.keys import Upload, is_ignored
from batchdrop.core.model.limits import Limits


@dataclass(frozen=True, slots=True)
class ListedUpload:
    """The current version of one key, and when it was put."""

    upload: Upload
    modified_at: int


@dataclass(frozen=True, slots=True)
class InboxPage:
    """One page of the inbox, by key. The next one begins after version *next_version* of *next_after*; empty at the end."""

    uploads: tuple[ListedUpload, ...]
    next_after: str
    next_version: str = ""


def is_round_due(install: Install, now: int, limits: Limits) -> bool:
    """Whether another round over the inbox may begin, if the queue allows it."""
    step = install.inbox_round
    return not step.after and now - step.began_at >= limits.inbox_round_seconds


def may_be_put_off(step: Round, now: int, limits: Limits) -> bool:
    """Whether the round after *step*, which is due, may still wait for the queue to become short."""
    return not step.put_off_at or now - step.put_off_at < limits.inbox_round_put_off_seconds_max


def is_to_be_told(listed: ListedUpload, step: Round, limits: Limits) -> bool:
    """Whether the round *step* tells of *listed*: once it is late, and again after each `told_again_seconds`.

    It depends on when this round and the one before began, so that nothing has to be kept for each version.
    """
    late_at = listed.modified_at + limits.event_awaited_seconds
    told_by_now = (step.began_at - late_at) // limits.told_again_seconds
    told_before = (step.before - late_at) // limits.told_again_seconds
    return told_by_now > max(told_before, -1)


def may_be_started(listed: ListedUpload, install: Install, now: int, limits: Limits) -> bool:
    """Whether *listed* is to be started where no job has claimed it.

    Stricter than for an event: the slack of a new installation does not count, because what was put within it may have
    been done by rows that are gone.
    """
    age_seconds = now - listed.modified_at
    installed_at = install.started_at + limits.installation_slack_seconds
    return (
        limits.event_awaited_seconds <= age_seconds <= limits.old_drop_seconds
        and listed.modified_at >= installed_at
        and not is_ignored(listed.upload.key)
    )
