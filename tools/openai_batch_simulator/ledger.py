"""What really happened at the provider: the judge of 'paid once'.

Rule: written only by the simulated provider at the moment a thing happens, and never by what a client hears about it.
A line costs seven bytes here; its custom_id is read again from the input, which is kept for that.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec

from openai_batch_simulator.blobs import Blob


@dataclass(frozen=True, slots=True)
class Charge:
    """One request line that ran: whether it was charged, and whether its answer was written to a file."""

    batch_id: str
    line: int  # 1-based, in the input file
    custom_id: str
    body_digest: str
    status_code: int  # 0 where there was no HTTP answer
    charged: bool
    delivered: bool


class _Identity(msgspec.Struct):
    custom_id: str
    body: msgspec.Raw


@dataclass(slots=True, kw_only=True)
class BatchCharges:
    """The lines of one batch that ran, in the order in which they ran."""

    batch_id: str
    source: Blob
    offsets: "array[int]"
    lines: "array[int]" = field(default_factory=lambda: array("I"))
    status_codes: "array[int]" = field(default_factory=lambda: array("H"))
    marks: bytearray = field(default_factory=bytearray)
    charged: int = 0

    def note(self, line: int, status_code: int, *, charged: bool, delivered: bool) -> None:
        """Note that the 0-based *line* ran."""
        self.lines.append(line)
        self.status_codes.append(status_code)
        self.marks.append(charged | delivered << 1)
        self.charged += charged

    def charges(self) -> Iterator[Charge]:
        """Yield what is noted, in the order in which it happened."""
        decode = msgspec.json.Decoder(_Identity).decode
        with self.source.open() as source:
            for line, status_code, mark in zip(self.lines, self.status_codes, self.marks, strict=True):
                source.seek(self.offsets[line])
                found = decode(source.read(self.offsets[line + 1] - self.offsets[line]))
                digest = blake2b(found.body, digest_size=8).hexdigest()
                charged, delivered = bool(mark & 1), bool(mark & 2)
                yield Charge(self.batch_id, line + 1, found.custom_id, digest, status_code, charged, delivered)


class Ledger:
    """What was charged in each batch, and how often each operation was called."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.by_batch: dict[str, BatchCharges] = {}

    def open_batch(self, batch_id: str, source: Blob, offsets: "array[int]") -> BatchCharges:
        """Return an empty record of charges for the batch, which is about to run."""
        self.by_batch[batch_id] = BatchCharges(batch_id=batch_id, source=source, offsets=offsets)
        return self.by_batch[batch_id]

    def charges(self) -> Iterator[Charge]:
        """Yield every line that ran, batch by batch."""
        for batch in self.by_batch.values():
            yield from batch.charges()

    def charged_more_than_once(self) -> dict[tuple[str, str], list[str]]:
        """Return the batches in which a request was charged, for each (custom_id, digest of the body) paid repeatedly."""
        batches: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for charge in self.charges():
            if charge.charged:
                batches[charge.custom_id, charge.body_digest].append(charge.batch_id)
        return {request: found for request, found in batches.items() if len(found) > 1}
