"""Reads the YAML of a task file: values, and the line of each of them.

Rule: any file gives values or a complaint with a line. The reader refuses what nests too deeply, an alias inside its own
anchor, and a repeated key: YAML itself would recurse for ever, or drop a value.

Plain scalars are those of YAML 1.2's JSON schema (https://yaml.org/spec/1.2.2/#102-json-schema, read 2026-11-30): `true`,
`false`, `null` (capitalised too, and `~`) and JSON's own numbers. Everything else is text: `no`, `on`, `0777`, `12:30`.
"""

import re
from typing import Any, ClassVar, Final, Never, override

import yaml

from batchdrop.core.model.digits import Digits

# A body that a person wrote nests some ten deep; each level is a call or two of Python. Chosen.
NESTING_MAX: Final = 64
# Python refuses to read longer whole numbers (4,300); no field of an API takes one of more than 19. Chosen.
_NUMBER_CHARS_MAX: Final = 400

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_PLAIN_TAG: Final = "!plain"  # ours: a scalar without quotes and without a tag
# The most fields that merges (`<<`) may bring into one mapping; ten lines of them could make billions.
_MERGED_FIELDS_MAX: Final = 1_000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the JSON schema's scalars, and limits on what it walks through."""

    # As the base classes have them: what a plain scalar may be by its first character, and who reads what has a tag.
    yaml_implicit_resolvers = {"<": [(_MERGE_TAG, re.compile("<<$"))], None: [(_PLAIN_TAG, re.compile(""))]}  # noqa: RUF012 - the stubs do not take it for a class's
    yaml_constructors: ClassVar = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._open: list[str | None] = []  # the anchors of the nodes that are being read, from the outermost

    @override
    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it open
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._open:
            raise _complaint(f"`*{event.anchor}` is inside what it refers to", event.start_mark)
        if len(self._open) >= NESTING_MAX:
            raise _complaint(f"values are nested more than {NESTING_MAX} deep", event.start_mark)
        self._open.append(getattr(event, "anchor", None))
        try:
            return super().compose_node(parent, index)  # type: ignore[arg-type]  # the stubs know of no keys and no root
        finally:
            self._open.pop()

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[object] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _complaint("a key must be a text; put it in quotes", key.start_mark)
            if key.value in seen and key.tag != _MERGE_TAG:
                raise _complaint(f"the key `{key.value[:100]}` is in one mapping twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    @override
    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MERGED_FIELDS_MAX:
            raise _complaint(f"a mapping has more than {_MERGED_FIELDS_MAX} fields", node.start_mark)


def _plain(loader: _Loader, node: yaml.ScalarNode) -> object:
    """Return what a plain scalar means."""
    text = str(loader.construct_scalar(node))
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    return _number(text, node) if _NUMBER.fullmatch(text) else _text(loader, node)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = f"{text[error.start]!a} is half of a character, which UTF-8 does not have"
        raise _complaint(problem, node.start_mark) from error
    return text


def _number(text: str, node: yaml.ScalarNode) -> int | float:
    if len(text) > _NUMBER_CHARS_MAX:
        raise _complaint(
            f"a number has more than {_NUMBER_CHARS_MAX} characters; put a text in quotes", node.start_mark
        )
    try:
        return Digits(text) if any(mark in text for mark in ".eE") else int(text)
    except ValueError as error:
        problem = f"the number {text[:40]} is too large; put a text in quotes"
        raise _complaint(problem, node.start_mark) from error


def _refuse_tag(_loader: _Loader, node: yaml.Node) -> Never:
    shown = str(node.tag).replace("tag:yaml.org,2002:", "!!", 1)[:100]
    raise _complaint(f"the tag `{shown}` means nothing here; write the value without it", node.start_mark)


def _complaint(problem: str, mark: Any) -> yaml.MarkedYAMLError:  # noqa: ANN401 - PyYAML has two classes of marks
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


_Loader.add_constructor(_PLAIN_TAG, _plain)
_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_constructor("tag:yaml.org,2002:map", yaml.SafeLoader.construct_yaml_map)  # type: ignore[type-var]
_Loader.add_constructor("tag:yaml.org,2002:seq", yaml.SafeLoader.construct_yaml_seq)  # type: ignore[type-var]
_Loader.add_constructor(None, _refuse_tag)


def load(text: str) -> tuple[object, dict[str, int]]:
    """Return what *text*, one YAML document, holds, and the line of each field by its place, as in `body.messages[0].content`.

    Raises yaml.MarkedYAMLError, whose mark says where, and yaml.reader.ReaderError for a character that YAML does not allow.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        return loader.construct_document(node), _lines_of(node)
    finally:
        loader.dispose()


def _lines_of(root: yaml.Node) -> dict[str, int]:
    """Return the lines of all fields; each node is looked at once, whatever a file refers to by aliases."""
    lines: dict[str, int] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, yaml.Node]] = [("", root)]
    while waiting:
        place, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                field = f"{place}.{key.value}" if place else str(key.value)
                lines.setdefault(field, key.start_mark.line + 1)
                waiting.append((field, value))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                lines[f"{place}[{number}]"] = value.start_mark.line + 1
                waiting.append((f"{place}[{number}]", value))
    return lines
