"""Looks at a built layer before it is deployed: are its libraries for the processor that the functions will have?

Rule: what was built is asked, not what built it. A library of another processor is found by no test of the code and fails
every function at its first import.
"""

from pathlib import Path
from typing import Final

from batchdrop_cli.failures import CommandFailed

# e_machine of the ELF header: two bytes at 18, little end first on both processors (elf(5); EM_AARCH64, EM_X86_64).
MACHINES: Final = {"arm64": 183, "x86_64": 62}
MAGIC, MACHINE_START, MACHINE_END = b"\x7fELF", 18, 20


def machine_of(library: Path) -> int | None:
    """Return the processor that *library* is compiled for, as ELF numbers them; None for any other file."""
    with library.open("rb") as file:
        head = file.read(MACHINE_END)
    if len(head) < MACHINE_END or not head.startswith(MAGIC):
        return None
    return int.from_bytes(head[MACHINE_START:MACHINE_END], "little")


def check_layer(layer: Path, architecture: str) -> int:
    """Return how many libraries the built *layer* has. Raises CommandFailed unless all are for *architecture*."""
    libraries = sorted(layer.rglob("*.so"))
    if not libraries:
        raise CommandFailed(
            f"The layer in {layer} has no compiled library, so it was not built whole. Nothing was deployed."
        )
    wrong = next((library for library in libraries if machine_of(library) != MACHINES[architecture]), None)
    if wrong is not None:
        found = next((name for name, number in MACHINES.items() if number == machine_of(wrong)), "another processor")
        raise CommandFailed(
            f"The layer in {layer} is for {found}, and the functions will have {architecture}"
            f" ({wrong.relative_to(layer)}). Nothing was deployed."
        )
    return len(libraries)
