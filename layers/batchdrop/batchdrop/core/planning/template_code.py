"""Cuts the code of a template into tokens, as the engine would; the engine does not show its own.

Rule: each character is read once, whatever it is, because a task file may be a quarter of a megabyte of anything.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_TOKEN = re.compile(
    r"""\s+|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?)"""
    r"""|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|//|[=!<>]=|.)""",
    re.DOTALL,
)
_CODE_BEGINS = re.compile(r"\{(?:(?P<raw>%[-+]?\s*raw\s*[-+]?%\})|(?P<kind>[{%#]))")
_RAW_ENDS = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_QUOTES = ("'", '"')
_CONSTANTS = frozenset({"true", "false", "none", "True", "False", "None"})
OPENS: Final = frozenset("([{")
CLOSES: Final = frozenset(")]}")


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number, a text in quotes or a sign."""

    text: str
    is_name: bool = False
    is_number: bool = False
    is_output: bool = False  # within `{{ }}` and not `{% %}`


def codes(source: str) -> Iterator[int | list[Token]]:
    """Yield the length of each constant text and the tokens of each code of *source*, in order."""
    position = 0
    for found, tokens, end in _codes(source):
        yield found.start() - position
        if found["raw"]:
            ends = _RAW_ENDS.search(source, found.end(), end)
            yield (ends.start() if ends else len(source)) - found.end()
        elif tokens is not None:
            yield tokens
        position = end
    yield len(source) - position


def unused_code(source: str) -> str | None:
    """Return the first code that shows nothing of a record, such as a comment or `{{ "c" }}`; most often it was meant as text."""
    for found, tokens, end in _codes(source):
        is_output = found["kind"] == "{" and not any(
            token.is_name and token.text not in _CONSTANTS for token in tokens or ()
        )
        if found["kind"] == "#" or is_output:
            return source[found.start() : end]
    return None


def _codes(source: str) -> Iterator[tuple[re.Match[str], list[Token] | None, int]]:
    """Yield how each code of *source* begins, its tokens where it is neither raw nor a comment, and where it ends."""
    position = 0
    while found := _CODE_BEGINS.search(source, position):
        tokens = None
        if found["raw"]:
            ends = _RAW_ENDS.search(source, found.end())
            position = ends.end() if ends else len(source)
        elif found["kind"] == "#":
            ends_at = source.find("#}", found.end())
            position = ends_at + 2 if ends_at >= 0 else len(source)
        else:
            tokens, position = _tokens(source, found.end(), is_output=found["kind"] == "{")
        yield found, tokens, position


def _tokens(source: str, start: int, *, is_output: bool) -> tuple[list[Token], int]:
    """Return the tokens of the code that begins at *start*, and where it ends."""
    tokens: list[Token] = []
    position, depth, end = start, 0, "}}" if is_output else "%}"
    while position < len(source) and not (depth == 0 and source.startswith(end, position)):
        found = _TOKEN.match(source, position)
        assert found is not None  # noqa: S101 - the last alternative takes any character
        text, position = found[0], found.end()
        if text.isspace():
            continue
        depth += (text in OPENS) - (text in CLOSES and depth > 0)
        tokens.append(Token(text, found["name"] is not None, found["number"] is not None, is_output))
    if tokens and tokens[0].text in "-+":
        del tokens[0]  # `{{-` trims what is before it
    if tokens and tokens[-1].text in "-+":
        del tokens[-1]
    return tokens, position + 2


def members_of_row(source: str) -> set[str]:
    """Return the columns that *source* names as in `row["the name"]`."""
    return {
        code[index + 2].text[1:-1]
        for code in _all_tokens(source)
        for index in range(len(code) - 3)
        if code[index].text == "row" and code[index + 1].text == "[" and code[index + 2].text[0] in _QUOTES
    }


def names_whole_row(source: str) -> bool:
    """Whether *source* uses the record as a whole: `row`, and not a member of it."""
    return any(
        token.is_name and token.text == "row"
        and not any(following.text in (".", "[") for following in code[index + 1 : index + 2])
        and not (index and code[index - 1].text == ".")
        for code in _all_tokens(source)
        for index, token in enumerate(code)
    )  # fmt: skip


def asked_about(source: str) -> set[str]:
    """Return the names that *source* gives a default, or asks of whether they are defined."""
    found: set[str] = set()
    for code in _all_tokens(source):
        for index in range(1, len(code) - 1):
            if _is_question(code, index):
                at = index - 2 if code[index - 1].text == "]" else index - 1
                found.add(code[at].text.strip("\"'"))
    return found


def _is_question(code: Sequence[Token], index: int) -> bool:
    """Whether `|default` or `is defined` begins there, or one of its like."""
    if code[index].text == "|":
        return code[index + 1].text in ("default", "d")
    following = [token.text for token in code[index + 1 : index + 3]]
    return code[index].text == "is" and bool({"defined", "undefined"} & set(following[following[:1] == ["not"] :][:1]))


def _all_tokens(source: str) -> Iterator[Sequence[Token]]:
    return (code for code in codes(source) if not isinstance(code, int))
