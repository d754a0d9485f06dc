"""Refuses parameters that no endpoint takes as they are: wrong types, numbers out of range, and what a model has no use for.

Types and ranges are those of the SDK's parameters (`openai/types/chat/completion_create_params.py` and its like, 3.54.0, read
2026-11-30). What a parameter is called is the same at each endpoint; completions alone take a number for `logprobs`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from openai_batch_simulator.answers.asked import BadRequestError

# The SDK says that `max_tokens` "is not compatible with o-series models". Newer reasoning models are assumed to be the same.
_REASONING: Final = re.compile(r"(?:o\d|gpt-[5-9](?!.*chat))").match
STOPS_MAX: Final = 4


def check_parameters(endpoint: str, body: Mapping[str, object]) -> None:
    """Raise BadRequestError for the first parameter of *body* that has a value of the wrong kind."""
    for name, value in body.items():
        wanted, is_right = _KINDS.get(name, ("", None))
        if is_right and value is not None and not is_right(value):
            message = f"Invalid type for '{name}': expected {wanted}, but got {kind_of(value)} instead."
            raise BadRequestError(message, name, "invalid_type")
        low, high = _RANGES.get(name, (0, 0))
        if is_right and isinstance(value, int | float) and low < high and not low <= value <= high:
            problem = f"expected a value from {low} to {high}, but got {value} instead."
            raise BadRequestError(f"Invalid '{name}': {problem}", name, "decimal_out_of_range")
    stops = body.get("stop")
    if isinstance(stops, list) and len(stops) > STOPS_MAX:
        message = f"Invalid 'stop': array too long. Expected an array with maximum length {STOPS_MAX}."
        raise BadRequestError(message, "stop", "array_above_max_length")
    is_chat = endpoint == "/v1/chat/completions" and body.get("max_tokens") is not None
    if is_chat and _REASONING(str(body.get("model"))):
        advice = "is not supported with this model. Use 'max_completion_tokens' instead."
        raise BadRequestError(f"Unsupported parameter: 'max_tokens' {advice}", "max_tokens", "unsupported_parameter")


def kind_of(value: object) -> str:
    """Return what *value* is called in JSON, with its article."""
    if value is None:
        return "null"
    return next(name for kind, name in _NAMES if isinstance(value, kind))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


def _is_text_or_texts(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(part, str) for part in value))


def _is_texts_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(member, str) for member in value.values())


_NAMES: Final = (
    (bool, "a boolean"), (int, "an integer"), (float, "a decimal"), (str, "a string"), (list, "an array"), (dict, "an object"),
)  # fmt: skip
_KINDS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    **dict.fromkeys(
        ("seed", "n", "top_logprobs", "max_tokens", "max_completion_tokens", "max_output_tokens", "dimensions", "best_of"),
        ("an integer", _is_whole),
    ),
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty"), ("a decimal", _is_number)),
    **dict.fromkeys(
        ("user", "safety_identifier", "prompt_cache_key", "instructions", "reasoning_effort", "verbosity", "service_tier"),
        ("a string", _is_text),
    ),
    **dict.fromkeys(("parallel_tool_calls", "store", "echo"), ("a boolean", _is_switch)),
    "stop": ("a string or an array of strings", _is_text_or_texts),
    "metadata": ("an object of strings", _is_texts_by_name),
}  # fmt: skip
_RANGES: Final = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}
