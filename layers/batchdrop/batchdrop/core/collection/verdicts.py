"""What an answer is worth: the output that a user asked for, or why there is none.

Rule: an answer with HTTP success is a success, however it ended, with two exceptions. An empty one fails, because it holds
nothing that was asked for. Where structured output was asked for, one that cannot be parsed fails: that would put half an object
where a program expects a whole one. Both are paid for, and so are never sent again.
Bodies as https://developers.openai.com/api/reference has them (read 2026-11-22); what is absent or of another type is
read as absent, because compatible services differ.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from batchdrop.core.collection.answers import (
    ROW_DIGITS_MAX,
    Answer,
    compact_json,
    described_failure,
    failure_of,
    may_be_sent_again,
    text_of,
)
from batchdrop.core.model.endpoints import Shape, endpoint_of
from batchdrop.core.model.limits import REQUEST_TOKENS_MAX
from batchdrop.core.model.outcomes import NULL, Failure, Usage

# Ends that leave a text unfinished or replace it.
_CUT_SHORT: Final = frozenset({"length", "content_filter", "refusal"})
_RESPONSE_ENDS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
# What a message of `/v1/responses` says on the way to its answer bears another phase
# (https://github.com/openai/openai-python/pull/3861, read 2026-12-01).
_FINAL_PHASE: Final = "final_answer"
# What stands where an answer is expected and holds nothing.
_NOTHING: Final = (NULL, msgspec.Raw(b'""'), msgspec.Raw(b"[]"), msgspec.Raw(b"{}"))


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The worth of one answer. *failure* is None where it succeeded; model and usage stand where it was paid for."""

    output: msgspec.Raw = NULL
    finish: str | None = None
    model: str | None = None
    usage: Usage | None = None
    failure: Failure | None = None
    may_be_sent_again: bool = False


class _Piece(msgspec.Struct, frozen=True):
    """One of the answers in a body: chat may give several, responses one a message, embeddings one for each input."""

    output: msgspec.Raw
    finish: str | None = None


class _Body(msgspec.Struct):
    """What the endpoints' bodies have at the top, read in one go; each has some of it."""

    model: msgspec.Raw = NULL
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL
    choices: msgspec.Raw = NULL
    output: msgspec.Raw = NULL
    data: msgspec.Raw = NULL
    results: msgspec.Raw = NULL
    status: msgspec.Raw = NULL
    incomplete_details: msgspec.Raw = NULL


class _InputTokens(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: msgspec.Raw = NULL
    input_tokens_details: msgspec.Raw = NULL


class _Message(msgspec.Struct):
    content: msgspec.Raw = NULL
    refusal: msgspec.Raw = NULL
    tool_calls: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: msgspec.Raw = NULL
    finish_reason: msgspec.Raw = NULL


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = NULL
    refusal: msgspec.Raw = NULL


class _OutputItem(msgspec.Struct):
    type: str = ""
    phase: msgspec.Raw = NULL
    content: msgspec.Raw = NULL


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Embedding(msgspec.Struct):
    embedding: msgspec.Raw = NULL
    index: msgspec.Raw = NULL


_body = msgspec.json.Decoder(_Body)
_usage = msgspec.json.Decoder(_Usage)
_input_tokens = msgspec.json.Decoder(_InputTokens)
_choices = msgspec.json.Decoder(list[_Choice])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_output_item = msgspec.json.Decoder(_OutputItem)
_part = msgspec.json.Decoder(_Part)
_incomplete_details = msgspec.json.Decoder(_Incomplete)
_embeddings_list = msgspec.json.Decoder(list[_Embedding])


def judge(answer: Answer, endpoint: str, *, is_structured: bool) -> Verdict:
    """Return what *answer* is worth to the item that asked *endpoint*; *is_structured* where it asked for an object."""
    failure = failure_of(answer)
    if failure is not None:
        return Verdict(failure=failure, may_be_sent_again=may_be_sent_again(answer, failure))
    content = _content(answer.body, endpoint)
    model, usage, pieces = content.model, content.usage, content.pieces
    if content.error != NULL:  # as `/v1/responses` has it where the model failed
        return Verdict(model=model, usage=usage, failure=described_failure(content.error, "answer_failed"))
    finish = _finish(pieces)
    if all(is_nothing(piece.output) for piece in pieces):
        return Verdict(finish=finish, model=model, usage=usage, failure=_empty(finish))
    outputs = [piece.output for piece in pieces]
    if is_structured:
        parsed = [parsed_output(piece.output, piece.finish) for piece in pieces]
        whole = [raw for raw in parsed if raw is not None]
        outputs = whole[:1] if content.is_one_answer else whole
        if len(outputs) < (1 if content.is_one_answer else len(pieces)):
            return Verdict(finish=finish, model=model, usage=usage, failure=_incomplete(finish))
    return Verdict(output=_one_or_all(outputs), finish=finish, model=model, usage=usage)


def is_nothing(output: msgspec.Raw) -> bool:
    """Whether *output* holds no answer: it is null, an empty text, or an empty list or object."""
    return output in _NOTHING


class _Content(msgspec.Struct, frozen=True):
    """What counts of a body."""

    model: str | None
    usage: Usage | None
    error: msgspec.Raw
    pieces: list[_Piece]
    is_one_answer: bool  # the pieces are messages of one answer; else each is an answer by itself


def _content(raw: msgspec.Raw, endpoint: str) -> _Content:
    """Read a body field by field: what cannot be read costs nothing else."""
    body = _read(_body, raw) or _Body()
    reader = _READERS.get(endpoint_of(endpoint).shape)
    pieces = reader(body) if reader else [_Piece(raw)]
    return _Content(text_of(body.model), _believed(_tokens(body.usage)), body.error, pieces, reader is _responses)


def _finish(pieces: Sequence[_Piece]) -> str | None:
    """Return how an answer ended: its first end that is no `stop`, if any."""
    for piece in pieces:
        if piece.finish not in (None, "stop"):
            return piece.finish
    return pieces[0].finish if pieces else None


def usage_of_response(response: msgspec.Raw) -> Usage | None:
    """Return the tokens that *response*, an endpoint's body, says were counted; None where it says nothing."""
    return _believed(_tokens((_read(_body, response) or _Body()).usage))


def is_miscounted(response: msgspec.Raw) -> bool:
    """Whether *response* says how many tokens were counted, in numbers that nobody can mean."""
    raw = (_read(_body, response) or _Body()).usage
    if bytes(memoryview(raw)[:1]) != b"{":
        return False
    said = _tokens(raw)
    return _read(_usage, raw) is None or (said is not None and _believed(said) is None)


def parsed_output(output: msgspec.Raw, finish: str | None) -> msgspec.Raw | None:
    """Return the value that a structured *output* holds, or None where it is cut, refused or no JSON."""
    if finish in _CUT_SHORT:
        return None
    text = text_of(output)
    if text is None:
        return None if output == NULL else output  # tool calls are objects already
    return compact_json(text)


def _incomplete(finish: str | None) -> Failure:
    cause = f"it ended with `{finish}`" if finish in _CUT_SHORT else "it is no JSON"
    return Failure("incomplete", f"The answer is not the object that was asked for: {cause}.")


def _empty(finish: str | None) -> Failure:
    cause = f" It ended with `{finish}`." if finish in _CUT_SHORT else ""
    if finish == "length":
        cause = " It reached the limit on its tokens before the first of its text (`length`): raise that limit."
    return Failure(
        "empty_answer", f"The answer is empty.{cause} The request ran and is paid for, so it is not sent again."
    )


def _one_or_all(outputs: Sequence[msgspec.Raw]) -> msgspec.Raw:
    """Return the only output itself, several as an array, none as null."""
    if len(outputs) == 1:
        return outputs[0]
    return msgspec.Raw(b"[" + b",".join(bytes(raw) for raw in outputs) + b"]") if outputs else NULL


def _read[Shape](decoder: "msgspec.json.Decoder[Shape]", raw: msgspec.Raw) -> Shape | None:
    """Return *raw* as the decoder's shape; None where it has another."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _believed(usage: Usage | None) -> Usage | None:
    """Return *usage*, None where a number of it is less than none or more than there can be: then nothing of it counts."""
    if usage is None:
        return None
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens)
    return usage if min(counts) >= 0 and max(counts) <= REQUEST_TOKENS_MAX else None


def _tokens(raw: msgspec.Raw) -> Usage | None:
    """Return the tokens that were counted, under one set of names for all endpoints, whatever they are."""
    usage = _read(_usage, raw) or _Usage()
    details = usage.input_tokens_details if usage.input_tokens_details != NULL else usage.prompt_tokens_details
    taken = usage.input_tokens if usage.input_tokens is not None else usage.prompt_tokens
    given = usage.output_tokens if usage.output_tokens is not None else usage.completion_tokens
    if taken is None and given is None:
        return None
    parts = (_read(_input_tokens, details) if details != NULL else None) or _InputTokens()
    return Usage(taken or 0, given or 0, parts.cached_tokens or 0, parts.cache_write_tokens or 0)


def _chat(body: _Body) -> list[_Piece]:
    return [_chat_piece(choice) for choice in _read(_choices, body.choices) or ()]


def _chat_piece(choice: _Choice) -> _Piece:
    """Return a choice's text; its calls or its sound where there is no text; its refusal where it refused."""
    message = choice.message or _Message()
    if text_of(message.refusal):
        return _Piece(message.refusal if is_nothing(message.content) else message.content, "refusal")
    given = (message.content, message.tool_calls, message.function_call, message.audio)
    output = next((raw for raw in given if not is_nothing(raw)), message.content)
    return _Piece(output, text_of(choice.finish_reason))


def _completions(body: _Body) -> list[_Piece]:
    return [_Piece(choice.text, text_of(choice.finish_reason)) for choice in _read(_choices, body.choices) or ()]


def _responses(body: _Body) -> list[_Piece]:
    """Return the text of each message that answers; the calls where there is no text; the refusal where it refused.

    Messages of the final phase answer, if there are any; else those without a phase do. Two messages are never joined: one may
    be a fragment and the other the whole.
    """
    items = [(_read(_output_item, raw) or _OutputItem(), raw) for raw in _read(_list, body.output) or ()]
    messages = [(text_of(item.phase), _parts(item)) for item, _ in items if item.type == "message"]
    answers = [parts for phase, parts in messages if phase == _FINAL_PHASE] or [
        parts for phase, parts in messages if not phase
    ]
    texts = [
        text for parts in answers if not is_nothing(text := _joined([part.text for part in parts if part.text != NULL]))
    ]
    refusals = [part.refusal for parts in answers for part in parts if text_of(part.refusal)]
    if refusals:
        return [_Piece(text, "refusal") for text in texts or [_joined(refusals)]]
    calls = [raw for item, raw in items if item.type.endswith("_call")]
    if not texts and calls:
        texts = [msgspec.Raw(b"[" + b",".join(map(bytes, calls)) + b"]")]
    end = _response_end(body)
    return [_Piece(text, end) for text in texts or [NULL]]


def _parts(item: _OutputItem) -> list[_Part]:
    """Return the parts of a message; a bare text is one."""
    if text_of(item.content) is not None:
        return [_Part(text=item.content)]
    return [_read(_part, raw) or _Part() for raw in _read(_list, item.content) or ()]


def _response_end(body: _Body) -> str | None:
    status = text_of(body.status)
    if status == "incomplete":
        details = _read(_incomplete_details, body.incomplete_details)
        reason = details.reason if details else None
        return _RESPONSE_ENDS.get(reason or "", reason or "length")
    return "stop" if status in ("completed", None) else status


def _joined(texts: Sequence[msgspec.Raw]) -> msgspec.Raw:
    if len(texts) <= 1:
        return texts[0] if texts else NULL
    return msgspec.Raw(msgspec.json.encode("".join(text_of(text) or "" for text in texts)))


def _embeddings(body: _Body) -> list[_Piece]:
    in_order = sorted(_read(_embeddings_list, body.data) or (), key=_place)
    return [_Piece(one.embedding) for one in in_order]


def _place(one: _Embedding) -> int:
    """Return which of the inputs *one* is of; those that do not say it come first, as they came."""
    digits = bytes(one.index)
    return int(digits) if digits.isdigit() and len(digits) <= ROW_DIGITS_MAX else 0


def _moderations(body: _Body) -> list[_Piece]:
    return [_Piece(result) for result in _read(_list, body.results) or ()]


def _images(body: _Body) -> list[_Piece]:
    return [_Piece(body.data)]


_READERS: Final[Mapping[Shape, Callable[[_Body], list[_Piece]]]] = {
    Shape.CHAT: _chat,
    Shape.RESPONSES: _responses,
    Shape.COMPLETIONS: _completions,
    Shape.EMBEDDINGS: _embeddings,
    Shape.MODERATIONS: _moderations,
    Shape.IMAGES: _images,
}
