"""Defines the outcome of an item: the one value that every item of an accepted job ends as.

Rule: an outcome is encoded the same way each time, so that writing it twice changes nothing. The item's object and its
line in `outcomes.jsonl` are these same bytes; `docs/schemas/item.schema.json` describes them.
"""

from typing import Literal

import msgspec

NULL = msgspec.Raw(b"null")


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Why an item failed: a stable code for programs, a sentence for people."""

    code: str
    message: str


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Tokens that the provider counted, under one set of names for all endpoints.

    Of the input tokens some may have been read from the provider's cache, and some written into it: those have other prices.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )


NO_USAGE = Usage(0, 0)


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one item. Field order is the order in the file."""

    name: str
    row: int
    status: Literal["succeeded", "failed"]
    output: msgspec.Raw = NULL
    finish: str | None = None
    record: msgspec.Raw = NULL
    model: str | None = None
    usage: Usage | None = None
    response: msgspec.Raw = NULL
    error: Failure | None = None
    attempts: int = 0
    batch_id: str | None = None
    # What the provider calls this answer: for its support, and for results in its own line format.
    line_id: str | None = None
    request_id: str | None = None
    status_code: int | None = None
    # The name of the item whose request was sent for this one too, where both asked the same; the usage is in that outcome.
    same_as: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_copy(self) -> bool:
        """Whether its request was not sent, because another one's answer is its own."""
        return self.same_as is not msgspec.UNSET


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Outcome)
_SEPARATORS_BEGIN = b"\xe2\x80"
_NEXT_LINE = "\u0085".encode()
_LINE_ENDS = ((_NEXT_LINE, b"\\u0085"), ("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))
# No name holds this: a quote within a string is escaped.
_ROW_MARK = b'","row":'


def encode_outcome(outcome: Outcome) -> bytes:
    """Return *outcome* as one line of JSON, without its line end."""
    return on_one_line(_encoder.encode(outcome))


def on_one_line(content: bytes) -> bytes:
    """Return JSON *content* with those characters escaped that end a line for some readers (Python's `splitlines` is one)."""
    if _SEPARATORS_BEGIN not in content and _NEXT_LINE not in content:
        return content
    for character, escape in _LINE_ENDS:
        content = content.replace(character, escape)
    return content


def decode_outcome(line: bytes) -> Outcome:
    """Return the outcome that `encode_outcome` wrote as *line*."""
    return _decoder.decode(line)


def row_of_outcome(line: bytes) -> int:
    """Return the row of the outcome that `encode_outcome` wrote as *line*."""
    start = line.index(_ROW_MARK) + len(_ROW_MARK)
    return int(line[start : line.index(b",", start)])
