"""Imitates /v1/embeddings (`openai/types/create_embedding_response.py` of the SDK 3.54.0, read 2026-11-22).

Rule: every vector has length one, and depends on its text and the model alone.
"""

import base64
import math
import sys
from array import array
from hashlib import shake_256

from openai_batch_simulator.answers.asked import (
    Answered,
    Asked,
    BadRequestError,
    missing,
    refuse_unmodelled,
    token_count,
)

# As public descriptions of the models agree; a model that is not named here gets the default.
DIMENSIONS = {"text-embedding-3-large": 3072}
DIMENSIONS_DEFAULT = 1536
# An array holds at most 2,048 inputs (`openai/types/embedding_create_params.py`, read 2026-11-22).
INPUTS_MAX = 2_048


def answer(asked: Asked) -> Answered:
    """Return the embeddings for one request."""
    refuse_unmodelled(asked.body, ())
    full = DIMENSIONS.get(asked.model, DIMENSIONS_DEFAULT)
    dimensions = asked.integer("dimensions", full, 1, full)
    encoding = asked.body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise BadRequestError("Invalid 'encoding_format': expected 'float' or 'base64'.", "encoding_format")
    inputs = _read_inputs(asked.body.get("input"))
    made = []
    for index, given in enumerate(inputs):
        vector = unit_vector(asked.model, given, dimensions)
        shown = _as_base64(vector) if encoding == "base64" else vector.tolist()
        made.append({"object": "embedding", "index": index, "embedding": shown})
    tokens = sum(len(given) if isinstance(given, list) else token_count(given) for given in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Answered({"object": "list", "data": made, "model": asked.model, "usage": usage}, tokens, 0)


def unit_vector(model: str, given: str | list[int], dimensions: int) -> "array[float]":
    """Return the vector of one text or list of tokens."""
    seed = shake_256(f"{model}\0{given}".encode()).digest(2 * dimensions)
    raw = array("h", seed)
    if sys.byteorder == "big":
        raw.byteswap()
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return array("d", (value / length for value in raw))


def _as_base64(vector: "array[float]") -> str:
    """Return 32-bit floats, the lowest byte first, as the provider sends them."""
    narrow = array("f", vector)
    if sys.byteorder == "big":
        narrow.byteswap()
    return base64.b64encode(narrow.tobytes()).decode()


def _read_inputs(given: object) -> list[str | list[int]]:
    """Return each text, or list of tokens, that is to be embedded."""
    if isinstance(given, str) or (isinstance(given, list) and given and isinstance(given[0], int)):
        given = [given]
    if not isinstance(given, list) or not given:
        raise missing("input")
    if len(given) > INPUTS_MAX:
        raise BadRequestError(f"Invalid 'input': at most {INPUTS_MAX} elements.", "input")
    for element in given:
        is_tokens = isinstance(element, list) and element and all(type(token) is int for token in element)
        if not is_tokens and not (isinstance(element, str) and element):
            raise BadRequestError("'$.input' is invalid.", "input")
    return given
