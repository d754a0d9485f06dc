"""Keeps the digits of numbers as a person wrote them: `1.10` stays `1.10` in a prompt, and in a body.

A float would print `1.1`, and `0.1000000000000000055` as `0.1`. Whole numbers of any length need none of this.
"""

from math import isfinite
from typing import Self

import msgspec


class Digits(float):
    """A number with a point or an exponent, and its text."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Return the number that *text*, a number of JSON, stands for. Raises ValueError for one that no float can hold."""
        number = super().__new__(cls, text)
        if not isfinite(number):
            raise ValueError("a number is out of range")
        number.text = text
        return number


def written(value: object) -> msgspec.Raw:
    """Return the text of *value*; for encoders of JSON, which know no kinds of numbers but their own."""
    if isinstance(value, Digits):
        return msgspec.Raw(value.text.encode())
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


# Both as msgspec's own, but for the digits of numbers.
decode_json = msgspec.json.Decoder(float_hook=Digits).decode
encode_json = msgspec.json.Encoder(enc_hook=written).encode
