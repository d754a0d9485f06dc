"""Input tokens by bytes, and pictures by their own rule."""

import json

from batchdrop.core.estimates import IMAGE_TOKENS, IMAGE_TOKENS_LOW, base_tokens


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


def test_text_about_pictures_is_text() -> None:
    """A detail that no picture has, or base64 without one, changes nothing."""
    body = b'{"model":"m","input":"say ;base64, and \\"detail\\":\\"low\\""}'

    assert base_tokens(body, 4) == -(-len(body) // 4)
