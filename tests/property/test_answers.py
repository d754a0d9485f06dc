import json
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from fakes.answered import answer_line, chat_body
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.collection.answers import parse_answer, row_of_answer
from batchdrop.core.collection.unanswered import answers_outstanding, missing_verdict
from batchdrop.core.collection.usual import usual_outcome
from batchdrop.core.collection.verdicts import judge
from batchdrop.core.model.batches import Batch
from batchdrop.core.model.endpoints import CHAT
from batchdrop.core.model.outcomes import NULL, Outcome, Usage

ENDPOINTS = st.sampled_from(
    [
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/moderations",
        "/v1/images/edits",
        "/v1/videos",
    ]
)
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
    answer = parse_answer(content)

    assert answer.row is None or answer.row > 0
    assert row_of_answer(content) == answer.row


@given(line=LINES, endpoint=ENDPOINTS, is_structured=st.booleans(), ascii_only=st.booleans())
def test_any_json_has_a_verdict(line: object, endpoint: str, *, is_structured: bool, ascii_only: bool) -> None:
    """Each line is a success or a failure, never both; its output is JSON on one line; what was 2xx is never sent again."""
    content = json.dumps(line, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    answer = parse_answer(content)
    verdict = judge(answer, endpoint, is_structured=is_structured)

    output = json.loads(bytes(verdict.output))
    assert b"\n" not in bytes(verdict.output)
    assert verdict.failure is not None or is_structured or output not in (None, "", [], {})
    assert verdict.failure is None or output is None
    assert not (verdict.may_be_sent_again and verdict.failure is None)
    assert not (verdict.may_be_sent_again and answer.is_2xx)
    assert row_of_answer(content) == answer.row


# Where an answer may differ from the usual one, as a path into its line.
_BODY = ("response", "body")
_CHOICE = (*_BODY, "choices", 0)
_MESSAGE = (*_CHOICE, "message")
PLACES = [
    *((member,) for member in ("id", "custom_id", "response", "error")),
    *(("response", member) for member in ("status_code", "request_id", "body")),
    *((*_BODY, member) for member in ("model", "choices", "usage", "error")),
    *((*_BODY, "choices", place) for place in (0, 1)),
    *((*_CHOICE, member) for member in ("message", "finish_reason")),
    *((*_MESSAGE, member) for member in ("content", "refusal", "tool_calls", "function_call", "audio")),
    *(
        (*_BODY, "usage", member)
        for member in ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "input_tokens_details")
    ),
    *(
        (*_BODY, "usage", "prompt_tokens_details", *member)
        for member in ((), ("cached_tokens",), ("cache_write_tokens",))
    ),
]
ABSENT = object()
VALUES = JSON | st.sampled_from(
    [ABSENT, None, 7, 299, 300, "", "é", "\ud800", '{"a": 1}', "length", {}, {"cached_tokens": 4}, [{"id": "call"}]]
)
CHANGES = st.lists(st.tuples(st.sampled_from(PLACES), VALUES), max_size=3)


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


@given(
    changes=CHANGES,
    is_structured=st.booleans(),
    separators=st.sampled_from([(",", ":"), (", ", ": ")]),
    ascii_only=st.booleans(),
    broken=st.none() | st.integers(0, 400),
)
def test_what_is_read_in_one_go_is_what_is_read_field_by_field(
    changes: list[tuple[tuple[str | int, ...], object]],
    separators: tuple[str, str],
    broken: int | None,
    *,
    is_structured: bool,
    ascii_only: bool,
) -> None:
    """An outcome that was read at once is the one that follows from the answer's verdict; also of bytes that are no UTF-8."""
    line = changed(json.loads(answer_line(1, chat_body('{"a": 1}' if is_structured else "é"))), changes)
    content = json.dumps(line, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") + b"\n"
    if broken is not None:
        content = content[:broken] + b"\xe9" + content[broken + 1 :]

    found = usual_outcome(content, "name", 1, NULL, 2, "batch_1", is_structured=is_structured)

    answer = parse_answer(content)
    verdict = judge(answer, CHAT, is_structured=is_structured)
    expected = Outcome(
        name="name", row=1, status="succeeded", output=verdict.output, finish=verdict.finish, model=verdict.model,
        usage=verdict.usage, response=answer.body, attempts=2, batch_id="batch_1", line_id=answer.line_id,
        request_id=answer.request_id, status_code=answer.status,
    )  # fmt: skip
    assert found is None or (verdict.failure is None and found == expected)


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    usage=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    status=st.integers(200, 299),
)
def test_usual_answers_are_read_in_one_go(text: str, usage: tuple[int, int], status: int) -> None:
    """A text with its tokens: what nearly all answers are."""
    body = chat_body(text) | {"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}}

    found = usual_outcome(answer_line(1, body, status), "name", 1, NULL, 1, "batch_1", is_structured=False)

    assert found is not None
    assert (json.loads(bytes(found.output)), found.usage) == (text, Usage(*usage))


@given(value=JSON, text=st.text(st.characters(), max_size=50))
def test_an_answer_keeps_every_character(value: object, text: str) -> None:
    """The body is what the provider wrote, except for half surrogates, which no reader takes."""
    line = json.dumps(
        {"custom_id": "1", "response": {"status_code": 200, "body": {"value": value, "text": text}}}
    ).encode()

    answer = parse_answer(line)

    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(bytes(answer.body))["text"] == whole


@given(line=LINES, endpoint=ENDPOINTS)
def test_codes_are_words(line: object, endpoint: str) -> None:
    """A failure's code can stand in a notification: short and on one line, whatever the provider put there."""
    answer = parse_answer(json.dumps(line).encode())

    failure = judge(answer, endpoint, is_structured=False).failure

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
