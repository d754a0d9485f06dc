"""Whatever objects are called, each gets a file of its own below the folder, on Windows, macOS and Linux alike."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath
from unittest.mock import Mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchdrop_cli.jobs import file_names
from batchdrop_cli.jobs.file_names import PART_BYTES_MAX, safe_names, safe_part

INVALID_ON_WINDOWS = set('<>:"|?*\\') | {chr(code) for code in range(32)}
DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789\u00b9\u00b2\u00b3"
}


@pytest.mark.parametrize(
    "name",
    [
        "status.json",
        "items/%2E%2E.json",
        "items/a b~c.json",
        "items/...json",
        "items/ü+ß.json",
        ".hidden",
        "console",
        "a.con",
    ],
)
def test_names_that_every_system_takes_are_kept(name: str) -> None:
    """What is downloaded is called as it is in the bucket."""
    assert safe_names([name]) == {name: PurePosixPath(name)}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("../x", ".%2E/x"),
        ("a/../../x", "a/.%2E/.%2E/x"),
        ("/etc/passwd", "_/etc/passwd"),
        ("a//x", "a/_/x"),
        ("", "_"),
        ("folder/", "folder/_"),
        ("C:/Windows/x", "C%3A/Windows/x"),
        ("C:x", "C%3Ax"),
        ("a:b", "a%3Ab"),
        ("a\\..\\x", "a%5C..%5Cx"),
        ("items/CON.json", "items/%43ON.json"),
        ("aux", "%61ux"),
        ("nul .txt", "%6Eul .txt"),
        ("COM\u00b9", "%43OM\u00b9"),
        ("LPT9.a.b", "%4CPT9.a.b"),
        ("dots...", "dots..%2E"),
        ("blank ", "blank%20"),
        ("what?*.csv", "what%3F%2A.csv"),
        ("a\0\x1b[2J\x9b", "a%00%1B[2J%C2%9B"),
        ("\u202egnp.exe", "%E2%80%AEgnp.exe"),
        ("\ud800", "%ED%A0%80"),
    ],
)
def test_what_some_system_does_not_take_is_escaped(name: str, place: str) -> None:
    """Ways out of the folder, drive letters, streams, devices, ends that Windows drops, and what a terminal obeys."""
    assert str(safe_names([name])[name]) == place


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["R1.json", "r1.json", "r1~2.json"], ["R1.json", "r1~3.json", "r1~2.json"]),
        (["ü", "u\u0308", "Ü"], ["ü~3", "u\u0308", "Ü~2"]),
        (["straße", "STRASSE"], ["straße~2", "STRASSE"]),
        (["a:b", "a%3Ab"], ["a%3Ab~2", "a%3Ab"]),
        (["a", "a/b", "A/c"], ["a~2", "a/b", "A/c"]),
        (["x/renamed.json", "Renamed.json"], ["x/renamed.json", "Renamed~2.json"]),
        (["a/", "a/_"], ["a/_~2", "a/_"]),
    ],
)
def test_no_two_share_a_place(names: list[str], places: list[str]) -> None:
    """Names that differ in case, or in how an accent is written, or that became alike, are numbered; folders keep theirs."""
    found = safe_names(names, reserved=["renamed.json"])

    assert [str(found[name]) for name in names] == places


def test_a_long_name_is_cut_and_stays_distinct() -> None:
    """A name that no file system takes keeps its beginning and its ending."""
    names = ["ü" * 200 + f"{row}.json" for row in range(3)]

    places = [str(place) for place in safe_names(names).values()]

    assert len(set(places)) == len(names)
    assert all(place.startswith("üüü") and place.endswith(".json") for place in places)
    assert all(len(place.encode()) <= PART_BYTES_MAX for place in places)


NAMES = st.text(st.sampled_from("aAüU\u0308ß./\\:%~2 \0conCON\u202e\ud800x"), max_size=12) | st.text(max_size=300)


@given(st.lists(NAMES, max_size=12, unique=True))
@example(["con", "CON", "%63on", "%43ON", "con~2"])
def test_any_names_have_safe_places_of_their_own(names: list[str]) -> None:
    """Below the folder, taken by every system, and told apart by every file system."""
    places = safe_names(names, reserved=["renamed.json"])

    alike = [
        unicodedata.normalize("NFC", unicodedata.normalize("NFD", str(place)).casefold()) for place in places.values()
    ]
    assert set(places) == set(names)
    assert len(set(alike) | {"renamed.json"}) == len(names) + 1
    assert not set(alike) & {parent for one in alike for parent in map(str, PurePosixPath(one).parents)}
    for place in places.values():
        assert not PureWindowsPath(place).is_absolute()
        assert not PureWindowsPath(place).drive
        for part in place.parts:
            assert part.encode()
            assert part not in {"", ".", ".."}
            assert part[-1] not in ". "
            assert not set(part) & INVALID_ON_WINDOWS
            assert part.partition(".")[0].rstrip().lower() not in DEVICES
            assert len(part.encode()) <= PART_BYTES_MAX


@given(st.text(max_size=300))
def test_a_safe_name_is_left_alone(part: str) -> None:
    """What was made safe once is safe: a folder that was downloaded and uploaded again keeps its names."""
    assert safe_part(safe_part(part)) == safe_part(part)


def test_many_alike_are_numbered_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten thousand names that are one to some file system each is numbered once: nobody makes a download quadratic."""
    names = [f"{number:b}".replace("0", "a").replace("1", "A").rjust(14, "a") for number in range(10_000)]
    numbered = Mock(wraps=file_names._with_suffix)  # noqa: SLF001  # to count
    monkeypatch.setattr(file_names, "_with_suffix", numbered)

    places = safe_names(names)

    assert len(set(places.values())) == len(names)
    assert numbered.call_count < len(names)
