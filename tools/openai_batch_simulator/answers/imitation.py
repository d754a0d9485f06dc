"""Answers request lines by a small deterministic imitation of each endpoint.

Rule: the same body gets the same answer, whichever batch asks, and whatever was asked before.
"""

from collections.abc import Callable
from hashlib import blake2b

import msgspec

from openai_batch_simulator.answers import chat, completions, embeddings, media, moderations, responses
from openai_batch_simulator.answers.asked import Answered, Asked, BadRequestError
from openai_batch_simulator.answers.parameters import check_parameters
from openai_batch_simulator.answers.responder import Answer
from openai_batch_simulator.messages import UNREADABLE

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
            asked = Asked(msgspec.json.decode(body, type=dict), digest, int(now))
            check_parameters(endpoint, asked.body)
            answered = _IMITATIONS[endpoint](asked)
            text = msgspec.json.encode(answered.body)
        except BadRequestError as error:
            return Answer(400, msgspec.json.encode(error.envelope))
        except UNREADABLE as error:
            # Validation only skims a body: depth and ranges are found out here.
            return Answer(400, msgspec.json.encode(BadRequestError(f"The body is unreadable: {error}.", None).envelope))
        return Answer(200, text, answered.input_tokens, answered.output_tokens)
