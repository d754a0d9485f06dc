"""A provider that answers every request an hour later, without a wire: for drops whose answers nobody wants to wait for.

Rule: what it does itself is timed, so that whoever measures can leave it out of the account.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from fakes.memory import FakeClock

from batchdrop.core.model.batches import Accepted, Batch, BatchPage, CreateAnswer, FilePage
from batchdrop.core.model.dialects import OPENAI, Dialect, Dialects
from batchdrop.core.planning.requests import row_of_line

RUN_SECONDS = 3_600
COPY_BYTES = 1 << 20
WRITE_LINES = 500
STRIDE = 7_919  # a prime: the answers' order is another than the rows'


@dataclass
class SinkProvider:
    """One key at one base URL, and its own providers' port."""

    clock: FakeClock
    answer_bytes: int = 400
    base_url: str = "http://sink.invalid/v1"
    dialects: Dialects = field(default_factory=Dialects)
    dialect: Dialect = OPENAI
    fingerprint: str = "sink"
    busy_seconds: float = 0.0
    calls: int = 0
    transferred_bytes: int = 0
    files: dict[str, range] = field(default_factory=dict)
    batches: dict[str, tuple[str, str, Mapping[str, str], int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the part of an answer that is always the same."""
        content = ("word " * self.answer_bytes)[: self.answer_bytes]
        message = {"role": "assistant", "content": content, "refusal": None}
        body = {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1-mini-2026",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 500, "completion_tokens": 80, "total_tokens": 580},
        }  # fmt: skip
        self._tail = json.dumps(body).encode() + b'},"error":null}\n'

    @contextmanager
    def _working(self) -> Iterator[None]:
        self.calls += 1
        began = time.process_time()
        yield
        self.busy_seconds += time.process_time() - began

    def hurried(self, left_seconds: Callable[[], float]) -> "SinkProvider":
        """Return the provider: it takes no time."""
        assert left_seconds() > 0
        return self

    def open(self) -> "SinkProvider":
        """Return the provider."""
        return self

    def upload_input(
        self, name: str, lines: BinaryIO, lifetime_seconds: int, *, answer_seconds: int = 180, total_seconds: int = 180
    ) -> str:
        """Count the lines, which are consecutive rows."""
        assert lifetime_seconds
        assert 0 < answer_seconds <= total_seconds
        with self._working():
            lines.seek(0)
            first, count = row_of_line(lines.readline()), 0
            lines.seek(0)
            while content := lines.read(COPY_BYTES):
                count += content.count(b"\n")
                self.transferred_bytes += len(content)
            file = f"file-{len(self.files)}-{name}"
            self.files[file] = range(first, first + count)
        return file

    def create_batch(self, *, file: str, endpoint: str, metadata: Mapping[str, str]) -> CreateAnswer:
        """Take the batch."""
        self.calls += 1
        batch = f"batch_{len(self.batches)}"
        self.batches[batch] = (file, endpoint, dict(metadata), self.clock.now())
        return Accepted(self._batch(batch))

    def _batch(self, batch: str) -> Batch:
        file, endpoint, metadata, created_at = self.batches[batch]
        total, is_done = len(self.files[file]), self.clock.now() >= created_at + RUN_SECONDS
        return Batch(
            batch, "completed" if is_done else "in_progress", created_at, endpoint=endpoint, input_file=file,
            output_file=f"output-{batch}" if is_done else None, total=total, completed=total if is_done else 0, failed=0,
            ended_at=created_at + RUN_SECONDS if is_done else 0, metadata=metadata,
        )  # fmt: skip

    def list_batches(self, after: str | None) -> BatchPage:
        """Return all batches, newest first."""
        assert after is None
        self.calls += 1
        return BatchPage(tuple(self._batch(batch) for batch in reversed(self.batches)), None)

    def batch(self, batch: str) -> Batch:
        """Return one batch."""
        self.calls += 1
        return self._batch(batch)

    def cancel_batch(self, batch: str) -> None:
        """Nobody cancels here."""
        raise AssertionError(batch)

    def file_status(self, file: str) -> str:
        """Refuse: what is made is there."""
        raise NotImplementedError

    def file_exists(self, file: str) -> bool:
        """Return whether the file is there."""
        self.calls += 1
        return file in self.files

    def list_files(self, after: str | None) -> FilePage:
        """Return no old files."""
        assert after is None
        self.calls += 1
        return FilePage((), None)

    def delete_file(self, file: str) -> None:
        """Keep the file: its batch is listed for ever."""
        assert file
        self.calls += 1

    def download(self, file: str, target: BinaryIO) -> int:
        """Write an answer for each request, in another order."""
        with self._working():
            rows = self.files[self.batches[file.removeprefix("output-")][0]]
            count, tail, written = len(rows), self._tail, 0
            for start in range(0, count, WRITE_LINES):
                places = range(start, min(start + WRITE_LINES, count))
                written += target.write(b"".join([self._line(rows[place * STRIDE % count], tail) for place in places]))
            self.transferred_bytes += written
        return written

    @staticmethod
    def _line(row: int, tail: bytes) -> bytes:
        return (
            b'{"id":"batch_req_%024d","custom_id":"%d","response":{"status_code":200,"request_id":"%032d","body":'
            % (row, row, row)
            + tail
        )
