"""Makes a text that matches a regular expression: what `pattern` in a schema asks for.

Rule: what Python's own parser of expressions reads is followed part by part, and the text is checked against the
expression before it is used; a part that is not modelled is refused.
"""

import re
import warnings
from collections.abc import Callable, Iterable
from re import _constants as codes  # type: ignore[attr-defined]  # the stubs leave this module of the standard library out
from re import _parser as parser  # type: ignore[attr-defined]  # as above
from typing import Any

# One repetition more than asked may happen, so that `+` and `*` do not always look alike.
EXTRA_REPEATS_MAX = 2
# Far above what an answer holds; an expression may ask for a thousand to the fourth power of characters.
LENGTH_MAX = 10_000
_CATEGORIES = {codes.CATEGORY_DIGIT: "0123456789", codes.CATEGORY_WORD: "abcxyz019_", codes.CATEGORY_SPACE: " "}
_ANYTHING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_."

# Returns a number below its argument.
type Draw = Callable[[int], int]


class UnsupportedPatternError(ValueError):
    """The expression has a part for which no text can be made here: its author should simplify the schema."""


def matching_text(pattern: str, draw: Draw, length_min: int) -> str:
    """Return a text that *pattern* matches, of *length_min* characters if a repetition allows it."""
    with warnings.catch_warnings():
        # Classes that a future version may read in another way: this one reads them as it always did.
        warnings.simplefilter("ignore", FutureWarning)
        parsed = parser.parse(pattern)
        found = re.compile(pattern)
    text = ""
    for extra in (0, length_min):
        text = _PatternWriter(draw, extra).write(parsed)
        if len(text) >= length_min:
            break
    if found.search(text) is None:
        raise UnsupportedPatternError("the simulator found no text that matches")
    return text


class _PatternWriter:
    def __init__(self, draw: Draw, extra: int) -> None:
        self._draw = draw
        self._extra = extra
        self._groups: dict[int, str] = {}

    def write(self, parts: Iterable[tuple[Any, Any]]) -> str:
        """Write the *parts* of a parsed expression, pairs of an operation and what it works on."""
        return self._join(self._write_part(operation, argument) for operation, argument in parts)

    def _join(self, pieces: Iterable[str]) -> str:
        """Join *pieces* as long as they fit, and give up at the first that does not."""
        text = ""
        for piece in pieces:
            text += piece
            if len(text) > LENGTH_MAX:
                raise UnsupportedPatternError(f"it asks for more than {LENGTH_MAX} characters")
        return text

    def _write_part(self, operation: Any, argument: Any) -> str:  # noqa: ANN401 - the parser's own types have no names
        writers: dict[Any, Callable[[Any], str]] = {
            codes.LITERAL: chr,
            codes.NOT_LITERAL: lambda code: self._pick(set(_ANYTHING) - {chr(code)}),
            codes.ANY: lambda _nothing: self._pick(_ANYTHING),
            codes.IN: self._write_class,
            codes.AT: lambda _place: "",
            codes.MAX_REPEAT: self._write_repeat,
            codes.MIN_REPEAT: self._write_repeat,
            codes.BRANCH: lambda branches: self.write(branches[1][self._draw(len(branches[1]))]),
            codes.SUBPATTERN: self._write_group,
            codes.GROUPREF: lambda number: self._groups.get(number, ""),
        }
        if operation not in writers:
            raise UnsupportedPatternError(f"the simulator does not model {operation}")
        return writers[operation](argument)

    def _write_repeat(self, repeat: tuple[int, int, Any]) -> str:
        low, high, body = repeat
        count = min(int(high), int(low) + self._extra + self._draw(EXTRA_REPEATS_MAX + 1))
        if count > LENGTH_MAX:
            raise UnsupportedPatternError(f"it asks for {count} repetitions")
        return self._join(self.write(body) for _ in range(count))

    def _write_group(self, group: tuple[int | None, int, int, Any]) -> str:
        text = self.write(group[3])
        if group[0] is not None:
            self._groups[group[0]] = text
        return text

    def _write_class(self, members: list[tuple[Any, Any]]) -> str:
        if members[0][0] is codes.NEGATE:
            return self._pick(set(_ANYTHING) - set().union(*(_characters(member) for member in members[1:])))
        return self._pick(_characters(members[self._draw(len(members))]))

    def _pick(self, characters: Iterable[str]) -> str:
        choices = sorted(characters)
        if not choices:
            raise UnsupportedPatternError("the simulator has no character for a class")
        return choices[self._draw(len(choices))]


def _characters(member: tuple[Any, Any]) -> set[str]:
    operation, argument = member
    if operation is codes.LITERAL:
        return {chr(argument)}
    if operation is codes.RANGE:
        return {chr(code) for code in range(argument[0], min(argument[1], argument[0] + 127) + 1)}
    if operation is codes.CATEGORY and argument in _CATEGORIES:
        return set(_CATEGORIES[argument])
    raise UnsupportedPatternError(f"the simulator does not model {argument} in a class")
