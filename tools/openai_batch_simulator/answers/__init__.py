"""What is answered to a request line: by a small deterministic imitation of each endpoint, or by a server behind a URL.

Rule: the same body gets the same answer, whichever batch asks, and whatever was asked before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import msgspec

from openai_batch_simulator.answers import chat, completions, embeddings, media, moderations, responses
from openai_batch_simulator.answers.asked import Answered, Asked, BadRequestError
from openai_batch_simulator.values import UNREADABLE


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP answer to one request line; *body* is JSON. Status 0 stands for no answer in time."""

    status_code: int
    body: bytes
    input_tokens: int = 0
    output_tokens: int = 0


class Responder(Protocol):
    """Something that answers request lines."""

    @property
    def lines_at_once(self) -> int:
        """How many lines may be answered in one go, while every other call waits."""

    def answer(self, endpoint: str, body: bytes, now: float) -> Answer:
        """Return the answer of *endpoint* to *body*; a failure is an answer, too."""


_IMITATIONS: dict[str, Callable[[Asked], Answered]] = {
    "/v1/chat/completions": chat.answer,
    "/v1/responses": responses.answer,
    "/v1/embeddings": embeddings.answer,
    "/v1/completions": completions.answer,
    "/v1/moderations": moderations.answer,
    "/v1/images/generations": media.answer_images,
    "/v1/images/edits": media.answer_images,
    "/v1/videos": media.answer_video,
}

# `openai/types/batch_create_params.py` of the Python SDK 3.54.0, read 2026-11-22; a test compares the two.
ENDPOINTS = tuple(_IMITATIONS)


class Imitation:
    """Answers every endpoint without a model; every text says that it is simulated."""

    # A thousand answers take a tenth of a second, which is as long as a call should wait.
    lines_at_once = 1_000

    def answer(self, endpoint: str, body: bytes, now: float) -> Answer:
        """Return the imitated answer; what the endpoint would refuse, a 400."""
        digest = blake2b(body, digest_size=16, person=endpoint[-16:].encode()).digest()
        try:
            answered = _IMITATIONS[endpoint](Asked(msgspec.json.decode(body, type=dict), digest, int(now)))
            text = msgspec.json.encode(answered.body)
        except BadRequestError as error:
            return Answer(400, msgspec.json.encode(error.envelope))
        except UNREADABLE as error:
            # Validation only skims a body: depth and ranges are found out here.
            return Answer(400, msgspec.json.encode(BadRequestError(f"The body is unreadable: {error}.", None).envelope))
        return Answer(200, text, answered.input_tokens, answered.output_tokens)
