"""Files and folders that only the one who made them may read.

Rule: nothing is ever readable by others, not even for the moment between making it and closing it.
"""

import os
import shutil
from pathlib import Path

OTHERS_NOTHING = 0o077  # the umask of what is started for one person


def private_folder(folder: Path) -> None:
    """Make *folder* again, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)


def write_private(path: Path, text: str) -> None:
    """Write the file at *path* in one step: it is there whole, or as it was."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
