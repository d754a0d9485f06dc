"""What a tick costs: with nothing to do, with a thousand running batches, and where others fill the provider's list."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fakes.running import JOB, RunningBatches, many_jobs
from fakes.shards import changed
from fakes.world import World

from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from batchdrop.core.model.shard import ShardState
from openai_batch_simulator.account.behaviour import CALM

LIST = "GET /v1/batches"
LINE = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say %d."}]}\n'


class Counting:
    """Stands before a port and counts the calls of each method."""

    def __init__(self, port: object, calls: Counter[str]) -> None:
        self._port, self._calls = port, calls

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the port has
        member = getattr(self._port, name)
        self._calls[name] += callable(member)
        return member


def counted(world: World) -> Counter[str]:
    """Count the calls to the ledger, the buckets and the secret from now on."""
    calls = Counter[str]()
    for port in ("ledger", "storage", "providers"):
        setattr(world, port, Counting(getattr(world, port), calls))
    return calls


def test_an_idle_tick_is_one_query() -> None:
    """Nothing else is read, written, listed or opened, and the provider hears nothing."""
    world = World()
    world.tick()
    calls = counted(world)

    world.tick()

    assert +calls == {"install_and_active": 1}
    assert not world.tap.counts


def test_a_row_that_an_older_release_wrote_is_read_by_itself_until_it_is_written() -> None:
    """It is not in the index yet; there is still one installation."""
    world = World()
    world.ledger.freeze_index()
    world.tick()
    installed = world.ledger.install()
    calls = counted(world)

    world.tick()

    assert calls["install"] == 1
    assert world.ledger.install() == installed


def test_a_thousand_running_batches_are_seen_in_eleven_lists() -> None:
    """None is asked for alone, and a tick in which nothing moved writes nothing."""
    running = RunningBatches(count=1_000)
    running.world.tick()
    calls, tap = counted(running.world), running.world.tap
    tap.counts.clear()

    done = running.world.tick()

    assert done.rows == 1_000 + 1
    assert tap.counts == {LIST: tap.counts[LIST]}
    assert tap.counts[LIST] <= 11
    assert calls["install_and_active"] == 1
    assert calls["write"] == 0


def test_where_others_fill_the_list_each_batch_is_asked_for_in_turn() -> None:
    """At most twenty pages a tick, then some answers; nobody is asked for twice before all were asked for once."""
    running = RunningBatches(count=150, foreign=2_500)
    world, limits = running.world, running.world.limits
    most_pages = most_answers = 0

    for _ in range(3):
        world.tap.counts.clear()
        asked = running.asked.total()
        world.tick(MINUTE)
        most_pages = max(most_pages, world.tap.counts[LIST])
        most_answers = max(most_answers, running.asked.total() - asked)

    assert most_pages == limits.list_pages_max == 20
    assert most_answers == limits.retrieves_per_tick_max == 50
    assert set(running.asked.values()) == {1}
    assert len(running.asked) == 150


def test_a_batch_behind_others_is_asked_for_again_after_a_while() -> None:
    """Every ten minutes, however long it runs."""
    running = RunningBatches(count=1, foreign=100, world=World(limits=Limits(list_pages_max=1)))

    for _ in range(21):
        running.world.tick(MINUTE)

    assert running.asked["batch_0"] == 3


def test_a_tick_notes_no_more_batches_as_taken_than_it_has_time_for() -> None:
    """Each is some calls to the ledger; the next tick goes on with the others."""
    running = RunningBatches(count=10, is_noted=False)
    world, write = running.world, running.world.ledger.write
    noted = []

    def write_slowly(change: Change) -> Change:
        noted.append(change)
        world.clock.remaining = 900.0 if len(noted) < 4 else 10.0
        return write(change)

    world.ledger.write = write_slowly  # type: ignore[method-assign]  # the fourth is the last that there is time for
    world.tick()
    noted_before, world.clock.remaining = noted_rows(world), 900.0
    world.ledger.write = write  # type: ignore[method-assign]  # as it was
    world.tick()

    assert noted_before == 4
    assert noted_rows(world) == 10


def noted_rows(world: World) -> int:
    """Return how many shards are known to have been taken."""
    return sum(bool(shard.taken_at) for shard in world.ledger.shards(JOB))


def refuse_key(world: World) -> None:
    """Let the provider refuse the key, whatever is asked."""
    body = {"error": {"message": "Incorrect API key provided: sk-*****.", "code": "invalid_api_key"}}
    world.tap.answers.insert(0, lambda request: httpx2.Response(401, json=body, request=request))


def take_key(world: World) -> None:
    """Let the provider take the key again."""
    del world.tap.answers[0]


def waited_for(world: World, jobs: list[str]) -> Counter[str]:
    """Count what the statuses of *jobs* say that they wait for."""
    waits = [json.loads(world.result(job, "status.json"))["waiting"] for job in jobs]
    return Counter(wait["for"] if wait else "nothing" for wait in waits)


@pytest.mark.slow
def test_a_key_that_is_refused_with_3000_jobs_under_way_costs_a_few_writes() -> None:
    """No job's row is written and no worker is woken; statuses are written a few hundred a tick; one notification serves all.

    When the key is good again the statuses say so, as bounded.
    """
    world = World()
    jobs = many_jobs(world, 3_000)
    refuse_key(world)
    calls, ticks = counted(world), list[Counter[str]]()
    for _ in range(13):
        before = Counter(calls)
        done = world.tick()
        ticks.append(calls - before)
        assert done.wakeups == 0

    reads = [tick["job"] + tick["shard"] + tick["shards"] + tick["install"] for tick in ticks]
    most = world.limits.statuses_per_tick_max
    assert max(tick["write"] for tick in ticks) <= 5
    assert max(tick["put"] for tick in ticks) == most == 300
    assert max(reads) <= 3 * most + 10
    assert ticks[-1]["put"] == 0
    assert world.tap.counts == {LIST: 13}
    assert waited_for(world, jobs) == {"key": 3_000}
    (notification,) = world.notifications.published
    assert json.loads(notification.json)["jobs"] == 3_000

    take_key(world)
    ticks.clear()
    for _ in range(12):
        before = Counter(calls)
        world.tick()
        ticks.append(calls - before)

    assert waited_for(world, jobs) == {"nothing": 3_000}
    assert max(tick["write"] for tick in ticks) <= 5 + world.limits.retrieves_per_tick_max
    assert max(tick["put"] for tick in ticks) == most
    assert ticks[-1]["put"] == 0
    assert len(world.notifications.published) == 1


@pytest.mark.parametrize("key", ["sk-test", "sk-other"])
def test_a_key_that_is_good_again_is_known_by_what_it_reads(key: str) -> None:
    """While nothing is to be created no create shows it: the next list does, be it the same key or another of the project."""
    world = World()
    jobs = many_jobs(world, 30)
    refuse_key(world)
    world.tick()
    world.tick()
    refused = waited_for(world, jobs)
    take_key(world)
    world.providers.key = key

    world.tick()

    assert refused == {"key": 30}
    assert waited_for(world, jobs) == {"nothing": 30}
    assert len(world.notifications.published) == 1


def test_answers_that_are_fetched_again_let_all_be_fetched() -> None:
    """While they are refused to a key that may look at batches, one asks for all each minute; then the others follow at once."""
    world = World(behaviour=replace(CALM, run_seconds=HOUR))
    jobs = [world.drop(f"inbox/{number}.jsonl", LINE % number) for number in range(12)]
    body = {"error": {"message": "Missing scopes: api.files.read", "code": "missing_scope"}}
    fetched = list[str]()

    def refuse(request: httpx2.Request) -> httpx2.Response | None:
        if not request.url.path.endswith("/content"):
            return None
        fetched.append(request.url.path)
        return httpx2.Response(403, json=body, request=request)

    world.tap.answers.append(refuse)
    world.tick(HOUR + 5 * MINUTE)
    for _ in range(20):
        world.tick()
    asked, refused = len(fetched), waited_for(world, jobs)
    world.tap.answers.clear()
    for _ in range(8):
        world.tick()

    assert asked <= 12 + 20
    assert refused == {"key": 12}
    assert {world.job(job).event for job in jobs} == {"completed"}


def test_a_key_that_may_read_but_not_send_holds_up_what_is_to_be_sent_alone() -> None:
    """What runs is collected all the while, and its status says nothing of a key."""
    world = World()
    (running,) = many_jobs(world, 1)
    no = {"error": {"message": "You have insufficient permissions for this operation.", "code": None}}
    world.tap.answers.insert(
        0, lambda request: httpx2.Response(403, json=no, request=request) if request.method == "POST" else None
    )
    sent = world.drop("inbox/a.jsonl", LINE % 1)

    for _ in range(20):
        world.tick()

    assert waited_for(world, [running, sent]) == {"nothing": 1, "key": 1}
    (notification,) = world.notifications.published
    assert json.loads(notification.json)["jobs"] == 1
    assert "for uploads and new batches" in notification.text
    assert world.tap.counts["POST /v1/files"] <= 5


def test_statuses_are_written_while_there_is_time() -> None:
    """What is left of them is the next tick's; none is left out."""
    world = World()
    jobs = many_jobs(world, 20)
    world.providers.key = None
    put, left = world.storage.put, 7

    def put_slowly(key: str, content: bytes, content_type: str = "application/json") -> None:
        nonlocal left
        put(key, content, content_type)
        left -= 1
        world.clock.remaining = 900.0 if left > 0 else 10.0

    world.storage.put = put_slowly  # type: ignore[method-assign]  # the seventh is the last that there is time for
    world.tick()
    written = sum(key.endswith("status.json") for key in world.storage.objects)
    world.storage.put, world.clock.remaining = put, 900.0  # type: ignore[method-assign]  # as it was
    world.tick()

    assert written == 7
    assert {json.loads(world.result(job, "status.json"))["waiting"]["for"] for job in jobs} == {"key"}


def test_answers_are_not_fetched_under_a_key_that_is_refused() -> None:
    """Hundreds of ended batches would ask hundreds of times a minute; where nothing runs any more one asks for all."""
    world = World()
    for name in many_jobs(world, 30):
        (shard,) = world.ledger.shards(name)
        ended = changed(
            shard, state=ShardState.HARVESTING, batch_ended_at=shard.attempt.file.intent_at, due_at=world.clock.time
        )
        world.ledger.write(Change((Write(shard, ended),)))
    refuse_key(world)
    world.tick()
    asked = []
    for _ in range(30):
        before = world.tap.counts.total()
        world.tick()
        asked.append(world.tap.counts.total() - before)

    assert max(asked) <= 1
    assert sum(asked) >= 5
