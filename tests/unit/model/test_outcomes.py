import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from fakes.answered import AnsweredJob, answer_line, chat_job, chat_request, json_lines, success

from batchdrop.core.model.outcomes import (
    Failure,
    Outcome,
    Usage,
    decode_outcome,
    encode_outcome,
    row_of_outcome,
)

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def validator(name: str) -> jsonschema.Draft202012Validator:
    """Return a validator of the published schema called *name*."""
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_an_outcome_reads_back_as_it_was() -> None:
    """What is written is what is read: numbers and spacing of the provider's JSON included."""
    outcome = Outcome(name="R%2F1", row=7, status="succeeded", output=msgspec.Raw(b"[1.50, 2]"), usage=Usage(20, 3))

    line = encode_outcome(outcome)

    assert decode_outcome(line) == outcome
    assert row_of_outcome(line) == 7
    assert b"[1.50, 2]" in line
    assert b"\n" not in line


def test_every_field_is_always_there() -> None:
    """Programs find each field in each item, null where it says nothing, in the order that is documented."""
    line = encode_outcome(Outcome(name="a", row=1, status="failed", error=Failure("bad", "m")))

    fields = list(json.loads(line))

    assert fields == validator("item").schema["required"]  # type: ignore[index]  # our schemas are objects


@pytest.mark.parametrize("schema", [path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.json")])
def test_schemas_are_schemas(schema: str) -> None:
    """Each published schema is a valid one and refuses what has none of its fields."""
    checked = validator(schema)

    assert not checked.is_valid({})


def test_items_are_as_their_schema_says() -> None:
    """Every item object that is written, refused, failed or succeeded, keeps the published schema."""
    job = AnsweredJob("inbox/a.jsonl", json_lines([chat_request(), {"refused": 1}, chat_request(), "text"]))
    job.harvest(job.shard(), success(1), answer_line(3, {"error": {"code": "bad"}}, 400))
    checked = validator("item")

    folder = job.keys.item("").removesuffix(".json")
    items = [json.loads(content) for key, content in job.storage.objects.items() if key.startswith(folder)]

    assert len(items) == 4
    for item in items:
        checked.validate(item)


@pytest.mark.parametrize(
    "harm",
    [
        {"status": "done"},
        {"row": 0},
        {"error": {"code": "c", "message": "m"}},
        {"surprise": 1},
        {"usage": {"prompt_tokens": 3}},
    ],
)
def test_the_item_schema_bites(harm: dict[str, object]) -> None:
    """An item that breaks the published rules is told from one that keeps them."""
    job = chat_job(1)
    job.harvest(job.shard(), success(1))
    item = json.loads(encode_outcome(job.part()[0]))

    valid, harmed = validator("item").is_valid(item), validator("item").is_valid(item | harm)

    assert (valid, harmed) == (True, False)
