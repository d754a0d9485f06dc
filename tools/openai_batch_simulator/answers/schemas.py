"""Makes a JSON value that satisfies the schema of a structured output.

Rule: what is made satisfies the schema, or the schema is refused; the subset follows that of strict
structured outputs (https://developers.openai.com/api/docs/guides/structured-outputs), a few keywords wider.
"""

import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from openai_batch_simulator.answers.asked import BadRequestError, is_object
from openai_batch_simulator.answers.patterns import UnsupportedPatternError, matching_text

if TYPE_CHECKING:
    from collections.abc import Callable

# Keywords that a value is made for; a schema with another one is refused rather than answered wrongly.
_ANNOTATIONS = {"$schema", "$id", "$defs", "definitions", "title", "description", "default", "examples", "strict"}
_KEYWORDS = _ANNOTATIONS | {
    *("$ref", "type", "enum", "const", "anyOf"),
    *("properties", "required", "additionalProperties"),
    *("items", "minItems", "maxItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("pattern", "format", "minLength", "maxLength"),
}
_FORMATS = {
    "date-time": "2026-11-22T12:00:00Z",
    "date": "2026-11-22",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "simulated@example.com",
    "hostname": "simulated.example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_IS_OF_TYPE: "dict[str, Callable[[object], bool]]" = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
# A recursive schema is followed optionally this far; after that only what is required. Deeper is refused.
DEPTH_OPTIONAL_MAX = 3
DEPTH_MAX = 60
# Far above what an answer holds: a schema can ask for a value that no memory holds.
VALUES_MAX = 10_000
LENGTH_MAX = 10_000


def instance_text(schema: object, seed: bytes) -> str:
    """Return JSON text that satisfies *schema*; the same *seed* gives the same text. Raises BadRequestError."""
    if not is_object(schema):
        raise BadRequestError("Missing required parameter: the schema of the response format.", "response_format")
    try:
        return msgspec.json.encode(_Maker(schema, seed).make(schema, 0)).decode()
    except OverflowError as error:
        raise _refusal(f"its numbers are out of range: {error}") from error


def _refusal(problem: str) -> BadRequestError:
    return BadRequestError(f"Invalid schema for the response format: {problem}.", "response_format", "invalid_schema")


@dataclass(slots=True)
class _Maker:
    root: dict[str, object]
    seed: bytes
    _draws: int = 0
    _values: int = 0

    def _draw(self, count: int) -> int:
        """Return a number below *count*."""
        self._draws += 1
        digest = blake2b(self._draws.to_bytes(8), key=self.seed, digest_size=8).digest()
        return int.from_bytes(digest) % count

    def make(self, schema: object, depth: int) -> object:
        if not is_object(schema):
            raise _refusal("a schema must be an object")
        if depth > DEPTH_MAX:
            raise _refusal("it asks for an endless value")
        self._values += 1
        if self._values > VALUES_MAX:
            raise _refusal(f"it asks for more than {VALUES_MAX} values")
        unknown = schema.keys() - _KEYWORDS
        if unknown:
            raise _refusal(f"the simulator does not model {sorted(unknown)}")
        if "const" in schema:
            return schema["const"]
        return self._make_open(schema, depth)

    def _make_open(self, schema: dict[str, object], depth: int) -> object:
        options = schema.get("enum")
        if isinstance(options, list) and options:
            self._check_options(options, schema.get("type"))
            return options[self._draw(len(options))]
        if "$ref" in schema:
            return self.make(self._resolve(str(schema["$ref"])), depth + 1)
        alternatives = schema.get("anyOf")
        if isinstance(alternatives, list) and alternatives:
            return self._make_one_of(alternatives, depth)
        return self._make_typed(schema, depth)

    def _check_options(self, options: list[object], wanted: object) -> None:
        """Refuse an option that the schema's own type excludes, as the provider does."""
        types = wanted if isinstance(wanted, list) else [wanted]
        checks = [_IS_OF_TYPE[name] for name in types if isinstance(name, str) and name in _IS_OF_TYPE]
        for option in options if checks else ():
            if not any(is_of_type(option) for is_of_type in checks):
                raise _refusal(f"enum value {option} does not validate against {{'type': {wanted!r}}}")

    def _make_one_of(self, alternatives: list[object], depth: int) -> object:
        """Make any of *alternatives*; deep inside, the first that comes to an end."""
        if depth <= DEPTH_OPTIONAL_MAX:
            return self.make(alternatives[self._draw(len(alternatives))], depth + 1)
        problem: BadRequestError | None = None
        for alternative in sorted(alternatives, key=_is_reference):
            try:
                return self.make(alternative, depth + 1)
            except BadRequestError as error:
                problem = error
        raise problem or _refusal("anyOf is empty")

    def _make_typed(self, schema: dict[str, object], depth: int) -> object:
        kind = schema.get("type")
        if isinstance(kind, list) and kind:
            kind = "null" if depth > DEPTH_OPTIONAL_MAX and "null" in kind else kind[self._draw(len(kind))]
        makers: dict[str, Callable[[], object]] = {
            "object": lambda: self._make_object(schema, depth),
            "array": lambda: self._make_array(schema, depth),
            "string": lambda: self._make_string(schema),
            "integer": lambda: int(self._make_number(schema, whole=True)),
            "number": lambda: self._make_number(schema, whole=False),
            "boolean": lambda: self._draw(2) == 1,
            "null": lambda: None,
        }
        if not isinstance(kind, str) or kind not in makers:
            raise _refusal(f"the simulator does not model the type {kind!r}")
        return makers[kind]()

    def _make_object(self, schema: dict[str, object], depth: int) -> dict[str, object]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if (
            not is_object(properties)
            or not isinstance(required, list)
            or any(name not in properties for name in map(str, required))
        ):
            raise _refusal("required and properties do not fit")
        wanted = properties if depth <= DEPTH_OPTIONAL_MAX else required
        return {name: self.make(properties[name], depth + 1) for name in map(str, wanted)}

    def _make_array(self, schema: dict[str, object], depth: int) -> list[object]:
        low = _integer(schema, "minItems", 0)
        high = _integer(schema, "maxItems", max(low, 2))
        length = low if depth > DEPTH_OPTIONAL_MAX else min(high, max(low, 1 + self._draw(2)))
        if high < low or (length and "items" not in schema):
            raise _refusal("an array needs items, and no fewer than it may have")
        return [self.make(schema["items"], depth + 1) for _ in range(length)]

    def _make_string(self, schema: dict[str, object]) -> str:
        low = _integer(schema, "minLength", 0)
        high = _integer(schema, "maxLength", max(low, 40))
        if low > LENGTH_MAX:
            raise _refusal(f"it asks for a text of more than {LENGTH_MAX} characters")
        text = self._string_of_kind(schema, low)
        if "pattern" not in schema and "format" not in schema:
            text = text.ljust(low, ".")[:high]
        if not low <= len(text) <= high:
            raise _refusal("the simulator does not model this length with this pattern or format")
        return text

    def _string_of_kind(self, schema: dict[str, object], low: int) -> str:
        if "pattern" in schema:
            try:
                return matching_text(str(schema["pattern"]), self._draw, low)
            except (UnsupportedPatternError, re.error) as error:
                raise _refusal(f"the pattern {schema['pattern']!r}: {error}") from error
        if "format" not in schema:
            return f"[simulated] {self._draw(1 << 16):04x}"
        text = _FORMATS.get(str(schema["format"]))
        if text is None:
            raise _refusal(f"the simulator does not model the format {schema['format']!r}")
        return text

    def _make_number(self, schema: dict[str, object], *, whole: bool) -> float:
        """Make a multiple of the step within the bounds: of 1 for an integer, of 0.5 for a number."""
        step = _number(schema, "multipleOf", 1 if whole else 0.5)
        if step <= 0 or (whole and step != int(step)):
            raise _refusal("multipleOf must be above 0, and whole for an integer")
        first, last = _bounds(schema, step)
        if first > last and not whole and "multipleOf" not in schema:
            step = (_number(schema, "maximum", 1.0) - _number(schema, "minimum", 0.0)) / 4 or 1.0
            first, last = _bounds(schema, step)
        if first > last:
            raise _refusal("there is no number within these bounds")
        return (first + self._draw(min(last - first, 100) + 1)) * step

    def _resolve(self, reference: str) -> object:
        """Return the schema at *reference*, a JSON pointer into the whole schema."""
        if not reference.startswith("#"):
            raise _refusal(f"the reference {reference!r} does not begin with '#'")
        found: object = self.root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not is_object(found) or name not in found:
                raise _refusal(f"there is nothing at {reference!r}")
            found = found[name]
        return found


def _is_reference(schema: object) -> bool:
    return is_object(schema) and "$ref" in schema


def _number(schema: dict[str, object], name: str, default: float) -> float:
    value = schema.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _refusal(f"{name} must be a number")
    return value


def _integer(schema: dict[str, object], name: str, default: int) -> int:
    return int(_number(schema, name, default))


def _bounds(schema: dict[str, object], step: float) -> tuple[int, int]:
    """Return the first and the last multiple of *step* that is allowed, as factors."""
    lows = [math.ceil(_number(schema, "minimum", 0) / step)] if "minimum" in schema else []
    highs = [math.floor(_number(schema, "maximum", 0) / step)] if "maximum" in schema else []
    if "exclusiveMinimum" in schema:
        lows.append(math.floor(_number(schema, "exclusiveMinimum", 0) / step) + 1)
    if "exclusiveMaximum" in schema:
        highs.append(math.ceil(_number(schema, "exclusiveMaximum", 0) / step) - 1)
    if not lows:
        low = min(0, min(highs) - 100) if highs else 0
        return low, min(highs, default=low + 100)
    return max(lows), min(highs, default=max(lows) + 100)
