"""Defines the row of the installation: what concerns all of its jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from batchdrop.core.model.reasons import Outage, Reason, WaitingFor
from batchdrop.core.model.row import SCHEMA, Lease


class Asked(StrEnum):
    """What a call of the provider is for: a key may be good for some and not for others."""

    SEND = "send"  # uploads and creates
    LOOK = "look"  # lists, and looks at one batch or file
    FETCH = "fetch"  # answers


@dataclass(frozen=True, slots=True)
class Circuit:
    """Creating is pointless until *open_until*: the key or the account is refused."""

    open_until: int
    reason: Reason
    since: int = 0  # when it was refused last
    is_of_answers: bool = False  # batches are taken and then fail: only an answer, not a create, shows that it is over
    count: int = 1  # how often that happened in a row
    refused: Asked = Asked.SEND  # the calls whose answer shows that the key is good again


@dataclass(frozen=True, slots=True)
class Hang:
    """Uploads, or downloads, are not answered in their time: none is begun until *until*, then one asks for all."""

    base_url: str
    since: int
    until: int
    cause: str
    is_of_create: bool = False  # not uploads hang but creates: an upload that is answered shows nothing


@dataclass(frozen=True, slots=True)
class Round:
    """How far a periodic walk has come. It continues after *after*, which is empty while no walk is under way."""

    began_at: int = 0
    after: str = ""
    after_version: str = ""
    before: int = 0  # when the walk before this one began
    put_off_at: int = 0  # since when the next one waits for a queue to become short


@dataclass(frozen=True, slots=True)
class CommonWait:
    """A cause that jobs of the whole installation wait for. One notification tells of it, for all of them."""

    waits_for: WaitingFor  # KEY, ACCOUNT, PROVIDER or DAILY_CAP
    reason: Reason
    since: int
    number: int  # counts all common waits from 1; part of the notification's id
    jobs: int = 0  # how many waited when it began
    is_for_a_person: bool = True  # else only time helps
    is_for_all: bool = True  # else for those jobs alone of which calls fail
    is_of_sending: bool = False  # for those jobs alone that have something to be sent
    asked_at: int = 0  # when a worker was last asked to send the notification
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class PastWait:
    """A common wait that ended: its number, when that was, and whether its notification was sent."""

    number: int
    ended_at: int
    is_told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """This installation: its id travels in every ticket, so that stacks in one project do not see each other."""

    id: str
    started_at: int
    admission: Lease | None = None
    circuits: Mapping[str, Circuit] = field(default_factory=dict)  # by `circuit_key`
    proofs: Mapping[str, str] = field(default_factory=dict)  # by `circuit_key`: a batch that its project holds
    inbox_round: Round = Round()
    files_swept_at: int = 0
    unanswered: Outage | None = None  # no call of a tick is answered
    no_list: Outage | None = None  # other calls are, but not the list of batches
    hang: Hang | None = None  # of uploads
    fetch_hang: Hang | None = None  # of what answers are fetched by
    fetched_at: int = 0  # when answers last came that the provider had not given before
    wait: CommonWait | None = None
    day_wait: CommonWait | None = None  # the last one for another day's money
    past_waits: Mapping[str, PastWait] = field(default_factory=dict)  # by the code of their reason, the last few
    waits_counted: int = 0
    # The statuses of all jobs are being written again, by job id: the last one that was. None while they are not.
    statuses_after: str | None = None
    revision: int = 0
    writer: str = ""
    schema: int = SCHEMA


def circuit_key(base_url: str, fingerprint: str) -> str:
    """Return the key of what is known about one API key at one base URL."""
    return f"{fingerprint}@{base_url}"
