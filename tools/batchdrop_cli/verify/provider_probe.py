"""What a look at a live provider needs: a few tiny requests of its own, patience, and cleaning up.

Rule: it speaks through the adapter that the deployment uses. Whatever it stores it deletes and whatever it starts it cancels,
however it ends, and it touches nothing that does not bear its own ticket.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Protocol

import httpx2

from batchdrop.core.model.batches import Accepted, Batch, CreateAnswer
from batchdrop.core.model.dialects import OPENAI, Dialect
from batchdrop.core.model.errors import NotAtProvider, ProviderError
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.planning.plan import Request
from batchdrop.core.planning.requests import request_line, sent_lines
from batchdrop.edge.openai.provider import OpenAIProvider
from batchdrop_cli.verify.request import ANSWER_TOKENS, CREATES_MAX, MODEL, REQUEST_TOKENS

ENDPOINT = "/v1/chat/completions"
CUSTOM_ID = "1"
FILE_LIFETIME_SECONDS = HOUR  # the shortest that there is, should cleaning up fail
LOOK_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0)  # between looks; the last again and again
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


class Watch(Protocol):
    """Time as the probe needs it."""

    def now(self) -> float:
        """Return seconds."""

    def sleep(self, seconds: float) -> None:
        """Return *seconds* later."""


class WallWatch:
    """The real time."""

    def now(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(slots=True)
class Probe:
    """One look at one provider. *name* begins each ticket; *patience_seconds* bounds each wait for a batch's end."""

    provider: OpenAIProvider
    wire: httpx2.Client  # for what the adapter does not read; at the base URL, with the key
    name: str
    model: str = MODEL
    patience_seconds: float = HOUR
    watch: Watch = field(default_factory=WallWatch)
    creates: int = 0
    _files: list[str] = field(default_factory=list)
    _batches: list[str] = field(default_factory=list)

    def upload(self) -> str:
        """Store an input file of one request and return its id."""
        body = {
            "model": self.model, "max_completion_tokens": ANSWER_TOKENS,
            "messages": [{"role": "user", "content": "Answer with the one word yes."}],
        }  # fmt: skip
        request = Request(CUSTOM_ID, ENDPOINT, self.model, json.dumps(body).encode(), REQUEST_TOKENS, 0)
        lines = sent_lines([request_line(int(CUSTOM_ID), request)], ENDPOINT, self.provider.dialect)
        name = f"{self._ticket()}.jsonl"
        file = self.provider.upload_input(name, BytesIO(b"".join(lines)), FILE_LIFETIME_SECONDS)
        self._files.append(file)
        if self.provider.dialect.waits_for_processed:
            self.look_until(lambda: self.provider.file_status(file) == "processed", 5 * MINUTE)
        return file

    def create(self, file: str) -> CreateAnswer:
        """Create a batch of *file*, once."""
        assert self.creates < CREATES_MAX, "the estimated cost is that of CREATES_MAX"  # noqa: S101 - our own defect, never input
        self.creates += 1
        answer = self.provider.create_batch(file=file, endpoint=ENDPOINT, metadata=self.metadata)
        if isinstance(answer, Accepted):
            self._batches.append(answer.batch.id)
        return answer

    @property
    def metadata(self) -> dict[str, str]:
        """What the last create bore."""
        return {"ticket": self._ticket(), "job": self.name, "shard": "0"}

    def _ticket(self) -> str:
        return f"{self.name}.{self.creates}"

    def look_until(self, is_seen: Callable[[], bool], seconds_max: float) -> float | None:
        """Return after how many seconds something was seen; None where it was not within *seconds_max*."""
        began = self.watch.now()
        for pause_seconds in _pauses():
            if is_seen():
                return self.watch.now() - began
            if self.watch.now() - began >= seconds_max:
                return None
            self.watch.sleep(pause_seconds)
        return None

    def wait(self, batch: str, is_reached: Callable[[Batch], bool]) -> Batch | None:
        """Return *batch* as soon as it has come so far; None where patience ended before."""
        seen: list[Batch] = []

        def look() -> bool:
            with suppress(NotAtProvider):
                seen.append(self.provider.batch(batch))
            return bool(seen) and is_reached(seen[-1])

        return seen[-1] if self.look_until(look, self.patience_seconds) is not None else None

    def listed(self) -> Iterator[Batch]:
        """Yield the batches of this probe that the list shows."""
        page = self.provider.list_batches(None)
        yield from (batch for batch in page.batches if batch.ticket.startswith(f"{self.name}."))

    def billed_tokens(self, batch: str) -> int:
        """Return the tokens that the provider says it counted; where it says nothing, none."""
        answer = self.wire.get(f"batches/{batch}").raise_for_status().json()
        usage = answer.get("usage") or {}
        return int(usage.get("total_tokens") or 0)

    def clean(self) -> list[str]:
        """Cancel what runs, delete what was stored, and return the ids of what could not be."""
        left = []
        with suppress(ProviderError):  # batches whose create was not answered; what else there is we know
            self._batches += [batch.id for batch in self.listed()]
        for batch in dict.fromkeys(self._batches):
            try:
                self._end(batch)
            except ProviderError:
                left.append(batch)
        for file in dict.fromkeys(self._files):
            try:
                self.provider.delete_file(file)
            except ProviderError:
                left.append(file)
        return left

    def _end(self, batch: str) -> None:
        found = self.provider.batch(batch)
        if found.status not in ENDED:
            self.provider.cancel_batch(batch)
        self._files += filter(None, (found.output_file, found.error_file))


def _pauses() -> Iterator[float]:
    yield from LOOK_SECONDS
    for _ in range(DAY):
        yield LOOK_SECONDS[-1]


def open_probe(
    base_url: str,
    key: str,
    *,
    name: str,
    model: str = MODEL,
    patience_seconds: float = HOUR,
    dialect: Dialect = OPENAI,
    transport: httpx2.BaseTransport | None = None,
) -> Probe:
    """Return a probe of the server at *base_url*, a server of this dialect."""
    provider = OpenAIProvider(
        key, base_url, "probe", create_timeout_seconds=Limits().create_timeout_seconds, on_refused=lambda: None,
        dialect=dialect, transport=transport,
    )  # fmt: skip
    borne: dict[str, str] = (
        {"authorization": f"Bearer {key}"} if dialect.key_header == "authorization" else {dialect.key_header: key}
    )
    wire = httpx2.Client(base_url=f"{base_url}/", headers=borne, transport=transport)
    return Probe(provider, wire, name, model, patience_seconds)
