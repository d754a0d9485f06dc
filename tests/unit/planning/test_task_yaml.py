"""The YAML of a task file: what its scalars mean, and that nothing in it can do more than be refused with a line."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.digits import encode_json
from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.planning.task import parse_task
from batchdrop.core.planning.task_yaml import load

CHAT = "endpoint: /v1/chat/completions\nbody:\n  model: m\n  messages: [{role: user, content: hi}]\n"
# What YAML is made of, so that most of what is drawn means something to its reader.
MARKS = st.sampled_from(
    ["&a ", "*a", "<<: ", "? ", "- ", ": ", "[", "]", "{", "}", ",", "'", '"', "|", ">", "%", "#", "~", "\\", "\t", "\n", "\n  ",
     "!!int ", "!!binary ", "---\n", "...\n", "x", "\ud800", "\x00", "model: m", "{{ a }}", "body:\n", "id: a\n"]
)  # fmt: skip


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("Null", None), ("", None),
        ("1", 1), ("-3", -3), ("0", 0), ("1.10", 1.1), ("1e3", 1000.0), ("-0.5E-2", -0.005), ("10000000000000000000000", 10**22),
        ("no", "no"), ("Yes", "Yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("0777", "0777"), ("0o17", "0o17"),
        ("0x1F", "0x1F"), ("12:30", "12:30"), ("1:30:00", "1:30:00"), ("2001-09-09", "2001-09-09"), ("1_000", "1_000"),
        (".5", ".5"), ("5.", "5."), ("+1", "+1"), (".inf", ".inf"), (".nan", ".nan"), ("=", "="), ("tRue", "tRue"),
        ("'1'", "1"), ('"true"', "true"), ("!!str 5", "5"), ("!!str null", "null"), ("'no'", "no"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_of_the_json_schema(scalar: str, value: object) -> None:
    """Words and numbers that only YAML knows stay the text that a person wrote."""
    loaded, _ = load(f"a: {scalar}\n")

    assert loaded == {"a": value}
    assert isinstance(loaded["a"], type(value))
    assert encode_json(loaded["a"]).decode() in (scalar, encode_json(value).decode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CHAT + "  x: &a [*a]\n", r"line 5, column 10 .*`\*a` is inside what it refers to"),
        (CHAT + "  x: &a {y: *a}\n", r"line 5, column 13 .*`\*a` is inside"),
        ("&a\nendpoint: *a\nbody: *a\n", r"line 2, column 11 .*`\*a` is inside"),
        (":" * 20_000, "line 1, column 20000 isn't YAML"),
        (CHAT + "  x: " + "{a: " * 20_000, "line 5, column .* nested more than 64 deep"),
        (CHAT + "  x: " + "[" * 5_000 + "]" * 5_000, "line 5, column .* nested more than 64 deep"),
        (CHAT + "? " * 20_000, "line 5, column .* nested more than 64 deep"),
        (CHAT + "  x: " + "9" * 20_000 + "\n", "line 5, column 6 .*more than 400 characters; put a text in quotes"),
        (CHAT + "  x: 1e999\n", "line 5, column 6 .*too large"),
        (CHAT + "  x: !!int 5\n", "line 5, column 6 .*the tag `!!int` means nothing here; write the value without it"),
        (CHAT + "  x: !!python/object/apply:os.system ['true']\n", "line 5, column 6 .*the tag `!!python"),
        (CHAT + "  x: !!binary a\n", "line 5, column 6 .*the tag `!!binary`"),
        (CHAT + "  x: \x00\n", r"line 5 isn't YAML: it has the character U\+0000"),
        (CHAT + '  x: "\\ud800"\n', "line 5, column 6 .*half of a character"),
        (CHAT + "  model: n\n", "line 5, column 3 .*the key `model` is in one mapping twice"),
        (CHAT + "  ? [a, b]\n  : c\n", "line 5, column 5 .*a key must be a text"),
        (CHAT + "  a: &a {x: 1}\n" + "".join(
            f"  {new}: &{new} {{<<: [{', '.join(9 * ['*' + old])}]}}\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ), "line 9, column 6 .*more than 1000 fields"),
    ],
)  # fmt: skip
def test_hostile_yaml_is_refused_with_a_line(text: str, message: str) -> None:
    """What recurses, multiplies or vanishes is named where it stands."""
    with pytest.raises(UploadRejected, match=message) as rejected:
        parse_task("t", text.encode("utf-8", "surrogatepass"))

    assert rejected.value.code == "task_invalid"


def test_merges_and_aliases_work() -> None:
    """What YAML is used for stays."""
    loaded, lines = load("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n")

    assert loaded == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}}
    assert lines["b.y"] == 2


@given(st.lists(MARKS, max_size=60).map("".join))
def test_any_text_is_a_task_or_a_complaint(text: str) -> None:
    """One bad task never breaks a command that lists them all."""
    with suppress(UploadRejected):
        parse_task("t", (CHAT + text).encode("utf-8", "surrogatepass"))
