"""Lists the endpoints that take batches: one row each, and everything that differs between them.

Rule: nothing else in the layer names an endpoint to decide by it. A new one is a row here; only an answer of a new shape needs
code, a reader in `collection/verdicts.py`.

The endpoints are those of the SDK's `batch_create_params`; a test compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Shape(StrEnum):
    """How the body of an answer is laid out."""

    CHAT = "chat"  # `choices`, each with a message
    COMPLETIONS = "completions"  # `choices`, each with a text
    RESPONSES = "responses"  # `output`, whose messages have parts
    EMBEDDINGS = "embeddings"  # `data`, a vector for each input
    MODERATIONS = "moderations"  # `results`
    IMAGES = "images"  # `data`
    OPAQUE = "opaque"  # the body as a whole is the output


class AnswerSize(StrEnum):
    """What bounds the cost of an answer."""

    TOKENS = "tokens"
    PICTURES = "pictures"
    NOTHING = "nothing"  # an answer has no tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What differs between endpoints."""

    url: str
    shape: Shape = Shape.OPAQUE
    is_quoted: bool = False  # a price by the token is known before anything is sent
    is_receipted: bool = True  # the tokens that an answer counts have one price each
    answer_size: AnswerSize = AnswerSize.TOKENS
    counts_inputs: bool = False  # texts of `input` are counted beside tokens, against a quota of their own
    multiplies_prompts: bool = False  # a list in `prompt` asks for an answer to each
    structure_mark: bytes = b""  # what a body that asks for JSON has somewhere
    texts: frozenset[str] = frozenset()  # fields, wherever in a body, that take text, or a list of parts


# By the types of the SDK's `completion_create_params` and its like.
_ALWAYS_TEXTS: Final = frozenset({"model", "user", "safety_identifier", "prompt_cache_key"})
_PROMPTED: Final = _ALWAYS_TEXTS | {"prompt"}
_ROWS: Final = (
    Endpoint(
        url="/v1/responses", shape=Shape.RESPONSES, is_quoted=True, structure_mark=b'"format"',
        texts=_ALWAYS_TEXTS | {"input", "instructions", "content", "text"},
    ),
    Endpoint(
        url="/v1/chat/completions", shape=Shape.CHAT, is_quoted=True, structure_mark=b'"response_format"',
        texts=_ALWAYS_TEXTS | {"content", "text"},
    ),
    Endpoint(
        url="/v1/embeddings", shape=Shape.EMBEDDINGS, is_quoted=True, answer_size=AnswerSize.NOTHING, counts_inputs=True,
        texts=_ALWAYS_TEXTS | {"input"},
    ),
    Endpoint(
        url="/v1/completions", shape=Shape.COMPLETIONS, is_quoted=True, multiplies_prompts=True, texts=_PROMPTED | {"suffix"}
    ),
    Endpoint(
        url="/v1/moderations", shape=Shape.MODERATIONS, answer_size=AnswerSize.NOTHING, texts=_ALWAYS_TEXTS | {"input", "text"}
    ),
    # Tokens of pictures have prices of their own, which these answers do not tell apart.
    Endpoint(
        url="/v1/images/generations", shape=Shape.IMAGES, is_receipted=False, answer_size=AnswerSize.PICTURES, texts=_PROMPTED
    ),
    Endpoint(
        url="/v1/images/edits", shape=Shape.IMAGES, is_receipted=False, answer_size=AnswerSize.PICTURES, texts=_PROMPTED
    ),
    Endpoint(url="/v1/videos", texts=_PROMPTED),
)  # fmt: skip
ENDPOINTS: Final[Mapping[str, Endpoint]] = {row.url: row for row in _ROWS}
# Servers differ in whether an endpoint has its version: both forms are taken.
FULL_URLS: Final[Mapping[str, str]] = {form: url for url in ENDPOINTS for form in (url, url.removeprefix("/v1"))}
# Where a body goes that names no endpoint.
CHAT: Final = "/v1/chat/completions"
_UNKNOWN: Final = Endpoint(url="", is_receipted=False)


def endpoint_of(url: str) -> Endpoint:
    """Return the row of *url*; one that assumes nothing where no row has it, as in a row that a newer release wrote."""
    return ENDPOINTS.get(FULL_URLS.get(url, url), _UNKNOWN)
