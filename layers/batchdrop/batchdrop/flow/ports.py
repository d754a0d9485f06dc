"""Declares the ports: everything that the flows need from the outside world.

Rule: an effect that is not here cannot happen. Each method says whether it is idempotent; none retries a call whose
repetition could cost money. `edge` keeps these against AWS and OpenAI, the tests keep them in memory, and one contract
suite is run on both.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from batchdrop.core.model.batches import Batch, BatchPage, CreateAnswer, FilePage
from batchdrop.core.model.change import Change
from batchdrop.core.model.dialects import Dialect, Dialects
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.prices import PriceList
from batchdrop.core.model.quota import Quota
from batchdrop.core.model.shard import Shard
from batchdrop.core.notification.notifications import Notification as Notification  # noqa: PLC0414  exported: publishers import it from here
from batchdrop.core.operations.missed_uploads import InboxPage

# How far many small puts may be ahead of the oldest that the store has not taken: 0.7 s of them at 2,900 a second, so that one
# slow answer stops nothing.
PUTS_AHEAD_MAX: Final = 2_000


class Clock(Protocol):
    """Time and chance, as values."""

    def now(self) -> int:
        """Return whole seconds since 1970."""

    def remaining_seconds(self) -> float:
        """Return how long this invocation may still run."""

    def pause(self, attempt: int) -> None:
        """Wait a moment, longer with each *attempt* and with jitter, before a conflicting write is tried again."""

    def new_id(self) -> str:
        """Return a fresh random id (a UUID)."""


class Ledger(Protocol):
    """The table. Reads are consistent unless said otherwise."""

    def job(self, job: str) -> Job | None:
        """Return the job's row."""

    def shard(self, job: str, number: int) -> Shard | None:
        """Return the shard's row."""

    def shards(self, job: str) -> Iterator[Shard]:
        """Yield the job's shards in the order of their numbers."""

    def active(self) -> Iterator[Job | Shard]:
        """Yield every row that has a due time, by due time; from an index that may lag and may show old rows."""

    def install_and_active(self) -> tuple[Install | None, list[Job | Shard]]:
        """Return by one look what `install` and `active` do; the installation's row too may be some seconds old.

        It is None where there is none, and until it is written again where an older release wrote it.
        """

    def install(self) -> Install | None:
        """Return the installation's row."""

    def quota(self, account: str, model: str) -> Quota:
        """Return the quota row of *model*; an empty one where there is none."""

    def day_microdollars(self, day: str) -> int:
        """Return how much is counted on *day*, such as `2026-11-22`, in millionths of a US dollar."""

    def write(self, change: Change) -> Change:
        """Apply *change* whole and return it with the revisions that were written.

        Raises Conflict if a row is not as it was read, or the quota or the day's money is not there; then nothing was
        written. A write whose reply was lost counts as done if the rows show this very write. May be repeated.
        """


class Wakeups(Protocol):
    """The queues. A wake-up message may be lost or come twice; the ledger is the truth."""

    def submit(self, job: str, shard: int | None = None) -> None:
        """Ask a submit function to look at the job, or at one shard of it."""

    def complete(self, job: str, shard: int | None = None) -> None:
        """Ask a complete function to look at the job, or at one shard of it."""

    def tell(self) -> None:
        """Ask a complete function to send the installation's pending notification."""

    def drop(self, upload: Upload) -> None:
        """Tell a submit function of *upload*, as its event would have."""

    def count_submissions(self) -> int:
        """Return about how many messages wait for a submit function; those that one works on are not counted."""


class ObjectWriter(Protocol):
    """An object under construction; it becomes visible when its context ends without an exception, or not at all."""

    def write(self, content: bytes) -> object:
        """Append *content*."""


class ByteSink(Protocol):
    """Takes bytes as they come."""

    def write(self, content: bytes) -> int:
        """Append *content* and return how many bytes it has."""


class Ranges(Protocol):
    """One content of one object, of which parts are read."""

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Return the bytes at each place, an offset and a length, in order. All are held, and asked for side by side."""


class PlanStorage(Protocol):
    """What planning needs of both buckets. Puts replace whole objects, so each is idempotent."""

    def open_upload(self, upload: Upload, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open this version for buffered reading from byte *start* (at most its size) to the end.

        Raises UploadRejected(`unreadable`) where the version is gone or archived, and its kind UploadWithheld where S3
        refuses to give it for a reason that may pass.
        """

    def read(self, key: str) -> bytes | None:
        """Return the object in the results bucket whole, or None where there is none."""

    def open(self, key: str, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open an object of the results bucket for buffered reading from byte *start*. Raises NotYet where there is none."""

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        """Write one object of the results bucket."""

    def put_many(self, objects: Iterable[tuple[str, bytes]]) -> int:
        """Write many small objects of the results bucket, many at a time, and return how many.

        *objects* is read as it is written: when the next is asked for, the store has taken all of those before but for
        some of the last PUTS_AHEAD_MAX. Raises the first failure, after which some of the later ones may have been written.
        """

    def writer(self, key: str, content_type: str = "application/x-ndjson") -> AbstractContextManager[ObjectWriter]:
        """Write one object of any size of the results bucket piece by piece, with bounded memory."""


class Storage(PlanStorage, Protocol):
    """Both buckets. Puts replace whole objects, so each is idempotent."""

    def upload_size_bytes(self, upload: Upload) -> int:
        """Return the size of this version; raises as `open_upload`."""

    def upload_modified_at(self, upload: Upload) -> int:
        """Return when this version was put, in whole seconds; raises as `open_upload`."""

    def list_inbox(self, after: str, version: str = "") -> InboxPage:
        """Return the current versions below `inbox/` from where a page before said that the next begins, some 1,000 at most.

        They come by key.

        Deleted keys are left out; a version is empty where the bucket keeps none. A page may be empty and not the last.
        """

    def task(self, name: str) -> bytes | None:
        """Return the task file's content, or None where there is none."""

    def task_names(self) -> list[str] | None:
        """Return the names of the tasks that exist, at most 100, sorted."""

    def size_bytes(self, key: str) -> int | None:
        """Return the size of an object of the results bucket, or None where there is none."""

    def open_ranges(self, key: str) -> AbstractContextManager[Ranges]:
        """Open an object of the results bucket for reading parts of it as it is now. Raises NotYet where there is none."""


class Provider(Protocol):
    """Files and batches at one base URL with one key. One value serves one invocation.

    Every method but `create_batch` is idempotent. Most retry within seconds; the upload does not. Each has three
    answers: it returns; it is *refused* for good, which repeating does not change (ProviderRefused with the provider's status,
    code and words; NotAtProvider where the id that was named is not known); or it is *unavailable* for now
    (ProviderUnavailable). A refusal concerns what was asked; KeyRefused alone means the key or the account, and so every call.
    """

    @property
    def base_url(self) -> str:
        """Where it is."""

    @property
    def fingerprint(self) -> str:
        """A short digest of the key."""

    def hurried(self, left_seconds: Callable[[], float]) -> "Provider":
        """Return the same provider whose calls, except the create, are made once and take at most *left_seconds*.

        That is asked as each call begins; where nothing is left, the call raises ProviderUnavailable without being made.
        """

    @property
    def dialect(self) -> Dialect:
        """What its server wants and does."""

    def upload_input(
        self, name: str, lines: BinaryIO, lifetime_seconds: int, *, answer_seconds: int = ..., total_seconds: int = ...
    ) -> str:
        """Store an input file under *name*, to expire automatically, and return its id. *lines* is an open file on disk.

        Raises ProviderSilent where no byte is taken, or nothing is answered, for *answer_seconds*, or it takes *total_seconds*.
        """

    def create_batch(self, *, file: str, endpoint: str, metadata: Mapping[str, str]) -> CreateAnswer:
        """Make one POST, at most one, and say what came of it. Never raises for what the provider or the network did.

        Accepted; Declined for good or for now, by its status and code; NotSent where no connection was made; else Uncertain.
        """

    def list_batches(self, after: str | None) -> BatchPage:
        """Return up to 100 batches that follow the one called *after*; order and freshness are not promised."""

    def batch(self, batch: str) -> Batch:
        """Return one batch."""

    def cancel_batch(self, batch: str) -> None:
        """Ask to stop a batch; what it has answered by then is kept and paid. Nothing happens where it has ended."""

    def file_exists(self, file: str) -> bool:
        """Return whether a file of this id is visible to this key."""

    def file_status(self, file: str) -> str:
        """Return the status of an uploaded file in lower case, `processed` once it can be used; empty where there is none.

        OpenAI calls the field deprecated: ask only where the dialect waits for it.
        """

    def list_files(self, after: str | None) -> FilePage:
        """Return up to 1,000 input files that follow the one called *after*, the oldest first, of all programs on the account."""

    def delete_file(self, file: str) -> None:
        """Delete the file; returns once the provider says that it is gone (2xx or 404)."""

    def download(self, file: str, target: ByteSink) -> int:
        """Write the file's content to *target* as it comes and return its bytes, checked against the announced length.

        Raises DownloadCut where fewer came; what was written to *target* is then of no use.
        """


class Providers(Protocol):
    """Opens the provider with the key as it is now."""

    def open(self) -> Provider:
        """Return the provider. Raises KeyMissing while the secret has no value that is a key."""

    @property
    def base_url(self) -> str:
        """Where it is, also while there is no key."""

    @property
    def dialects(self) -> Dialects:
        """What servers want and do, by base URL."""


class Notifications(Protocol):
    """The topic. At least once: every copy of a notification has the same deduplication id inside."""

    def publish(self, notification: Notification) -> None:
        """Publish; what SNS would refuse is refused here with ValueError."""


class Prices(Protocol):
    """What the provider's tokens cost. The first call loads the list, which takes a second: ask only where a price is needed."""

    def price_list(self, model: str, base_url: str, at: int) -> PriceList | None:
        """Return what *model* costs in a batch at the server of *base_url* on the day of *at*; None if unknown."""


class Log(Protocol):
    """Structured events: a name in the past tense and fields; never a prompt, an answer or a secret."""

    def info(self, event: str, **fields: object) -> None:
        """Record what was decided."""

    def warning(self, event: str, **fields: object) -> None:
        """Record what an operator may want to see."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that one invocation may touch, and who it is."""

    clock: Clock
    ledger: Ledger
    wakeups: Wakeups
    storage: Storage
    providers: Providers
    notifications: Notifications
    prices: Prices
    log: Log
    inbox_bucket: str
    results_bucket: str
    writer: str  # names this invocation in every row that it writes
