"""Counts the tokens of each model that are enqueued, and decides whether more fit.

Rule: quota is taken when a batch passes validation and given back when it ends, whatever its end
(https://developers.openai.com/api/docs/guides/batch, as of 2026-09-26).
"""

from collections import defaultdict
from dataclasses import dataclass

from openai_batch_simulator.account.behaviour import Behaviour


@dataclass(frozen=True, slots=True)
class Load:
    """What a batch takes of the queue."""

    model: str
    tokens: int
    embedding_inputs: int


class Quota:
    """The queues of one organization: all its projects share them."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.tokens: defaultdict[str, int] = defaultdict(int)
        self._embedding_inputs = 0

    def shortage(self, load: Load, foreign_tokens: int) -> str | None:
        """Return why *load* does not fit beside what is enqueued and *foreign_tokens*, or None if it fits."""
        limit = self._behaviour.enqueued_tokens_of(load.model)
        if limit is not None and self.tokens[load.model] + foreign_tokens + load.tokens > limit:
            return self.message(load.model, limit)
        inputs_limit = self._behaviour.enqueued_embedding_inputs
        if self._embedding_inputs + load.embedding_inputs > inputs_limit:
            return (
                f"Enqueued embedding request limit reached in organization {self._behaviour.organization}. "
                f"Limit: {inputs_limit:,} enqueued requests. "
                "Please try again once some in_progress batches have been completed."
            )
        return None

    def message(self, model: str, limit: int) -> str:
        """Return the provider's words (https://github.com/openai/openai-python/issues/2084, read 2026-11-22)."""
        return (
            f"Enqueued token limit reached for {model} in organization {self._behaviour.organization}. "
            f"Limit: {limit:,} enqueued tokens. Please try again once some in_progress batches have been completed."
        )

    def take(self, load: Load) -> None:
        """Enqueue *load*, whether or not it fits."""
        self.tokens[load.model] += load.tokens
        self._embedding_inputs += load.embedding_inputs

    def give_back(self, load: Load) -> None:
        """Take *load* off the queue again."""
        self.tokens[load.model] -= load.tokens
        self._embedding_inputs -= load.embedding_inputs
        assert self.tokens[load.model] >= 0, load  # noqa: S101 - given back twice: our defect, never input
