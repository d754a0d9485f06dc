"""Tries what the README and the users' pages show. Run this file as a script to write the tables of settings again."""

import hashlib
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import jsonschema
import msgspec
import pytest
import yaml

from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.requests import ready_made
from batchdrop.core.planning.task import parse_task
from batchdrop.edge.settings import settings_table
from batchdrop_cli.main import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
README_LINES_MAX = 150
SETTINGS_PAGE = ROOT / "docs/settings.md"
PAGES = [
    README,
    *(
        ROOT / f"docs/{name}.md"
        for name in ("command", "cost", "notifications", "operating", "promises", "results", "settings", "tasks")
    ),
]
TEXT = "\n".join(page.read_text() for page in PAGES)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTINGS = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)
PARAMETERS = re.compile(r"(?<=<!-- parameters -->\n).*?(?=<!-- /parameters -->)", re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language, of all pages."""
    return [content for found, content in BLOCK.findall(TEXT) if found == language]


def commands(program: str) -> list[list[str]]:
    """Return the words of each line of shell that runs *program*, wherever it stands in the text."""
    lines = [line for block in blocks("sh") for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", TEXT)
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"{program} ")]


def as_click_reads(words: list[str]) -> None:
    """Parse *words* as the command would, running nothing. Raises click's UsageError."""
    context = main.make_context("batchdrop", list(words), resilient_parsing=False)
    group: click.Command = main
    rest = list(words)
    while isinstance(group, click.Group) and rest and not rest[0].startswith("-"):
        found = group.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"no command {rest[0]}")
        group, rest = found, rest[1:]
        context = group.make_context(found.name, list(rest), parent=context)


@pytest.mark.parametrize("block", blocks("yaml"))
def test_tasks_can_be_used(block: str) -> None:
    """A task that is copied from a page works."""
    task = parse_task("sentiment", block.encode())

    assert task.body.columns


@pytest.mark.parametrize("line", [line for block in blocks("jsonl") for line in block.splitlines()])
def test_ready_made_requests_can_be_sent(line: str) -> None:
    """A request that is copied from a page is taken."""
    recipe = ready_made(Limits())
    value = msgspec.json.decode(line)

    request = recipe.build(value, recipe.name(value, 1))

    assert request.model


@pytest.mark.parametrize("block", blocks("json"))
def test_samples_keep_their_schema(block: str) -> None:
    """What the pages show of items and notifications is what programs will read."""
    sample: dict[str, Any] = json.loads(block)
    name = "notification" if "event" in sample else "item"
    schema = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text())

    jsonschema.validate(sample, schema)

    assert set(sample) >= set(schema["required"])


def test_there_is_a_sample_of_each_kind() -> None:
    """The tests above look at something."""
    counts = [len(blocks(language)) for language in ("yaml", "jsonl", "json")]

    assert counts == [2, 2, 2]


@pytest.mark.parametrize("words", commands("batchdrop"), ids=" ".join)
def test_commands_exist(words: list[str]) -> None:
    """Every command and option that a page names is one."""
    as_click_reads(words)


def test_the_check_of_commands_bites() -> None:
    """A command or an option that does not exist is noticed."""
    for words in (["dorp", "x"], ["drop", "x", "--deadline", "1h"], ["results", "x", "--form", "y"]):
        with pytest.raises(click.UsageError):
            as_click_reads(words)


@pytest.mark.parametrize("words", commands("make"), ids=" ".join)
def test_targets_exist(words: list[str]) -> None:
    """Every target of make that a page names is one."""
    makefile = (ROOT / "Makefile").read_text()

    assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE)


def test_files_that_commands_name_exist() -> None:
    """Whoever types what a page shows finds the examples."""
    named = [word for words in commands("batchdrop") for word in words if word.startswith("examples/")]

    assert named
    assert all((ROOT / name).is_file() for name in named)


def anchors_of(page: Path) -> set[str]:
    """Return what can be linked to within a page, as code hosts name headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Nothing that a page links to was moved away, headings within pages included."""
    broken = []
    for target, anchor in LINK.findall(page.read_text()):
        there = page.parent / target if target else page
        is_found = there.exists() and (not anchor or anchor in anchors_of(there))
        broken += [] if is_found else [f"{target}#{anchor}"]

    assert broken == []


def test_the_readme_is_for_a_newcomer() -> None:
    """It shows the two commands first, leads to every page, and is short."""
    text = README.read_text()

    assert len(text.splitlines()) <= README_LINES_MAX
    assert blocks("sh")[0] == "make demo\nmake test\n"
    assert {str(page.relative_to(ROOT)) for page in PAGES[1:]} <= {target for target, _ in LINK.findall(text)}


def test_result_files_are_those_that_are_written() -> None:
    """The tree of results names every object that the stack writes for a person, and no other."""
    keys = Keys("job", "inbox/x.csv")
    written = [
        keys.status,
        keys.item("<name>"),
        keys.outcomes,
        keys.outcome_index,
        keys.merged("<ext>"),
        keys.failures("<ext>"),
        keys.report,
        keys.summary,
    ]

    (tree,) = blocks("")
    shown = [line.split()[0] for line in tree.splitlines()[1:]]

    assert shown == [key.removeprefix(keys.results) for key in written]


def test_what_a_release_changed_is_not_written_again() -> None:
    """New entries belong under Unreleased: the section of a release stays as it was released."""
    sections = re.split(r"^(?=## \[)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    digests = {found[3:].split("]")[0].lstrip("["): hashlib.sha256(found.encode()).hexdigest() for found in sections}

    assert sections[0].startswith("## [Unreleased]")
    assert digests["0.1.0"] == "2733add87d804fc2557c9836bb0bbde17f934aadacb3131ff2186c15d9dafb81"


def parameters_table() -> str:
    """Return the template's parameters with their defaults and meanings as a Markdown table."""
    found = re.search(r"^Parameters:\n(.*?)^\w", (ROOT / "template.yaml").read_text(), re.MULTILINE | re.DOTALL)
    parameters = yaml.safe_load(found[1]) if found else {}
    rows = [
        f"| `{name}` | {f'`{one["Default"]}`' if one.get('Default') not in (None, '') else ''} | {one['Description']} |"
        for name, one in parameters.items()
    ]
    return "\n".join(["| parameter | default | meaning |", "|---|---|---|", *rows]) + "\n"


def test_settings_are_current() -> None:
    """The tables are the code's and the template's own; `python tests/unit/test_readme.py` writes them again."""
    page = SETTINGS_PAGE.read_text()

    assert SETTINGS.findall(page) == [settings_table()]
    assert PARAMETERS.findall(page) == [parameters_table()]


def test_each_limit_has_a_meaning_of_its_own() -> None:
    """A setting is explained, not named again."""
    meanings = [limit.metadata["meaning"] for limit in fields(Limits)]

    assert len(set(meanings)) == len(meanings)
    assert not [meaning for meaning in meanings if meaning.endswith(".") or not meaning[:1].isupper()]


if __name__ == "__main__":
    page = SETTINGS.sub(lambda _: settings_table(), SETTINGS_PAGE.read_text())
    SETTINGS_PAGE.write_text(PARAMETERS.sub(lambda _: parameters_table(), page))
