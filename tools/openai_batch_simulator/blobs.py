"""The bytes of files: small ones in memory, larger ones on disk.

Rule: no file that is larger than `MEMORY_BYTES_MAX` is ever held in memory, and no file handle outlives a call,
because a thousand batches that run at once would otherwise exhaust the handles of a process.
"""

import io
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# A drop of a few lines never touches the disk; ten thousand such files take 640 MB at the very most.
MEMORY_BYTES_MAX = 1 << 16
CHUNK_BYTES = 1 << 18


class Blobs:
    """Makes blobs; their files share one folder, which is removed with this object."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._made = 0

    def new(self) -> "Blob":
        """Return an empty blob."""
        return Blob(self)

    def path(self) -> Path:
        """Return the path of a new file."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="openai-batch-simulator-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._made += 1
        return self._folder / str(self._made)


class Blob:
    """Bytes that are appended, then read any number of times."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._memory = bytearray()
        self._path: Path | None = None
        self.size_bytes = 0

    def append(self, piece: bytes | bytearray | memoryview) -> None:
        """Add *piece* at the end; cheap for large pieces, a file is opened each time."""
        self.size_bytes += len(piece)
        if self._path is None and self.size_bytes <= MEMORY_BYTES_MAX:
            self._memory += piece
            return
        if self._path is None:
            self._path = self._blobs.path()
        with self._path.open("ab") as target:
            target.write(self._memory)
            target.write(piece)
        self._memory = bytearray()

    def open(self) -> BinaryIO:
        """Return a reader at the first byte; the caller closes it."""
        return io.BytesIO(self._memory) if self._path is None else self._path.open("rb")

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes in pieces of at most `CHUNK_BYTES`."""
        with self.open() as source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk

    def drop_last_byte(self) -> None:
        """Remove the last byte, if there is one."""
        self.size_bytes = max(0, self.size_bytes - 1)
        if self._path is None:
            del self._memory[self.size_bytes :]
        else:
            with self._path.open("r+b") as target:
                target.truncate(self.size_bytes)
