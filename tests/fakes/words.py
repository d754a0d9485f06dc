"""A provider that counts tokens by words, as tokenizers do, and not by bytes, as we estimate them.

Rule: nothing here knows of our estimate. It is no tokenizer either: a word is a token for every six letters that it has, a mark
is one, and each message brings four of its own, each request three.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import override

from openai_batch_simulator.answers.imitation import Imitation
from openai_batch_simulator.answers.responder import Answer

LETTERS_PER_TOKEN = 6
MESSAGE_TOKENS, REQUEST_TOKENS = 4, 3
_PIECE = re.compile(r"\w+|[^\w\s]")
_EXAMPLES = Path(__file__).parents[2] / "examples" / "drops"


def tokens_of(text: str) -> int:
    """Return how many tokens *text* has here."""
    return sum(-(-len(piece) // LETTERS_PER_TOKEN) for piece in _PIECE.findall(text))


class WordCounting(Imitation):
    """Answers chats as the simulator does, with the usage of one who counts words."""

    @override
    def answer(self, endpoint: str, body: bytes, now: float) -> Answer:
        """Return the simulator's answer, counted anew."""
        answer, asked = super().answer(endpoint, body, now), json.loads(body)
        tokens = REQUEST_TOKENS + sum(MESSAGE_TOKENS + tokens_of(message["content"]) for message in asked["messages"])
        answered = json.loads(answer.body)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens + answered["usage"]["completion_tokens"]}
        answered["usage"] |= usage
        return replace(answer, body=json.dumps(answered).encode(), input_tokens=tokens)


def reviews(count: int, seed: int) -> Iterator[str]:
    """Yield texts of one to four sentences of the examples, drawn by *seed*."""
    chance, sentences = random.Random(seed), _sentences()  # noqa: S311 - no secret
    for _ in range(count):
        yield " ".join(chance.choices(sentences, k=chance.randint(1, 4)))


def _sentences() -> list[str]:
    requests = json.loads((_EXAMPLES / "articles.json").read_text())
    texts = [message["content"] for request in requests for message in request["messages"]]
    return [sentence for text in texts for sentence in re.split(r"(?<=[.!?])\s+", text)]
