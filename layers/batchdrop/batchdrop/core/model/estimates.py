"""Estimates how many tokens a request will have, by its bytes. `quota_estimator` corrects this by what batches really had.

Rule: an estimate is a function of the body alone, so that planning twice gives the same plan. It need not be right, only
proportional: the ratio to what the provider counts is learned, as long as it is not off by more than twenty times.
"""

import re
from collections.abc import Iterable
from typing import Final

# A picture counts by its size in pixels, not by its bytes. Of the tiled models one of 1,024 by 1,024 has 4 tiles of 170 tokens
# and 85 besides, and one in low detail 85, as two calculators say (https://app.unpkg.com/image-token-meter@1.0.0,
# https://docs.rs/open-agent-sdk/0.6.5/open_agent/enum.ImageDetail.html, both read 2026-11-22).
IMAGE_TOKENS: Final = 765
IMAGE_TOKENS_LOW: Final = 85
# Of a document the text and a picture of each page are read (https://platform.openai.com/docs/guides/pdf-files, as quoted
# 2026-11-22): some 1,300 tokens a page, whose file has between 10 and 100 KB. Chosen: in the middle of that, in base64.
FILE_BYTES_PER_TOKEN: Final = 32
# Chosen: ten tokens a second of sound, between what a second takes as MP3 (10 KB in base64) and as WAV (64 KB).
AUDIO_BYTES_PER_TOKEN: Final = 2_500

_IMAGE_MARKS: Final = (b'"type":"image_url"', b'"type":"input_image"')
_FILE_MARKS: Final = (b'"type":"file"', b'"type":"input_file"', b'"type":"input_audio"')
_LOW_MARK: Final = b'"detail":"low"'
# A shorter body isn't searched for files, because searching costs more than all other work on a record. Its files, if any, are
# counted as text, and the estimate learns the difference.
_SEARCHED_BYTES_MIN: Final = 8_192
# Only what is a whole string of the body is a file: within a text its quotes would be escaped.
_EMBEDDED_MARK: Final = b";base64,"
_EMBEDDED: Final = re.compile(rb'(?<!\\)"data:(image/)?[\w.+/;=-]*;base64,([A-Za-z0-9+/=_-]*)"')
_AUDIO_MARK: Final = b'"input_audio":{'
_AUDIO: Final = re.compile(rb'(?<!\\)"input_audio":\{[^{}]*?"data":"([A-Za-z0-9+/=_-]*)"')


def shows_files(body: bytes) -> bool:
    """Whether *body*, compact JSON or a part of it, has a picture, a document or a recording among its contents."""
    return any(mark in body for mark in (*_IMAGE_MARKS, *_FILE_MARKS))


def text_tokens(body: bytes, bytes_per_token: int) -> int:
    """Return the estimate for a *body* that shows no files."""
    return tokens_of_sizes((len(body),), bytes_per_token)[0]


def tokens_of_sizes(sizes: Iterable[int], bytes_per_token: int) -> list[int]:
    """Return the estimates for bodies of these sizes in bytes, without files."""
    return [-(-size_bytes // bytes_per_token) or 1 for size_bytes in sizes]


def base_tokens(body: bytes, bytes_per_token: int) -> int:
    """Return the estimate for *body*, compact JSON: its text by bytes, what else it holds each by a rule of its own."""
    images = sum(map(body.count, _IMAGE_MARKS))
    if not images and len(body) < _SEARCHED_BYTES_MIN:
        return text_tokens(body, bytes_per_token)
    low = min(images, body.count(_LOW_MARK))
    pictures, files = _file_bytes(body, has_images=images > 0)
    audio = sum(len(found[1]) for found in _AUDIO.finditer(body)) if _AUDIO_MARK in body else 0
    tokens = -(-(len(body) - pictures - files - audio) // bytes_per_token)
    tokens += IMAGE_TOKENS_LOW * low + IMAGE_TOKENS * (images - low)
    return tokens + files // FILE_BYTES_PER_TOKEN + audio // AUDIO_BYTES_PER_TOKEN


def _file_bytes(body: bytes, *, has_images: bool) -> tuple[int, int]:
    """Return how many bytes of *body* are pictures that are counted already, and how many are other files."""
    pictures = files = 0
    if _EMBEDDED_MARK not in body:
        return 0, 0
    for found in _EMBEDDED.finditer(body):
        size_bytes = len(found[2])
        if found[1] and has_images:
            pictures += size_bytes
        else:
            files += size_bytes
    return pictures, files
