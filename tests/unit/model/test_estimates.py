"""Input tokens by bytes, and pictures by their own rule."""

import json

import pytest

from batchdrop.core.model.estimates import (
    AUDIO_BYTES_PER_TOKEN,
    FILE_BYTES_PER_TOKEN,
    IMAGE_TOKENS,
    IMAGE_TOKENS_LOW,
    base_tokens,
)
from batchdrop.core.model.limits import Limits
from batchdrop.core.planning.plan import JsonValue
from batchdrop.core.planning.task import parse_task, recipe_of_task


def chat(*parts: dict[str, object]) -> bytes:
    """A body with one message, as planning writes it."""
    message = {"role": "user", "content": list(parts)}
    return json.dumps({"model": "m", "messages": [message]}, separators=(",", ":")).encode()


def image(url: str, **options: str) -> dict[str, object]:
    """A picture of a chat request."""
    return {"type": "image_url", "image_url": {"url": url, **options}}


TEXT: dict[str, object] = {"type": "text", "text": "What is this?"}


def test_text_counts_by_its_bytes() -> None:
    """Rounded up, and never nothing."""
    assert [base_tokens(body, 4) for body in (b"", b"1", b"12345678", b"123456789")] == [1, 1, 2, 3]


def test_an_embedded_picture_does_not_count_by_its_bytes() -> None:
    """A megabyte of base64 costs what a small picture costs."""
    small, large = (chat(TEXT, image(f"data:image/png;base64,{'iVBORw0K' * size}=")) for size in (1, 130_000))

    assert base_tokens(small, 4) == base_tokens(large, 4)
    assert IMAGE_TOKENS < base_tokens(large, 4) < IMAGE_TOKENS + 50


def test_each_picture_counts_and_low_detail_counts_less() -> None:
    """By address or embedded, in chat and in responses."""
    one = base_tokens(chat(TEXT, image("https://a/b.png")), 4)
    two = base_tokens(chat(TEXT, image("https://a/b.png"), image("https://a/c.png", detail="low")), 4)
    response = b'{"model":"m","input":[{"type":"input_image","image_url":"https://a/b.png"}]}'

    assert IMAGE_TOKENS < one < IMAGE_TOKENS + 50
    assert IMAGE_TOKENS_LOW < two - one < IMAGE_TOKENS_LOW + 25
    assert base_tokens(response, 4) > IMAGE_TOKENS


FILE = "JVBERi0x" * 16_000  # 128 KB: a document of some pages


def document() -> bytes:
    """A question about a document, in chat."""
    return chat(
        TEXT, {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{FILE}"}}
    )


def response_document() -> bytes:
    """The same for responses, with a type that has a parameter."""
    part = {"type": "input_file", "filename": "a.txt", "file_data": f"data:text/plain;charset=utf-8;base64,{FILE}"}
    return json.dumps({"model": "m", "input": [{"role": "user", "content": [part]}]}, separators=(",", ":")).encode()


def audio() -> bytes:
    """A question about a recording."""
    return chat(TEXT, {"type": "input_audio", "input_audio": {"format": "wav", "data": FILE}})


@pytest.mark.parametrize(
    ("body", "bytes_per_token"),
    [(document(), FILE_BYTES_PER_TOKEN), (response_document(), FILE_BYTES_PER_TOKEN), (audio(), AUDIO_BYTES_PER_TOKEN)],
)
def test_an_embedded_file_counts_by_its_own_rule(body: bytes, bytes_per_token: int) -> None:
    """Not as if base64 were text, which is more than what is learned of a task could make good."""
    text_tokens = (len(body) - len(FILE)) // 4

    assert 0 <= base_tokens(body, 4) - len(FILE) // bytes_per_token - text_tokens <= 1


def test_a_document_beside_a_picture() -> None:
    """Each by its own rule."""
    picture = image(f"data:image/png;base64,{FILE}")
    file: dict[str, object] = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{FILE}"}}

    assert 0 < base_tokens(chat(picture, file), 4) - IMAGE_TOKENS - len(FILE) // FILE_BYTES_PER_TOKEN < 70


def test_a_quoted_file_is_text() -> None:
    """A prompt that shows the source of a page is read letter by letter."""
    body = chat({"type": "text", "text": f'What is <img src="data:image/png;base64,{FILE}">?'})

    assert base_tokens(body, 4) == -(-len(body) // 4)


def test_text_about_pictures_is_text() -> None:
    """A detail that no picture has, or base64 without one, changes nothing."""
    body = b'{"model":"m","input":"say ;base64, and \\"detail\\":\\"low\\""}'

    assert base_tokens(body, 4) == -(-len(body) // 4)


@pytest.mark.parametrize("data", ["{{ pdf }}", "data:application/pdf;base64,{{ base64 }}"])
def test_a_task_may_embed_files(data: str) -> None:
    """Its body shows that there are some, whatever a record holds."""
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": data}}]}]}
    task = parse_task("t", json.dumps({"endpoint": "/v1/chat/completions", "body": body}).encode())
    record: dict[str, JsonValue] = {"pdf": f"data:application/pdf;base64,{FILE}", "base64": FILE}

    request = recipe_of_task(task, Limits()).build(record, "1")

    assert 0 < request.tokens - len(FILE) // FILE_BYTES_PER_TOKEN < 50
