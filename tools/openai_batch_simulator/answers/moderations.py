"""Imitates /v1/moderations (`openai/types/moderation.py` of the SDK 3.54.0, read 2026-11-22).

Rule: an input is flagged where it holds one of a few plain words, so that a demonstration shows both outcomes.
"""

from openai_batch_simulator.answers.asked import Answered, Asked, is_object, missing

_ALARMS = {"kill": "violence", "hate": "hate", "stupid": "harassment"}
_TEXT_ONLY = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "sexual/minors",
)
_TEXT_AND_IMAGES = (
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "violence",
    "violence/graphic",
)
CATEGORIES = _TEXT_ONLY + _TEXT_AND_IMAGES
SCORE_CLEAR, SCORE_FLAGGED = 0.0001, 0.95


def answer(asked: Asked) -> Answered:
    """Return the moderation of one request; moderations bear no usage."""
    results = [_judge(text) for text in _read_inputs(asked.body.get("input"))]
    model = asked.model or "omni-moderation-latest"
    return Answered({"id": asked.identifier("modr-"), "model": model, "results": results}, 0, 0)


def _read_inputs(given: object) -> list[str]:
    """Return the texts to judge; the parts of a multi-modal input are judged together."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        raise missing("input")
    if all(isinstance(element, str) for element in given):
        return given
    return [" ".join(str(part.get("text", "")) for part in given if is_object(part))]


def _judge(text: str) -> dict[str, object]:
    lowered = text.lower()
    raised = {category for word, category in _ALARMS.items() if word in lowered}
    return {
        "flagged": bool(raised),
        "categories": {category: category in raised for category in CATEGORIES},
        "category_scores": {category: SCORE_FLAGGED if category in raised else SCORE_CLEAR for category in CATEGORIES},
        "category_applied_input_types": {category: ["text"] for category in CATEGORIES},
    }
