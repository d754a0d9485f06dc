from typing import get_args, get_type_hints

import msgspec
import pytest
from openai.types.batch_create_params import BatchCreateParams

from batchdrop.core.model.endpoints import ENDPOINTS, endpoint_of
from batchdrop.core.model.errors import ItemRefused
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.plan import JsonValue, Request
from batchdrop.core.planning.requests import (
    body_of_line,
    inputs_of,
    is_structured,
    ready_made,
    request_line,
    row_of_line,
)

READY_MADE = ready_made(Limits())
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"


def built(value: JsonValue, row: int = 1) -> Request:
    """Return the request that a ready-made record becomes."""
    return READY_MADE.build(value, READY_MADE.name(value, row))


def line(**members: JsonValue) -> JsonValue:
    """Return a native line, but for *members*; those that are ... are left out."""
    whole: dict[str, JsonValue] = {"custom_id": "c", "method": "POST", "url": RESPONSES, "body": {"model": "m"}}
    return {key: value for key, value in (whole | members).items() if value != "absent"}


def test_endpoints_are_those_of_the_sdk() -> None:
    """What a batch takes is known from the SDK's own list."""
    known = get_args(get_type_hints(BatchCreateParams)["endpoint"])

    assert set(known) == set(ENDPOINTS)


def test_a_line_names_its_row_first() -> None:
    """The row and the body of a line are found without decoding it."""
    request = Request("n", CHAT, "m", b'{"model":"m","messages":[{"content":"}"}]}', 1, 0)

    text = request_line(1042, request)

    assert msgspec.json.decode(text) == {
        "custom_id": "1042", "method": "POST", "url": CHAT, "body": msgspec.json.decode(request.body),
    }  # fmt: skip
    assert row_of_line(text) == 1042
    assert body_of_line(text) == request.body


@pytest.mark.parametrize("url", [CHAT, "/chat/completions"])
def test_a_url_may_lack_its_version(url: str) -> None:
    """Azure's lines do: both are one endpoint, so that they share batches, and each server is sent its own form."""
    assert built(line(url=url)).endpoint == CHAT


def test_a_native_line_is_sent_as_it_is() -> None:
    """Name, endpoint, model and body come from the line."""
    request = built(line(custom_id="a/b", body={"model": "m", "input": "hi", "stream": False}))

    assert (request.name, request.endpoint, request.model) == ("a%2Fb", RESPONSES, "m")
    assert msgspec.json.decode(request.body) == {"model": "m", "input": "hi", "stream": False}


def test_a_bare_body_with_messages_is_a_chat() -> None:
    """A body without a line around it is named by its row."""
    request = built({"model": "m", "messages": []}, row=3)

    assert (request.name, request.endpoint) == ("000000003", CHAT)


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (line(method="absent", body="absent"), "bad_request", "lacks `method`, `body`"),
        (line(custom_id="absent"), "no_id", "custom_id"),
        (line(custom_id=" "), "no_id", "custom_id"),
        (line(custom_id=True), "no_id", "custom_id"),
        (line(method="GET"), "bad_request", "`GET`"),
        (line(url="/v1/audio/speech"), "bad_request", "takes /v1/chat/completions, "),
        (line(url=["/v1/responses"]), "bad_request", "`url`"),
        (line(body="{}"), "bad_request", "`body` isn't a JSON object"),
        (line(body={"input": "x"}), "bad_request", "lacks `model`"),
        (line(body={"model": "m", "stream": True}), "bad_request", "`stream`"),
        (line(body={"model": "m" * 201}), "bad_request", "longer than 200"),
        ({"model": "m", "input": "x"}, "bad_request", "write the full line"),
        ({"messages": []}, "bad_request", "lacks `model`"),
        ({"model": " m", "messages": []}, "bad_request", "begins or ends with a blank: ` m`"),
        ({}, "bad_request", "needs `messages`"),
        (["model"], "bad_request", r"array; .* name the file \.json"),
        ("model", "bad_request", "JSON object"),
        ({"id": "batch_req_1", "custom_id": "c", "response": {}}, "bad_request", "a batch's output"),
        ({"custom_id": "c", "params": {"model": "m", "messages": []}}, "foreign_format", "Anthropic"),
        ({"recordId": "c", "modelInput": {}}, "foreign_format", "Bedrock"),
        ({"request": {"contents": []}}, "foreign_format", "Vertex"),
    ],
)
def test_a_request_that_cannot_be_sent_says_what_is_missing(value: JsonValue, code: str, message: str) -> None:
    """The refusal names the member or the format, so that the person can mend the record."""
    with pytest.raises(ItemRefused, match=message) as refused:
        built(value)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("text", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), ([], 1), (None, 1)],
)
def test_embedding_inputs_are_counted(given: JsonValue, inputs: int) -> None:
    """A string and a list of tokens are one input; a list of either counts each."""
    request = built(line(url="/v1/embeddings", body={"model": "m", "input": given}))

    assert request.inputs == inputs_of("/v1/embeddings", request.body) == inputs


def test_other_endpoints_have_no_embedding_inputs() -> None:
    """A list of inputs of another endpoint does not use up the quota for embeddings."""
    request = built(line(body={"model": "m", "input": ["a", "b"]}))

    assert request.inputs == 0


def test_tokens_are_estimated_upwards() -> None:
    """Four bytes a token, rounded up: never nothing."""
    request = built(line(body={"model": "m"}))

    assert request.tokens == 4  # {"model":"m"} has 13 bytes


@pytest.mark.parametrize(
    ("body", "endpoint", "asked"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, CHAT, True),
        ({"response_format": {"type": "json_object"}}, CHAT, True),
        ({"response_format": {"type": "text"}}, CHAT, False),
        ({"response_format": None}, CHAT, False),
        ({"response_format": "json_object"}, CHAT, False),
        ({"messages": [{"content": 'say "response_format": {"type":"json_object"}'}]}, CHAT, False),
        ({"text": {"format": {"type": "json_schema"}}}, RESPONSES, True),
        ({"text": {"format": {"type": "text"}}}, RESPONSES, False),
        ({"text": {"verbosity": "low"}}, RESPONSES, False),
        ({"text": {"format": {"type": "json_schema"}}}, CHAT, False),
        ({"response_format": {"type": "json_schema"}}, "/v1/embeddings", False),
    ],
)
def test_structured_output_is_seen_where_it_is_asked_for(body: JsonValue, endpoint: str, *, asked: bool) -> None:
    """Only the endpoint's own member asks for JSON; text that looks like it does not."""
    line = request_line(1, Request("n", endpoint, "m", msgspec.json.encode(body), 1, 0))

    assert is_structured(line, endpoint_of(endpoint)) is asked
