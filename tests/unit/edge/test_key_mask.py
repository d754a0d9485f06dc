"""A key that a server says back: what of it is found in which text, and what is left alone."""

import base64
import io
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from time import process_time
from urllib.parse import quote, unquote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.model.wording import without_keys
from batchdrop.edge.openai.key_mask import MASK, PART_CHARS_MIN, TEXT_CHARS_MAX, KeyMask
from batchdrop.edge.openai.provider import OpenAIProvider
from batchdrop.edge.openai.reading import read_batch, read_object

ROOT = Path(__file__).parents[3]
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


def key_of(seed: int, prefix: str, length: int) -> str:
    """A key as services make them: a prefix, and letters by chance."""
    chance = Random(seed)  # noqa: S311 - no secret
    return prefix + "".join(chance.choice(_LETTERS) for _ in range(length - len(prefix)))


KEYS = {
    "project": key_of(1, "sk-proj-", 164),
    "anthropic": key_of(2, "sk-ant-api03-", 108),
    "old": key_of(3, "sk-", 51),
    "azure": bytes(at * 89 % 251 for at in range(16)).hex(),
    "token": "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9." + key_of(4, "eyJ", 300) + "." + key_of(5, "", 86),
    "bedrock": base64.b64encode(bytes(at * 37 % 251 for at in range(120))).decode(),
    "periodic": "sk-proj-Zr8_" + "Q7b" * 20,
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@given(
    where=st.integers(0, 300), length=st.integers(PART_CHARS_MIN, 300), around=st.sampled_from(["", "é ", ": ", "…"])
)
def test_a_long_part_of_a_key_is_found_wherever_it_begins(key: str, where: int, length: int, around: str) -> None:
    """Beginning, middle or end, as it is or in an address; and nothing around it goes with it."""
    start = where % (len(key) - PART_CHARS_MIN + 1)
    part = key[start : start + length]
    mask = KeyMask(key)

    assert mask.text(f"{around}{part}{around}") == f"{around}{MASK}{around}"
    assert mask.is_in(f"{around}{part}{around}")
    assert mask.may_be_in(f"{around}{part}{around}".encode())
    assert part not in mask.text(f"{around}{httpx2.QueryParams({'k': part})}{around}")


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("chars", [PART_CHARS_MIN, PART_CHARS_MIN + 1, 30])
def test_the_beginning_of_a_key_is_found_before_half_of_it(key: str, chars: int) -> None:
    """A server that cuts what it shows keeps less than half of a long key, and enough to tell whose it is."""
    assert KeyMask(key).text(f"Bearer {key[:chars]}…") == f"Bearer {MASK}…"


def test_no_ordinary_word_is_a_part_of_a_key() -> None:
    """Of all that this repository says in words and code, no key that is made by chance has a part in common."""
    texts = [path.read_text() for name in ("docs", "layers") for path in (ROOT / name).rglob("*.[mp][dy]")]
    lines = [line for text in texts for line in text.splitlines()]
    masks = [KeyMask(key) for name, key in KEYS.items() if name != "token"]

    assert len(lines) > 20_000
    assert not [line for line in lines for mask in masks if mask.text(line) != line]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("sk-password-1", "The password is too short, passwords have more."),
        ("sk-test", "risk-free, sk-te is no key"),
        ("correct-horse-battery", "correct horse, battery-staple; correct-ho"),
        (KEYS["project"], "Keys begin with sk-proj- and are 164 characters long."),
        (KEYS["anthropic"], "Keys begin with sk-ant-api03- there."),
    ],
)
def test_what_keys_have_in_common_with_words_is_left_alone(key: str, said: str) -> None:
    """Of a short one the beginning alone is looked for, and at least half of it."""
    assert KeyMask(key).text(said) == said


@pytest.mark.parametrize("part", [0, 10, 40])
def test_a_text_of_nothing_but_parts_of_a_key_takes_no_time(part: int) -> None:
    """A server knows the key, and may say it as often as it likes."""
    key = KEYS["periodic"]
    said = key[part:-1] * 30_000

    began = process_time()
    masked = KeyMask(key).text(said)

    assert process_time() - began < 2
    assert len(masked) <= TEXT_CHARS_MAX
    assert key[part : part + PART_CHARS_MIN] not in masked


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    "written",
    [
        lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
        lambda key: key.replace("/", "\\/"),
        lambda key: key.replace("+", "\\u002B").replace("-", "\\u002d"),
        lambda key: f"https:\\/\\/x\\/?k={quote(key, safe='')}",
    ],
    ids=["each character", "slashes", "signs", "address"],
)
def test_a_batch_s_errors_hold_no_key_however_it_is_escaped(name: str, written: Callable[[str], str]) -> None:
    """JSON may write a text in many ways, and all of them are read as one."""
    said = written(KEYS[name])
    raw = f'{{"id": "b", "errors": {{"data": [{{"code": "c", "message": "no {said}", "param": "{said}"}}]}}}}'

    (error,) = read_batch(read_object(raw.encode(), KeyMask(KEYS[name]))).errors

    assert KEYS[name] in unquote(json.loads(f'"{said}"'))
    assert f"{error.message}{error.param}".replace("https://x/?k=", "") == f"no {MASK}{MASK}"


@pytest.mark.parametrize("piece", ["m", "m-", "*", "**m", "sk-", "sk-.", "sk-a.", "1"])
def test_a_long_text_is_looked_at_once(piece: str) -> None:
    """Whatever it repeats, twice as much takes about twice as long."""
    began = process_time()
    without_keys(piece * 200_000)

    assert process_time() - began < 2


@pytest.mark.parametrize("errors", ['"errors": [{"message": "KEY"}]', '"error": "KEY"'])
def test_a_key_that_the_provider_starred_out_is_left_out(errors: str) -> None:
    """It shows the ends of one, of whoever it may be."""
    raw = f'{{"id": "b", {errors.replace("KEY", "Key sk-ab***yz is wrong")}}}'

    (error,) = read_batch(read_object(raw.encode(), KeyMask(KEYS["old"]))).errors

    assert error.message == f"Key {MASK} is wrong"


def test_what_tells_a_refusal_stays() -> None:
    """Ids, also those of Azure's files, numbers and names of models: by these a refusal is understood."""
    said = (
        "file-5d1f0c9a7b3e48d2a6c4e8f0b2d4f6a8 of batch_6921a8b4 (request req_123): gpt-4.1-mini-2025-04-14 has 90,000 tokens, "
        "risk-free; https://platform.example.com/account/api-keys"
    )

    assert without_keys(said) == said


@pytest.mark.parametrize("tail", [1, 19, 20, 63])
@pytest.mark.parametrize("length", ["known", "unknown"])
def test_a_download_that_ends_within_a_key_is_whole(tail: int, length: str) -> None:
    """What was held back for a key that might go on is written at the end."""
    key = KEYS["project"]
    content = b'{"a":1}\n' + key[:tail].encode()
    pieces = [content[:5], content[5:12], content[12:]]
    headers = {"content-length": str(len(content))} if length == "known" else {}
    provider = OpenAIProvider(
        key, "https://provider.invalid/v1", "print", create_timeout_seconds=2, on_refused=lambda: None,
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=iter(pieces), headers=headers)),
    )  # fmt: skip
    target = io.BytesIO()

    assert provider.download("file", target) == len(content)
    assert target.getvalue() == content


@given(
    content=st.lists(st.sampled_from(["a", "sk-", KEYS["periodic"], KEYS["periodic"][:-1], "é"]), max_size=12).map(
        "".join
    ),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_bytes_of_a_file_are_masked_however_they_come(content: str, cuts: list[int]) -> None:
    """As many as came, in the same places; and nothing else is changed."""
    key = KEYS["periodic"]
    raw, target = content.encode(), io.BytesIO()
    places = sorted({0, *(cut for cut in cuts if cut < len(raw)), len(raw)})
    sink = KeyMask(key).sink(target)

    counted = sum(sink.write(raw[start:end]) for start, end in pairwise(places))
    sink.finish()

    assert counted == len(raw)
    assert target.getvalue() == raw.replace(key.encode(), MASK.encode().ljust(len(key), b"*"))


@pytest.mark.parametrize("key", ["EMPTY", "none", "x", "sk-1"])
def test_a_word_that_stands_for_no_key_is_masked_nowhere(key: str) -> None:
    """Servers that want no key are given one all the same; it is no secret, and it is a part of other words."""
    mask, target = KeyMask(key), io.BytesIO()

    mask.sink(target).write(f"{key} {key}".encode())

    assert (mask.text(f"The list is {key}."), target.getvalue()) == (f"The list is {key}.", f"{key} {key}".encode())


def test_a_short_key_is_masked_in_words_and_not_in_answers() -> None:
    """Models write what looks like one: `sk-test` is a part of risk-tested."""
    mask, target = KeyMask("sk-test"), io.BytesIO()

    mask.sink(target).write(b"risk-tested")

    assert (mask.text("no sk-test"), target.getvalue()) == (f"no {MASK}", b"risk-tested")
