"""Imitates /v1/responses (`openai/types/responses/response.py` of the SDK 3.54.0, read 2026-11-22).

Rule: what the response repeats of the request, it repeats unchanged.
"""

from openai_batch_simulator.answers import texts, tools
from openai_batch_simulator.answers.asked import (
    Answered,
    Asked,
    BadRequestError,
    is_object,
    missing,
    refuse_unmodelled,
    token_count,
)
from openai_batch_simulator.answers.parameters import kind_of

_UNMODELLED = ("previous_response_id", "background", "conversation", "prompt", "include", "moderation")
_SYSTEM_ROLES = ("system", "developer")
# The provider refuses less (https://github.com/vectorize-io/hindsight/issues/58, read 2026-11-22).
TOKENS_MIN, TOKENS_MAX = 16, 1_000_000


def answer(asked: Asked) -> Answered:
    """Return the response to one request."""
    refuse_unmodelled(asked.body, _UNMODELLED)
    prompt = _read_prompt(asked.body)
    output, tokens, is_cut = _output(asked, prompt)
    usage = {
        "input_tokens": prompt.tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt.tokens + tokens,
    }
    body: dict[str, object] = {
        "id": asked.identifier("resp_"),
        "object": "response",
        "created_at": asked.now,
        "status": "incomplete" if is_cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        **_repeated(asked.body),
        "model": asked.model,
        "output": [output],
        "usage": usage,
    }
    return Answered(body, prompt.tokens, tokens)


def _repeated(body: dict[str, object]) -> dict[str, object]:
    """Return the parameters that the response repeats, with their defaults."""
    defaults: dict[str, object] = {
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }
    return {name: body.get(name, default) for name, default in defaults.items()}


def _read_prompt(body: dict[str, object]) -> texts.Prompt:
    given = body.get("input")
    instructions = [str(body.get("instructions") or "")]
    if isinstance(given, str):
        return texts.Prompt(instructions[0], given)
    if given is None or given == []:
        raise missing("input")
    if not isinstance(given, list):
        message = (
            f"Invalid type for 'input': expected a string or an array of objects, but got {kind_of(given)} instead."
        )
        raise BadRequestError(message, "input", "invalid_type")
    said: list[str] = []
    images = 0
    for index, item in enumerate(given):
        if not is_object(item) or item.get("type", "message") != "message":
            raise BadRequestError("The simulator models input items of type 'message' only.", "input", "not_simulated")
        target = instructions if item.get("role") in _SYSTEM_ROLES else said
        for part in texts.read_parts(item.get("content"), f"input[{index}].content"):
            if part is None:
                images += 1
            else:
                target.append(part)
    return texts.Prompt("\n".join(filter(None, instructions)), "\n".join(said), images)


def _output(asked: Asked, prompt: texts.Prompt) -> tuple[dict[str, object], int, bool]:
    """Return the one item of output, its tokens, and whether it was cut."""
    call = tools.forced_call(asked)
    if call is not None:
        item: dict[str, object] = {
            "type": "function_call",
            "id": asked.identifier("fc_"),
            "call_id": asked.identifier("call_"),
            "name": call[0],
            "arguments": call[1],
            "status": "completed",
        }
        return item, max(1, token_count(call[1])), False
    tokens_max = asked.integer("max_output_tokens", TOKENS_MAX, TOKENS_MIN, TOKENS_MAX)
    settings = asked.body.get("text")
    text = texts.write(asked, prompt, settings.get("format") if is_object(settings) else None, tokens_max)
    content = {"type": "output_text", "text": text.content, "annotations": [], "logprobs": []}
    status = "incomplete" if text.is_cut else "completed"
    identifier = asked.identifier("msg_")
    message: dict[str, object] = {
        "type": "message",
        "id": identifier,
        "status": status,
        "role": "assistant",
        "content": [content],
    }
    return message, text.tokens, text.is_cut
