import base64
import json
import math
import struct
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse, ModerationCreateResponse, Video
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from openai_batch_simulator.answers.asked import BadRequestError
from openai_batch_simulator.answers.imitation import ENDPOINTS, Imitation
from openai_batch_simulator.answers.schemas import instance_text
from openai_batch_simulator.answers.texts import offered_words

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
MESSAGES = [{"role": "user", "content": "Hello there"}]
FUNCTION: dict[str, Any] = {
    "name": "look",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}


def ask(endpoint: str, **body: object) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of an answer."""
    answer = Imitation().answer(endpoint, json.dumps({"model": "m", **body}).encode(), 1_795_305_600.0)
    return answer.status_code, json.loads(answer.body)


def said(body: dict[str, Any]) -> str:
    """Return the text of a chat completion."""
    return str(body["choices"][0]["message"]["content"])


@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        (CHAT, {"messages": MESSAGES, "n": 2}, ChatCompletion),
        (
            CHAT,
            {"messages": MESSAGES, "tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"},
            ChatCompletion,
        ),
        (RESPONSES, {"input": "Hello"}, Response),
        (RESPONSES, {"input": MESSAGES, "instructions": "Be brief.", "max_output_tokens": 16}, Response),
        (
            RESPONSES,
            {"input": "Hi", "tools": [{"type": "function", "strict": True, **FUNCTION}], "tool_choice": "required"},
            Response,
        ),
        (EMBEDDINGS, {"input": ["a", "b"]}, CreateEmbeddingResponse),
        ("/v1/completions", {"prompt": ["a", "b"], "n": 2}, Completion),
        ("/v1/moderations", {"input": ["a", "b"]}, ModerationCreateResponse),
        ("/v1/images/generations", {"prompt": "a cat", "n": 2}, ImagesResponse),
        ("/v1/images/edits", {"prompt": "a cat"}, ImagesResponse),
        ("/v1/videos", {"prompt": "a cat"}, Video),
    ],
)
def test_answers_are_those_of_the_sdk(endpoint: str, body: dict[str, object], kind: type[BaseModel]) -> None:
    """The SDK's own type of an endpoint's answer accepts ours without converting anything."""
    status, answered = ask(endpoint, **body)

    assert status == 200
    assert kind.model_validate(answered, strict=True).model_extra == {}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_same_request_gets_the_same_answer(endpoint: str) -> None:
    """An answer depends on its request alone."""
    body = {"messages": MESSAGES, "input": "Hello", "prompt": "Hello"}

    assert ask(endpoint, **body) == ask(endpoint, **body)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_request_without_its_question_is_refused(endpoint: str) -> None:
    """A body that asks nothing is a 400 in the error envelope that names what is missing."""
    status, answered = ask(endpoint)

    assert status == 400
    assert answered["error"]["code"] == "missing_required_parameter"
    assert answered["error"]["param"] in {"messages", "input", "prompt"}


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        (CHAT, {"messages": MESSAGES, "logprobs": True}, "logprobs"),
        (CHAT, {"messages": MESSAGES, "modalities": ["text", "audio"]}, "modalities"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages"),
        (CHAT, {"messages": ["Hello"]}, "messages"),
        (CHAT, {"messages": MESSAGES, "n": 0}, "n"),
        (CHAT, {"messages": MESSAGES, "response_format": {"type": "poem"}}, "response_format"),
        (CHAT, {"messages": MESSAGES, "tools": [{"type": "web_search"}], "tool_choice": "required"}, "tools"),
        (
            CHAT,
            {"messages": MESSAGES, "tool_choice": {"type": "function", "function": {"name": "gone"}}},
            "tool_choice",
        ),
        (RESPONSES, {"input": "Hi", "previous_response_id": "resp_1"}, "previous_response_id"),
        (RESPONSES, {"input": "Hi", "background": True}, "background"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}, "input"),
        (EMBEDDINGS, {"input": "Hi", "dimensions": 4_000}, "dimensions"),
        (EMBEDDINGS, {"input": "Hi", "encoding_format": "hex"}, "encoding_format"),
        (EMBEDDINGS, {"input": ["Hi", ""]}, "input"),
        (EMBEDDINGS, {"input": ["Hi"] * 2_049}, "input"),
        ("/v1/completions", {"prompt": [[1, 2]]}, "prompt"),
        ("/v1/completions", {"prompt": "Hi", "echo": True}, "echo"),
    ],
)
def test_what_is_not_modelled_is_refused_by_name(endpoint: str, body: dict[str, object], param: str) -> None:
    """A parameter that the simulator does not honour is a 400, never silently accepted."""
    status, answered = ask(endpoint, **body)

    assert (status, answered["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("tokens", "code"),
    [(15, "integer_below_min_value"), (2_000_000, "integer_above_max_value"), ("many", "invalid_type")],
)
def test_limits_of_a_parameter_are_told_by_code(tokens: object, code: str) -> None:
    """A number outside of its range is refused with the provider's code."""
    status, answered = ask(RESPONSES, input="Hello", max_output_tokens=tokens)

    assert (status, answered["error"]["code"], answered["error"]["param"]) == (400, code, "max_output_tokens")


def says(content: object) -> list[dict[str, object]]:
    """Return messages of a user who says *content*."""
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"messages": says(12.5)}, "messages[0].content", "invalid_type"),
        ({"messages": says([True])}, "messages[0].content[0]", "invalid_type"),
        ({"messages": says(None)}, "messages[0].content", "invalid_type"),
        ({"messages": says({"a": 1})}, "messages[0].content", "invalid_type"),
        ({"messages": [*MESSAGES, *says(["text"])]}, "messages[1].content[0]", "invalid_type"),
        ({"messages": MESSAGES, "stop": False}, "stop", "invalid_type"),
        ({"messages": MESSAGES, "stop": ["a", 1]}, "stop", "invalid_type"),
        ({"messages": MESSAGES, "stop": [*"abcde"]}, "stop", "array_above_max_length"),
        ({"messages": MESSAGES, "seed": "0777"}, "seed", "invalid_type"),
        ({"messages": MESSAGES, "seed": 1.5}, "seed", "invalid_type"),
        ({"messages": MESSAGES, "temperature": "1e0"}, "temperature", "invalid_type"),
        ({"messages": MESSAGES, "temperature": True}, "temperature", "invalid_type"),
        ({"messages": MESSAGES, "temperature": 2.1}, "temperature", "decimal_out_of_range"),
        ({"messages": MESSAGES, "user": 45_045}, "user", "invalid_type"),
        ({"messages": MESSAGES, "store": "yes"}, "store", "invalid_type"),
        ({"messages": MESSAGES, "metadata": {"a": 1}}, "metadata", "invalid_type"),
        ({"messages": MESSAGES, "max_tokens": 5, "model": "o4-mini"}, "max_tokens", "unsupported_parameter"),
        ({"messages": MESSAGES, "max_tokens": 5, "model": "gpt-5-mini"}, "max_tokens", "unsupported_parameter"),
    ],
)
def test_parameters_of_the_wrong_kind_are_refused(body: dict[str, object], param: str, code: str) -> None:
    """As the provider does, so that a task which passes here has no line refused for its types there."""
    status, answered = ask(CHAT, **body)

    assert (status, answered["error"]["param"], answered["error"]["code"]) == (400, param, code)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, {"messages": MESSAGES, "stop": "no", "seed": 7, "temperature": 1, "top_p": 0.5, "user": "u", "n": 2}),
        (
            CHAT,
            {"messages": MESSAGES, "stop": None, "temperature": None, "max_tokens": 5, "model": "gpt-5-chat-latest"},
        ),
        (CHAT, {"messages": [*MESSAGES, {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}]}),
        (RESPONSES, {"input": MESSAGES, "temperature": 0.1, "store": False, "metadata": {"a": "b"}}),
    ],
)
def test_parameters_of_the_right_kind_are_taken(endpoint: str, body: dict[str, object]) -> None:
    """Null is each one's default, and a whole number is a decimal too."""
    assert ask(endpoint, **body)[0] == 200


@pytest.mark.parametrize(("given", "param"), [(5, "input"), ({"a": 1}, "input"), (says(5), "input[0].content")])
def test_an_input_is_a_text_or_items(given: object, param: str) -> None:
    """Responses take nothing else."""
    status, answered = ask(RESPONSES, input=given)

    assert (status, answered["error"]["param"], answered["error"]["code"]) == (400, param, "invalid_type")


@pytest.mark.parametrize(
    ("schema", "is_taken"),
    [
        ({"type": "string", "enum": ["yes", "no"]}, True),
        ({"type": "string", "enum": ["yes", False]}, False),
        ({"type": ["string", "null"], "enum": ["yes", None]}, True),
        ({"type": "integer", "enum": [1, True]}, False),
        ({"type": "number", "enum": [1, 2.5]}, True),
        ({"enum": ["yes", False]}, True),
    ],
)
def test_an_enum_is_of_its_type(schema: dict[str, object], *, is_taken: bool) -> None:
    """A schema that contradicts itself is refused, whichever of its values would be drawn."""
    object_schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": object_schema}}

    status, answered = ask(CHAT, messages=MESSAGES, response_format=wanted)

    assert status == (200 if is_taken else 400)
    assert is_taken or "does not validate against" in answered["error"]["message"]


def test_text_says_that_it_is_simulated() -> None:
    """Nobody takes an answer for a model's, and different requests get different ones."""
    answers = [ask(CHAT, messages=MESSAGES, seed=seed)[1] for seed in range(3)]

    assert all(said(answer).startswith("[simulated] ") for answer in answers)
    assert len({said(answer) for answer in answers}) == 3
    assert {answer["system_fingerprint"] for answer in answers} == {"fp_simulated"}


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        ("Answer with positive, negative or neutral.", ("positive", "negative", "neutral")),
        ("You are careful. Classify the mail as 'spam', 'ham', or 'unsure'.", ("spam", "ham", "unsure")),
        ("Reply yes or no.", ("yes", "no")),
        ("Answer in one word (lower case), yes or no.", ("yes", "no")),
        ("Yes or no?", ()),
        ("Summarize the text in a sentence or two.", ()),
        ("Be helpful.", ()),
    ],
)
def test_offered_words_are_found(instructions: str, words: tuple[str, ...]) -> None:
    """Instructions that leave a choice between words are recognized, others are not."""
    assert offered_words(instructions) == words


@pytest.mark.parametrize("text", ["x" * 1_000_000, "x, " * 300_000, "x," + " " * 1_000_000, "or " * 300_000])
def test_words_are_looked_for_in_megabytes_without_delay(text: str) -> None:
    """A drop of large records does not stop the simulator: its time no longer grows with the square of the text."""
    began = time.process_time()

    offered_words("Answer: " + text)

    assert time.process_time() - began < 5


def test_classification_gets_each_of_the_offered_words() -> None:
    """Where the instructions offer words, the answer is one of them alone, and over many requests every one."""
    system = {"role": "system", "content": "Answer with positive, negative or neutral."}

    answers = {said(ask(CHAT, messages=[system, *MESSAGES], seed=seed)[1]) for seed in range(50)}

    assert answers == {"positive", "negative", "neutral"}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_chat_is_cut_at_its_limit_of_tokens(name: str) -> None:
    """An answer that is longer than its limit ends there and says so."""
    _, answered = ask(CHAT, messages=MESSAGES, **{name: 3})

    assert answered["choices"][0]["finish_reason"] == "length"
    assert answered["usage"]["completion_tokens"] == 3


def test_response_is_cut_at_its_limit_of_tokens() -> None:
    """An incomplete response names its reason."""
    _, answered = ask(RESPONSES, input="word " * 100, max_output_tokens=16)

    assert (answered["status"], answered["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert answered["usage"]["output_tokens"] == 16


@pytest.mark.parametrize(
    ("endpoint", "body"), [(CHAT, {"messages": MESSAGES, "n": 3}), (RESPONSES, {"input": "Hello"})]
)
def test_usage_adds_up(endpoint: str, body: dict[str, object]) -> None:
    """The total is the sum of input and output, both above zero."""
    _, answered = ask(endpoint, **body)

    usage = answered["usage"]
    parts = [value for name, value in usage.items() if name.endswith("_tokens") and name != "total_tokens"]
    assert sum(parts) == usage["total_tokens"]
    assert min(parts) > 0


def test_images_in_a_prompt_cost_tokens() -> None:
    """A part that is an image is counted, though nobody looks at it."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    plain = ask(CHAT, messages=[{"role": "user", "content": [{"type": "text", "text": "Hello there"}]}])[1]

    pictured = ask(CHAT, messages=[{"role": "user", "content": [{"type": "text", "text": "Hello there"}, picture]}])[1]

    assert pictured["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"] + 85


@pytest.mark.parametrize(("model", "dimensions"), [("text-embedding-3-small", 1536), ("text-embedding-3-large", 3072)])
def test_embeddings_are_unit_vectors_of_the_models_dimension(model: str, dimensions: int) -> None:
    """A vector has the length one and as many numbers as its model gives, and texts differ in theirs."""
    _, answered = ask(EMBEDDINGS, model=model, input=["one", "two"])

    vectors = [element["embedding"] for element in answered["data"]]
    assert [len(vector) for vector in vectors] == [dimensions] * 2
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1.0, 1.0])
    assert vectors[0] != vectors[1]
    assert [element["index"] for element in answered["data"]] == [0, 1]


def test_embeddings_come_in_the_asked_dimension_and_encoding() -> None:
    """In base64 a vector is the same as in numbers, to the precision of 32 bits."""
    _, plain = ask(EMBEDDINGS, input="one", dimensions=8)
    _, encoded = ask(EMBEDDINGS, input="one", dimensions=8, encoding_format="base64")

    floats = struct.unpack("<8f", base64.b64decode(encoded["data"][0]["embedding"]))
    assert list(floats) == pytest.approx(plain["data"][0]["embedding"], abs=1e-6)


def test_moderations_flag_a_few_plain_words() -> None:
    """Both outcomes of a moderation can be shown, one result for each input."""
    _, answered = ask("/v1/moderations", input=["I like you", "I will kill it"])

    assert [result["flagged"] for result in answered["results"]] == [False, True]
    assert answered["results"][1]["categories"]["violence"]


def test_forced_function_is_called_with_fitting_arguments() -> None:
    """A request that forces a function gets its call, with arguments that its schema accepts."""
    tools = [{"type": "function", "function": FUNCTION}]
    choice = {"type": "function", "function": {"name": "look"}}

    _, answered = ask(CHAT, messages=MESSAGES, tools=tools, tool_choice=choice)

    call = answered["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "look"
    jsonschema.validate(json.loads(call["arguments"]), FUNCTION["parameters"])
    assert answered["choices"][0]["finish_reason"] == "tool_calls"


# Structured outputs.

SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    {"type": "object", "properties": {"mood": {"type": "string", "enum": ["good", "bad"]}, "kind": {"const": 7}}},
    {"type": "object", "properties": {"age": {"type": ["integer", "null"], "minimum": 18, "exclusiveMaximum": 21}}},
    {"type": "object", "properties": {"price": {"type": "number", "minimum": 0.1, "maximum": 0.2}}},
    {"type": "object", "properties": {"step": {"type": "number", "multipleOf": 0.25, "maximum": -1}}},
    {
        "type": "object",
        "properties": {"tags": {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 3}},
    },
    {"type": "object", "properties": {"code": {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}(x|yz)+$"}}},
    {"type": "object", "properties": {"word": {"type": "string", "pattern": "^\\w+$", "minLength": 12}}},
    {"type": "object", "properties": {"not": {"type": "string", "pattern": "^[^a-z ]+?.$"}}},
    {
        "type": "object",
        "properties": {"short": {"type": "string", "maxLength": 3}, "long": {"type": "string", "minLength": 60}},
    },
    {
        "type": "object",
        "properties": {"either": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "boolean"}}]}},
    },
    {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/node"}},
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["children", "next"],
            }
        },
    },
    {"type": "object", "properties": {"self": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["self"]},
    *(
        {"type": "object", "properties": {"x": {"type": "string", "format": form}}, "required": ["x"]}
        for form in ("date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
    ),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: next(iter(schema["properties"])))
def test_structured_output_satisfies_its_schema(schema: dict[str, Any]) -> None:
    """Whatever the seed, an independent validator accepts what is made for a schema."""
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)

    for seed in range(50):
        validator.validate(json.loads(instance_text(schema, seed.to_bytes(2))))


def numbers() -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of numbers between two bounds."""
    bounds = st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)).map(sorted)
    return st.tuples(bounds, st.sampled_from(["integer", "number"])).map(
        lambda drawn: {"type": drawn[1], "minimum": drawn[0][0], "maximum": drawn[0][1]}
    )


def strings() -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of strings between two lengths."""
    lengths = st.tuples(st.integers(0, 80), st.integers(0, 80)).map(sorted)
    return lengths.map(lambda drawn: {"type": "string", "minLength": drawn[0], "maxLength": drawn[1]})


def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of objects, arrays and alternatives of *inner* ones."""
    properties = st.dictionaries(st.text(min_size=1, max_size=5), inner, min_size=1, max_size=4)
    return st.one_of(
        properties.map(
            lambda given: {
                "type": "object",
                "properties": given,
                "required": list(given),
                "additionalProperties": False,
            }
        ),
        inner.map(lambda given: {"type": "array", "items": given, "maxItems": 2}),
        st.lists(inner, min_size=1, max_size=3).map(lambda given: {"anyOf": given}),
    )


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(st.one_of(numbers(), strings(), st.just({"type": ["boolean", "null"]})), nested, max_leaves=12),
    st.binary(min_size=1, max_size=16),
)
def test_any_schema_of_the_subset_is_satisfied(schema: dict[str, Any], seed: bytes) -> None:
    """Every combination of the modelled keywords gets a value that an independent validator accepts."""
    made = json.loads(instance_text(schema, seed))

    jsonschema.Draft202012Validator(schema).validate(made)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "poem"},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {}, "required": ["a"]},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "integer", "multipleOf": 0.5},
        {"type": "integer", "minimum": "five"},
        {"type": "array", "minItems": 1},
        {"type": "string", "pattern": "(unclosed"},
        {"type": "string", "pattern": "(?=look)x"},
        {"type": "string", "format": "poem"},
        {"type": "string", "allOf": []},
        {"$ref": "#/$defs/gone"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}]},
    ],
)
def test_schema_that_cannot_be_satisfied_is_refused(schema: dict[str, Any] | None) -> None:
    """A schema outside of the subset is the request's fault, and never answered wrongly."""
    with pytest.raises(BadRequestError):
        instance_text(schema, b"seed")


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (
            CHAT,
            {
                "messages": MESSAGES,
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMAS[0]}},
            },
        ),
        (RESPONSES, {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMAS[0]}}}),
    ],
)
def test_both_endpoints_answer_with_structured_output(endpoint: str, body: dict[str, object]) -> None:
    """Where an output format is given, the text of the answer is JSON that satisfies it."""
    _, answered = ask(endpoint, **body)

    text = said(answered) if endpoint == CHAT else answered["output"][0]["content"][0]["text"]
    jsonschema.validate(json.loads(text), SCHEMAS[0])


def test_json_object_is_an_object() -> None:
    """The free JSON format gives an object that says that it is simulated."""
    _, answered = ask(CHAT, messages=MESSAGES, response_format={"type": "json_object"})

    assert json.loads(said(answered))["simulated"] is True
