"""Makes shards for tests from flat names, as a ledger row has them: `attempt=2, batch="b", file="f"`."""

from dataclasses import fields, replace
from typing import Any, Final

from batchdrop.core.model.shard import Attempt, InputFile, Shard

_OF_FILE: Final = {"file": "id", "file_uploaded_at": "uploaded_at"}
_OF_FILE_ALONE: Final = {field.name for field in fields(InputFile)} - {"id", "uploaded_at"}
_OF_ATTEMPT: Final = {field.name for field in fields(Attempt)} - {"number", "file"}


def new_shard(**flat: Any) -> Shard:  # noqa: ANN401 - fields of a row
    """Return a shard with *flat* fields."""
    own, attempt = _told_apart(flat, Attempt())
    return Shard(**own, attempt=attempt)


def changed(shard: Shard, **flat: Any) -> Shard:  # noqa: ANN401 - fields of a row
    """Return *shard* with *flat* fields changed."""
    own, attempt = _told_apart(flat, shard.attempt)
    return replace(shard, **own, attempt=attempt)


def _told_apart(flat: dict[str, Any], attempt: Attempt) -> tuple[dict[str, Any], Attempt]:
    of_file = {
        _OF_FILE.get(name, name): value for name, value in flat.items() if name in _OF_FILE or name in _OF_FILE_ALONE
    }
    of_attempt = {name: value for name, value in flat.items() if name in _OF_ATTEMPT}
    if "attempt" in flat:
        of_attempt["number"] = flat["attempt"]
    moved = {*_OF_FILE, *_OF_FILE_ALONE, *_OF_ATTEMPT, "attempt"}
    own = {name: value for name, value in flat.items() if name not in moved}
    return own, replace(attempt, file=replace(attempt.file, **of_file), **of_attempt)
