"""Judges what an answer is worth: the output that a user asked for, or why there is none.

Rule: an answer with HTTP success is a success, however it ended, with two exceptions. An empty one fails, because it holds
nothing that was asked for. Where structured output was asked for, one that cannot be parsed fails: that would put half an object
where a program expects a whole one. Both are paid for, and so are never sent again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from batchdrop.core.collection import bodies
from batchdrop.core.collection.answers import (
    Answer,
    compact_json,
    described_failure,
    failure_with,
    may_be_sent_again,
    text_of,
)
from batchdrop.core.collection.bodies import Body, Reader, usage_of
from batchdrop.core.model.endpoints import Shape
from batchdrop.core.model.outcomes import NULL, Failure, Usage

# Ends that leave a text unfinished or replace it.
_CUT_SHORT: Final = frozenset({"length", "content_filter", "refusal"})
_RESPONSE_ENDS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
# What a message of `/v1/responses` says on the way to its answer has another phase
# (https://github.com/openai/openai-python/pull/3861, read 2026-12-01).
_FINAL_PHASE: Final = "final_answer"
# What is in the place of an answer and holds nothing: null, an empty text, an empty list or object.
_NOTHING: Final = (NULL, msgspec.Raw(b'""'), msgspec.Raw(b"[]"), msgspec.Raw(b"{}"))

_NO_MESSAGE: Final = bodies.Message()

# One of the answers in a body, and how it ended: chat may give several, responses one a message, embeddings one for each input.
type _Piece = tuple[msgspec.Raw, str | None]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The worth of one answer. *failure* is None where it succeeded; model and usage are given where it was paid for."""

    output: msgspec.Raw = NULL
    finish: str | None = None
    model: str | None = None
    usage: Usage | None = None
    response: msgspec.Raw = NULL  # the endpoint's body, on one line
    failure: Failure | None = None
    may_be_sent_again: bool = False


@dataclass(frozen=True, slots=True)
class Layout[Shaped: Body]:
    """How the bodies of one shape are decoded, and where the answers are in them."""

    reader: Reader[Shaped]
    pieces: Callable[[Shaped, msgspec.Raw], Sequence[_Piece]]
    is_one_answer: bool = False  # the pieces are messages of one answer; else each is an answer alone


def judge(answer: Answer, layout: Layout[Any], *, is_structured: bool) -> Verdict:
    """Return what *answer* is worth to its item; *is_structured* where that asked for an object."""
    response = answer.response
    if response is None or answer.error != NULL or not answer.is_2xx:
        return _failed(answer, answer.body)
    raw = response.body
    try:
        body = layout.reader.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raw = answer.body
        if failure_with(answer, raw) is not None:
            return _failed(answer, raw)
        body = layout.reader.read(raw)
    model, usage = body.model, usage_of(body.usage)
    if body.error is not NULL and body.error != NULL:
        return Verdict(NULL, None, model, usage, raw, described_failure(body.error, "answer_failed"))
    pieces = layout.pieces(body, raw)
    output, finish = pieces[0] if len(pieces) == 1 else _all_of(pieces)
    if output in _NOTHING:
        return Verdict(NULL, finish, model, usage, raw, _empty(finish))
    if is_structured:
        parsed = (
            _parsed(output, finish) if len(pieces) == 1 else _all_parsed(pieces, is_one_answer=layout.is_one_answer)
        )
        if parsed is None:
            return Verdict(NULL, finish, model, usage, raw, _incomplete(finish))
        output = parsed
    return Verdict(output, finish, model, usage, raw)


def _failed(answer: Answer, body: msgspec.Raw) -> Verdict:
    failure = failure_with(answer, body)
    is_passing = failure is not None and may_be_sent_again(answer, failure)
    return Verdict(response=body, failure=failure, may_be_sent_again=is_passing)


def _all_of(pieces: Sequence[_Piece]) -> _Piece:
    """Return several answers as an array, or null where all hold nothing, and how they ended: the first end that is no `stop`."""
    ends = [finish for _, finish in pieces]
    finish = next((end for end in ends if end not in {None, "stop"}), ends[0] if ends else None)
    outputs = [output for output, _ in pieces]
    return NULL if all(output in _NOTHING for output in outputs) else _array(outputs), finish


def _all_parsed(pieces: Sequence[_Piece], *, is_one_answer: bool) -> msgspec.Raw | None:
    """Return the values of several answers, or the first of one answer; None where one is cut, refused or no JSON."""
    whole = [value for piece in pieces if (value := _parsed(*piece)) is not None]
    if is_one_answer:
        return whole[0] if whole else None
    if len(whole) < len(pieces):
        return None
    return _array(whole)


def _parsed(output: msgspec.Raw, finish: str | None) -> msgspec.Raw | None:
    """Return the value that a structured *output* holds, or None where it is cut, refused or no JSON."""
    if finish in _CUT_SHORT:
        return None
    text = text_of(output)
    if text is None:
        return None if output == NULL else output  # tool calls are objects already
    return compact_json(text)


def _incomplete(finish: str | None) -> Failure:
    cause = f"it ended with `{finish}`" if finish in _CUT_SHORT else "it isn't JSON"
    return Failure("incomplete", f"The answer is not the object that was asked for: {cause}.")


def _empty(finish: str | None) -> Failure:
    cause = f" It ended with `{finish}`." if finish in _CUT_SHORT else ""
    if finish == "length":
        cause = " It reached the limit on its tokens before the first of its text (`length`): raise that limit."
    return Failure(
        "empty_answer", f"The answer is empty.{cause} The request ran and is paid for, so it is not sent again."
    )


def _array(items: Sequence[msgspec.Raw]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(map(bytes, items)) + b"]")


def _of_chat(body: bodies.Choices, _raw: msgspec.Raw) -> Sequence[_Piece]:
    """Return each choice's text; its calls or its sound where there is no text; its refusal where it refused."""
    pieces: list[_Piece] = []
    for choice in body.choices:
        message, finish = choice.message or _NO_MESSAGE, choice.finish_reason
        output = message.content
        if message.refusal != NULL and text_of(message.refusal):
            output, finish = message.refusal if output in _NOTHING else output, "refusal"
        elif output in _NOTHING:
            for raw in (message.tool_calls, message.function_call, message.audio):
                if raw not in _NOTHING:
                    output = raw
                    break
        pieces.append((output, finish))
    return pieces


def _of_completions(body: bodies.Choices, _raw: msgspec.Raw) -> Sequence[_Piece]:
    return [(choice.text, choice.finish_reason) for choice in body.choices]


def _of_response(body: bodies.Response, raw: msgspec.Raw) -> Sequence[_Piece]:
    """Return the text of each message that answers; the calls where there is no text; the refusal where it refused.

    Messages of the final phase answer, if there are any; else those without a phase do. Two messages are never joined: one may
    be a fragment and the other the whole.
    """
    messages = [item for item in body.output if item.type == "message"]
    answers = [item.content or [] for item in messages if item.phase == _FINAL_PHASE] or [
        item.content or [] for item in messages if not item.phase
    ]
    joined = [_joined([part.text for part in parts if part.text != NULL]) for parts in answers]
    texts = [text for text in joined if text not in _NOTHING]
    refusals = [part.refusal for parts in answers for part in parts if part.refusal != NULL and text_of(part.refusal)]
    if refusals:
        return [(text, "refusal") for text in texts or [_joined(refusals)]]
    if not texts:
        texts = _calls(body, raw)
    end = _response_end(body)
    return [(text, end) for text in texts or [NULL]]


def _calls(body: bodies.Response, raw: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the calls that a response holds, as one output, if there are any."""
    if not any(item.type.endswith("_call") for item in body.output):
        return []
    pairs = zip(body.output, bodies.output_items(raw), strict=True)
    return [_array([item for read, item in pairs if read.type.endswith("_call")])]


def _response_end(body: bodies.Response) -> str | None:
    if body.status == "incomplete":
        reason = body.incomplete_details.reason if body.incomplete_details else None
        return _RESPONSE_ENDS.get(reason or "", reason or "length")
    return "stop" if body.status in ("completed", None) else body.status


def _joined(texts: Sequence[msgspec.Raw]) -> msgspec.Raw:
    if len(texts) <= 1:
        return texts[0] if texts else NULL
    return msgspec.Raw(msgspec.json.encode("".join(text_of(text) or "" for text in texts)))


def _of_embeddings(body: bodies.Embeddings, _raw: msgspec.Raw) -> Sequence[_Piece]:
    """Return the vectors in the order of the inputs; those that do not say of which they are come first, as they came."""
    return [(one.embedding, None) for one in sorted(body.data, key=_place)]


def _place(one: bodies.Embedding) -> int:
    return one.index


def _of_moderations(body: bodies.Moderations, _raw: msgspec.Raw) -> Sequence[_Piece]:
    return [(result, None) for result in body.results]


def _of_images(body: bodies.Images, _raw: msgspec.Raw) -> Sequence[_Piece]:
    return [(body.data, None)]


def _whole(_body: Body, raw: msgspec.Raw) -> Sequence[_Piece]:
    return [(raw, None)]


LAYOUTS: Final[Mapping[Shape, Layout[Any]]] = {
    Shape.CHAT: Layout(bodies.CHOICES, _of_chat),
    Shape.COMPLETIONS: Layout(bodies.CHOICES, _of_completions),
    Shape.RESPONSES: Layout(bodies.RESPONSES, _of_response, is_one_answer=True),
    Shape.EMBEDDINGS: Layout(bodies.EMBEDDINGS, _of_embeddings),
    Shape.MODERATIONS: Layout(bodies.MODERATIONS, _of_moderations),
    Shape.IMAGES: Layout(bodies.IMAGES, _of_images),
    Shape.OPAQUE: Layout(bodies.OPAQUE, _whole),
}
