"""Answers that look as nearly all do, read in one go: a chat that succeeded and has one choice.

Rule: the types below are the whole condition. Where a line differs in one field there is no outcome here, and `answers` and
`verdicts` read it field by field, so that there is one opinion of what an answer is worth. A property test compares both.
"""

from typing import Annotated

import msgspec

from batchdrop.core.collection.verdicts import is_nothing, parsed_output
from batchdrop.core.model.limits import REQUEST_TOKENS_MAX
from batchdrop.core.model.outcomes import NULL, Outcome, Usage


class _Response(msgspec.Struct, gc=False):
    status_code: Annotated[int, msgspec.Meta(ge=200, le=299)]
    body: msgspec.Raw
    request_id: str | None = None


class _Line(msgspec.Struct, gc=False):
    response: _Response
    id: str | None = None
    error: None = None


type _Tokens = Annotated[int, msgspec.Meta(ge=0, le=REQUEST_TOKENS_MAX)]


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: _Tokens
    completion_tokens: _Tokens
    prompt_tokens_details: _Details | None = None
    input_tokens: None = None
    output_tokens: None = None
    input_tokens_details: None = None


class _Message(msgspec.Struct, gc=False):
    content: msgspec.Raw = NULL
    tool_calls: msgspec.Raw = NULL
    refusal: None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str | None = None


class _Chat(msgspec.Struct, gc=False):
    choices: tuple[_Choice]
    usage: _Usage
    model: str | None = None
    error: None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_chat = msgspec.json.Decoder(_Chat).decode


def usual_outcome(  # noqa: PLR0917  a call by position for each item; each value is of another type or meaning
    answer: bytes, name: str, row: int, record: msgspec.Raw, attempts: int, batch_id: str | None, *, is_structured: bool
) -> Outcome | None:
    """Return the outcome of the item called *name*, which the line *answer* of a chat's batch answers.

    None where anything about the line is unusual: it may be a success all the same.
    """
    try:
        if not answer.isascii():
            answer.decode()  # the decoders below look at none of the bytes that they pass on
        line = _decode_line(answer)
        chat = _decode_chat(line.response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    choice, response = chat.choices[0], line.response
    message, finish = choice.message, choice.finish_reason
    given = message.content
    if is_nothing(given) and is_nothing(given := message.tool_calls):
        return None
    output = parsed_output(given, finish) if is_structured else given
    if output is None:
        return None
    return Outcome(
        name=name,
        row=row,
        status="succeeded",
        output=output,
        finish=finish,
        record=record,
        model=chat.model,
        usage=_counted(chat.usage),
        response=response.body,
        attempts=attempts,
        batch_id=batch_id,
        line_id=line.id,
        request_id=response.request_id,
        status_code=response.status_code,
    )


def _counted(usage: _Usage) -> Usage:
    details = usage.prompt_tokens_details
    if details is None:
        return Usage(usage.prompt_tokens, usage.completion_tokens)
    return Usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        details.cached_tokens or 0,
        details.cache_write_tokens or 0,
    )
