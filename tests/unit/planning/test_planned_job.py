"""One opened job: what is read once, what is kept in hand, and what is fetched all the same."""

import pytest
from fakes.drops import job_of, planned
from fakes.memory import MemoryStorage
from fakes.recording import Effect, recorded_storage

from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys
from batchdrop.flow import planned_job
from batchdrop.flow.planned_job import PlannedJob

TASK = b"""
endpoint: /v1/chat/completions
body: {model: m, messages: [{role: user, content: "{{ a }}"}]}
"""
TABLE = b"a,b\n" + b"".join(f"{row},{row}\n".encode() for row in range(40))


def opened(content: bytes = TABLE) -> tuple[MemoryStorage, Job]:
    """Return a store with a planned job."""
    storage = MemoryStorage()
    return storage, planned(storage, job_of(storage, "inbox/t/a.csv", content, TASK))


def calls(effects: list[Effect], name: str) -> int:
    """Return how many calls were made."""
    return sum(effect.name == name for effect in effects)


@pytest.mark.parametrize(("in_hand_bytes", "fetches"), [(1_000_000, 1), (len(TABLE) + 1, 1), (len(TABLE), 4), (10, 4)])
def test_a_small_upload_is_fetched_once(in_hand_bytes: int, fetches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header and records, however often they are read; a larger one is fetched for its header and each time that it is read."""
    monkeypatch.setattr(planned_job, "IN_HAND_BYTES", in_hand_bytes)
    storage, job = opened()
    effects: list[Effect] = []
    here = PlannedJob(recorded_storage(storage, effects), job)

    passes = [[record.row for record in here.all_records()] for _ in range(3)]

    assert passes == [list(range(1, 41))] * 3
    assert calls(effects, "open_upload") == fetches


def test_pages_and_the_task_are_read_once() -> None:
    """However often chunks and recipe are asked for."""
    storage, job = opened()
    effects: list[Effect] = []
    here = PlannedJob(recorded_storage(storage, effects), job)

    assert here.chunks == here.chunks
    assert here.recipe is here.recipe
    assert calls(effects, "read") == 2


def test_what_was_put_is_not_fetched_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit beside the rest is written all the same, and fetched."""
    monkeypatch.setattr(planned_job, "IN_HAND_BYTES", 10)
    storage, job = opened()
    effects: list[Effect] = []
    here = PlannedJob(recorded_storage(storage, effects), job)

    for key in ("internal/x/a", "internal/x/b", "internal/x/c"):
        here.put(key, b"12345")

    assert [here.read(f"internal/x/{name}") for name in "abc"] == [b"12345"] * 3
    assert calls(effects, "put") == 3
    assert calls(effects, "read") == 1


def test_what_is_forgotten_is_fetched() -> None:
    """Another worker's part counts where that worker recorded the shard, whatever this one wrote."""
    storage, job = opened()
    here, key = PlannedJob(storage, job), Keys(job.id, job.key).part(0)
    here.keep(key, b"ours")
    storage.put(key, b"theirs")

    assert here.read(key) == b"ours"
    here.forget(key)
    with here.open(key) as stream:
        assert stream.read() == b"theirs"
