"""The fields of a CSV row that stands on one line, found by searching instead of looking at every character.

Rule: where anything is unusual the answer is None and csv.reader decides, so that there is one opinion of what a row is. A
property test compares the two. csv.reader took half of all planning time on rows of 2.5 KB; this takes a tenth.
"""

_LINE_ENDS = ("", "\n", "\r\n", "\r")


def fields_of_line(line: str) -> list[str] | None:
    """Return the fields of *line*, none for a blank one, or None where csv.reader has to look."""
    if '"' in line:
        return _quoted_fields(line)
    row = line.removesuffix("\n").removesuffix("\r")
    if "\r" in row:
        return None
    return row.split(",") if row else []


def _quoted_fields(line: str) -> list[str] | None:
    fields: list[str] = []
    position = 0
    while True:
        if line.startswith('"', position):
            start, position = position + 1, _closing_quote(line, position + 1)
            if position < 0:
                return None
            fields.append(line[start:position].replace('""', '"'))
            position += 1
        else:
            start, position = position, _end_of_plain(line, position)
            field = line[start:position]
            if '"' in field or "\r" in field:
                return None
            fields.append(field)
        if not line.startswith(",", position):
            return fields if line[position:] in _LINE_ENDS else None
        position += 1


def _closing_quote(line: str, position: int) -> int:
    """Return where the quote closes that opened before *position*; -1 where not on this line."""
    while (position := line.find('"', position)) >= 0:
        if not line.startswith('"', position + 1):
            return position
        position += 2
    return -1


def _end_of_plain(line: str, position: int) -> int:
    end = line.find(",", position)
    return end if end >= 0 else len(line.removesuffix("\n").removesuffix("\r"))
