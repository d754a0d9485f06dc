"""Searches prose for words that our language has a better one for; the table in each rule says which.

Prose is comments, docstrings, messages (texts of three words or more), help texts and pages. Names in backquotes, parameters
between asterisks and blocks of code are left out, because a reader looks them up as they are.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LAYER: Final = "layers/batchdrop/batchdrop"

# Read and rewritten. History (the changelog and the decisions) stays as it was written.
DONE: Final = (
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/aws.md",
    "docs/dialects.md",
    "docs/glossary.md",
    "docs/runbooks/*.md",
    "docs/schemas/*",
    "docs/security.md",
    "docs/troubleshooting.md",
    "docs/upgrading.md",
    "README.md",
    "docs/command.md",
    "docs/cost.md",
    "docs/files.md",
    "docs/notifications.md",
    "docs/operating.md",
    "docs/promises.md",
    "docs/results.md",
    "docs/settings.md",
    "docs/tasks.md",
    "functions/**/*.py",
    "template.yaml",
    "tests/README.md",
    "tools/**/*.md",
    "tools/**/*.py",
    f"{LAYER}/*.py",
    f"{LAYER}/core/*.py",
    f"{LAYER}/core/admission/**/*.py",
    f"{LAYER}/core/delivery/**/*.py",
    f"{LAYER}/core/model/**/*.py",
    f"{LAYER}/core/notification/**/*.py",
    f"{LAYER}/core/operations/**/*.py",
    f"{LAYER}/core/planning/**/*.py",
    f"{LAYER}/edge/*.py",
    f"{LAYER}/edge/aws/**/*.py",
    f"{LAYER}/edge/openai/**/*.py",
    f"{LAYER}/flow/*.py",
    f"{LAYER}/flow/admission/**/*.py",
    f"{LAYER}/flow/delivery/**/*.py",
    f"{LAYER}/flow/notification/**/*.py",
    f"{LAYER}/flow/operations/**/*.py",
    f"{LAYER}/flow/planning/**/*.py",
    f"{LAYER}/formats/**/*.py",
    f"{LAYER}/core/submission/**/*.py",
    f"{LAYER}/flow/submission/**/*.py",
    f"{LAYER}/core/collection/**/*.py",
    f"{LAYER}/flow/collection/**/*.py",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A word that is not written, what is written in its place, and a sentence that breaks the rule."""

    pattern: str
    instead: str
    example: str


RULES: Final = (
    Rule(r"\b[Nn]otices?\b", "notification", "It reads a notice."),
    Rule(r"\b[Hh]ints?\b", "wake-up message", "The hint is lost."),
    Rule(r"\b[Ww]ho(so)?ever\b", "the caller, the operator, a reader …", "Whoever sees it."),
    Rule(r"\b([Nn]o|[Ss]ome)body\b", "no other worker, another worker, a person …", "Somebody was first."),
    Rule(r"\b[Aa]new\b", "again", "It is written anew."),
    Rule(r"\bby (itself|themselves)\b", "automatically, alone", "It ends by itself."),
    Rule(r"\b([Gg]o(es)?|[Ww]ent|gone|going) on\b", "continues, happens", "The job goes on."),
    Rule(r"\b[Ss]o many\b(?! \w+ that)", "at most N, N", "So many tokens."),
    Rule(r"(?<![Tt]here )\b(is|are|was|were) no (?!longer|more|use|other)[a-zA-Z]", "isn't", "The file is no CSV."),
    Rule(r"\b([Tt]old(?! apart)|owe[ds]?|owing)\b", "sent, pending, said", "The notification is owed."),
    Rule(r"\bharvest(s|ed|ing)?\b", "collect", "It is harvested."),
    Rule(r"\brooms?\b", "quota (or margin, or space)", "There is room."),
    Rule(r"\b[Ll](et|ets|etting) (it |them )?in\b", "admit", "A shard is let in."),
    Rule(r"\b[Ss]livers?\b", "tiny batch", "It is a sliver."),
    Rule(r"\b[Ss]tretch(es)?\b", "checkpoint, part", "A stretch of the upload."),
    Rule(r"\b[Ll]essons?\b(?! =|,)", "quota estimate", "The lesson is kept."),
    Rule(r"\bmay be repeated\b", "idempotent", "It may be repeated."),
    Rule(r"\b([Ll]ies|[Bb]ears)\b", "is, has", "The file lies there."),
    Rule(r"\b[Ss]tands?\b(?! for)", "is, says", "The table stands below."),
    Rule(r"\b([Aa]|[Tt]he|[Ee]ach|[Ee]very|[Ee]arlier|[Tt]his|[Oo]ne) tr(y|ies)\b", "create call", "A try was made."),
)  # fmt: skip


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the prose of the file at *path* line by line, with the number of each line."""
    text = path.read_text()
    if path.suffix == ".py":
        yield from _prose_of_code(text)
    elif path.suffix == ".md":
        yield from enumerate(_without_code(text).splitlines(), 1)
    else:
        yield from enumerate(re.sub(r"`[^`\n]*`|^\s*\w+:(?=\s*#)", "", text, flags=re.MULTILINE).splitlines(), 1)


def _prose_of_code(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_text = token.type in (tokenize.STRING, tokenize.FSTRING_MIDDLE) and len(token.string.split()) > 2
        if is_text or token.type == tokenize.COMMENT:
            lines = re.sub(r"`[^`]*`|\*\w+\*", _blank, token.string).splitlines()
            yield from enumerate(lines, token.start[0])


def _without_code(text: str) -> str:
    """Return *text* without what is in backquotes, its lines kept."""
    text = re.sub(r"(?ms)^\s*```.*?^\s*```", _blank, text)
    text = re.sub(r"`[^`\n]*`|\*\w+\*", "", text)
    return re.sub(r"\]\([^)\n]*\)", "]", text)


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def complaints(path: Path) -> list[str]:
    """Return each place of *path* that breaks a rule, with what to write."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {found[0]!r}: write {rule.instead}: {line.strip()}"
        for number, line in prose(path)
        for rule in RULES
        if (found := re.search(rule.pattern, line))
    ]


def files_of(patterns: tuple[str, ...]) -> set[Path]:
    """Return the files that *patterns* name."""
    return {path for pattern in patterns for path in ROOT.glob(pattern)}


@pytest.mark.parametrize("pattern", DONE)
def test_no_banned_word_is_in_the_prose(pattern: str) -> None:
    """What was read once stays readable."""
    files = files_of((pattern,))

    assert files
    assert [found for path in sorted(files) for found in complaints(path)] == []


def test_every_module_of_the_layer_is_read() -> None:
    """A new folder can't be forgotten."""
    assert files_of((f"{LAYER}/**/*.py", "functions/**/*.py")) <= files_of(DONE)


@pytest.mark.parametrize(
    "path", sorted(files_of((f"{LAYER}/**/*.py", "functions/**/*.py"))), ids=lambda path: path.stem
)
def test_a_module_opens_with_what_it_does(path: Path) -> None:
    """Its first word is a verb: who looks for a place reads no further than that."""
    opening = ast.get_docstring(ast.parse(path.read_text())) or ""

    assert re.match(r"(Batchdrop )?[A-Za-z]+[a-z]s\b", opening), opening


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.instead)
def test_each_rule_bites(rule: Rule, tmp_path: Path) -> None:
    """In a docstring, a comment, a message and a page; not in a name, nor in code that is quoted."""
    module, page = tmp_path / "module.py", tmp_path / "page.md"
    example = rule.example
    module.write_text(f'"""{example}"""\n\nroom = 1  # {example}\nraise ValueError("It says: {example}")\n')
    page.write_text(f"{example}\n\n```\n{example}\n```\n\nThe name `{example}` is quoted.\n")

    in_module = [number for number, line in prose(module) if re.search(rule.pattern, line)]
    in_page = [number for number, line in prose(page) if re.search(rule.pattern, line)]

    assert (in_module, in_page) == ([1, 3, 4], [1])


def test_ordinary_english_passes() -> None:
    """Words that only look alike."""
    fine = (
        "There is no batch. It is no longer sent. It is told apart by its code. A row stands for a shard. HARVESTING."
    )

    assert [rule.instead for rule in RULES if re.search(rule.pattern, fine)] == []
