"""Imitates /v1/chat/completions (`openai/types/chat/chat_completion.py` of the SDK 3.54.0, read 2026-11-22).

Rule: `usage` is the sum of what the prompt and the choices hold.
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

_UNMODELLED = ("logprobs", "audio", "functions", "function_call", "web_search_options", "moderation")
_SYSTEM_ROLES = ("system", "developer")
CHOICES_MAX = 128
TOKENS_MAX = 1_000_000


def answer(asked: Asked) -> Answered:
    """Return the chat completion for one request."""
    refuse_unmodelled(asked.body, _UNMODELLED)
    if asked.body.get("modalities", ["text"]) not in (None, ["text"]):
        raise BadRequestError("The simulator models text only.", "modalities", "not_simulated")
    prompt = _read_prompt(asked.body.get("messages"))
    count = asked.integer("n", 1, 1, CHOICES_MAX)
    made = [_choice(asked, prompt, index) for index in range(count)]
    output_tokens = sum(tokens for _, tokens in made)
    body: dict[str, object] = {
        "id": asked.identifier("chatcmpl-"),
        "object": "chat.completion",
        "created": asked.now,
        "model": asked.model,
        "choices": [choice for choice, _ in made],
        "usage": _usage(prompt.tokens, output_tokens),
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    return Answered(body, prompt.tokens, output_tokens)


def _read_prompt(messages: object) -> texts.Prompt:
    if not isinstance(messages, list) or not messages:
        raise missing("messages")
    instructions: list[str] = []
    said: list[str] = []
    images = 0
    for index, message in enumerate(messages):
        if not is_object(message) or not isinstance(message.get("role"), str):
            raise BadRequestError("Each message must be an object with a role.", "messages")
        target = instructions if message["role"] in _SYSTEM_ROLES else said
        if message.get("content") is None and message["role"] == "assistant" and message.get("tool_calls"):
            continue
        for part in texts.read_parts(message.get("content"), f"messages[{index}].content"):
            if part is None:
                images += 1
            else:
                target.append(part)
    return texts.Prompt("\n".join(instructions), "\n".join(said), images)


def _choice(asked: Asked, prompt: texts.Prompt, index: int) -> tuple[dict[str, object], int]:
    """Return one choice and its tokens."""
    message: dict[str, object] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    call = tools.forced_call(asked)
    if call is not None:
        function = {"name": call[0], "arguments": call[1]}
        message["tool_calls"] = [{"id": asked.identifier("call_"), "type": "function", "function": function}]
        tokens, finish = max(1, token_count(call[1])), "tool_calls"
    else:
        text = texts.write(asked, prompt, _text_format(asked), _tokens_max(asked), index)
        message["content"] = text.content
        tokens, finish = text.tokens, "length" if text.is_cut else "stop"
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}, tokens


def _tokens_max(asked: Asked) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        if asked.body.get(name) is not None:
            return asked.integer(name, TOKENS_MAX, 1, TOKENS_MAX)
    return None


def _text_format(asked: Asked) -> object:
    """Return `response_format` in the flat form that responses use."""
    given = asked.body.get("response_format")
    if is_object(given) and given.get("type") == "json_schema":
        nested = given.get("json_schema")
        return {"type": "json_schema", "schema": nested.get("schema") if is_object(nested) else None}
    return given


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, object]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
