"""Checks the pages for contributors against the code: paths, names, states and chapters.

`python tests/unit/test_architecture.py` generates the parts of `docs/architecture.md` that come from the code.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from batchdrop.core.delivery import job_lifecycle
from batchdrop.core.model.job import JobState
from batchdrop.core.model.shard import ShardState
from batchdrop.core.submission import shard_lifecycle

ROOT: Final = Path(__file__).parents[2]
LAYER: Final = ROOT / "layers/batchdrop/batchdrop"
ARCHITECTURE: Final = ROOT / "docs/architecture.md"
GLOSSARY: Final = ROOT / "docs/glossary.md"
CONTRIBUTING: Final = ROOT / "CONTRIBUTING.md"
TESTS: Final = ROOT / "tests/README.md"
PAGES: Final = (ARCHITECTURE, GLOSSARY, CONTRIBUTING, TESTS)
# In the order in which an upload meets them; `model` is what all of them share.
CHAPTERS: Final = (
    "model", "planning", "admission", "submission", "collection", "delivery", "notification", "operations",
)  # fmt: skip

LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)")
OURS = re.compile(
    r"`((?:core|flow|edge|formats|layers|functions|tools|tests|docs|benchmarks|unit|integration|fakes)/[\w./-]+)`"
)
LINKED_NAME = re.compile(r"\[`(\w+)`\]\(([^)]+)\)")
NAMED = re.compile(r"`([\w/]+\.py)`: `(\w+)`")
QUOTED = re.compile(r"^```py\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

type Edges[S: StrEnum] = Mapping[S, Mapping[type, frozenset[S]]]


def cell(layer: str, chapter: str) -> str:
    """Return what *chapter* does in *layer*, with a link to its folder; nothing where the layer has no such chapter."""
    folder = LAYER / layer / chapter
    if not folder.is_dir():
        return ""
    purpose = inspect.getdoc(import_module(f"batchdrop.{layer}.{chapter}")) or ""
    return f"[{layer}/{chapter}](../{folder.relative_to(ROOT).as_posix()}): {purpose.splitlines()[0]}"


def chapters() -> str:
    """Return the table of chapters."""
    lines = ["| chapter | in `core` | in `flow` |", "|---|---|---|"]
    lines += [f"| **{chapter}** | {cell('core', chapter)} | {cell('flow', chapter)} |" for chapter in CHAPTERS]
    return "\n".join(lines) + "\n"


def meanings(states: type[StrEnum]) -> dict[str, str]:
    """Return what the comment beside each state says."""
    found = re.findall(r'(?m)^    (\w+) = "\w+"(?:  # (.*))?$', inspect.getsource(states))
    return dict(found)


def diagram[S: StrEnum](edges: Edges[S], left_out: Iterable[type] = ()) -> str:
    """Return a diagram of *edges*: an arrow from each state to each other, with the events that take it there."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, events in edges.items():
        for event, targets in events.items():
            for target in sorted(targets - {state}):
                if event not in left_out:
                    arrows.setdefault((state, target), []).append(event.__name__)
    lines = [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    direction LR", *lines, "```", ""])


def states_table[S: StrEnum](edges: Edges[S], states: type[S]) -> str:
    """Return each state of *edges*: what it means, and where each event leads from there."""
    lines = ["| state | it means | event → next state |", "|---|---|---|"]
    for state, events in edges.items():
        ways = [f"{event.__name__} → {' or '.join(sorted(targets))}" for event, targets in events.items()]
        lines.append(f"| **{state}** | {meanings(states)[state]} | {'<br>'.join(ways) or 'no event is known here'} |")
    return "\n".join(lines) + "\n"


def job_states() -> str:
    """Return the part of the page about the states of a job."""
    return f"{diagram(job_lifecycle.EDGES)}\n{states_table(job_lifecycle.EDGES, JobState)}"


def shard_states() -> str:
    """Return the part of the page about the states of a shard; the diagram leaves out what may come in any state."""
    anywhere = [
        event for event in events_of(shard_lifecycle.EDGES) if event.__name__ in {"Cancelled", "GivenUp", "Restored"}
    ]
    return f"{diagram(shard_lifecycle.EDGES, anywhere)}\n{states_table(shard_lifecycle.EDGES, ShardState)}"


def events_of[S: StrEnum](edges: Edges[S]) -> list[type]:
    """Return every event that *edges* know."""
    return list(dict.fromkeys(event for events in edges.values() for event in events))


GENERATED: Final[Mapping[str, Callable[[], str]]] = {
    "chapters": chapters,
    "job": job_states,
    "shard": shard_states,
}


def page() -> str:
    """Return `docs/architecture.md` as it is to be."""
    text = ARCHITECTURE.read_text()
    for name, part in GENERATED.items():
        marks = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        assert len(marks.findall(text)) == 1, name
        text = marks.sub(lambda _, part=part: part(), text)  # type: ignore[misc]  # the part of this round
    return text


def home_of(path: str) -> Path:
    """Return where a page's *path* is: in the layer, below `tests`, or in the repository."""
    top = path.partition("/")[0]
    if top in {"core", "flow", "edge", "formats"}:
        return LAYER / path
    return ROOT / ("tests" if top in {"unit", "integration", "fakes"} else "") / path


def test_what_is_generated_is_current() -> None:
    """The states and chapters on the page are those of the code."""
    assert ARCHITECTURE.read_text() == page()


def test_the_chapters_are_those_of_the_code() -> None:
    """A new chapter has to take its place in the order."""
    found = {path.parent.name for layer in ("core", "flow") for path in (LAYER / layer).glob("*/__init__.py")}

    assert found == set(CHAPTERS)


@pytest.mark.parametrize("states", [JobState, ShardState])
def test_every_state_says_what_it_means(states: type[StrEnum]) -> None:
    """A stranger reads the table without the code."""
    said = meanings(states)

    assert said.keys() == set(states)
    assert all(said.values())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_a_page_names_is_there(path: Path) -> None:
    """Each link and each path of ours leads somewhere."""
    text = path.read_text()
    links = [path.parent / link for link in LINK.findall(text)]
    named = [home_of(name) for name in OURS.findall(text)]

    assert links
    assert [str(found) for found in (*links, *named) if not found.exists()] == []


def test_a_path_that_leads_nowhere_is_noticed() -> None:
    """In each of the ways in which a page may name one."""
    text = "See [a](docs/b.md), `core/model/limits.py`: `Limits`, `tests/unit` and `fakes/world.py`, not `internal/<job>/`."

    assert LINK.findall(text) == ["docs/b.md"]
    assert OURS.findall(text) == ["core/model/limits.py", "tests/unit", "fakes/world.py"]
    assert NAMED.findall(text) == [("core/model/limits.py", "Limits")]
    assert not home_of("core/model/limit.py").exists()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_name_beside_a_path_is_in_that_file(path: Path) -> None:
    """A reader who opens the file finds what the page spoke of."""
    for name, symbol in NAMED.findall(path.read_text()):
        assert re.search(rf"\b{symbol}\b", home_of(name).read_text()), (name, symbol)


def test_every_name_of_the_glossary_is_in_the_file_that_it_links_to() -> None:
    """A reader who follows the link finds the name there."""
    rows = [line.split("|") for line in GLOSSARY.read_text().splitlines() if line.startswith("| **")]
    links = [link for row in rows for link in LINKED_NAME.findall(row[3])]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row[3])]

    assert len(links) == len(names) > 50
    assert [
        (name, path) for name, path in links if not re.search(rf"\b{name}\b", (GLOSSARY.parent / path).read_text())
    ] == []


def test_the_glossary_defines_a_word_once() -> None:
    """One word, one meaning."""
    words = re.findall(r"(?m)^\| \*\*(.+?)\*\* \|", GLOSSARY.read_text())

    assert len(words) == len(set(words))


def test_each_suite_is_listed_with_its_time() -> None:
    """A new folder of tests says which question it answers; every folder beside the suites says what it is for."""
    page = TESTS.read_text()
    suites = {path.parent.relative_to(TESTS.parent).parts[0] for path in TESTS.parent.rglob("test_*.py")}
    folders = {path.parent.relative_to(TESTS.parent).parts[0] for path in TESTS.parent.glob("*/*.py")}
    timed = set(re.findall(r"(?m)^\| \[(\w+)\]\(.*\| *[\d,]* \| \d+(?: min)? \|$", page))

    assert suites <= timed
    assert folders - timed == set(re.findall(r"(?m)^\| \[(\w+)\]", page)) - timed


def test_quoted_code_is_the_code() -> None:
    """An example of the style is copied from a file, and the file still has it."""
    quoted = QUOTED.findall(CONTRIBUTING.read_text())

    assert len(quoted) > 3
    for name, text in quoted:
        assert text.strip() in inspect.cleandoc(home_of(name).read_text()) or text in home_of(name).read_text(), name


if __name__ == "__main__":
    ARCHITECTURE.write_text(page())
