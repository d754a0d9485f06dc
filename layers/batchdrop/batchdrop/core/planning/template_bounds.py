"""Bounds what a template may produce, before it runs: the engine counts steps, and one step may make a gigabyte.

Rule: no value that a template makes is larger than VALUES_BYTES_MAX. The template's code shows how many times it can lengthen
what a record gives: by each `~`, each member of a list, and each filter with a known growth. Code without such a bound is
refused: macros, recursive loops, filters that are not listed, and `*` and `+` of values that may not be numbers.

A loop cannot carry a value from one round to the next: `{% set %}` in a loop ends with the round, and `namespace` is not there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from batchdrop.core.planning.template_code import CLOSES, OPENS, Token, codes

# The most that one value in a template may take, while it is made or when it is done. A function has 1,769 MB. Chosen.
VALUES_BYTES_MAX: Final = 128_000_000
# The most text that one template may give: no larger than a record may be.
TEXT_BYTES_MAX: Final = 16_000_000
# Steps of the engine that one template may take: thousands of rounds of a loop, well under a second.
STEPS_MAX: Final = 100_000

# How many times longer than its input the result of each filter may be. Others are not there.
_GROWTH = {
    **dict.fromkeys(
        ("abs", "attr", "bool", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items"), 1
    ),
    **dict.fromkeys(("last", "length", "max", "min", "reject", "rejectattr", "reverse", "round", "safe", "select"), 1),
    **dict.fromkeys(("filesizeformat", "selectattr", "sort", "string", "striptags", "sum", "trim", "unique", "zip"), 1),
    "truncate": 2,  # what it ends with may be a column
    **dict.fromkeys(("capitalize", "lower", "title", "upper"), 3),  # letters that have no other case alone: ß, ŉ, ΐ
    **dict.fromkeys(("e", "escape", "tojson"), 6),  # a quote is &#34;, a control character \\u0001
    "urlencode": 3,
    **dict.fromkeys(("lines", "list", "split"), 40),  # a character becomes a value of its own
}
_MAPPED = frozenset(
    {
        "abs",
        "bool",
        "capitalize",
        "first",
        "float",
        "int",
        "last",
        "length",
        "lower",
        "string",
        "title",
        "trim",
        "upper",
    }
)
_WIDTH_MAX: Final = 100  # blanks that `indent` may put before a line, members of a `batch`, or lists of a `slice`

# With more growth than this no useful record is short enough: VALUES_BYTES_MAX allows 1,280 bytes.
_GROWTH_MAX: Final = 100_000

_BINDING = frozenset({"set", "for", "with"})  # tags that give a value a name, which the next one may make longer
_REFUSED_TAGS = frozenset(
    {"macro", "call", "include", "import", "from", "extends", "block", "do", "filter", "autoescape"}
)
# What follows `|` and gives a number, or fails.
_NUMBER_FILTERS = frozenset({"abs", "count", "float", "int", "length", "round"})
_LOOP_NUMBERS = frozenset({"depth", "depth0", "index", "index0", "length", "revindex", "revindex0"})
_NUMBER_SIGNS = frozenset({"-", "/", "//", "%", "**", "*", "+"})
_NO_NUMBER = frozenset({"~", ",", "if", "and", "or", ":"})


class Unbounded(ValueError):
    """A template whose results have no bound; the message is for its author."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a template may make of a record."""

    growth: int  # how many times as long as the record the longest value in it may be
    steps: int  # how many steps it may take

    @property
    def record_bytes_max(self) -> int:
        """How large a record may be, as JSON."""
        return min(TEXT_BYTES_MAX, VALUES_BYTES_MAX // self.growth)


def bounds_of(source: str) -> Bounds:
    """Return what bounds the template *source*, whose syntax the engine has accepted. Raises Unbounded."""
    binding, output, repeated_chars, loops = [1], 1, 1, 0
    for code in codes(source):
        if isinstance(code, int):
            repeated_chars = max(repeated_chars, code if loops else 0)
            continue
        tag = code[0].text if code and not code[0].is_output else ""
        loops += (tag == "for") - (tag == "endfor")
        if tag in _REFUSED_TAGS or (tag == "for" and code[-1].text == "recursive" and code[-2].text != "in"):
            shown = "recursive loops" if tag == "for" else f"`{{% {tag} %}}`"
            raise Unbounded(f"{shown} cannot be used: what it makes has no bound")
        _check_arithmetic(code)
        makes = (1 + sum(token.text in ("~", ",") for token in code)) * prod(_filter_growths(code))
        if tag in _BINDING:
            binding.append(makes)
        output = max(output, makes)
    growth = prod(binding) * output
    if growth > _GROWTH_MAX:
        raise Unbounded(
            f"template_too_large: what it joins could be {min(growth, 10**12):,} times as long as a record or more"
        )
    return Bounds(growth, max(1, min(STEPS_MAX, VALUES_BYTES_MAX // (4 * repeated_chars))))


def _filter_growths(code: Sequence[Token]) -> Iterator[int]:
    """Yield for each filter of *code* how much it may lengthen. Raises Unbounded."""
    for index, token in enumerate(code[:-1]):
        if token.text == "|":
            yield _filter_growth(code[index + 1].text, _arguments(code[index + 2 :]))


def _filter_growth(name: str, arguments: Sequence[Token]) -> int:
    if name in ("batch", "indent", "slice"):
        return 1 + _width(name, arguments)
    if name in ("join", "replace"):
        return 1 + _literal_bytes(name, arguments)
    if name == "tojson" and arguments:
        return _GROWTH[name] + 64 * _width(name, arguments)  # each member on a line, indented by its depth
    if name == "map":
        if len(arguments) == 1 and arguments[0].text[1:-1] in _MAPPED:
            return 3
        if [token.text for token in arguments[:2]] == ["attribute", "="]:
            return 1
        raise Unbounded(f"`map` takes `attribute=`, or the name of one of these filters: {', '.join(sorted(_MAPPED))}")
    if name not in _GROWTH:
        known = sorted({*_GROWTH, "batch", "indent", "join", "map", "replace", "slice"})
        raise Unbounded(f"there is no filter `{name}`; there are: {', '.join(known)}")
    return _GROWTH[name]


def _arguments(code: Sequence[Token]) -> Sequence[Token]:
    """Return the tokens between the brackets that *code* begins with; none where it begins with none."""
    if not code or code[0].text != "(":
        return ()
    depth = 0
    for index, token in enumerate(code):
        depth += (token.text in OPENS) - (token.text in CLOSES)
        if depth == 0:
            return code[1:index]
    return code[1:]


def _width(name: str, arguments: Sequence[Token]) -> int:
    """Return the number that the first argument is. Raises Unbounded where it is none, or too large."""
    values = (
        arguments[2:] if [token.text for token in arguments[:2]] in (["width", "="], ["indent", "="]) else arguments
    )
    if not values:
        return 4
    if not values[0].is_number or not values[0].text.isdecimal() or int(values[0].text[:9]) > _WIDTH_MAX:
        raise Unbounded(f"`{name}` takes a number from 0 to {_WIDTH_MAX}, written out")
    return int(values[0].text)


def _literal_bytes(name: str, arguments: Sequence[Token]) -> int:
    """Return how long the texts are that `join` or `replace` puts in. Raises Unbounded where one is not written out."""
    if any(token.text[0] not in "\"'," for token in arguments):
        raise Unbounded(f"`{name}` takes texts in quotes: the length of a column's value isn't known before")
    return sum(len(token.text.encode()) for token in arguments)


def _check_arithmetic(code: Sequence[Token]) -> None:
    """Refuse `+` and `*` where they could join or repeat texts and lists. Raises Unbounded."""
    for index, token in enumerate(code):
        if token.text not in ("+", "*") or index == 0:
            continue
        left, right = _is_number_before(code, index), _is_number_after(code, index + 1)
        if token.text == "*" and not (left and right):
            raise Unbounded("`*` takes numbers alone, because it would repeat a text; write `a|float * b|int`")
        if token.text == "+" and not (left or right):
            raise Unbounded("`+` takes numbers alone; write `a|float + b|float` for a sum, and `a ~ b` to join texts")


def _is_number_before(code: Sequence[Token], end: int) -> bool:
    """Whether the operand that ends before *end* is a number, or an error."""
    last = code[end - 1]
    if last.is_number:
        return True
    if last.text == ")":
        opened = _opening(code, end - 1)
        if opened and code[opened - 1].is_name:
            return _is_number_filter(code, opened - 1)
        return _is_number_group(code, opened + 1, end - 1)
    return _is_number_filter(code, end - 1) or _is_of_loop(code, end - 3)


def _is_number_after(code: Sequence[Token], start: int) -> bool:
    """Whether the operand that begins at *start* is a number, or an error."""
    while start < len(code) and code[start].text in ("-", "+"):
        start += 1
    if start >= len(code):
        return False
    return code[start].is_number or _is_of_loop(code, start) or _is_number_before(code, _operand_end(code, start))


def _operand_end(code: Sequence[Token], start: int) -> int:
    """Return where the operand that begins at *start* ends, its members and filters included."""
    depth = 0
    for index in range(start, len(code)):
        token, goes_on = code[index], index == start or code[index - 1].text in ("|", ".")
        if depth == 0 and not goes_on and token.text not in ("|", ".", "(", "["):
            return index
        depth += (token.text in OPENS) - (token.text in CLOSES)
    return len(code)


def _is_of_loop(code: Sequence[Token], start: int) -> bool:
    """Whether a number of the loop is there, such as `loop.index`; the engine lets no other value be called `loop`."""
    if start < 0 or start + 2 >= len(code):
        return False
    return code[start].text == "loop" and code[start + 1].text == "." and code[start + 2].text in _LOOP_NUMBERS


def _is_number_filter(code: Sequence[Token], index: int) -> bool:
    return index > 0 and code[index - 1].text == "|" and code[index].text in _NUMBER_FILTERS


def _is_number_group(code: Sequence[Token], start: int, end: int) -> bool:
    """Whether an expression in brackets gives a number. Arithmetic does; its operands are checked separately."""
    depth, is_arithmetic = 0, False
    for index in range(start, end):
        token = code[index]
        if depth == 0 and token.text in _NO_NUMBER:
            return False
        is_arithmetic |= depth == 0 and index > start and token.text in _NUMBER_SIGNS
        depth += (token.text in OPENS) - (token.text in CLOSES)
    return is_arithmetic or (end > start and _is_number_before(code, end))


def _opening(code: Sequence[Token], closed: int) -> int:
    """Return where the bracket opens that closes at *closed*."""
    depth = 0
    for index in range(closed, -1, -1):
        depth += (code[index].text in CLOSES) - (code[index].text in OPENS)
        if depth == 0:
            return index
    return 0
