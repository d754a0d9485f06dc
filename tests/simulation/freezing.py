"""Worlds on disk: rows, buckets and the provider as they stood the moment after one write, and back again.

Rule: what was frozen is never written anew; a release adds a folder of its own:
`PYTHONPATH=tests .venv/bin/python -m simulation.freezing <name of the release>`.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from simulation.gate import Exact, Fault
from simulation.installation import Installation
from simulation.scenarios import BY_NAME, Scenario
from simulation.tasks import START_SECONDS
from simulation.timing import Timing

from batchdrop.core.jobs import Upload
from batchdrop.core.ledger_rows import Change, Job, Room, Shard
from batchdrop.edge.ledger_format import decode_row, encode_row, kind_of, row_key
from batchdrop.flow.ports import Notice
from openai_batch_simulator.batches import Batch, Status
from openai_batch_simulator.chance import Identifiers
from openai_batch_simulator.files import File
from openai_batch_simulator.validation import LineError

FOLDER = Path(__file__).parent / "releases"

# Which stories pass through which states: by the name of the story, the faults of its first create, and limits.
_STORIES: tuple[tuple[str, Fault | None, dict[str, int]], ...] = (
    ("small", None, {}),
    ("small", Fault.ERROR_BEFORE, {}),
    ("small", Fault.ERROR_BEFORE, {"uncertain_creates_max": 1}),
    ("token_limit", None, {}),
)


@dataclass(frozen=True, slots=True)
class Frozen:
    """One world at rest. *rows* are of the table, with their kinds."""

    name: str
    scenario: str
    now: float
    rows: list[list[str]]
    rooms: list[dict[str, Any]]
    objects: dict[str, str]  # a character stands for a byte: not all of them are text
    uploads: list[dict[str, Any]]
    files: list[dict[str, Any]]
    batches: list[dict[str, Any]]
    notices: list[dict[str, Any]]


def freeze(here: Installation, name: str) -> Frozen:
    """Return the world as it is at this moment."""
    world = here.simulator.world
    return Frozen(
        name=name,
        scenario=here.scenario.name,
        now=here.tasks.time.now(),
        rows=[[kind_of(row), encode_row(row)] for row in here.ledger.rows.values()],
        rooms=[asdict(room) for room in here.ledger.rooms.values()],
        objects={key: content.decode("latin-1") for key, content in here.storage.objects.items()},
        uploads=[
            {"key": key, "version": version, "content": content.decode(), "put_at": put_at}
            for (key, version), (content, put_at) in here.storage.uploads.items()
        ],
        files=[_frozen_file(file) for file in world.files.by_id.values() if file.purpose == "batch"],
        batches=[_frozen_batch(batch) for batch in world.batches.values()],
        notices=[asdict(notice) for notice in here.notices.published],
    )


def _frozen_file(file: File) -> dict[str, Any]:
    with file.content.open() as stream:
        content = stream.read().decode()
    names = ("id", "project", "filename", "purpose", "created_at", "expires_at", "deleted_at")
    return {name: getattr(file, name) for name in names} | {"content": content}


def _frozen_batch(batch: Batch) -> dict[str, Any]:
    names = (
        "id", "project", "endpoint", "input_file_id", "metadata", "output_expires_seconds", "created_at", "expires_at",
    )  # fmt: skip
    return {name: getattr(batch, name) for name in names} | {"errors": [asdict(error) for error in batch.errors]}


def thaw(state: Frozen) -> Installation:
    """Return a world that stands where *state* stood; the provider lives its batches again from their creation on."""
    story = replace(BY_NAME[state.scenario], happenings=(), is_installed=False)
    here = Installation(story, Exact({}), Timing())
    here.tasks.time.advance(state.now - START_SECONDS)
    for upload in state.uploads:
        place = (upload["key"], upload["version"])
        here.storage.uploads[place] = (upload["content"].encode(), upload["put_at"])
        here.uploads.append(Upload(here.storage.inbox_bucket, *place))
    for kind, encoded in state.rows:
        row = decode_row(kind, encoded)
        here.ledger.rows[row_key(row)] = row
        if isinstance(row, Shard):
            here.ledger.note_tickets(row)
    here.ledger.rooms |= {(room["account"], room["model"]): msgspec.convert(room, Room) for room in state.rooms}
    here.storage.objects |= {key: content.encode("latin-1") for key, content in state.objects.items()}
    here.notices.published += [Notice(**notice) for notice in state.notices]
    _thaw_provider(here, state)
    return here


def _thaw_provider(here: Installation, state: Frozen) -> None:
    world = here.simulator.world
    world.identifiers = world.lifecycle.identifiers = Identifiers(1)  # new ids are others than those that were frozen
    for frozen in state.files:
        content = world.blobs.new()
        content.append(frozen["content"].encode())
        world.files.add(File(**{**frozen, "content": content}))
    for made in state.batches:
        errors = [LineError(**error) for error in made.pop("errors")]
        batch = Batch(**made, errors=errors)
        world.batches[batch.id] = batch
        if errors:
            batch.status, batch.entered_at = Status.FAILED, {Status.FAILED: state.now}
        else:
            world.lifecycle.begin(batch)


def frozen_states(release: Path) -> Iterator[Frozen]:
    """Yield every world that was frozen for *release*."""
    for path in sorted(release.glob("*.json")):
        yield Frozen(**json.loads(path.read_text()))


def _worlds() -> Iterator[Frozen]:
    """Yield the first world in which a job or a shard is in each of its states."""
    seen: set[str] = set()
    for name, fault, limits in _STORIES:
        taken: list[Frozen] = []
        story: Scenario = replace(BY_NAME[name], limits={**BY_NAME[name].limits, **limits})
        here = Installation(story, Exact({}))
        if fault is not None:
            here.gate.strike(Exact({"http-POST-batches:0": fault}))

        def take(change: Change, here: Installation = here, taken: list[Frozen] = taken) -> None:
            for write in change.writes:
                if isinstance(write.after, Job | Shard):
                    state = f"{kind_of(write.after)}-{write.after.state.lower()}"
                    if state not in seen:
                        seen.add(state)
                        taken.append(freeze(here, state))

        here.ledger.watch = take
        here.run()
        yield from taken


def main() -> int:
    """Freeze every state for the release that the command line names."""
    folder = FOLDER / sys.argv[1]
    folder.mkdir(parents=True)
    for state in _worlds():
        (folder / f"{state.name}.json").write_text(json.dumps(asdict(state), indent=1) + "\n")
        sys.stdout.write(f"{state.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
