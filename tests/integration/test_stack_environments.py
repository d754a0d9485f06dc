"""The private environments of the local stack: installed once, exactly, or not at all."""

import os
from pathlib import Path

import pytest

from batchdrop_cli.local.environments import InstallationFailed, prepare
from batchdrop_cli.local.stack import REPOSITORY

NAMES = ("emulator", "runtime-client", "layer")


def test_second_start_installs_nothing(environments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once installed, the private environments are taken as they are: no network is needed."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    home = REPOSITORY / ".local"
    said: list[str] = []
    stamps = {name: (home / f"{name}.stamp").stat().st_mtime_ns for name in NAMES}

    again = prepare(home, REPOSITORY / "requirements", said.append)

    assert again == environments
    assert said == []
    # Others may be installed meanwhile: the SAM CLI by a test of the deployment.
    assert stamps == {name: (home / f"{name}.stamp").stat().st_mtime_ns for name in NAMES}


def test_failed_installation_is_told_and_never_taken_for_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the person reads what could not be installed; no stamp is left, so the next start tries again."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    home, locks = tmp_path / "home", tmp_path / "locks"
    locks.mkdir()
    for name in NAMES:
        (locks / f"{name}.txt").write_text(f"nowhere-to-be-found==1.0 --hash=sha256:{'0' * 64}\n")
    said: list[str] = []

    with pytest.raises(InstallationFailed, match="nowhere-to-be-found"):
        prepare(home, locks, said.append)

    assert said == [f"Installing emulator, runtime-client, layer below {home} (once) …"]
    assert list(home.glob("*.stamp")) == []
