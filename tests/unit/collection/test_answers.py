import json

import pytest
from fakes.answered import answer_line, chat_body, error_line, json_lines

from batchdrop.core.collection.answers import failure_of, may_be_sent_again, parse_answer, read_row, row_of_answer
from batchdrop.core.model.outcomes import NULL


def test_a_usual_line_is_read_whole() -> None:
    """A line gives its row, its ids, its status and the body byte for byte."""
    line = b'{"id":"batch_req_1","custom_id":"7","response":{"status_code":200,"request_id":"r","body":{"a":1.50}}}\n'

    answer = parse_answer(line)

    assert (row_of_answer(line), answer.line_id, answer.status, answer.request_id) == (7, "batch_req_1", 200, "r")
    assert bytes(answer.body) == b'{"a":1.50}'


@pytest.mark.parametrize(
    "line",
    [
        b'{"custom_id":"7","response":{"status_code":200,"body":{}},"new":{"deep":[1]},"error":null}',
        b'{"custom_id":"7","response":{"status_code":"200","body":{}}}',
        b'{"custom_id":"7","response":{"status_code":200,"request_id":9,"body":"{}"}}',
        b'{"custom_id":"7","id":12,"response":{"status_code":200,"body":"{\\n }"}}\r\n',
        b'\xef\xbb\xbf{"custom_id":"7","response":{"status_code":200,"body":{}}}',
    ],
)
def test_unusual_lines_are_read_like_usual_ones(line: bytes) -> None:
    """Unknown fields, digits as text, a body as text and a byte order mark change nothing."""
    answer = parse_answer(line)

    assert (answer.status, bytes(answer.body), failure_of(answer)) == (200, b"{}", None)
    assert row_of_answer(line) == 7


@pytest.mark.parametrize(
    ("content", "read"),
    [(b'"\\ud83d!"', "�!"), (b'"\xff!"', "�!"), (b"NaN", None), (b'"\\ud83d\\ude00"', "😀")],
    ids=["half a surrogate pair", "broken UTF-8", "not a number", "a whole pair"],
)
def test_an_answer_that_strict_readers_refuse_is_kept(content: bytes, read: object) -> None:
    """What is paid for is not lost to half an emoji: the unreadable character is replaced, the rest stays."""
    line = b'{"custom_id":"7","response":{"status_code":200,"body":{"text":' + content + b"}}}"

    answer = parse_answer(line)

    assert row_of_answer(line) == 7
    assert json.loads(bytes(answer.body)) == {"text": read}


@pytest.mark.parametrize(
    "custom_id",
    ["0", "07", "-7", "7 ", "\u0667", "", "seven", "9" * 16, None, 0, -7, 7.5, 10**16, True, ["7"]],
    ids=repr,
)
def test_only_our_own_rows_are_rows(custom_id: object) -> None:
    """A custom_id that we cannot have written answers no row."""
    line = json_lines([{"custom_id": custom_id, "response": None, "error": None}])

    row = row_of_answer(line)

    assert row is None
    assert read_row(line) is None


@pytest.mark.parametrize("custom_id", [b"7", b"7.0", b"7.", b'"7"'])
def test_a_row_that_comes_back_as_a_number_is_our_own(custom_id: bytes) -> None:
    """Some servers read the custom_id as a number, and write it as one."""
    line = b'{"custom_id":' + custom_id + b',"response":{"status_code":200,"body":{"a":1}},"error":null}'
    is_json = not custom_id.endswith(b".")

    answer = parse_answer(line)

    assert row_of_answer(line) == read_row(line) == (7 if is_json else None)
    assert bytes(answer.body) == (b'{"a":1}' if is_json else b"null")


@pytest.mark.parametrize("line", [b"", b"\n", b"gibberish", b"[1]", b'"7"', b'{"custom_id":', b"[" * 100_000])
def test_a_line_that_is_no_object_answers_nothing(line: bytes) -> None:
    """Garbage in a provider's file is survived, and is nobody's answer."""
    answer = parse_answer(line)

    assert failure_of(answer) is not None
    assert row_of_answer(line) is None


@pytest.mark.parametrize(
    ("line", "code", "again"),
    [
        (error_line(1, "batch_expired"), "batch_expired", True),
        (error_line(1, "batch_cancelled"), "batch_cancelled", True),
        (error_line(1, "request_timeout"), "request_timeout", True),
        (error_line(1, "never_heard_of"), "never_heard_of", False),
        (
            answer_line(1, {"error": {"code": "context_length_exceeded", "message": "m"}}, 400),
            "context_length_exceeded",
            False,
        ),
        (answer_line(1, {"error": {"code": None, "type": "server_error"}}, 500), "server_error", True),
        (answer_line(1, {"error": {"code": None}}, 503), "http_503", True),
        (answer_line(1, {"error": "slow down"}, 429), "http_429", True),
        (answer_line(1, None, 0), "http_0", True),
        (answer_line(1, "<html>", 502), "http_502", True),
        (answer_line(1, {"error": {"code": "a code\nwith words in it"}}, 404), "http_404", False),
        (answer_line(1, {}, 422), "http_422", False),
        (answer_line(1, {"detail": "no such model"}, 422), "http_422", False),
        (answer_line(1, {"error": {"code": 1301, "message": "m"}}, 400), "1301", False),
        (
            answer_line(1, {"error": {"code": "InvalidParameter.Text", "message": "m"}}, 400),
            "InvalidParameter.Text",
            False,
        ),
        (answer_line(1, {"code": "content policy: violence"}, 400), "content policy: violence", False),
        (answer_line(1, {"error": {"code": "  ", "type": "c" * 65}}, 400), "http_400", False),
        (answer_line(1, {}, 302), "http_302", False),
        (answer_line(1, None), "unreadable_answer", False),
        (answer_line(1, "no JSON"), "unreadable_answer", False),
        (answer_line(1, {}, None), "unreadable_answer", False),
        (json_lines([{"custom_id": "1", "response": None, "error": None}]), "unreadable_answer", False),
        (json_lines([{"custom_id": "1", "error": "expired", "response": None}]), "unreadable_answer", False),
    ],
)
def test_what_failed_is_told_apart(line: bytes, code: str, again: bool) -> None:  # noqa: FBT001  a column of the table
    """Anything but a 2xx with a body is a failure; only what the provider reports as passing may be sent again."""
    answer = parse_answer(line)
    failure = failure_of(answer)

    assert failure is not None
    assert (failure.code, may_be_sent_again(answer, failure)) == (code, again)


def test_a_paid_answer_is_never_sent_again() -> None:
    """An error beside a 2xx response fails the item, whatever its code says, because the response was paid for."""
    body = chat_body("paid")
    line = json_lines(
        [
            {
                "custom_id": "1",
                "response": {"status_code": 200, "body": body},
                "error": {"code": "batch_expired", "message": "m"},
            }
        ]
    )

    answer = parse_answer(line)
    failure = failure_of(answer)

    assert failure is not None
    assert not may_be_sent_again(answer, failure)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"detail": "Field required"}, "Field required"),
        (
            {
                "detail": [
                    {"loc": ["body", "messages", 0], "msg": "Field required", "type": "missing"},
                    {"msg": "and more"},
                ]
            },
            "body.messages.0: Field required; and more",
        ),
        ({"detail": ["too long"]}, '["too long"]'),
        ({"detail": {"reason": 7}}, '{"reason": 7}'),
        ({"detail": []}, "[]"),
        ({"error": {"message": None, "detail": "inside"}}, "inside"),
        ({"error": {"message": ["a", "b"]}}, '["a", "b"]'),
        ({"error": {"message": "m", "detail": "d"}}, "m"),
        ({}, "The provider gave no message."),
    ],
)
def test_the_words_of_a_refusal_are_kept(body: object, message: str) -> None:
    """Also where a server says them as FastAPI does, in `detail`, and where they are no text."""
    failure = failure_of(parse_answer(answer_line(1, body, 422)))

    assert failure is not None
    assert (failure.code, failure.message) == ("http_422", message)


def test_messages_are_cut() -> None:
    """A provider's message cannot grow an outcome without bound."""
    line = error_line(1, "bad", "m" * 100_000)

    failure = failure_of(parse_answer(line))

    assert failure is not None
    assert len(failure.message) == 2_000


def test_an_absent_body_is_null() -> None:
    """Without a response there is no body, and that is told by one value."""
    answer = parse_answer(error_line(1, "batch_expired"))

    assert answer.body == NULL
    assert answer.status is None
