"""How many tokens a request will have, by its bytes, and how many its answer. What batches teach about either is in `learning`.

Rule: an estimate is a function of the body alone, so that planning twice gives the same plan. It need not be right, only
proportional: the ratio to what the provider counts is learned.
"""

import re
from collections.abc import Mapping
from typing import Final

# A picture counts by its size in pixels, not by its bytes. Of the tiled models one of 1,024 by 1,024 has 4 tiles of 170 tokens
# and 85 besides, and one in low detail 85, as two calculators say (https://app.unpkg.com/image-token-meter@1.0.0,
# https://docs.rs/open-agent-sdk/0.6.5/open_agent/enum.ImageDetail.html, both read 2026-11-22).
IMAGE_TOKENS: Final = 765
IMAGE_TOKENS_LOW: Final = 85

# Where neither a request limits its answer nor experience tells: two short paragraphs.
ANSWER_TOKENS_ASSUMED: Final = 300
# No model writes more at one time; what a body says beyond it is a slip that must not upset a sum.
ANSWER_TOKENS_MAX: Final = 1_000_000
ENDPOINTS_WITHOUT_ANSWER_TOKENS: Final = frozenset({"/v1/embeddings", "/v1/moderations"})

# The members of a body that limit its answers, by endpoint and age of the client, and the one that says how many are asked for.
ANSWER_LIMITS: Final = ("max_output_tokens", "max_completion_tokens", "max_tokens", "n")

_EMBEDDED: Final = b";base64,"
_IMAGE_MARKS: Final = (b'"type":"image_url"', b'"type":"input_image"')
_LOW_MARK: Final = b'"detail":"low"'
_EMBEDDED_IMAGE: Final = re.compile(rb"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=_-]*")


def shows_pictures(body: bytes) -> bool:
    """Whether *body*, compact JSON or a part of it, has a picture among its contents."""
    return any(mark in body for mark in _IMAGE_MARKS)


def text_tokens(body: bytes, bytes_per_token: int) -> int:
    """Return the estimate for a *body* that shows no pictures."""
    return -(-len(body) // bytes_per_token) or 1


def base_tokens(body: bytes, bytes_per_token: int) -> int:
    """Return the estimate for *body*, compact JSON: its text by bytes, its pictures each by a number of their own."""
    images = sum(map(body.count, _IMAGE_MARKS))
    if not images:
        return text_tokens(body, bytes_per_token)
    low = min(images, body.count(_LOW_MARK))
    text_bytes = len(body)
    if _EMBEDDED in body:
        text_bytes -= sum(found.end() - found.start() for found in _EMBEDDED_IMAGE.finditer(body))
    return -(-text_bytes // bytes_per_token) + IMAGE_TOKENS_LOW * low + IMAGE_TOKENS * (images - low)


def answer_tokens(endpoint: str, body: Mapping[str, object]) -> int | None:
    """Return the most tokens that *body* lets its answers have; 0 where they have none, None where it does not say."""
    if endpoint in ENDPOINTS_WITHOUT_ANSWER_TOKENS:
        return 0
    stated = body.get("max_output_tokens") or body.get("max_completion_tokens") or body.get("max_tokens")
    if not isinstance(stated, int) or stated <= 0:
        return None
    count = body.get("n")
    answers = count if isinstance(count, int) and count > 0 else 1
    return min(stated * answers, ANSWER_TOKENS_MAX)
