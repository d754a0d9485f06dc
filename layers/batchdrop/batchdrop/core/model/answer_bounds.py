"""Bounds how many answers a request asks for and how long they may be, by its body: what a cap on cost must count.

Rule: for every field that multiplies or lengthens answers the bound does not fall when the field grows. A number
that is written as text counts; a field of another wrong type is absent: the provider refuses such a request, unpaid.

The fields are those of OpenAI's bodies (https://developers.openai.com/api/reference, read 2026-11-30).
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from batchdrop.core.model.endpoints import AnswerSize, endpoint_of

# Where neither a request limits its answer nor experience tells: two short paragraphs.
ANSWER_TOKENS_ASSUMED: Final = 300
# No model writes more at one time; what a body says beyond it is a slip that must not upset a sum.
ANSWER_TOKENS_MAX: Final = 1_000_000
# The API takes 128 choices (chat), 20 (completions) and 10 pictures; a list of prompts has a choice for each.
_ANSWERS_MAX: Final = 50_000

# The members of a body that are looked at.
ANSWER_FIELDS: Final = frozenset({
    "max_output_tokens", "max_completion_tokens", "max_tokens", "n", "best_of", "prompt", "reasoning", "reasoning_effort",
    "text", "verbosity", "modalities", "prediction", "max_tool_calls", "quality", "size", "partial_images",
})  # fmt: skip
_LIMITS: Final = ("max_output_tokens", "max_completion_tokens", "max_tokens")

# How many times the assumed length an answer has that thinks first. Chosen: nothing is documented, and each model differs.
_EFFORTS: Final = {"none": 1, "minimal": 1, "low": 3, "medium": 7, "high": 20, "xhigh": 40}
_EFFORT_UNKNOWN: Final = 40
_VERBOSITIES: Final = {"low": 1, "medium": 1, "high": 2}
# A second of speech has some 20 tokens; two paragraphs take two minutes to read aloud. Chosen.
_SPOKEN: Final = 8
_TOOL_CALLS_MAX: Final = 1_000
# Tokens of a picture by its quality, of the largest format; a partial one has 100
# (https://developers.openai.com/api/docs/guides/image-generation, as quoted 2026-11-30).
_IMAGE_TOKENS: Final = {"low": 408, "medium": 1_584, "high": 6_240}
_PARTIAL_IMAGE_TOKENS: Final = 100
_BYTES_PER_TOKEN: Final = 4
_NUMBER_CHARS_MAX: Final = 20  # of a number that is written as text; longer ones are beyond every bound


class AnswerBound(msgspec.Struct, frozen=True, gc=False):
    """How many answers are asked for, the most tokens that those with a limit may have in all, and how many have none.

    What answers without a limit are expected to be longer than usual, because they think first, is in *tokens*.
    """

    answers: int = 1
    tokens: int = 0
    unlimited: int = 0


UNLIMITED: Final = AnswerBound(unlimited=1)
_NOTHING: Final = AnswerBound()


def answer_bound(endpoint: str, body: Mapping[str, object]) -> AnswerBound:
    """Return the bound of the answers to *body*, of which only ANSWER_FIELDS are looked at."""
    row = endpoint_of(endpoint)
    if row.answer_size is AnswerSize.NOTHING:
        return _NOTHING
    has_pictures = row.answer_size is AnswerSize.PICTURES
    if ANSWER_FIELDS.isdisjoint(body) and not has_pictures:
        return UNLIMITED  # as most bodies: this is asked for each row
    answers = _answers(body, multiplies_prompts=row.multiplies_prompts)
    if has_pictures:
        return AnswerBound(answers, answers * _image_tokens(body))
    stated = max((_whole(body.get(name)) for name in _LIMITS), default=0)
    if stated:
        return AnswerBound(answers, answers * min(stated, ANSWER_TOKENS_MAX))
    return AnswerBound(answers, answers * ANSWER_TOKENS_ASSUMED * (_weight(body) - 1) + _predicted(body), answers)


def bounding_of(body: Mapping[str, object]) -> dict[str, object]:
    """Return the members of *body* that bound its answers, unchanged."""
    return {name: body[name] for name in ANSWER_FIELDS.intersection(body)}


def _answers(body: Mapping[str, object], *, multiplies_prompts: bool) -> int:
    """Return how many answers are made and paid for: candidates that are thrown away, too."""
    asked = max(1, _whole(body.get("n")), _whole(body.get("best_of")))
    prompts = body.get("prompt") if multiplies_prompts else None
    if isinstance(prompts, list) and prompts and isinstance(prompts[0], str | list):
        asked *= len(prompts)
    return min(asked, _ANSWERS_MAX)


def _weight(body: Mapping[str, object]) -> int:
    """Return how many times the assumed length an answer without a limit is expected to have."""
    effort = _member(body.get("reasoning"), "effort") or body.get("reasoning_effort") or "none"
    verbosity = _member(body.get("text"), "verbosity") or body.get("verbosity") or "medium"
    weight = _EFFORTS.get(effort, _EFFORT_UNKNOWN) if isinstance(effort, str) else 1
    weight *= _VERBOSITIES.get(verbosity, 1) if isinstance(verbosity, str) else 1
    modalities = body.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        weight *= _SPOKEN
    return weight * (1 + min(_whole(body.get("max_tool_calls")), _TOOL_CALLS_MAX))


def _predicted(body: Mapping[str, object]) -> int:
    """Return the tokens of a prediction: what of it is wrong is paid as if it had been answered."""
    prediction = body.get("prediction")
    return len(msgspec.json.encode(prediction)) // _BYTES_PER_TOKEN if isinstance(prediction, Mapping) else 0


def _image_tokens(body: Mapping[str, object]) -> int:
    quality = body.get("quality")
    most = max(_IMAGE_TOKENS.values())
    return (_IMAGE_TOKENS.get(quality, most) if isinstance(quality, str) else most) + _PARTIAL_IMAGE_TOKENS * min(
        _whole(body.get("partial_images")), 10
    )


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _whole(value: object) -> int:
    """Return *value* where it is a whole number above 0, also as 5e3 or as text; 0 for anything else, True included.

    A cell of a CSV is text, and servers other than OpenAI take a number in any of these forms: a cap must count it.
    """
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value > 0 else 0


def _number(text: str) -> float:
    """Return the number that *text* is, beyond every bound where it is long; 0 where it is none."""
    if len(text) > _NUMBER_CHARS_MAX:
        return ANSWER_TOKENS_MAX if text.strip().isdigit() else 0
    try:
        return float(text)
    except ValueError:
        return 0
