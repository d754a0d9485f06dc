"""Imitates /v1/completions (`openai/types/completion.py` of the SDK 3.54.0, read 2026-11-22).

Rule: one choice for each prompt and each of its `n`, in that order.
"""

from openai_batch_simulator.answers import texts
from openai_batch_simulator.answers.asked import Answered, Asked, BadRequestError, missing, refuse_unmodelled

_UNMODELLED = ("logprobs", "echo", "suffix", "best_of")
CHOICES_MAX = 128
TOKENS_DEFAULT = 16  # our choice: this endpoint cuts early unless it is asked otherwise; the SDK names no number
TOKENS_MAX = 1_000_000


def answer(asked: Asked) -> Answered:
    """Return the completion for one request."""
    refuse_unmodelled(asked.body, _UNMODELLED)
    prompts = [texts.Prompt("", prompt) for prompt in _read_prompts(asked.body.get("prompt"))]
    count = asked.integer("n", 1, 1, CHOICES_MAX)
    tokens_max = asked.integer("max_tokens", TOKENS_DEFAULT, 1, TOKENS_MAX)
    written = [
        texts.write(asked, prompt, None, tokens_max, choice=index * count + turn)
        for index, prompt in enumerate(prompts)
        for turn in range(count)
    ]
    input_tokens, output_tokens = sum(prompt.tokens for prompt in prompts), sum(text.tokens for text in written)
    choices = [
        {"index": index, "text": text.content, "logprobs": None, "finish_reason": "length" if text.is_cut else "stop"}
        for index, text in enumerate(written)
    ]
    body: dict[str, object] = {
        "id": asked.identifier("cmpl-"),
        "object": "text_completion",
        "created": asked.now,
        "model": asked.model,
        "choices": choices,
        "usage": {
            "prompt_tokens": input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        },
    }
    return Answered(body, input_tokens, output_tokens)


def _read_prompts(given: object) -> list[str]:
    prompts = [given] if isinstance(given, str) else given
    if not isinstance(prompts, list) or not prompts:
        raise missing("prompt")
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise BadRequestError("The simulator models prompts of text only.", "prompt", "not_simulated")
    return prompts
