import json
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, NoReturn

import msgspec
import pytest
from fakes.answered import answer_line, chat_body
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.collection.answers import Answer, parse_answer, read_answer, read_row, row_of_answer
from batchdrop.core.collection.unanswered import answers_outstanding, missing_verdict
from batchdrop.core.collection.verdicts import LAYOUTS, Layout, judge
from batchdrop.core.model.batches import Batch
from batchdrop.core.model.endpoints import Shape

SHAPES = st.sampled_from(list(Shape))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
# Bodies that look like answers, with something else in any place.
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "message": JSON | st.fixed_dictionaries({}, optional={"content": JSON, "refusal": JSON, "tool_calls": JSON}),
        "text": JSON,
        "finish_reason": JSON,
    },
)
TEXTS = JSON | st.sampled_from(["", "a text", '{"a": 1}'])
MESSAGES = st.fixed_dictionaries(
    {"type": JSON | st.just("message")},
    optional={
        "phase": JSON | st.sampled_from([None, "commentary", "final_answer"]),
        "content": JSON
        | st.lists(
            st.fixed_dictionaries(
                {}, optional={"type": JSON | st.just("output_text"), "text": TEXTS, "refusal": TEXTS}
            ),
            max_size=2,
        ),
    },
)
BODIES = JSON | st.fixed_dictionaries(
    {},
    optional={
        "choices": JSON | st.lists(CHOICES, max_size=3),
        "output": JSON | st.lists(MESSAGES, max_size=3),
        "data": JSON,
        "results": JSON,
        "status": JSON,
        "incomplete_details": JSON,
        "usage": JSON | st.fixed_dictionaries({}, optional={"prompt_tokens": JSON, "output_tokens": JSON}),
        "model": JSON,
        "error": JSON,
    },
)
LINES = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "custom_id": JSON | st.integers(1, 99).map(str),
        "error": JSON | st.fixed_dictionaries({}, optional={"code": JSON, "message": JSON}),
        "response": JSON
        | st.fixed_dictionaries(
            {}, optional={"status_code": JSON | st.integers(0, 599), "request_id": JSON, "body": BODIES}
        ),
    },
)


@given(content=st.binary(max_size=200))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    """Whatever a file holds, each line is read as an answer or as nobody's."""
    row = row_of_answer(content)

    assert row is None or row > 0
    assert row == read_row(content)
    assert judge(parse_answer(content), LAYOUTS[Shape.CHAT], is_structured=False).output is not None


@given(line=LINES, shape=SHAPES, is_structured=st.booleans(), ascii_only=st.booleans())
def test_any_json_has_a_verdict(line: object, shape: Shape, *, is_structured: bool, ascii_only: bool) -> None:
    """Each line is a success or a failure, never both; its output is JSON on one line; what was 2xx is never sent again."""
    content = json.dumps(line, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    answer = parse_answer(content)
    verdict = judge(answer, LAYOUTS[shape], is_structured=is_structured)

    output = json.loads(bytes(verdict.output))
    assert b"\n" not in bytes(verdict.output)
    assert verdict.failure is not None or is_structured or output not in (None, "", [], {})
    assert verdict.failure is None or output is None
    assert not (verdict.may_be_sent_again and verdict.failure is None)
    assert not (verdict.may_be_sent_again and answer.is_2xx)
    assert row_of_answer(content) == read_row(content)


def _said(text: str, **others: object) -> dict[str, object]:
    """Return a message of a response."""
    return {"type": "message", "content": [{"type": "output_text", "text": text}], **others}


_CALL = {"type": "function_call", "name": "f"}
_CHAT_USAGE = {"prompt_tokens": 20, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
_USAGE = {"input_tokens": 20, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1}}
# What providers normally send, shape by shape.
TYPICAL: list[tuple[Shape, dict[str, Any]]] = [
    (Shape.CHAT, {**chat_body('{"a": 1}'), "usage": _CHAT_USAGE}),
    (Shape.CHAT, {**chat_body("é", refusal=None, annotations=[]), "error": None}),
    (Shape.CHAT, chat_body(None, refusal="I can't")),
    (Shape.CHAT, chat_body("a text", refusal="")),
    (Shape.CHAT, chat_body(None, "tool_calls", tool_calls=[{"id": "c"}])),
    (Shape.CHAT, {**chat_body("a"), "choices": [{"message": {"content": text}} for text in ("a", "", "b")]}),
    (Shape.COMPLETIONS, {"choices": [{"text": "a", "finish_reason": "stop"}, {"text": "b"}], "usage": _CHAT_USAGE}),
    (Shape.RESPONSES, {"status": "completed", "error": None, "output": [{"type": "reasoning"}, _said("a")]}),
    (Shape.RESPONSES, {"output": [_said("a", phase="commentary"), _said('{"a": 1}', phase=None)], "usage": _USAGE}),
    (
        Shape.RESPONSES,
        {"status": "incomplete", "incomplete_details": {"reason": "x"}, "output": [_said("a"), _said("b")]},
    ),
    (Shape.RESPONSES, {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "I can't"}]}]}),
    (Shape.RESPONSES, {"model": "m", "output": [{"type": "reasoning"}, _CALL, _CALL]}),
    (Shape.EMBEDDINGS, {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": "AA"}], "usage": {}}),
    (Shape.MODERATIONS, {"model": "m", "results": [{"flagged": False}, {"flagged": True}]}),
    (Shape.IMAGES, {"created": 1, "data": [{"url": "u"}], "usage": _USAGE}),
    (Shape.OPAQUE, {"id": "video_1", "model": "m"}),
]


def paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to each value within *value*."""
    members: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in members:
        yield (*path, name)
        yield from paths(inner, (*path, name))


ABSENT = object()
VALUES = JSON | st.sampled_from(
    [ABSENT, None, 7, 299, 300, "", "é", "\ud800", '{"a": 1}', "length", {}, {"cached_tokens": 4}, [{"id": "call"}]]
)
# Fields that a typical body does without.
_RARE = [
    ("response", "body", "error"),
    *(("response", "body", "usage", name) for name in ("input_tokens", "prompt_tokens", "input_tokens_details")),
    *(("response", "body", "choices", 0, "message", name) for name in ("refusal", "function_call", "audio")),
]


@st.composite
def varied_lines(draw: st.DrawFn) -> tuple[Shape, object]:
    """Return a typical answer, some of whose values were replaced or are gone."""
    shape, body = draw(st.sampled_from(TYPICAL))
    line = json.loads(answer_line(1, body))
    places = st.sampled_from([*paths(line), *_RARE])
    return shape, changed(line, draw(st.lists(st.tuples(places, VALUES), max_size=3)))


def changed(line: object, changes: Iterable[tuple[tuple[str | int, ...], object]]) -> object:
    """Return *line* with other values in some places, as far as they are still there."""
    for (*parents, last), value in changes:
        inner: Any = line
        for step in parents:
            inner = inner[step] if _holds(inner, step) else None
        if value is ABSENT and _holds(inner, last):
            del inner[last]
        elif value is not ABSENT and isinstance(inner, dict):
            inner[last] = deepcopy(value)
        elif value is not ABSENT and isinstance(inner, list) and isinstance(last, int):
            inner[last : last + 1] = [deepcopy(value)]
    return line


def _holds(outer: object, step: str | int) -> bool:
    return step in outer if isinstance(outer, dict) else isinstance(outer, list) and step in range(len(outer))


def refused(_body: object) -> NoReturn:
    """Take no body at all."""
    raise msgspec.DecodeError


def field_by_field(layout: Layout[Any]) -> Layout[Any]:
    """Return *layout* with a decoder that refuses all, so that each body is read field by field."""
    return replace(layout, reader=replace(layout.reader, decode=refused))


@given(
    varied=varied_lines() | st.tuples(SHAPES, LINES),
    is_structured=st.booleans(),
    separators=st.sampled_from([(",", ":"), (", ", ": ")]),
    ascii_only=st.booleans(),
    broken=st.none() | st.integers(0, 400),
)
def test_what_is_read_in_one_go_is_what_is_read_field_by_field(
    varied: tuple[Shape, object],
    separators: tuple[str, str],
    broken: int | None,
    *,
    is_structured: bool,
    ascii_only: bool,
) -> None:
    """An answer is worth the same whether its types are the usual ones or it is taken apart; also where bytes are no UTF-8."""
    shape, line = varied
    content = json.dumps(line, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") + b"\n"
    if broken is not None:
        content = content[:broken] + b"\xe9" + content[broken + 1 :]
    layout = LAYOUTS[shape]

    answer, apart = parse_answer(content), read_answer(content)

    assert answer == apart
    assert row_of_answer(content) == read_row(content)
    found = judge(answer, layout, is_structured=is_structured)
    assert found == judge(apart, field_by_field(layout), is_structured=is_structured)


@pytest.mark.parametrize(("shape", "body"), TYPICAL)
def test_typical_answers_are_read_in_one_go(shape: Shape, body: dict[str, Any]) -> None:
    """No field of theirs is of another type than the decoders have."""
    line = answer_line(1, body)

    answer = msgspec.json.decode(line, type=Answer)

    assert answer.response is not None
    assert LAYOUTS[shape].reader.decode(answer.response.body) is not None


@given(value=JSON, text=st.text(st.characters(), max_size=50))
def test_an_answer_keeps_every_character(value: object, text: str) -> None:
    """The body is what the provider wrote, except for half surrogates, which no reader takes."""
    line = json.dumps(
        {"custom_id": "1", "response": {"status_code": 200, "body": {"value": value, "text": text}}}
    ).encode()

    answer = parse_answer(line)

    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(bytes(answer.body))["text"] == whole


@given(line=LINES, shape=SHAPES)
def test_codes_are_words(line: object, shape: Shape) -> None:
    """A failure's code can stand in a notification: short and on one line, whatever the provider put there."""
    answer = parse_answer(json.dumps(line).encode())

    failure = judge(answer, LAYOUTS[shape], is_structured=False).failure

    assert failure is None or (failure.code.isprintable() and 0 < len(failure.code) <= 64)


@given(
    status=st.sampled_from(["completed", "expired", "cancelled"]),
    total=st.none() | st.integers(0, 9),
    completed=st.none() | st.integers(0, 9),
    lines=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_nothing_is_sent_again_while_answers_are_owed(
    status: str, total: int | None, completed: int | None, lines: tuple[int, int]
) -> None:
    """An item without a line is sent again only by a batch that shows all that it counted."""
    batch = Batch("batch_1", status, 1, total=total, completed=completed)

    verdict = missing_verdict(batch, lines[0], None, give_up=False)

    assert verdict is None or (verdict.may_be_sent_again and not answers_outstanding(batch, 9, *lines))
