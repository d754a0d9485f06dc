"""What one small drop costs in calls: of the table, of the buckets, of the provider.

Rule: bounds are of effects, never of calls of functions, which change with every release of Python. A write of several rows in
one transaction is one write; many small objects that are put together are one call. Whoever raises a bound says why.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import pytest
from fakes.recording import Effect, Kind, RecordingWorld, count, told

from batchdrop.core.model.job import JobState
from batchdrop.core.model.shard import ShardState
from batchdrop.flow import poll
from batchdrop.formats.csv_rows import CsvRows

TASK = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages: [{role: user, content: "Is this praise? {{ review }}"}]
id: review_id
"""
REVIEWS = b"review_id,review\r\nr1,Good\r\nr2,Bad\r\nr3,Fine\r\n"


@dataclass(frozen=True)
class Way:
    """The effects of one drop: until its batch runs, of the tick that sees it ended, and of its completion."""

    submission: list[Effect]
    tick: list[Effect]
    completion: list[Effect]
    headers_parsed: Counter[str]  # by invocation


@cache
def way() -> Way:
    """Return the way of a CSV file with three rows and a task, the second drop of an installation."""
    world = RecordingWorld()
    world.storage.put_task("praise", TASK)
    world.run(world.drop("inbox/praise/earlier.csv", REVIEWS))
    parsed = Counter[str]()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CsvRows, "read_header", _counted(CsvRows.read_header, parsed, world))
        with world.recorded() as submission:
            job = world.drop("inbox/praise/reviews.csv", REVIEWS)
        assert world.shard(job).state is ShardState.RUNNING
        world.advance(60)
        with world.recorded() as tick:
            poll.tick(world.ports(), world.limits)
        assert world.shard(job).state is ShardState.HARVESTING
        with world.recorded() as completion:
            world.deliver()
        assert world.job(job).state is JobState.ENDED
    return Way(submission, tick, completion, parsed)


def _counted(original: Callable[..., object], counts: Counter[str], world: RecordingWorld) -> Callable[..., object]:
    def counted(*arguments: object) -> object:
        counts[world.invocation] += 1
        return original(*arguments)

    return counted


# What each part may cost at most. At release 0.1.0 it was 21, 11 and 14 until the batch ran, and 16, 6 and 24 for the completion.
BOUNDS: dict[str, dict[Kind, int]] = {
    "submission": {"read": 7, "write": 7, "storage": 8, "provider": 2},
    "tick": {"read": 6, "write": 3, "storage": 1, "provider": 1},
    "completion": {"read": 6, "write": 4, "storage": 12, "provider": 4},
}


@pytest.mark.parametrize(("part", "kind"), [(part, kind) for part, bounds in BOUNDS.items() for kind in bounds])
def test_a_small_drop_takes_the_short_way(part: str, kind: Kind) -> None:
    """Neither of the parts of a 3-row CSV's way makes more calls of a kind than its bounds say."""
    effects = getattr(way(), part)

    assert count(effects, kind) <= BOUNDS[part][kind], told(effects)


@pytest.mark.parametrize("part", ["submission", "completion"])
def test_the_upload_is_opened_once(part: str) -> None:
    """A small upload is fetched once an invocation, whatever is to be known of it."""
    effects = getattr(way(), part)

    assert sum(effect.name == "open_upload" for effect in effects) == 1, told(effects)


def test_an_invocation_does_once_what_is_needed_once() -> None:
    """The header is parsed, each page of the plan read and the status written once an invocation."""
    effects = [*way().submission, *way().tick, *way().completion]

    assert set(way().headers_parsed.values()) == {1}
    assert _most(effects, "read", ".json") == 1, told(effects)
    assert _most(effects, "put", "/status.json") == 1, told(effects)


def _most(effects: Iterable[Effect], name: str, ending: str) -> int:
    """Return the most calls *name* of one thing with this *ending* that one invocation made."""
    calls = Counter(
        (effect.writer, effect.thing) for effect in effects if effect.name == name and effect.thing.endswith(ending)
    )
    return max(calls.values(), default=0)
