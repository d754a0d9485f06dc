"""Checks what a key in a bucket may look like.

Rule: a key that one store would refuse, and another would bend to something else in silence, is refused here, by every store.
"""

import re

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html (2026-11-22).
KEY_BYTES_MAX = 1_024

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_NAMES = frozenset({"", ".", ".."})


def is_key_usable(key: str) -> bool:
    """Whether *key* names exactly one object in every store.

    It is neither empty nor over 1,024 bytes, has no control character, and none of its segments is empty, `.` or `..`
    (object_store, which carries our reads and writes, refuses these or strips a last slash).
    """
    return (
        0 < len(key.encode()) <= KEY_BYTES_MAX
        and (key.isprintable() or not _CONTROL.search(key))
        and _NO_NAMES.isdisjoint(key.split("/"))
    )


def checked_key(key: str) -> str:
    """Return *key*; raises ValueError, which is a bug of ours, where it is not usable."""
    if not is_key_usable(key):
        raise ValueError(f"{key[:200]!r} cannot be the key of an object")
    return key
