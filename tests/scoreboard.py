"""The page `docs/scoreboard.md`: what was tried to break the promises, and what came of it.

Rule: each section is written by the command that measured it, and a command leaves the sections of the others as they are.
"""

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "scoreboard.md"
SECTIONS: Final = ("simulation", "chaos")
_PACKAGES: Final = ("batchdrop", "openai", "boto3", "obstore")


class NoSection(ValueError):
    """The page lacks the marks of a section: whoever took them away puts them back."""


def composed(page: str, section: str, body: str) -> str:
    """Return *page* with *body* as its *section*, everything else as it was. Raises NoSection."""
    before, opening, rest = page.partition(f"<!-- {section} -->\n")
    _, closing, after = rest.partition(f"<!-- /{section} -->\n")
    if not opening or not closing:
        raise NoSection(f"the page has no section {section!r}")
    return f"{before}{opening}{body.strip()}\n{closing}{after}"


def write_section(section: str, body: str, page: Path = PAGE) -> None:
    """Write *body* as *section* of the *page*."""
    page.write_text(composed(page.read_text(), section, body))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; whole numbers with a comma at the thousands."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def circumstances(command: str, seconds: float) -> str:
    """Return when, where and with what *command* ran, and for how long."""
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"`{command}` on {time.strftime('%Y-%m-%d', time.gmtime())}, {seconds / 60:.0f} minutes, at revision {_revision()}.\n"
        f"{_processor()}, {os.cpu_count()} cores, load {load} at the end; {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}; {packages}, {_emulator()}."
    )


def _revision() -> str:
    """Return the commit that was checked out, and whether anything was changed in it."""
    command = ["git", "describe", "--always", "--dirty"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  # no shell, nothing given
    return said.stdout.strip() or "unknown"


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", described.read_text()) if described.exists() else None
    return found[1].strip() if found else platform.processor() or sys.platform


def _emulator() -> str:
    """Return which emulator is locked; it lives in an environment of its own."""
    found = re.search(r"^(ministack)==(\S+)", (ROOT / "requirements" / "emulator.txt").read_text(), re.MULTILINE)
    return f"{found[1]} {found[2]}" if found else "no emulator"
