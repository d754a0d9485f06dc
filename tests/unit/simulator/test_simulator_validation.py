import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from openai_batch_simulator import Behaviour
from openai_batch_simulator.account.validation import ERRORS_MAX, LineError, Valid, validate

CHAT = "/v1/chat/completions"


def line(**changes: object) -> dict[str, Any]:
    """Return one good request line with *changes*; the value None leaves a part out."""
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hello"}]}
    parts = {"custom_id": "a", "method": "POST", "url": CHAT, "body": body, **changes}
    return {name: value for name, value in parts.items() if value is not None}


def text_of(*lines: Mapping[str, object]) -> bytes:
    """Return the file of *lines*."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


def check(text: bytes, behaviour: Behaviour | None = None, endpoint: str = CHAT) -> Valid | list[LineError]:
    """Return what validation finds in the file *text*."""
    return validate(io.BytesIO(text), len(text), endpoint, behaviour or Behaviour())


def with_body(**changes: object) -> dict[str, Any]:
    """Return one good request line with *changes* in its body."""
    return line(body={"model": "gpt-4.1-mini", "messages": [], **changes})


def test_good_file_is_valid_with_or_without_its_last_newline() -> None:
    """The end of the file ends its last line."""
    text = text_of(line(custom_id="a"), line(custom_id="b"))

    found = [check(text), check(text.rstrip())]

    assert all(isinstance(one, Valid) and len(one.offsets) == 3 for one in found)


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        (b"not json\n", "invalid_json_line", None),
        (b"\xef\xbb\xbf" + text_of(line()), "invalid_json_line", None),
        (b'{"custom_id":"\xff"}\n', "invalid_json_line", None),
        (b"\n" + text_of(line()), "invalid_json_line", None),
        (b"[1]\n", "invalid_request", None),
        (text_of(line(custom_id=None)), "missing_required_parameter", "custom_id"),
        (text_of(line(method=None)), "missing_required_parameter", "method"),
        (text_of(line(url=None)), "missing_required_parameter", "url"),
        (text_of(line(body=None)), "missing_required_parameter", "body"),
        (text_of(line(custom_id=7)), "invalid_request", "custom_id"),
        (text_of(line(body=[1])), "invalid_request", "body"),
        (text_of(line(method="GET")), "invalid_method", "method"),
        (text_of(line(url="/v1/embeddings")), "invalid_url", "url"),
        (text_of(with_body(model=None)), "missing_required_parameter", "body.model"),
        (text_of(with_body(stream=True)), "streaming_unsupported", "body.stream"),
        (text_of(with_body(model="gpt-4.1-mini ")), "model_not_found", "body.model"),
        (text_of(with_body(model="GPT 4")), "model_not_found", "body.model"),
    ],
)
def test_each_fault_of_a_line_has_its_code(text: bytes, code: str, param: str | None) -> None:
    """What is wrong with the first line is reported by code, line and parameter."""
    found = check(text)

    assert isinstance(found, list)
    assert (found[0].code, found[0].line, found[0].param) == (code, 1, param)


def test_repeated_custom_id_is_reported_at_its_repetition() -> None:
    """A custom_id is unique within its file."""
    found = check(text_of(line(custom_id="a"), line(custom_id="b"), line(custom_id="a")))

    assert isinstance(found, list)
    assert [(error.code, error.line) for error in found] == [("duplicate_custom_id", 3)]


def test_file_has_one_model() -> None:
    """A line with another model than the first is reported."""
    found = check(text_of(line(custom_id="a"), {**with_body(model="gpt-4.1"), "custom_id": "b"}))

    assert isinstance(found, list)
    assert [(error.code, error.line) for error in found] == [("mismatched_model", 2)]


def test_unknown_model_is_reported_where_models_are_known() -> None:
    """A model that the account does not have fails the batch."""
    found = check(text_of(line()), Behaviour(models=frozenset({"gpt-4.1"})))

    assert isinstance(found, list)
    assert found[0].code == "model_not_found"


def test_all_faults_are_reported_at_once() -> None:
    """One look at the file tells everything that must be corrected."""
    found = check(b"not json\n" + text_of(line(method="GET", url="/v1/embeddings"), line(body=None)))

    assert isinstance(found, list)
    assert [(error.code, error.line) for error in found] == [
        ("invalid_json_line", 1),
        ("invalid_method", 2),
        ("invalid_url", 2),
        ("missing_required_parameter", 3),
    ]


def test_reported_faults_are_bounded() -> None:
    """A file of nothing but faults gives a batch object that can still be read."""
    found = check(b"x\n" * (ERRORS_MAX + 50))

    assert isinstance(found, list)
    assert len(found) == ERRORS_MAX


@pytest.mark.parametrize(
    ("behaviour", "text", "code"),
    [
        (Behaviour(lines_max=1), text_of(line(custom_id="a"), line(custom_id="b")), "too_many_tasks"),
        (Behaviour(bytes_max=10), text_of(line()), "file_too_large"),
        (Behaviour(), b"", "empty_file"),
    ],
)
def test_limits_of_a_file(behaviour: Behaviour, text: bytes, code: str) -> None:
    """A file beyond its limits is reported as a whole, without a line."""
    found = check(text, behaviour)

    assert isinstance(found, list)
    assert (found[0].code, found[0].line) == (code, None)


def test_documented_limits_are_the_defaults() -> None:
    """Nobody has to set the provider's own limits."""
    behaviour = Behaviour()

    assert (behaviour.lines_max, behaviour.bytes_max, behaviour.embedding_inputs_max) == (50_000, 209_715_200, 50_000)
    assert (behaviour.creates_per_hour, behaviour.window_seconds) == (2_000, 86_400)
    assert behaviour.enqueued_embedding_inputs == 1_000_000
    assert (behaviour.uploads_per_minute, behaviour.file_bytes_max) == (1_000, 512 * 1024 * 1024)


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("one", 1), (["one", "two", "three"], 3), ([11, 12, 13], 1), ([[1], [2]], 2)],
)
def test_embedding_inputs_are_counted_by_element(given: object, inputs: int) -> None:
    """An array of texts counts each; an array of tokens is one input."""
    text = text_of(line(url="/v1/embeddings", body={"model": "text-embedding-3-small", "input": given}))

    found = check(text, endpoint="/v1/embeddings")

    assert isinstance(found, Valid)
    assert found.load.embedding_inputs == inputs


def test_embedding_inputs_are_limited_over_all_lines() -> None:
    """The limit of embedding inputs counts the elements of every line together."""
    body = {"model": "text-embedding-3-small", "input": ["x", "y"]}
    lines = [line(custom_id=name, url="/v1/embeddings", body=body) for name in "ab"]

    found = check(text_of(*lines), Behaviour(embedding_inputs_max=3), "/v1/embeddings")

    assert isinstance(found, list)
    assert [error.code for error in found] == ["too_many_tasks"]


def test_moderations_need_no_model() -> None:
    """The one endpoint whose body may leave the model out gets the default model."""
    found = check(text_of(line(url="/v1/moderations", body={"input": "x"})), endpoint="/v1/moderations")

    assert isinstance(found, Valid)
    assert found.load.model == "omni-moderation-latest"


@pytest.mark.parametrize("words", [1, 100, 10_000])
def test_tokens_of_a_file_follow_the_bytes_of_its_bodies(words: int) -> None:
    """A file takes about a token of the queue for four bytes of its bodies."""
    text = text_of(with_body(messages=[{"role": "user", "content": "word " * words}]))

    found = check(text)

    assert isinstance(found, Valid)
    assert len(text) / 4 - 30 < found.load.tokens < len(text) / 4
