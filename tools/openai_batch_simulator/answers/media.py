"""Imitates /v1/images/* and /v1/videos in shape (`openai/types/images_response.py`, `video.py`, SDK 3.54.0, read 2026-11-22).

Rule: every picture is one grey pixel, so that no person takes it for a model's.
"""

from openai_batch_simulator.answers.asked import Answered, Asked, missing, token_count

# A PNG of one grey pixel, in base64.
GREY_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
IMAGES_MAX = 10  # `openai/types/image_generate_params.py`, read 2026-11-22
IMAGE_TOKENS = 272


def answer_images(asked: Asked) -> Answered:
    """Return as many pictures as were asked."""
    prompt = _read_prompt(asked)
    count = asked.integer("n", 1, 1, IMAGES_MAX)
    input_tokens, output_tokens = max(1, token_count(prompt)), count * IMAGE_TOKENS
    usage = {
        "input_tokens": input_tokens,
        "input_tokens_details": {"text_tokens": input_tokens, "image_tokens": 0},
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }
    pictures = [{"b64_json": GREY_PIXEL} for _ in range(count)]
    body: dict[str, object] = {"created": asked.now, "data": pictures, "usage": usage}
    return Answered(body, input_tokens, output_tokens)


def answer_video(asked: Asked) -> Answered:
    """Return the object of a video that was rendered at once; videos bear no usage."""
    body: dict[str, object] = {
        "id": asked.identifier("video_"),
        "object": "video",
        "created_at": asked.now,
        "completed_at": asked.now,
        "expires_at": None,
        "error": None,
        "model": asked.model,
        "progress": 100,
        "prompt": _read_prompt(asked),
        "remixed_from_video_id": None,
        "seconds": str(asked.body.get("seconds", "4")),
        "size": str(asked.body.get("size", "720x1280")),
        "status": "completed",
    }
    return Answered(body, 0, 0)


def _read_prompt(asked: Asked) -> str:
    prompt = asked.body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise missing("prompt")
    return prompt
