"""Whatever a client sends, the simulator answers: a defect that a line could trigger would stop every batch."""

import io
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openai_batch_simulator import Behaviour, Simulator, VirtualClock
from openai_batch_simulator.account.validation import LineError, Valid, validate
from openai_batch_simulator.answers.imitation import ENDPOINTS, Imitation
from openai_batch_simulator.messages import Request
from openai_batch_simulator.sdk import connect

# The names that the code looks at, so that chance gets past the first check.
NAMES = re.findall(
    r"\S+",
    """
    model messages role content type text input instructions prompt tools tool_choice function name parameters
    n seed max_tokens max_completion_tokens max_output_tokens response_format json_schema schema format
    dimensions encoding_format properties required items anyOf $ref $defs enum const minimum maximum
    exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems minLength maxLength pattern
    additionalProperties stream logprobs custom_id method url body
    """,
)
WORDS = re.findall(
    r"\S+",
    """
    user system text json_schema json_object object array string integer number boolean null function required
    auto none base64 float message input_text image_url POST /v1/chat/completions #/$defs/a # a+ (a{9}){9}
    [^a] date
    """,
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)),
    max_leaves=15,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), JSON_VALUES, max_size=8)
SCHEMAS = st.dictionaries(st.sampled_from(NAMES), JSON_VALUES, max_size=5)


def ask(endpoint: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of an answer."""
    answer = Imitation().answer(endpoint, json.dumps(body).encode(), 0.0)
    return answer.status_code, json.loads(answer.body)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ENDPOINTS), BODIES)
def test_every_body_gets_an_answer(endpoint: str, body: dict[str, Any]) -> None:
    """Any JSON object is answered with success or with a 400 in the error envelope."""
    status, answered = ask(endpoint, body)

    assert status in (200, 400)
    assert ("error" in answered and set(answered["error"] or {}) == {"message", "type", "param", "code"}) is (
        status == 400
    )


@settings(max_examples=100, deadline=None)
@given(SCHEMAS)
def test_every_schema_gets_an_answer(schema: dict[str, Any]) -> None:
    """Any schema is satisfied or refused, in bounded time."""
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

    status, _ = ask("/v1/chat/completions", {"model": "m", "messages": [{"role": "user"}], "response_format": form})

    assert status in (200, 400)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "null"}, "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "pattern": "a{1000000000}"},
        {"type": "string", "pattern": "(((a{900}){900}){900}){900}"},
        {"type": "number", "minimum": 1e308, "multipleOf": 1e-300},
        {"type": "number", "minimum": -1e308, "maximum": 1e308},
        {"anyOf": [{"$ref": "#"}] * 40},
        {"type": "object", "required": ["a", "b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}},
        {"type": "object", "required": [["a"]], "properties": {}},
        {"enum": []},
        {"type": []},
        {"type": {}},
    ],
)
def test_greedy_schemas_are_refused(schema: dict[str, Any]) -> None:
    """A schema that asks for more than a line should hold, or for nonsense, is a 400 and not a full memory."""
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

    status, answered = ask("/v1/chat/completions", {"messages": [{"role": "user"}], "response_format": form})

    assert status == 400 or schema.get("minimum") == -1e308, answered


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=40), JSON_VALUES.map(lambda value: json.dumps(value).encode())), max_size=5)
)
def test_every_file_gets_a_verdict(lines: list[bytes]) -> None:
    """Any bytes are a valid file or a list of what is wrong."""
    text = b"\n".join(lines)

    found = validate(io.BytesIO(text), len(text), "/v1/chat/completions", Behaviour())

    assert isinstance(found, Valid) or all(isinstance(error, LineError) for error in found)
    assert msgspec.json.encode([error.describe() for error in found] if isinstance(found, list) else [])


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":' + b'{"a":' * 100_000,
        b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","x":'
        + b"[" * 5_000
        + b"]" * 5_000
        + b"}}",
        b'{"custom_id":"\\ud800","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}',
        b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","input":1e999}}',
        b'{"custom_id":"a","custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}',
        b'{"custom_id":"","method":"POST","url":"/v1/chat/completions","body":{"model":""}}',
    ],
)
def test_strange_lines_do_not_stop_the_world(line: bytes) -> None:
    """A batch of one strange line fails or completes, and the next batch runs."""
    simulator = Simulator(VirtualClock())
    client = connect(simulator)
    file = client.files.create(file=("a.jsonl", line), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")

    simulator.clock.advance(60)

    assert client.batches.retrieve(batch.id).status in ("failed", "completed")
    assert len(list(simulator.ledger.charges())) <= 1


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.sampled_from(
        ["/v1/files", "/v1/batches", "/v1/files/x", "/v1/batches/x/cancel", "/_simulator/faults", "/_simulator/clock"]
    ),
    st.one_of(st.binary(max_size=50), JSON_VALUES.map(lambda value: json.dumps(value).encode())),
    st.dictionaries(st.sampled_from(["limit", "after", "order", "purpose", "x"]), st.text(max_size=5), max_size=3),
)
def test_every_request_gets_a_response(method: str, path: str, body: bytes, query: dict[str, str]) -> None:
    """Any request is answered below 500: nothing that a client sends is the simulator's failure."""
    simulator = Simulator(VirtualClock())
    headers = {"authorization": "Bearer key", "content-type": "multipart/form-data; boundary=x"}

    response = simulator.handle(Request(method=method, path=path, query=query, headers=headers, body=[body]))

    assert 200 <= response.status < 500
    assert json.loads(b"".join(response.body)) is not None
