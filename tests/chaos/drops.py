"""What a chaos run drops: several tasks, endpoints and formats, one key twice, records that are refused, files that are no use.

Rule: made from a seed alone, so that the same seed drops the same bytes. What the provider must be asked is worked out here,
before anything runs, by the pure half of the system: the digest of each request's body.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Final

from batchdrop.core.model.limits import Limits
from batchdrop_cli.jobs.quote import requests_of

# A text that stands in every prompt, and may stand in no log and in no notification.
CANARY: Final = "swifts-over-the-hills"
_WORDS: Final = (
    "parcel",
    "late",
    "shop",
    "wrote",
    "before",
    "asked",
    "liked",
    "blue",
    "broken",
    "again",
    "ferry",
    "harbour",
)
_REFUSED_EVERY: Final = 97  # records without an id: they fail alone
_SMALL_ITEMS: Final = 50  # of the drops that are many

TASKS: Final[Mapping[str, str]] = {
    "sentiment": """
endpoint: /v1/chat/completions
body:
  model: chat-model
  messages:
    - {role: system, content: "Answer with positive, negative or neutral."}
    - {role: user, content: "{{ text }}"}
id: id
""",
    "extract": """
endpoint: /v1/chat/completions
body:
  model: extract-model
  messages: [{role: user, content: "{{ text }}"}]
  response_format:
    type: json_schema
    json_schema:
      name: found
      strict: true
      schema:
        type: object
        properties: {title: {type: string}, is_free: {type: boolean}}
        required: [title, is_free]
        additionalProperties: false
id: id
""",
    "outline": """
endpoint: /v1/responses
body: {model: responses-model, input: "{{ text }}"}
id: id
""",
    "embed": """
endpoint: /v1/embeddings
body: {model: text-embedding-3-small, input: "{{ text }}", dimensions: 8}
""",
    "moderate": """
endpoint: /v1/moderations
body: {model: omni-moderation-latest, input: "{{ text }}"}
id: id
""",
}


@dataclass(frozen=True, slots=True)
class Drop:
    """A file to be dropped, and what has to come of it.

    *digests* are those of the bodies that the provider must be asked, by row; None for a record that is refused before it is
    asked. A file that is no use has none and is *is_rejected*.
    """

    key: str
    content: bytes
    digests: tuple[str | None, ...]
    is_rejected: bool = False

    @property
    def items(self) -> int:
        """How many records it has."""
        return len(self.digests)


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    text: str


def drops_of(items: int, random: Random) -> list[Drop]:
    """Return the drops of a run: *items* records in all, shared out over every kind, and two files that are no use."""
    large = [_made(key, round(items * share), random, write) for key, share, write in _LARGE]
    left = items - sum(drop.items for drop in large)
    small = [
        _made(f"inbox/sentiment/{number // 2}.csv", count, random, _csv) for number, count in enumerate(_small(left))
    ]
    return [*large, *small, Drop("inbox/broken.json", b'[{"model": ', (), is_rejected=True), _unknown_task()]


def _small(items: int) -> Iterator[int]:
    """Yield the sizes of the drops that share what is left. Two of them go to each key: an overwrite is a second job."""
    while items > 0:
        yield min(items, _SMALL_ITEMS)
        items -= _SMALL_ITEMS


def _unknown_task() -> Drop:
    return Drop("inbox/nobody-wrote-this-task/table.csv", b"id,text\n1,one\n", (), is_rejected=True)


def _made(key: str, count: int, random: Random, write: Callable[[str, Sequence[_Record]], bytes]) -> Drop:
    task = key.split("/")[1] if key.count("/") > 1 else None
    is_named = task is not None and "\nid:" in TASKS[task]
    records = [_record(row, random, is_named=is_named) for row in range(1, count + 1)]
    content = write(key, records)
    asked = requests_of(key, content, TASKS[task].encode() if task else None, Limits()) if records else iter(())
    digests = [blake2b(next(asked).body, digest_size=8).hexdigest() if record.id else None for record in records]
    return Drop(key, content, tuple(digests))


def _record(row: int, random: Random, *, is_named: bool) -> _Record:
    identifier = "" if is_named and row % _REFUSED_EVERY == 0 else f"R-{row}"
    return _Record(identifier, f"{CANARY} {random.getrandbits(48):x} {' '.join(random.choices(_WORDS, k=8))}")


def _csv(_key: str, records: Sequence[_Record]) -> bytes:
    return "".join(["id,text\n", *(f"{record.id},{record.text}\n" for record in records)]).encode()


def _json_lines(_key: str, records: Sequence[_Record]) -> bytes:
    return "".join(json.dumps({"id": record.id, "text": record.text}) + "\n" for record in records).encode()


def _native(_key: str, records: Sequence[_Record]) -> bytes:
    """Return OpenAI's own lines, three endpoints mixed."""
    asked = (
        ("/v1/chat/completions", "messages", "chat-model"),
        ("/v1/responses", "input", "responses-model"),
        ("/v1/embeddings", "input", "text-embedding-3-small"),
    )
    lines = []
    for number, record in enumerate(records):
        url, field, model = asked[number % len(asked)]
        given = [{"role": "user", "content": record.text}] if field == "messages" else record.text
        body = {"model": model, field: given} | ({"dimensions": 8} if "embedding" in model else {})
        lines.append(json.dumps({"custom_id": record.id, "method": "POST", "url": url, "body": body}) + "\n")
    return "".join(lines).encode()


def _bare_array(_key: str, records: Sequence[_Record]) -> bytes:
    bodies = [{"model": "chat-model", "messages": [{"role": "user", "content": record.text}]} for record in records]
    return json.dumps(bodies, indent=1).encode()


# Key, share of the items, format. What they leave goes into the small drops.
_LARGE: Final = (
    ("inbox/sentiment/reviews.csv", 0.3, _csv),
    ("inbox/outline/topics.jsonl", 0.2, _json_lines),
    ("inbox/extract/announcements.jsonl", 0.1, _json_lines),
    ("inbox/embed/pages.jsonl", 0.1, _json_lines),
    ("inbox/moderate/comments.csv", 0.1, _csv),
    ("inbox/native.jsonl", 0.1, _native),
    ("inbox/bare.json", 0.05, _bare_array),
)
