"""The text of an answer: one of the words that the prompt offers, else a sentence that says that it is simulated.

Rule: no reader can take a sentence for a model's; a chosen word is alone, because programs compare it.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from openai_batch_simulator.answers import schemas
from openai_batch_simulator.answers.asked import CHARACTERS_PER_TOKEN, Asked, BadRequestError, is_object, token_count
from openai_batch_simulator.answers.parameters import kind_of

# What a picture of low detail costs, for some models (https://github.com/openai/openai-python/issues/2851, read 2026-11-22).
IMAGE_TOKENS = 85
QUOTED_CHARACTERS_MAX = 60
# How long an instruction is of which the offer is remembered: prompts of megabytes are not to be kept.
REMEMBERED_CHARACTERS_MAX = 10_000
_QUOTE = r"[\"'`]?"
_WORD = rf"{_QUOTE}([\w-]+){_QUOTE}"
# A word is tried from its beginning alone, and the list before the last two is read backwards from there. One expression for all
# takes time that grows with the square of the text, and users write megabytes.
_LAST_TWO = re.compile(rf"(?<![\w-]){_WORD},?\s+or\s+{_WORD}")
_LISTED_BEFORE = re.compile(rf"\s+,{_WORD}")
_INSTRUCTION = re.compile(
    r"\b(answer|reply|respond|classify|return|output|label|choose|say|one of|either)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text of a prompt: *instructions* of the system, and what the user says."""

    instructions: str
    user: str
    images: int = 0

    @property
    def tokens(self) -> int:
        """How many tokens the prompt is taken for, at least one."""
        return max(1, token_count(self.instructions) + token_count(self.user) + self.images * IMAGE_TOKENS)


@dataclass(frozen=True, slots=True)
class Text:
    """A text that was answered; *is_cut* where the limit of tokens ended it."""

    content: str
    tokens: int
    is_cut: bool


def write(asked: Asked, prompt: Prompt, text_format: object, tokens_max: int | None, choice: int = 0) -> Text:
    """Return the answer number *choice* to *prompt* in *text_format*, with at most *tokens_max* tokens."""
    content = _content(asked, prompt, text_format, asked.draw(f"text {choice}"))
    tokens = max(1, token_count(content))
    if tokens_max is not None and tokens > tokens_max:
        return Text(content[: tokens_max * CHARACTERS_PER_TOKEN], tokens_max, is_cut=True)
    return Text(content, tokens, is_cut=False)


def _content(asked: Asked, prompt: Prompt, text_format: object, draw: int) -> str:
    kind = text_format.get("type", "text") if is_object(text_format) else "text"
    if kind == "json_schema" and is_object(text_format):
        return schemas.instance_text(text_format.get("schema"), asked.digest)
    if kind == "json_object":
        return '{"simulated":true,"answer":"%08x"}' % (draw & 0xFFFFFFFF)
    if kind != "text":
        raise BadRequestError(f"Invalid response format '{kind}'.", "response_format")
    offered = offered_words(prompt.instructions or prompt.user)
    if offered:
        return offered[draw % len(offered)]
    start = " ".join(prompt.user[: 2 * QUOTED_CHARACTERS_MAX].split())[:QUOTED_CHARACTERS_MAX]
    return f'[simulated] A reply, numbered {draw & 0xFFFF:04x}, to "{start}".'


def offered_words(instructions: str) -> tuple[str, ...]:
    """Return the words between which *instructions* leave the choice, as in 'answer with yes, no or maybe'."""
    is_short = len(instructions) <= REMEMBERED_CHARACTERS_MAX
    return _remembered_words(instructions) if is_short else _offered_words(instructions)


def _offered_words(instructions: str) -> tuple[str, ...]:
    if not _INSTRUCTION.search(instructions):
        return ()
    for sentence in re.split(r"(?<=[.!?:])\s+|\n", instructions):
        last = _LAST_TWO.search(sentence)
        if last:
            return (*_words_before(sentence[: last.start()]), *(word for word in last.groups() if word != "or"))
    return ()


_remembered_words = functools.lru_cache(maxsize=64)(_offered_words)


def _words_before(text: str) -> tuple[str, ...]:
    """Return the words of the list with which *text* ends, each with a comma behind it."""
    backwards, words, at = text[::-1], list[str](), 0
    while listed := _LISTED_BEFORE.match(backwards, at):
        words.append(listed[1][::-1])
        at = listed.end()
    return tuple(word for word in reversed(words) if word != "or")


def read_parts(content: object, place: str) -> Iterator[str | None]:
    """Yield each text of the content at *place* of a body, and None for each image. Raises BadRequestError."""
    if isinstance(content, str):
        yield content
        return
    if not isinstance(content, list):
        message = (
            f"Invalid type for '{place}': expected a string or an array of objects, but got {kind_of(content)} instead."
        )
        raise BadRequestError(message, place, "invalid_type")
    for index, part in enumerate(content):
        if not is_object(part):
            at = f"{place}[{index}]"
            message = f"Invalid type for '{at}': expected an object, but got {kind_of(part)} instead."
            raise BadRequestError(message, at, "invalid_type")
        if isinstance(part.get("text"), str):
            yield str(part["text"])
        elif part.get("type") in ("image_url", "input_image"):
            yield None
        else:
            raise BadRequestError(f"The simulator does not model content of type '{part.get('type')}'.", "messages")
