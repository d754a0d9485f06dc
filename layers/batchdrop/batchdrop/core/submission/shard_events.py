"""Defines what can happen to a shard, as values: the columns of the table in `shard_lifecycle`.

An event about one create call has its ticket, and changes nothing once the shard has left that call behind: what
a slow worker or a lagging index concluded about one call must never be done to the next.
"""

from dataclasses import dataclass

from batchdrop.core.model.batches import Batch
from batchdrop.core.model.reasons import Reason, Refusal


@dataclass(frozen=True, slots=True)
class Admitted:
    """There is quota: the shard holds it and gets a ticket. From now on it holds so much of its job's, and the *day*'s, money."""

    microdollars: int = 0
    day: str = ""


@dataclass(frozen=True, slots=True)
class Saving:
    """What an attempt does not send, because others of its lines ask the same."""

    items: int = 0
    tokens: int = 0  # as estimated
    inputs: int = 0  # likewise, of embeddings


NOTHING_SAVED = Saving()


@dataclass(frozen=True, slots=True)
class InputUploaded:
    """The input file named after the ticket is at the provider, under this key."""

    ticket: str
    file: str
    base_url: str
    fingerprint: str
    saving: Saving = NOTHING_SAVED


@dataclass(frozen=True, slots=True)
class InputUnusable:
    """The file cannot serve this create call (it is gone, or is under another key); no call is uncertain."""

    ticket: str


@dataclass(frozen=True, slots=True)
class CreateIntended:
    """The create call comes next. Written before the call, so that no call is ever forgotten."""

    ticket: str


@dataclass(frozen=True, slots=True)
class CreateRefused:
    """The provider refused the request itself (400, 413, 422): no batch, and no use in asking again."""

    ticket: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class InputDoubted:
    """The create was refused for the file, which was uploaded just before: no batch; it gets one more look."""

    ticket: str


@dataclass(frozen=True, slots=True)
class SendRefused:
    """The provider refuses the upload, or does not know the file that it took: no batch, and another file may do no better.

    *is_too_large*: fewer lines may do. *is_given_up*: it refused others of the job so for a day already.
    """

    ticket: str
    reason: Reason
    is_too_large: bool = False
    is_given_up: bool = False


@dataclass(frozen=True, slots=True)
class ModelRefused:
    """The provider refuses the create because of the model: no batch. *refusal* is the model's, this one counted.

    *is_given_up*: that has lasted for a day, and the job isn't younger.
    """

    ticket: str
    refusal: Refusal
    is_given_up: bool = False


@dataclass(frozen=True, slots=True)
class CreateTurnedAway:
    """It was not taken now (429, the key or account, or no connection was made): no batch; ask again after *wait_seconds*."""

    ticket: str
    wait_seconds: int
    cause: str = ""  # why, where that is neither the key, the account nor the file: then time alone helps
    asked_seconds: int = 0  # the wait that the provider asks for, where it is longer than *wait_seconds*


@dataclass(frozen=True, slots=True)
class BatchFound:
    """A batch that has one of this attempt's tickets: as the answer to the create call, or in the list."""

    batch: Batch
    ticket: str


@dataclass(frozen=True, slots=True)
class FenceBegun:
    """No answer and no batch for longer than the grace: whatever was sent must be made harmless."""

    ticket: str


@dataclass(frozen=True, slots=True)
class Fenced:
    """The provider said that the input file is gone."""

    ticket: str


@dataclass(frozen=True, slots=True)
class FenceFailed:
    """For a day the provider did not say that the input file is gone."""

    ticket: str


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The provider has no list of batches in which one of this attempt would be seen, while it answers other calls."""

    ticket: str


@dataclass(frozen=True, slots=True)
class NothingFound:
    """A full list that began long enough after the fence shows no batch of this attempt."""

    ticket: str


@dataclass(frozen=True, slots=True)
class Unparked:
    """An hour has passed and there is quota: one more try."""


@dataclass(frozen=True, slots=True)
class InputMissed:
    """The batch failed for want of its input file: it never ran."""

    ticket: str


@dataclass(frozen=True, slots=True)
class EarlierFailed:
    """The batch that the shard runs as is of an earlier create call, and failed: the present create is as uncertain as before."""

    ticket: str  # of the present try


@dataclass(frozen=True, slots=True)
class NoQuota:
    """The provider's queue of enqueued tokens, or of embedding inputs, is full.

    *is_idle*: nothing else of ours holds any of that quota. *stated* is the limit that the refusal names, 0 for none.
    """

    ticket: str
    is_idle: bool
    stated: int = 0
    is_inputs: bool = False


@dataclass(frozen=True, slots=True)
class MoneyMissed:
    """The batch failed before it ran, because the account has no money: no attempt is used."""

    ticket: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class BatchTaken:
    """The batch passed validation: the provider had quota for it."""

    ticket: str


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """The batch reached an end that leaves answers, or refused lines, to collect."""

    ticket: str
    batch: Batch


@dataclass(frozen=True, slots=True)
class BatchStuck:
    """The batch did not end for days after it was due to, and obeys no cancel: what it shows is collected, the rest fails.

    It may still run, so nothing of it is sent again.
    """

    ticket: str
    batch: Batch
    reason: Reason


@dataclass(frozen=True, slots=True)
class GivenUp:
    """There is no way left to learn more, or no use in asking: all items fail with this reason."""

    ticket: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Harvested:
    """Outcomes are written for all items but *again_lines*, which may be sent again."""

    ticket: str
    again_lines: int
    counted_tokens: int = 0  # input tokens, of those items that the provider counted
    counted_items: int = 0
    is_unpaid: bool = False  # nothing but money is why lines are sent again: the attempt does not count


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A person cancelled the job: nothing more of the shard is sent, and what runs is asked to stop."""


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The provider was asked to cancel the batch."""

    ticket: str


@dataclass(frozen=True, slots=True)
class Restored:
    """The row comes from a backup. *tickets* made batches that it may have forgotten, *try_number* was used since.

    *is_made*: one of its tickets has a batch.
    """

    tickets: tuple[str, ...]
    try_number: int
    is_made: bool


type ShardEvent = (
    Admitted
    | InputUploaded
    | InputUnusable
    | CreateIntended
    | CreateRefused
    | InputDoubted
    | SendRefused
    | ModelRefused
    | CreateTurnedAway
    | BatchFound
    | FenceBegun
    | Fenced
    | FenceFailed
    | Unlisted
    | NothingFound
    | Unparked
    | InputMissed
    | EarlierFailed
    | NoQuota
    | MoneyMissed
    | BatchTaken
    | BatchEnded
    | BatchStuck
    | GivenUp
    | Harvested
    | Cancelled
    | CancelAsked
    | Restored
)
