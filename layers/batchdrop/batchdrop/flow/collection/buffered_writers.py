"""Writes objects of the results bucket that grow by short pieces.

Rule: pieces are held and handed over a mebibyte at a time, because each write costs the store a call; the caller flushes at
the end, and the object becomes visible when the stack of its writer ends.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from batchdrop.flow.ports import ObjectWriter, PlanStorage

_WRITE_BYTES: Final = 1 << 20


class GrowingObject:
    """One object; there is none before its first piece is handed over, or `begin`."""

    def __init__(
        self, storage: PlanStorage, key: str, objects: ExitStack, content_type: str = "application/x-ndjson"
    ) -> None:
        self._storage, self._objects, self._content_type = storage, objects, content_type
        self._writer: ObjectWriter | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.key = key
        self.size_bytes = 0  # of all pieces
        self.whole: bytes | None = b""  # what was handed over, while that is one piece

    def begin(self) -> None:
        """Let the object exist, even if nothing follows."""
        self._begun()

    def write(self, content: bytes) -> None:
        """Append *content*."""
        self._pending.append(content)
        self._grow(len(content))

    def write_all(self, pieces: Sequence[bytes]) -> None:
        """Append *pieces*."""
        self._pending += pieces
        self._grow(sum(map(len, pieces)))

    def _grow(self, size_bytes: int) -> None:
        self._pending_bytes += size_bytes
        self.size_bytes += size_bytes
        if self._pending_bytes >= _WRITE_BYTES:
            self.flush()

    def write_line(self, content: bytes) -> None:
        """Append *content* and a line end."""
        self._pending += (content, b"\n")
        self._grow(len(content) + 1)

    def flush(self) -> None:
        """Hand over what is pending."""
        if self._pending_bytes:
            self._hand_over(b"".join(self._pending))
            self._pending.clear()
            self._pending_bytes = 0

    def _hand_over(self, content: bytes) -> None:
        self.whole = content if self.whole == b"" else None
        self._begun().write(content)

    def _begun(self) -> ObjectWriter:
        if self._writer is None:
            self._writer = self._objects.enter_context(self._storage.writer(self.key, self._content_type))
        return self._writer
