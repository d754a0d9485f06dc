"""What the README shows is tried here. Run this file as a script to write the settings table anew."""

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import jsonschema
import msgspec
import pytest

from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.requests import ready_made
from batchdrop.core.planning.task import parse_task
from batchdrop.edge.settings import settings_table
from batchdrop_cli.main import main

ROOT = Path(__file__).parents[2]
PATH = ROOT / "README.md"
README = PATH.read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTINGS = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return [content for found, content in BLOCK.findall(README) if found == language]


def commands(program: str) -> list[list[str]]:
    """Return the words of each line of shell that runs *program*, wherever it stands in the text."""
    lines = [line for block in blocks("sh") for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", README)
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
    """A task that is copied from the README works."""
    task = parse_task("sentiment", block.encode())

    assert task.body.columns


@pytest.mark.parametrize("line", [line for block in blocks("jsonl") for line in block.splitlines()])
def test_ready_made_requests_can_be_sent(line: str) -> None:
    """A request that is copied from the README is taken."""
    recipe = ready_made(Limits())
    value = msgspec.json.decode(line)

    request = recipe.build(value, recipe.name(value, 1))

    assert request.model


@pytest.mark.parametrize("block", blocks("json"))
def test_samples_keep_their_schema(block: str) -> None:
    """What the README shows of items and notifications is what programs will read."""
    sample: dict[str, Any] = json.loads(block)
    name = "notification" if "event" in sample else "item"
    schema = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text())

    jsonschema.validate(sample, schema)

    assert set(sample) >= set(schema["required"])


def test_there_is_a_sample_of_each_kind() -> None:
    """The tests above look at something."""
    counts = [len(blocks(language)) for language in ("yaml", "jsonl", "json")]

    assert counts == [1, 2, 2]


@pytest.mark.parametrize("words", commands("batchdrop"), ids=" ".join)
def test_commands_exist(words: list[str]) -> None:
    """Every command and option that the README names is one."""
    as_click_reads(words)


def test_the_check_of_commands_bites() -> None:
    """A command or an option that does not exist is noticed."""
    for words in (["dorp", "x"], ["drop", "x", "--deadline", "1h"], ["results", "x", "--form", "y"]):
        with pytest.raises(click.UsageError):
            as_click_reads(words)


@pytest.mark.parametrize("words", commands("make"), ids=" ".join)
def test_targets_exist(words: list[str]) -> None:
    """Every target of make that the README names is one."""
    makefile = (ROOT / "Makefile").read_text()

    assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE)


def test_files_that_commands_name_exist() -> None:
    """Whoever types what the README shows finds the examples."""
    named = [word for words in commands("batchdrop") for word in words if word.startswith("examples/")]

    assert named
    assert all((ROOT / name).is_file() for name in named)


@pytest.mark.parametrize("target", sorted(set(LINK.findall(README))))
def test_links_lead_somewhere(target: str) -> None:
    """Nothing that the README links to was moved away."""
    assert (ROOT / target).exists()


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


def test_settings_are_current() -> None:
    """The table of settings is the code's own; `python tests/unit/test_readme.py` writes it anew."""
    (table,) = SETTINGS.findall(README)

    assert table == settings_table()


if __name__ == "__main__":
    PATH.write_text(SETTINGS.sub(settings_table().replace("\\", r"\\"), README))
