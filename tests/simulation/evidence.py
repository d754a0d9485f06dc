"""What really happened, read from the outside: the provider's batches, files and charges; the buckets; the topic.

Rule: nothing here is read from our own ledger. Who asked for what is told by the tickets that travelled and by the files
that the provider holds.
"""

import hashlib
import json
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simulation.installation import Installation

from batchdrop.core.model.keys import Keys, Upload
from batchdrop.flow.ports import Notification
from openai_batch_simulator.account.batches import TERMINAL, Batch, Status
from openai_batch_simulator.blobs import Blob

_END_EVENTS = frozenset({"completed", "completed_with_failures", "rejected", "cancelled", "failed"})

type Item = tuple[str, int]  # job and row
type Document = Mapping[str, Any]  # JSON

_RETRYABLE_STATUSES = frozenset({0, 408, 409, 429, 500, 502, 503, 504})
_RETRYABLE_CODES = frozenset({"batch_expired", "batch_cancelled", "request_timeout"})


@dataclass(frozen=True, slots=True)
class Sent:
    """One batch of ours, as the provider knows it."""

    batch: Batch
    job: str
    shard: int
    attempt: int
    ticket: str
    lines: Mapping[int, Document]  # the requests of its input file, by row

    @property
    def ended_at(self) -> float | None:
        """When it ended; None while it has not."""
        return max(self.batch.entered_at.values()) if self.batch.status in TERMINAL else None


@dataclass(frozen=True, slots=True)
class Answered:
    """One line of an output or error file."""

    row: int
    line: Document
    is_success: bool
    is_retryable: bool


class Evidence:
    """Everything that the judges look at, read once at the end."""

    def __init__(self, here: Installation) -> None:
        self.here = here
        world = here.simulator.account
        self.sent = [sent for batch in world.batches.values() if (sent := _sent(here, batch)) is not None]
        self.answers = {sent.batch.id: list(_answers(here, sent.batch)) for sent in self.sent}
        self.charged: Counter[Item] = Counter()  # billed
        self.delivered: defaultdict[Item, list[Sent]] = defaultdict(
            list
        )  # billed, and the answer was written to a file
        self.retryable: Counter[Item] = Counter()  # failures after which an item may be sent again
        by_id = {sent.batch.id: sent for sent in self.sent}
        for charge in here.simulator.ledger.charges():
            sent = by_id[charge.batch_id]
            item = (sent.job, int(charge.custom_id))
            self.charged[item] += charge.charged
            if charge.charged and charge.delivered:
                self.delivered[item].append(sent)
        for sent in self.sent:
            for answer in self.answers[sent.batch.id]:
                self.retryable[sent.job, answer.row] += answer.is_retryable

    def object(self, key: str) -> bytes | None:
        """Return an object of the results bucket."""
        return self.here.storage.objects.get(key)

    def results(self, upload: Upload) -> "ResultsOf":
        """Return what lies in the bucket about *upload*."""
        return ResultsOf(self.here, Keys(upload.job_id, upload.key))

    def notifications(self, job: str) -> list[Document]:
        """Return every notification that ends *job*, in the order in which they were published."""
        notifications = self.here.notifications.published
        return [
            json.loads(notification.json)
            for notification in notifications
            if notification.attributes.get("job") == job and is_end(notification)
        ]


def is_end(notification: Notification) -> bool:
    """Whether *notification* ends a job."""
    return notification.attributes["event"] in _END_EVENTS


class ResultsOf:
    """The results of one job, as a person finds them."""

    def __init__(self, here: Installation, keys: Keys) -> None:
        self._objects, self.keys = here.storage.objects, keys

    @property
    def summary(self) -> Document | None:
        """The summary."""
        content = self._objects.get(self.keys.summary)
        return None if content is None else json.loads(content)

    @property
    def outcome_lines(self) -> list[bytes]:
        """The lines of `outcomes.jsonl`."""
        return self._objects.get(self.keys.outcomes, b"").splitlines()

    @property
    def item_objects(self) -> Mapping[str, bytes]:
        """The items' objects by their names."""
        prefix = f"{self.keys.results}items/"
        return {
            key.removeprefix(prefix).removesuffix(".json"): content
            for key, content in self._objects.items()
            if key.startswith(prefix)
        }

    @property
    def indexed_names(self) -> set[str]:
        """The names that the index leads to, each of them in the line that it leads to."""
        lines = self._objects.get(self.keys.outcomes, b"")
        names = set()
        for digest, offset, length in struct.iter_unpack(">8sQI", self._objects.get(self.keys.outcome_index, b"")):
            name = json.loads(lines[offset : offset + length])["name"]
            if hashlib.sha256(name.encode()).digest()[:8] == digest:
                names.add(name)
        return names

    def file(self, name: str) -> bytes | None:
        """Return one of the results' files."""
        return self._objects.get(f"{self.keys.results}{name}")


def _sent(here: Installation, batch: Batch) -> Sent | None:
    ticket = (batch.metadata or {}).get("ticket", "")
    if not ticket:
        return None
    _, job, shard, attempt, _ = ticket.rsplit(".", 4)
    file = here.simulator.account.files.by_id.get(batch.input_file_id)
    lines = {} if file is None else {int(line["custom_id"]): line for line in _documents(file.content)}
    return Sent(batch, job, int(shard), int(attempt), ticket, lines)


def _answers(here: Installation, batch: Batch) -> Iterator[Answered]:
    for file_id in (batch.output_file_id, batch.error_file_id):
        file = here.simulator.account.files.by_id.get(file_id or "")
        for line in _documents(file.content) if file else ():
            if not line["custom_id"].isdecimal():
                continue
            response, error = line.get("response") or {}, line.get("error") or {}
            status = response.get("status_code", 0)
            is_success = not error and 200 <= status < 300
            is_retryable = error.get("code") in _RETRYABLE_CODES if error else status in _RETRYABLE_STATUSES
            yield Answered(int(line["custom_id"]), line, is_success, is_retryable)


def _documents(blob: Blob) -> list[Document]:
    with blob.open() as stream:
        return [json.loads(line) for line in stream if line.strip()]


def did_fail(sent: Sent) -> bool:
    """Whether the batch never ran."""
    return sent.batch.status is Status.FAILED
