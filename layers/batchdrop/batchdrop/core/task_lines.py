"""Where the fields of a task file stand, so that a complaint can name the line.

Rule: each node is looked at once, whatever a file refers to by aliases.
"""

import yaml


def lines_of_fields(content: bytes) -> dict[str, int]:
    """Return the line of each field of *content*, a task file that was loaded, by its place as in `body.messages[0].content`."""
    lines: dict[str, int] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, yaml.Node | None]] = [("", yaml.compose(content.decode("utf-8-sig"), yaml.SafeLoader))]
    while waiting:
        place, node = waiting.pop()
        if node is None or id(node) in seen:
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
