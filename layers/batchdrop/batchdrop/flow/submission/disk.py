"""Distinguishes a full disk from a broken one.

Rule: what is kept on disk is a copy. What can do without it does, and what cannot says so in words.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from batchdrop.core.model.errors import DiskFull

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_disk_full(error: OSError) -> bool:
    """Whether *error* says that no space is left."""
    return error.errno in _NO_SPACE


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Raise DiskFull where no space is left."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFull("no space is left in the function's /tmp") from error
