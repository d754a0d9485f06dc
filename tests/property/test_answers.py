import json

from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.answers import parse_answer, row_of_answer
from batchdrop.core.batches import Batch
from batchdrop.core.reconciliation import answers_outstanding, missing_verdict
from batchdrop.core.verdicts import judge

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
BODIES = JSON | st.fixed_dictionaries(
    {},
    optional={
        "choices": JSON | st.lists(CHOICES, max_size=3),
        "output": JSON | st.lists(st.fixed_dictionaries({}, optional={"type": JSON, "content": JSON}), max_size=3),
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
    assert verdict.failure is None or output is None
    assert not (verdict.may_be_sent_again and verdict.failure is None)
    assert not (verdict.may_be_sent_again and answer.is_2xx)
    assert row_of_answer(content) == answer.row


USUAL_CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "message": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "content": JSON,
                "refusal": st.none() | st.sampled_from(["", "no", 7]),
                "tool_calls": st.none() | st.just([{"id": "c"}]),
            },
        ),
        "finish_reason": st.none() | st.sampled_from(["stop", "length", "", 7]),
    },
)


@given(
    choices=st.none() | st.lists(USUAL_CHOICES, max_size=3),
    error=st.none() | st.just({"message": "m"}),
    is_structured=st.booleans(),
)
def test_a_chat_read_in_one_go_is_the_chat_read_field_by_field(
    choices: object, error: object, *, is_structured: bool
) -> None:
    """One unusual field makes the reader patient, and changes nothing else of the verdict."""
    body = {"model": "m", "choices": choices, "error": error}

    at_once, patiently = (
        judge(
            parse_answer(json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": given}}).encode()),
            "/v1/chat/completions",
            is_structured=is_structured,
        )
        for given in (body, body | {"usage": 7})
    )

    assert at_once == patiently


TOKENS = st.none() | st.integers(0, 9)
USAGES = st.none() | st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"), TOKENS)
    | {
        name: st.none() | st.fixed_dictionaries({}, optional={"cached_tokens": TOKENS, "cache_write_tokens": TOKENS})
        for name in ("prompt_tokens_details", "input_tokens_details")
    },
)


@given(usage=USAGES)
def test_tokens_are_counted_the_same_in_one_go(usage: object) -> None:
    """What a chat's usage says does not depend on whether its other fields are usual."""
    at_once, patiently = (
        judge(
            parse_answer(json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": body}}).encode()),
            "/v1/chat/completions",
            is_structured=False,
        ).usage
        for body in ({"usage": usage, "model": "m"}, {"usage": usage, "model": 7})
    )

    assert at_once == patiently


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
    """A failure's code can stand in a notice: one short word, whatever the provider put there."""
    answer = parse_answer(json.dumps(line).encode())

    failure = judge(answer, endpoint, is_structured=False).failure

    assert failure is None or (failure.code.isascii() and failure.code.isprintable() and 0 < len(failure.code) <= 64)


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

    assert verdict is None or (verdict.may_be_sent_again and not answers_outstanding(batch, *lines))
