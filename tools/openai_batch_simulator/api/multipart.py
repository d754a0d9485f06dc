"""Reads a multipart/form-data body as a stream.

Rule: a file part goes to its blob piece by piece; only the names and the short fields are ever in memory.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from openai_batch_simulator.blobs import Blob
from openai_batch_simulator.messages import Refusal

# Far above what the SDK sends for a part's headers or a field such as `expires_after[seconds]`, so only an attack meets it.
SHORT_BYTES_MAX = 1 << 14
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_DISPOSITION = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

type Sink = Callable[[bytes], None]


@dataclass(slots=True)
class MultipartForm:
    """The parts of a form: text by name, and files as (file name, bytes) by name."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, Blob]] = field(default_factory=dict)


def read_form(content_type: str, chunks: Iterable[bytes], new_blob: Callable[[], Blob]) -> MultipartForm:
    """Return the form in *chunks*. Raises Refusal where the body isn't a well-formed form."""
    found = _BOUNDARY.search(content_type)
    if not content_type.startswith("multipart/form-data") or found is None:
        raise Refusal(415, "Unsupported content type: expected multipart/form-data with a boundary.")
    reader = _Reader(iter(chunks))
    delimiter = b"\r\n--" + found[1].encode()
    form = MultipartForm()
    reader.discard_until(delimiter)
    while reader.take(2) == b"\r\n":
        _read_part(reader, delimiter, form, new_blob)
    return form


def _read_part(reader: "_Reader", delimiter: bytes, form: MultipartForm, new_blob: Callable[[], Blob]) -> None:
    disposition = dict(_DISPOSITION.findall(reader.short_until(b"\r\n\r\n").decode("utf-8", "replace")))
    name = disposition.get("name", "")
    if "filename" not in disposition:
        form.fields[name] = reader.short_until(delimiter).decode("utf-8", "replace")
        return
    blob = new_blob()
    reader.copy_until(delimiter, blob.append)
    form.files[name] = (disposition["filename"].replace("%22", '"'), blob)


class _Reader:
    """A buffered look at a stream of chunks; begins as if a line had just ended, so that the first boundary is found."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b"\r\n"

    def take(self, count: int) -> bytes:
        """Return the next *count* bytes."""
        while len(self._buffer) < count:
            self._pull()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def copy_until(self, delimiter: bytes, sink: Sink) -> None:
        """Give *sink* everything before *delimiter*, and skip the delimiter."""
        while (position := self._buffer.find(delimiter)) < 0:
            safe = max(0, len(self._buffer) - len(delimiter))
            sink(self._buffer[:safe])
            self._buffer = self._buffer[safe:]
            self._pull()
        sink(self._buffer[:position])
        self._buffer = self._buffer[position + len(delimiter) :]

    def discard_until(self, delimiter: bytes) -> None:
        """Skip *delimiter* and everything before it."""
        self.copy_until(delimiter, lambda _piece: None)

    def short_until(self, delimiter: bytes) -> bytes:
        """Return everything before *delimiter*, and skip the delimiter."""
        pieces = bytearray()

        def keep(piece: bytes) -> None:
            pieces.extend(piece)
            if len(pieces) > SHORT_BYTES_MAX:
                raise Refusal(413, f"A form field or its headers exceed {SHORT_BYTES_MAX} bytes.")

        self.copy_until(delimiter, keep)
        return bytes(pieces)

    def _pull(self) -> None:
        try:
            self._buffer += next(self._chunks)
        except StopIteration:
            raise Refusal(400, "The multipart body ended before its closing boundary.") from None
