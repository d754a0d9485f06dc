"""Unpacks gzip, a block at a time.

Rule: nothing unpacks to more than a limit, whatever a few bytes promise.
"""

import gzip
import zlib
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, Final

from batchdrop.core.model.errors import UploadRejected

MAGIC: Final = b"\x1f\x8b"
_BLOCK_BYTES: Final = 1 << 20


def unpacked_start(start: bytes, bytes_max: int) -> bytes:
    """Return the first bytes of what *start*, the beginning of a gzip file, unpacks to. Raises UploadRejected(`broken_gzip`)."""
    try:
        return zlib.decompressobj(wbits=31).decompress(start, bytes_max)
    except zlib.error as error:
        raise _broken(error) from error


def unpacked(stream: BinaryIO, bytes_max: int) -> Iterator[bytes]:
    """Yield what the gzip file in *stream* unpacks to. Raises UploadRejected where it is broken, or too much."""
    size_bytes = 0
    try:
        with gzip.GzipFile(fileobj=stream, mode="rb") as file:
            for block in iter(partial(file.read, _BLOCK_BYTES), b""):
                size_bytes += len(block)
                if size_bytes > bytes_max:
                    message = (
                        f"the file unpacks to more than {bytes_max:,} bytes, the limit (unpacked_bytes_max); split it"
                    )
                    raise UploadRejected("unpacks_too_large", message)
                yield block
    except (EOFError, OSError, zlib.error) as error:
        raise _broken(error) from error


def blocks_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what *stream* holds, in blocks."""
    return iter(partial(stream.read, _BLOCK_BYTES), b"")


class Packer:
    """Packs what it is given as gzip: the same bytes each time, whenever it runs."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(wbits=31)

    def pack(self, content: bytes) -> bytes:
        """Return the packed bytes that are ready."""
        return self._compressor.compress(content)

    def rest(self) -> bytes:
        """Return the packed bytes that end the file."""
        return self._compressor.flush()


def _broken(error: Exception) -> UploadRejected:
    return UploadRejected("broken_gzip", f"the file is packed with gzip and cannot be unpacked: {error}; pack it again")
