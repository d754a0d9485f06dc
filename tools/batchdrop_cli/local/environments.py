"""The private Python environments of the local stack: the emulator's, the Lambda runtime client's, and the layer's packages.

Rule: what is installed is exactly what a lock file names, hashes checked. Each environment has a stamp made of its
lock and of the interpreter; while the stamp holds, starting installs nothing and needs no network.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

type Install = Callable[[Path, Path], None]  # fills a folder from a lock file
type Report = Callable[[str], None]  # receives a line for the person who waits

ERROR_TAIL_CHARACTERS = 2_000  # of what pip said, shown with the error


class InstallationFailed(Exception):
    """pip could not install a lock file. The person who started the stack should read why: most often there is no network."""


@dataclass(frozen=True, slots=True)
class Environments:
    """Where the private environments are."""

    emulator_python: Path
    runtime_client: Path
    layer: Path

    @classmethod
    def below(cls, home: Path) -> Self:
        """Return the places below *home*, installed or not."""
        return cls(home / "emulator/bin/python", home / "runtime-client", home / "layer")


def prepare(home: Path, locks: Path, report: Report) -> Environments:
    """Install what is not installed yet, side by side, and return where it is.

    May be repeated, and called by several processes at once. Raises InstallationFailed.
    """
    installers = {"emulator": install_commands, "runtime-client": install_runtime_client, "layer": install_layer}
    install_stale(installers, home, locks, report)
    return Environments.below(home)


def prepare_tool(name: str, home: Path, locks: Path, report: Report) -> Path:
    """Install the commands of one lock file, if they are not, and return the folder that they are in.

    For tools whose packages cannot live beside ours, because they pin them: `sam`, `checkov`. As `prepare` otherwise.
    """
    install_stale({name: install_commands}, home, locks, report)
    return home / name / "bin"


def install_stale(installers: Mapping[str, Install], home: Path, locks: Path, report: Report) -> None:
    """Install those of *installers*, by the names of their locks, that are not there as the lock says."""
    home.mkdir(parents=True, exist_ok=True)
    with held(home / "environments.lock"):
        stale = [name for name in installers if read_stamp(home, name) != stamp_of(locks / f"{name}.txt")]
        if stale:
            report(f"Installing {', '.join(stale)} below {home} (once) …")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: refresh(home, name, locks / f"{name}.txt", installers[name]), stale))


def refresh(home: Path, name: str, lock: Path, install: Install) -> None:
    """Install one environment again; the stamp is written last, so that an interrupted installation is repeated."""
    shutil.rmtree(home / name, ignore_errors=True)
    install(home / name, lock)
    stamp_path(home, name).write_text(stamp_of(lock))


def install_commands(target: Path, lock: Path) -> None:
    """Make a virtual environment at *target*: what pins its botocore, as the emulator does, cannot live in ours."""
    run([sys.executable, "-m", "venv", "--without-pip", str(target)], lock)
    run(pip("--python", str(target / "bin/python"), "install", "-r", str(lock)), lock)


def install_runtime_client(target: Path, lock: Path) -> None:
    """Fill the folder *target*."""
    run(pip("install", "--target", str(target), "-r", str(lock)), lock)


def install_layer(target: Path, lock: Path) -> None:
    """Fill the folder *target* and compile it: a cold function that compiles boto3 and openai starts 3 times slower."""
    install_runtime_client(target, lock)
    run(
        [sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", str(target)],
        lock,
    )


def pip(*arguments: str) -> list[str]:
    """Return a pip command that installs only what the lock names."""
    head, tail = arguments[: arguments.index("install") + 1], arguments[arguments.index("install") + 1 :]
    flags = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--no-compile"]
    return [sys.executable, "-m", "pip", *head, *flags, *tail]


def run(command: list[str], lock: Path) -> None:
    """Run *command* to its end; raises InstallationFailed with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603  # ours
    if done.returncode:
        raise InstallationFailed(
            f"{lock.name} could not be installed:\n{(done.stdout + done.stderr)[-ERROR_TAIL_CHARACTERS:]}"
        )


def stamp_of(lock: Path) -> str:
    """Return the digest of all that an installation of *lock* depends on."""
    parts = (
        lock.read_bytes(),
        sys.version.encode(),
        platform.platform(terse=True).encode(),
        platform.machine().encode(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def stamp_path(home: Path, name: str) -> Path:
    """Return where the stamp of environment *name* is: beside it, for pip refuses to share its target."""
    return home / f"{name}.stamp"


def read_stamp(home: Path, name: str) -> str | None:
    """Return the stamp of an installed environment, None where there is none."""
    path = stamp_path(home, name)
    return path.read_text() if path.exists() and (home / name).is_dir() else None


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold *lock* against other processes; it is given back when this one ends, however it ends."""
    import fcntl  # noqa: PLC0415  # Windows has none, and needs none to use a deployed stack

    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
