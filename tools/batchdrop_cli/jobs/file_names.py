"""Names for files on a person's machine, made of what objects are called.

Rule: pure, and the same on every system, so that a folder of results may be handed on. Every object gets a name of its own
that Windows, macOS and Linux take; a name that all of them take as it is stays as it is. Sources: Windows
(https://learn.microsoft.com/windows/win32/fileio/naming-a-file, 2026-11-30); macOS and Windows tell neither upper from
lower case nor one way from another to write the same letters.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import PurePosixPath
from typing import Final

# Linux counts bytes, the others characters or pairs of bytes: no more of any.
PART_BYTES_MAX: Final = 255

_DIGEST_CHARS: Final = 8
_EXTENSION_CHARS_MAX: Final = 20
_WITHOUT_NAME: Final = "_"
# Control characters, what changes the direction of writing, line ends, and what has no code of its own.
_UNSAFE_CHARS: Final = re.compile(
    r'[<>:"|?*\\/\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]'
)
_DEVICES: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])( *(\.|$))", re.IGNORECASE
)


def safe_names(names: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, PurePosixPath]:
    """Return where to write each of *names*, of objects with slashes, below one folder; nothing is written at *reserved*.

    Two never share a place, nor is one the folder of another, on a file system that does not tell their letters apart.
    """
    places = {name: PurePosixPath(*map(safe_part, name.split("/"))) for name in names}
    folders = {_alike(parent) for place in places.values() for parent in place.parents}
    taken = folders | {_alike(PurePosixPath(name)) for name in reserved}
    who_keeps_its_name_first = sorted(places, key=lambda name: (str(places[name]) != name, name))
    second = [name for name in who_keeps_its_name_first if _is_taken(taken, places[name])]
    numbers: dict[str, Iterator[int]] = {}
    for name in second:
        first = places[name]
        numbered = numbers.setdefault(_alike(first), count(2))
        while _is_taken(taken, places[name]):
            places[name] = first.with_name(_with_suffix(first.name, f"~{next(numbered)}"))
    return places


def _is_taken(taken: set[str], place: PurePosixPath) -> bool:
    """Return whether *place* is among those that are *taken*; if not, it is from now on."""
    alike = _alike(place)
    if alike in taken:
        return True
    taken.add(alike)
    return False


def safe_part(part: str) -> str:
    """Return *part* of a name, between slashes, as every system takes it: what is not safe is escaped as in an address."""
    safe = _UNSAFE_CHARS.sub(lambda found: _escaped(found[0]), part)
    if safe[-1:] in {".", " "}:
        safe = safe[:-1] + _escaped(safe[-1])
    if _DEVICES.match(safe):
        safe = _escaped(safe[0]) + safe[1:]
    if len(safe.encode()) > PART_BYTES_MAX:
        digest = sha256(part.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_CHARS]
        safe = _with_suffix(safe, f"~{digest}")
    return safe or _WITHOUT_NAME


def _with_suffix(name: str, suffix: str) -> str:
    """Return *name* with *suffix* before its extension, the rest cut so that it is not too long."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > _EXTENSION_CHARS_MAX:
        stem, dot, extension = name, "", ""
    quota = PART_BYTES_MAX - len(f"{suffix}{dot}{extension}".encode())
    return stem.encode()[:quota].decode(errors="ignore") + suffix + dot + extension


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode(errors="surrogatepass"))


def _alike(place: PurePosixPath) -> str:
    """Return what two places have in common that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", str(place)).casefold())
