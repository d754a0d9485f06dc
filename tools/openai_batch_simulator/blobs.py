"""The bytes of files: small ones in memory, larger ones on disk.

Rule: no file that is larger than `MEMORY_BYTES_MAX` is ever held in memory, and no file handle outlives a call,
because a thousand batches that run at once would otherwise exhaust the handles of a process. A full disk is said in words.
"""

import errno
import io
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from openai_batch_simulator.messages import Refusal

# A drop of a few lines never touches the disk; ten thousand such files take 640 MB at the very most.
MEMORY_BYTES_MAX = 1 << 16
CHUNK_BYTES = 1 << 18
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskFullError(Refusal):
    """There is no space left for the simulator's files: the message is for the person who runs it, and the client sees it too."""

    def __init__(self) -> None:
        folder = tempfile.gettempdir()
        message = f"No space is left for the simulator's files in {folder}. Free some, or set TMPDIR to another disk."
        super().__init__(507, message, kind="server_error", code="insufficient_storage")


@contextmanager
def told_of_full_disk() -> Iterator[None]:
    """Raise DiskFullError where the disk has no space left."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise DiskFullError from error


class Blobs:
    """Makes blobs; their files share one folder, which is removed with this object, and each file with its blob."""

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
        """Add *piece* at the end; cheap for large pieces, a file is opened each time.

        Raises DiskFullError where there is no space for it; then nothing of it was added.
        """
        if self._path is None and self.size_bytes + len(piece) <= MEMORY_BYTES_MAX:
            self._memory += piece
            self.size_bytes += len(piece)
            return
        with told_of_full_disk():
            self._write(self._on_disk(), piece)
        self._memory = bytearray()
        self.size_bytes += len(piece)

    def _on_disk(self) -> Path:
        """Return the path of this blob's file."""
        if self._path is None:
            path = self._blobs.path()
            weakref.finalize(self, path.unlink, missing_ok=True)
            self._path = path
        return self._path

    def _write(self, path: Path, piece: bytes | bytearray | memoryview) -> None:
        """Write what is in memory and *piece* behind what the file has."""
        try:
            with path.open("ab") as target:
                target.write(self._memory)
                target.write(piece)
        except OSError:
            with suppress(OSError):
                os.truncate(path, self.size_bytes - len(self._memory))
            raise

    def open(self) -> BinaryIO:
        """Return a reader at the first byte; the caller closes it."""
        return self._path.open("rb") if self._path and not self._memory else io.BytesIO(self._memory)

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes in pieces of at most `CHUNK_BYTES`."""
        with self.open() as source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk

    def drop_last_byte(self) -> None:
        """Remove the last byte, if there is one."""
        self.size_bytes = max(0, self.size_bytes - 1)
        if self._path and not self._memory:
            os.truncate(self._path, self.size_bytes)
        else:
            del self._memory[self.size_bytes :]
