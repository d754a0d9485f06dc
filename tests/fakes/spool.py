"""Both buckets on disk, for drops that memory would not hold: uploads may be made as they are read, results are thrown away.

Rule: requests are counted as the edge makes them: a GET for each block of a long read, parts for a long write. What a person
reads is counted, and only what the flows read again is kept.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from fakes.metered import Counts

from batchdrop.core.model.errors import NotYet
from batchdrop.core.model.keys import INTERNAL_PREFIX, Upload
from batchdrop.core.operations.missed_uploads import InboxPage
from batchdrop.edge.aws.s3 import BLOCK_BYTES, PART_BYTES, READ_BUFFER_BYTES, SMALL_PUTS_IN_FLIGHT

KEPT_NAMES = ("summary.json", "status.json")


class Source(Protocol):
    """What an upload holds."""

    size_bytes: int

    def read(self, start: int, size_bytes: int) -> bytes:
        """Return so many bytes from *start* on, fewer at the end."""


class Table:
    """A CSV of *rows* rows of 2,000 bytes each, made when it is read."""

    HEADER = b"review_id,stars,review\n"
    ROW_BYTES = 2_000
    SENTENCE = (
        b"It arrived on a Tuesday, in a box that was far too large; the handle is loose and the lid does not close. "
    )

    def __init__(self, rows: int) -> None:
        self.size_bytes = len(self.HEADER) + rows * self.ROW_BYTES
        start = b'R-000000000,3,"'
        self._tail = (self.SENTENCE * 30)[: self.ROW_BYTES - len(start) - 2] + b'"\n'

    def read(self, start: int, size_bytes: int) -> bytes:
        """Return so many bytes from *start* on, fewer at the end."""
        end = min(start + size_bytes, self.size_bytes)
        if start < len(self.HEADER):
            return self.HEADER[start:] + self.read(len(self.HEADER), end - len(self.HEADER)) if end > start else b""
        first, skipped = divmod(start - len(self.HEADER), self.ROW_BYTES)
        last = (end - len(self.HEADER) - 1) // self.ROW_BYTES
        tail = self._tail
        rows = b"".join([b'R-%09d,3,"%b' % (row + 1, tail) for row in range(first, last + 1)])
        return rows[skipped : skipped + end - start]


class Content:
    """An upload that is there whole."""

    def __init__(self, content: bytes) -> None:
        self.size_bytes = len(content)
        self._content = content

    def read(self, start: int, size_bytes: int) -> bytes:
        """Return so many bytes from *start* on, fewer at the end."""
        return self._content[start : start + size_bytes]


class _Blocks(io.RawIOBase):
    """A long read: a request a block."""

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        size_bytes: int,
        start: int,
        count: Callable[[str], None],
        end: ExitStack,
    ) -> None:
        self._read, self._size_bytes, self._position, self._count = read, size_bytes, start, count
        self._block = memoryview(b"")
        self._end = end

    def close(self) -> None:
        """Close what is read from."""
        self._end.close()
        super().close()

    def readable(self) -> bool:
        """Whether this can be read: always."""
        return True

    def readinto(self, target: bytearray) -> int:  # type: ignore[override]  # any buffer will do
        """Fill *target* from the current block."""
        if not self._block and self._position < self._size_bytes:
            self._count("GET")
            self._block = memoryview(self._read(self._position, BLOCK_BYTES))
            self._position += len(self._block)
        size_bytes = min(len(target), len(self._block))
        target[:size_bytes] = self._block[:size_bytes]
        self._block = self._block[size_bytes:]
        return size_bytes


@dataclass
class SpoolStorage:
    """Both buckets; *folder* holds what is read again. Counts PUT, GET and LIST, and the bytes that stay, by folder."""

    folder: Path
    counts: Counts = field(default_factory=Counter)
    stored_bytes: Counts = field(default_factory=Counter)
    inbox_bucket: str = "inbox"
    uploads: dict[str, Source] = field(default_factory=dict)
    tasks: dict[str, bytes] = field(default_factory=dict)
    put_at: int = 0
    waits: Callable[[float], object] = lambda _requests: None  # told how many requests followed one another

    def _count(self, kind: str, number: int = 1) -> None:
        self.counts[kind] += number
        self.waits(number)

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()

    def open_upload(self, upload: Upload, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open this version."""
        self._count("GET")
        source = self.uploads[upload.key]
        return self._reader(_Blocks(source.read, source.size_bytes, start, self._count, ExitStack()))

    @staticmethod
    def _reader(blocks: _Blocks) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(blocks, READ_BUFFER_BYTES))

    def upload_size_bytes(self, upload: Upload) -> int:
        """Return the size of this version."""
        self._count("GET")
        return self.uploads[upload.key].size_bytes

    def upload_modified_at(self, upload: Upload) -> int:
        """Return when this version was put."""
        assert upload.key in self.uploads
        self._count("GET")
        return self.put_at

    def list_inbox(self, after: str, version: str = "") -> InboxPage:
        """Return nothing that was missed."""
        assert not after + version
        self._count("LIST")
        return InboxPage((), "")

    def task(self, name: str) -> bytes | None:
        """Return the task file's content."""
        self._count("GET")
        return self.tasks.get(name)

    def task_names(self) -> list[str] | None:
        """Return the names of the tasks."""
        self._count("LIST")
        return sorted(self.tasks)

    def read(self, key: str) -> bytes | None:
        """Return an object whole."""
        self._count("GET")
        return self._path(key).read_bytes() if self._path(key).exists() else None

    def open(self, key: str, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open an object."""
        size_bytes = self.size_bytes(key)
        if size_bytes is None:
            raise NotYet(key)
        end = ExitStack()
        stream = end.enter_context(self._path(key).open("rb", buffering=0))

        def read(start: int, size_bytes: int) -> bytes:
            stream.seek(start)
            return stream.read(size_bytes)

        return self._reader(_Blocks(read, size_bytes, start, self._count, end))

    def size_bytes(self, key: str) -> int | None:
        """Return an object's size."""
        self._count("GET")
        return self._path(key).stat().st_size if self._path(key).exists() else None

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        """Write an object."""
        del content_type
        self._count("PUT")
        self._stored(key, len(content))
        if self._is_kept(key):
            self._path(key).write_bytes(content)

    def put_many(self, objects: Iterable[tuple[str, bytes]]) -> int:
        """Take the item objects and throw them away."""
        count = 0
        for key, content in objects:
            count += 1
            self._stored(key, len(content))
        self.counts["PUT"] += count
        self.waits(count / SMALL_PUTS_IN_FLIGHT)
        return count

    @contextmanager
    def open_ranges(self, key: str) -> Iterator["_Ranges"]:
        """Open an object for reading parts of it."""
        if self.size_bytes(key) is None:
            raise NotYet(key)
        with self._path(key).open("rb", buffering=0) as stream:
            yield _Ranges(stream, self._count)

    @contextmanager
    def writer(self, key: str, content_type: str = "application/x-ndjson") -> Iterator["_Parts"]:
        """Write an object piece by piece."""
        del content_type
        parts = _Parts(self._path(key) if self._is_kept(key) else None)
        try:
            yield parts
        finally:
            parts.close()
        number = ceil(parts.size_bytes / PART_BYTES)
        self._count("PUT", number + 2 if number > 1 else 1)
        self._stored(key, parts.size_bytes)

    @staticmethod
    def _is_kept(key: str) -> bool:
        return key.startswith(INTERNAL_PREFIX) or key.endswith(KEPT_NAMES)

    def _stored(self, key: str, size_bytes: int) -> None:
        self.stored_bytes[key.partition("/")[0]] += size_bytes


@dataclass(frozen=True)
class _Ranges:
    """Parts of an object on disk, a request each."""

    stream: io.FileIO
    count: Callable[[str], None]

    def read(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes at each place."""
        read = []
        for start, size_bytes in places:
            self.count("GET")
            self.stream.seek(start)
            read.append(self.stream.read(size_bytes))
            assert len(read[-1]) == size_bytes
        return read


class _Parts:
    """An object under construction."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("wb") if path else None
        self.size_bytes = 0

    def write(self, content: bytes) -> int:
        """Append *content*."""
        self.size_bytes += len(content)
        if self._file:
            self._file.write(content)
        return len(content)

    def close(self) -> None:
        """Let the file be whole."""
        if self._file:
            self._file.close()
