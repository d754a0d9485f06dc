"""Which release this is: said the same wherever it is said, and what belongs to a release is there."""

import re
import tomllib
from pathlib import Path

import pytest

from batchdrop import __version__
from batchdrop_cli.doctor.checks import check_release
from batchdrop_cli.local.template import parse
from batchdrop_cli.stack import Site

ROOT = Path(__file__).parents[3]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
RELEASES = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", CHANGELOG, re.MULTILINE)


def site(outputs: dict[str, str]) -> Site:
    """Return a stack with these outputs."""
    return Site({}, outputs, {}, is_local=False)


def test_the_release_is_the_same_everywhere() -> None:
    """The package, its metadata and the stack's output."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    output = parse((ROOT / "template.yaml").read_text())["Outputs"]["Release"]["Value"]

    assert __version__ == project == output


def test_what_is_not_released_yet_is_newer_than_what_is() -> None:
    """Between two releases the version is the next one's, with `.dev0`."""
    next_release = tuple(map(int, __version__.removesuffix(".dev0").split(".")))

    assert [tuple(map(int, release.split("."))) for release in RELEASES] == sorted(
        (tuple(map(int, release.split("."))) for release in RELEASES), reverse=True
    )
    assert next_release > tuple(map(int, RELEASES[0].split("."))) or __version__ == RELEASES[0]


@pytest.mark.parametrize("release", RELEASES)
def test_each_release_is_frozen(release: str) -> None:
    """Its worlds, its table, its rows and the names of its template, so that later code meets them."""
    folder = ROOT / "tests" / "simulation" / "releases" / release

    assert len(list(folder.glob("*.json"))) >= 50
    assert (folder / "table" / "items.json").is_file()
    assert (folder / "ledger_rows.py").is_file()
    assert (Path(__file__).parent / "released" / f"{release}.json").is_file()


@pytest.mark.parametrize(
    ("outputs", "seen", "is_well"),
    [
        ({"Release": __version__}, f"{__version__}, as this command", True),
        ({"Release": "9.9.9"}, f"the stack is of 9.9.9, this command of {__version__}", False),
        ({}, f"the stack is of 0.1.0, this command of {__version__}", False),
    ],
)
def test_doctor_says_which_release_is_deployed(outputs: dict[str, str], seen: str, *, is_well: bool) -> None:
    """A command of another release may misread what the stack says."""
    found = check_release(site(outputs))

    assert found.seen == seen
    assert bool(found.advice) is not is_well
    if not is_well:
        assert "docs/upgrading.md" in found.advice
