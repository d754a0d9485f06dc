import json
from typing import Any

import pytest
from fakes.answered import answer_line, chat_body, error_line

from batchdrop.core.collection.answers import parse_answer
from batchdrop.core.collection.verdicts import LAYOUTS, Verdict, judge
from batchdrop.core.model.endpoints import Shape, endpoint_of
from batchdrop.core.model.outcomes import NULL, Usage


def judged(endpoint: str, body: object, *, is_structured: bool = False) -> Verdict:
    """Return the verdict on a 2xx answer."""
    layout = LAYOUTS[endpoint_of(endpoint).shape]
    return judge(parse_answer(answer_line(1, body)), layout, is_structured=is_structured)


def output_of(verdict: Verdict) -> Any:  # noqa: ANN401  any JSON
    """Return the output as a value."""
    return json.loads(bytes(verdict.output))


def response_body(*parts: dict[str, str], status: str = "completed", reason: str | None = None) -> dict[str, object]:
    """Return the body of a response with these parts in its message."""
    items = [{"type": "reasoning", "summary": []}, {"type": "message", "content": list(parts)}]
    details = {"reason": reason} if reason else None
    return {"model": "gpt-4.1", "status": status, "incomplete_details": details, "output": items, "error": None}


def message(text: str, phase: str | None = None) -> dict[str, object]:
    """Return one message of a response."""
    return {"type": "message", "phase": phase, "content": [{"type": "output_text", "text": text}]}


def messages(*items: dict[str, object], status: str = "completed") -> dict[str, object]:
    """Return the body of a response with these items."""
    return response_body(status=status) | {"output": [{"type": "reasoning", "summary": []}, *items]}


TEXT = {"type": "output_text", "text": "positive"}
REFUSAL = {"type": "refusal", "refusal": "I can't"}


@pytest.mark.parametrize(
    ("endpoint", "body", "output", "finish"),
    [
        ("/v1/chat/completions", chat_body("positive"), "positive", "stop"),
        ("/chat/completions", chat_body("positive"), "positive", "stop"),
        ("/v1/chat/completions", chat_body("posi", "length"), "posi", "length"),
        ("/v1/chat/completions", chat_body(None, refusal="I can't"), "I can't", "refusal"),
        ("/v1/chat/completions", chat_body(None, "tool_calls", tool_calls=[{"id": "c"}]), [{"id": "c"}], "tool_calls"),
        ("/v1/chat/completions", chat_body("", refusal="I can't"), "I can't", "refusal"),
        ("/v1/chat/completions", chat_body("", "tool_calls", tool_calls=[{"id": "c"}]), [{"id": "c"}], "tool_calls"),
        ("/v1/chat/completions", chat_body(None, function_call={"name": "f"}), {"name": "f"}, "stop"),
        ("/v1/chat/completions", chat_body(None, tool_calls=[], audio={"id": "a"}), {"id": "a"}, "stop"),
        ("/v1/completions", {"choices": [{"text": "a", "finish_reason": "stop"}]}, "a", "stop"),
        ("/v1/completions", {"choices": [{"text": "a"}, {"text": ""}]}, ["a", ""], None),
        ("/v1/completions", {"choices": [{"text": "a", "finish_reason": "stop"}, {"text": "b"}]}, ["a", "b"], "stop"),
        ("/v1/responses", response_body(TEXT), "positive", "stop"),
        ("/v1/responses", response_body(TEXT, TEXT), "positivepositive", "stop"),
        ("/v1/responses", response_body(TEXT, status="incomplete", reason="max_output_tokens"), "positive", "length"),
        ("/v1/responses", response_body(REFUSAL), "I can't", "refusal"),
        ("/v1/responses", response_body(TEXT, REFUSAL), "positive", "refusal"),
        ("/v1/responses", {"output": [{"type": "message", "content": "positive"}]}, "positive", "stop"),
        # Only the final answer is the answer, whatever was said on the way; two messages are two.
        (
            "/v1/responses",
            messages(message("Let me see.", "commentary"), message("good", "final_answer")),
            "good",
            "stop",
        ),
        ("/v1/responses", messages(message("good", "final_answer"), message("Done.", "commentary")), "good", "stop"),
        ("/v1/responses", messages(message("Let me see.", "commentary"), message("good")), "good", "stop"),
        ("/v1/responses", messages(message("go"), message("good", "final_answer")), "good", "stop"),
        ("/v1/responses", messages(message("go"), message("good")), ["go", "good"], "stop"),
        (
            "/v1/responses",
            messages(message("a", "final_answer"), message(""), message("b", "final_answer")),
            ["a", "b"],
            "stop",
        ),
        (
            "/v1/responses",
            messages(message("I call it.", "commentary"), {"type": "function_call"}),
            [{"type": "function_call"}],
            "stop",
        ),
        (
            "/v1/responses",
            {"status": "completed", "output": [{"type": "function_call"}]},
            [{"type": "function_call"}],
            "stop",
        ),
        ("/v1/embeddings", {"data": [{"index": 0, "embedding": [0.1, 2]}]}, [0.1, 2], None),
        ("/v1/embeddings", {"data": [{"index": 0, "embedding": "AAAA"}]}, "AAAA", None),
        (
            "/v1/embeddings",
            {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]},
            [[1], [2]],
            None,
        ),
        ("/v1/moderations", {"results": [{"flagged": False}]}, {"flagged": False}, None),
        (
            "/v1/moderations",
            {"results": [{"flagged": False}, {"flagged": True}]},
            [{"flagged": False}, {"flagged": True}],
            None,
        ),
        ("/v1/images/generations", {"data": [{"url": "u"}]}, [{"url": "u"}], None),
        ("/v1/images/edits", {"data": [{"url": "u"}]}, [{"url": "u"}], None),
        ("/v1/videos", {"id": "video_1"}, {"id": "video_1"}, None),
    ],
)
def test_each_endpoint_has_its_output(endpoint: str, body: object, output: object, finish: str | None) -> None:
    """A 2xx answer succeeds with what its endpoint is asked for, however it ended."""
    verdict = judged(endpoint, body)

    assert verdict.failure is None
    assert (output_of(verdict), verdict.finish) == (output, finish)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 3}, Usage(20, 3)),
        ({"input_tokens": 20, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 1}}, Usage(20, 3, 1)),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}},
            Usage(9, 0, 4, 2),
        ),
        ({"prompt_tokens": 9, "prompt_tokens_details": None}, Usage(9, 0)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": "x"}}, Usage(9, 0)),
        ({"prompt_tokens": 20, "total_tokens": 20}, Usage(20, 0)),
        ({"total_tokens": 5}, None),
        ({"prompt_tokens": "many"}, None),
        (None, None),
    ],
)
def test_tokens_have_one_set_of_names(usage: object, counted: Usage | None) -> None:
    """Tokens are counted alike for all endpoints, and not at all where the provider does not say."""
    verdict = judged("/v1/embeddings", {"model": "m", "data": [], "usage": usage})

    assert verdict.usage == counted
    assert verdict.model == "m"


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", {"choices": []}),
        ("/v1/chat/completions", {"choices": None}),
        ("/v1/chat/completions", {"choices": [3]}),
        ("/v1/chat/completions", {"choices": "x"}),
        ("/v1/chat/completions", {"choices": [{"message": None}]}),
        ("/v1/chat/completions", chat_body("")),
        ("/v1/chat/completions", chat_body(None)),
        ("/v1/chat/completions", chat_body(None, tool_calls=[])),
        ("/v1/chat/completions", chat_body(None, "content_filter")),
        ("/v1/chat/completions", {"choices": [{"message": {"content": ""}}, {"message": {"content": None}}]}),
        ("/v1/completions", {"choices": [{"text": ""}]}),
        ("/v1/responses", messages()),
        ("/v1/responses", messages(message(""))),
        ("/v1/responses", messages(message("Let me see.", "commentary"))),
        ("/v1/responses", messages(message("", "final_answer"), message("Let me see."))),
        ("/v1/responses", response_body(status="incomplete", reason="content_filter")),
        ("/v1/embeddings", {"data": []}),
        ("/v1/embeddings", {"data": [{"index": 0, "embedding": []}]}),
        ("/v1/moderations", {"results": None}),
        ("/v1/images/generations", {"data": []}),
    ],
)
@pytest.mark.parametrize("is_structured", [False, True])
def test_an_empty_answer_is_a_failure(endpoint: str, body: dict[str, object], *, is_structured: bool) -> None:
    """An answer that holds nothing of what was asked for is none. It is paid for: its tokens are kept, it is not sent again."""
    usage = {"prompt_tokens": 20, "completion_tokens": 3}

    verdict = judged(endpoint, body | {"model": "m", "usage": usage}, is_structured=is_structured)

    assert verdict.failure is not None
    assert (verdict.failure.code, verdict.may_be_sent_again, verdict.output) == ("empty_answer", False, NULL)
    assert "paid for" in verdict.failure.message
    assert (verdict.model, verdict.usage) == ("m", Usage(20, 3))


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_empty_answer_says_what_ended_it(finish: str) -> None:
    """A model that thinks until its limit is reached is the usual cause, and the limit can be raised."""
    verdict = judged("/v1/chat/completions", chat_body("", finish))

    assert verdict.failure is not None
    assert f"`{finish}`" in verdict.failure.message


@pytest.mark.parametrize(
    ("items", "output"),
    [
        ((message("Let me see.", "commentary"), message('{"a": 1}', "final_answer")), {"a": 1}),
        ((message('{"a": 0}', "commentary"), message('{"a": 1}', "final_answer")), {"a": 1}),
        ((message('{"a": '), message('{"a": 1}')), {"a": 1}),
        ((message('{"a": 1}'), message('{"a": ')), {"a": 1}),
        ((message('{"a": 1}'), message('{"a": 2}')), {"a": 1}),
        ((message('{"a": 0}'), message('{"a": ', "final_answer"), message('{"a": 1}', "final_answer")), {"a": 1}),
    ],
)
def test_an_object_is_the_first_message_that_is_whole(items: tuple[dict[str, object], ...], output: object) -> None:
    """A fragment may stand beside the whole object; glued they would be neither."""
    verdict = judged("/v1/responses", messages(*items), is_structured=True)

    assert (verdict.failure, output_of(verdict)) == (None, output)


def test_structured_output_is_parsed() -> None:
    """Structured output comes as its object on one line, with its numbers as the model wrote them."""
    verdict = judged("/v1/chat/completions", chat_body('{\n  "score": 1.50\n}'), is_structured=True)

    assert bytes(verdict.output) == b'{"score":1.50}'


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/chat/completions", chat_body('{"score": 1', "length")),
        ("/v1/chat/completions", chat_body('{"score": 1}', "length")),
        ("/v1/chat/completions", chat_body(None, refusal="I can't")),
        ("/v1/chat/completions", chat_body("positive")),
        ("/v1/responses", messages(message('{"a": '), message("1}"))),
        ("/v1/responses", messages(message('{"a": 1}', "commentary"), message("1}", "final_answer"))),
        ("/v1/responses", response_body(REFUSAL)),
        ("/v1/responses", response_body(TEXT)),
        (
            "/v1/responses",
            response_body({"type": "output_text", "text": "{"}, status="incomplete", reason="max_output_tokens"),
        ),
    ],
)
def test_half_an_object_is_no_object(endpoint: str, body: object) -> None:
    """Structured output that is cut, refused or no JSON fails as incomplete, and is not sent again: it is paid for."""
    verdict = judged(endpoint, body, is_structured=True)

    assert verdict.failure is not None
    assert (verdict.failure.code, verdict.may_be_sent_again, verdict.output) == ("incomplete", False, NULL)


def test_tool_calls_are_no_broken_object() -> None:
    """A model that calls a tool where an object was asked for has answered."""
    verdict = judged(
        "/v1/chat/completions", chat_body(None, "tool_calls", tool_calls=[{"id": "c"}]), is_structured=True
    )

    assert verdict.failure is None
    assert output_of(verdict) == [{"id": "c"}]


def test_tokens_of_useless_answers_are_counted() -> None:
    """An incomplete answer keeps its model and its tokens."""
    verdict = judged("/v1/chat/completions", chat_body("{", "length"), is_structured=True)

    assert (verdict.model, verdict.usage) == ("gpt-4.1-mini-2025-04-14", Usage(20, 3))


def test_a_response_that_failed_is_a_failure() -> None:
    """HTTP success around a failed model call is a failure with the model's code, final because it ran."""
    body = {"status": "failed", "error": {"code": "server_error", "message": "oops"}, "output": []}

    verdict = judged("/v1/responses", body)

    assert verdict.failure is not None
    assert (verdict.failure.code, verdict.may_be_sent_again) == ("server_error", False)


def test_a_line_that_never_ran_may_run_again() -> None:
    """What the window cut off carries no model and no tokens, and may be sent again."""
    verdict = judge(parse_answer(error_line(1, "batch_expired")), LAYOUTS[Shape.RESPONSES], is_structured=False)

    assert verdict.may_be_sent_again
    assert (verdict.model, verdict.usage) == (None, None)
