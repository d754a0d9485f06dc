"""Decodes the bodies of answers: by the types that providers send, else field by field.

Rule: a shape has one struct. Its decoder takes what providers normally send, and nothing else; where it raises, `read` makes the
same struct of the same body, and what is absent or of another type costs nothing but itself. A property test holds them equal.
Bodies as https://developers.openai.com/api/reference has them (read 2026-11-22); compatible services differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from batchdrop.core.collection.answers import ROW_DIGITS_MAX, text_of
from batchdrop.core.model.limits import REQUEST_TOKENS_MAX
from batchdrop.core.model.outcomes import NULL, Usage

type _Tokens = Annotated[int, msgspec.Meta(ge=0, le=REQUEST_TOKENS_MAX)]
type _Place = Annotated[int, msgspec.Meta(ge=0, lt=10**ROW_DIGITS_MAX)]


class InputTokens(msgspec.Struct, gc=False):
    """Which of the input tokens have another price."""

    cached_tokens: _Tokens | None = None
    cache_write_tokens: _Tokens | None = None


class Counted(msgspec.Struct, gc=False):
    """The tokens that the provider counted, under either set of names."""

    prompt_tokens: _Tokens | None = None
    completion_tokens: _Tokens | None = None
    prompt_tokens_details: InputTokens | None = None
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    input_tokens_details: InputTokens | None = None


class Body(msgspec.Struct, gc=False):
    """What the body of any answer has."""

    model: str | None = None
    usage: Counted | None = None
    error: msgspec.Raw = NULL  # as `/v1/responses` has it where the model failed


class Message(msgspec.Struct, gc=False):
    """The message of a choice."""

    content: msgspec.Raw = NULL
    refusal: msgspec.Raw = NULL
    tool_calls: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL


class Choice(msgspec.Struct, gc=False):
    """One answer of several: a chat's has a message, a completion's a text."""

    message: Message | None = None
    text: msgspec.Raw = NULL
    finish_reason: str | None = None


class Choices(Body, gc=False):
    """The body of a chat or a completion."""

    choices: list[Choice] = []


class Part(msgspec.Struct, gc=False):
    """One part of a message of a response."""

    text: msgspec.Raw = NULL
    refusal: msgspec.Raw = NULL


class OutputItem(msgspec.Struct, gc=False):
    """What a response holds: messages, calls and what the model thought."""

    type: str = ""
    phase: str | None = None
    content: list[Part] | None = None


class Incomplete(msgspec.Struct, gc=False):
    """Why a response ended early."""

    reason: str | None = None


class Response(Body, gc=False):
    """The body of a response."""

    output: list[OutputItem] = []
    status: str | None = None
    incomplete_details: Incomplete | None = None


class Embedding(msgspec.Struct, gc=False):
    """The vector of one input."""

    embedding: msgspec.Raw = NULL
    index: _Place = 0


class Embeddings(Body, gc=False):
    """The body of embeddings."""

    data: list[Embedding] = []


class Moderations(Body, gc=False):
    """The body of moderations."""

    results: list[msgspec.Raw] = []


class Images(Body, gc=False):
    """The body of images."""

    data: msgspec.Raw = NULL


class _Fields(msgspec.Struct):
    """What the bodies have at the top, read in one go whatever it is; each has some of it."""

    model: msgspec.Raw = NULL
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL
    choices: msgspec.Raw = NULL
    output: msgspec.Raw = NULL
    data: msgspec.Raw = NULL
    results: msgspec.Raw = NULL
    status: msgspec.Raw = NULL
    incomplete_details: msgspec.Raw = NULL


class _AnyInputTokens(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _AnyCounted(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: msgspec.Raw = NULL
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: msgspec.Raw = NULL


class _AnyChoice(msgspec.Struct):
    message: Message | None = None
    text: msgspec.Raw = NULL
    finish_reason: msgspec.Raw = NULL


class _AnyOutputItem(msgspec.Struct):
    type: str = ""
    phase: msgspec.Raw = NULL
    content: msgspec.Raw = NULL


class _AnyEmbedding(msgspec.Struct):
    embedding: msgspec.Raw = NULL
    index: msgspec.Raw = NULL


_fields = msgspec.json.Decoder(_Fields)
_counted = msgspec.json.Decoder(_AnyCounted)
_input_tokens = msgspec.json.Decoder(_AnyInputTokens)
_choices = msgspec.json.Decoder(list[_AnyChoice])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_output_item = msgspec.json.Decoder(_AnyOutputItem)
_part = msgspec.json.Decoder(Part)
_incomplete = msgspec.json.Decoder(Incomplete)
_embeddings = msgspec.json.Decoder(list[_AnyEmbedding])
_place = msgspec.json.Decoder(_Place)


def usage_of(counted: Counted | None) -> Usage | None:
    """Return the tokens that were counted, under one set of names for all endpoints; None where nothing was."""
    if counted is None:
        return None
    taken = counted.prompt_tokens if counted.input_tokens is None else counted.input_tokens
    given = counted.completion_tokens if counted.output_tokens is None else counted.output_tokens
    if taken is None and given is None:
        return None
    details = counted.prompt_tokens_details if counted.input_tokens_details is None else counted.input_tokens_details
    if details is None:
        return Usage(taken or 0, given or 0)
    return Usage(taken or 0, given or 0, details.cached_tokens or 0, details.cache_write_tokens or 0)


def usage_of_response(response: msgspec.Raw) -> Usage | None:
    """Return the tokens that *response*, an endpoint's body, says were counted; None where it says nothing."""
    return usage_of(_believed(_said(_read_fields(response).usage)))


def is_miscounted(response: msgspec.Raw) -> bool:
    """Whether *response* says how many tokens were counted, in numbers that cannot be meant."""
    raw = _read_fields(response).usage
    if bytes(memoryview(raw)[:1]) != b"{":
        return False
    said = _said(raw)
    return said is None or (usage_of(said) is not None and _believed(said) is None)


def output_items(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """Return what the response *raw* holds, each as it came."""
    return _read(_list, _read_fields(raw).output) or []


def _read[Value](decoder: "msgspec.json.Decoder[Value]", raw: msgspec.Raw) -> Value | None:
    """Return *raw* as the decoder's type; None where it has another."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read_fields(raw: msgspec.Raw) -> _Fields:
    return _read(_fields, raw) or _Fields()


def _said(raw: msgspec.Raw) -> Counted | None:
    """Return the tokens that *raw* says were counted, whatever they are; None where it cannot be read."""
    said = _read(_counted, raw)
    if said is None:
        return None
    return Counted(
        said.prompt_tokens,
        said.completion_tokens,
        _details(said.prompt_tokens_details),
        said.input_tokens,
        said.output_tokens,
        _details(said.input_tokens_details),
    )


def _details(raw: msgspec.Raw) -> InputTokens | None:
    if raw == NULL:
        return None
    said = _read(_input_tokens, raw) or _AnyInputTokens()
    return InputTokens(said.cached_tokens, said.cache_write_tokens)


def _believed(counted: Counted | None) -> Counted | None:
    """Return *counted*, None where a number that counts is negative or more than there can be: then nothing of it counts."""
    usage = usage_of(counted)
    if usage is None:
        return None
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens)
    return counted if min(counts) >= 0 and max(counts) <= REQUEST_TOKENS_MAX else None


def _read_body(raw: msgspec.Raw) -> Body:
    return Body(*_common(_read_fields(raw)))


def _common(fields: _Fields) -> tuple[str | None, Counted | None, msgspec.Raw]:
    return text_of(fields.model), _believed(_said(fields.usage)), fields.error


def _read_choices(raw: msgspec.Raw) -> Choices:
    fields = _read_fields(raw)
    found = _read(_choices, fields.choices) or ()
    choices = [Choice(choice.message, choice.text, text_of(choice.finish_reason)) for choice in found]
    return Choices(*_common(fields), choices)


def _read_response(raw: msgspec.Raw) -> Response:
    fields = _read_fields(raw)
    items = [_read_output_item(item) for item in _read(_list, fields.output) or ()]
    return Response(*_common(fields), items, text_of(fields.status), _read(_incomplete, fields.incomplete_details))


def _read_output_item(raw: msgspec.Raw) -> OutputItem:
    item = _read(_output_item, raw) or _AnyOutputItem()
    if text_of(item.content) is not None:  # a bare text is one part
        return OutputItem(item.type, text_of(item.phase), [Part(text=item.content)])
    parts = [_read(_part, part) or Part() for part in _read(_list, item.content) or ()]
    return OutputItem(item.type, text_of(item.phase), parts)


def _read_embeddings(raw: msgspec.Raw) -> Embeddings:
    fields = _read_fields(raw)
    found = _read(_embeddings, fields.data) or ()
    return Embeddings(*_common(fields), [Embedding(one.embedding, _read(_place, one.index) or 0) for one in found])


def _read_moderations(raw: msgspec.Raw) -> Moderations:
    fields = _read_fields(raw)
    return Moderations(*_common(fields), _read(_list, fields.results) or [])


def _read_images(raw: msgspec.Raw) -> Images:
    fields = _read_fields(raw)
    return Images(*_common(fields), fields.data)


@dataclass(frozen=True, slots=True)
class Reader[Shaped: Body]:
    """How the bodies of one shape become its struct."""

    decode: Callable[[msgspec.Raw], Shaped]  # raises where anything is unusual
    read: Callable[[msgspec.Raw], Shaped]


def _reader[Shaped: Body](shaped: type[Shaped], read: Callable[[msgspec.Raw], Shaped]) -> Reader[Shaped]:
    return Reader(msgspec.json.Decoder(shaped).decode, read)


CHOICES: Final = _reader(Choices, _read_choices)
RESPONSES: Final = _reader(Response, _read_response)
EMBEDDINGS: Final = _reader(Embeddings, _read_embeddings)
MODERATIONS: Final = _reader(Moderations, _read_moderations)
IMAGES: Final = _reader(Images, _read_images)
OPAQUE: Final = _reader(Body, _read_body)
