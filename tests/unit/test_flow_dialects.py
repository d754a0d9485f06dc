"""A whole job on a server of each dialect: the production flows and the real adapter, the simulator on the wire."""

import json
from dataclasses import replace

import pytest
from fakes.world import World

from batchdrop.core.model.dialects import DIALECTS, OPENAI
from batchdrop.core.model.limits import DAY, HOUR, Limits
from openai_batch_simulator.account.behaviour import CALM
from openai_batch_simulator.account.dialects import DIALECTS as SIMULATED

NAMES = tuple(DIALECTS)
TASK = b"""endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages: [{role: user, content: "{{ text }}"}]
"""
ROWS = b"id,text\n" + b"".join(b"%d,Say %d.\n" % (number, number) for number in range(25))


def world_of(dialect: str, *, task: bytes = TASK, limits: Limits | None = None, **behaviour: float) -> World:
    """A world whose provider is of that kind."""
    world = World(replace(CALM, **behaviour), limits=limits or Limits(), dialect=dialect)  # type: ignore[arg-type]  # as named
    world.storage.put_task("say", task)
    return world


def drop(world: World) -> str:
    """Drop the table, and return its job."""
    return world.drop("inbox/say/rows.csv", ROWS)


def outcomes(world: World, job: str) -> list[dict[str, object]]:
    """What became of the items."""
    return [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]


def test_the_simulator_plays_every_row() -> None:
    """Each kind of server that the table names can be played."""
    assert set(SIMULATED) == set(DIALECTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_job_runs_to_its_end(name: str) -> None:
    """Several shards, each paid once; nothing that was sent was refused, and no input file is left behind."""
    world = world_of(name, limits=Limits(shard_requests_max=10, chunk_lines_max=5))
    job = drop(world)

    ended = world.run(job)

    assert (ended.event, ended.succeeded, ended.failed) == ("completed", 25, 0)
    assert world.tap.creates == 3
    assert not world.charged_twice()
    assert all(outcome["output"] for outcome in outcomes(world, job))
    assert not [file for file in world.simulator.account.files.by_id.values() if file.deleted_at is None]


@pytest.mark.parametrize("name", NAMES)
def test_native_lines_run_in_either_form(name: str) -> None:
    """With and without the version, in one file: one batch, in the form that the server wants."""
    world = world_of(name)
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Say yes."}]}
    lines = [
        {"custom_id": str(number), "method": "POST", "url": url, "body": body}
        for number, url in enumerate(["/v1/chat/completions", "/chat/completions"] * 3)
    ]
    job = world.drop("inbox/lines.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    assert world.run(job).succeeded == 6
    assert world.tap.creates == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_line_is_told_by_its_server(name: str) -> None:
    """A batch that fails validation fails its items, with what the server says, in whatever form it says it."""
    world = world_of(name, task=TASK.replace(b"gpt-4.1-mini", b"unheard-of"))
    world.simulator.account.behaviour = replace(world.simulator.account.behaviour, models=frozenset({"gpt-4.1-mini"}))
    world.simulator.account.lifecycle.behaviour = world.simulator.account.behaviour
    job = drop(world)

    ended = world.run(job)

    assert (ended.succeeded, ended.failed) == (0, 25)
    assert "unheard-of" in json.dumps(outcomes(world, job))
    # A failure without a code is nobody's fault for all that is known, and is tried afresh up to the cap.
    assert world.tap.creates == (3 if SIMULATED[name].batch_form == "job" else 1)


@pytest.mark.parametrize("name", NAMES)
def test_lines_that_fail_are_told_apart(name: str) -> None:
    """Some answers are refused by the model's server; the others are kept."""
    world = world_of(name)
    world.simulator.faults.switch("line_refused", value=5)
    job = drop(world)

    ended = world.run(job)

    assert (ended.event, ended.succeeded, ended.failed) == ("completed_with_failures", 20, 5)


@pytest.mark.parametrize("name", NAMES)
def test_a_create_whose_answer_is_lost_is_found(name: str) -> None:
    """By its ticket, or by its input file where the server shows no metadata: paid once, without another try."""
    world = world_of(name)
    world.simulator.faults.switch("dropped_after", operation="batches.create", times=1)
    job = drop(world)

    ended = world.run(job)

    assert (ended.succeeded, world.tap.creates) == (25, 1)
    assert not world.charged_twice()


@pytest.mark.parametrize("name", NAMES)
def test_a_create_that_comes_late_is_never_paid_twice(name: str) -> None:
    """Where a deleted file does not stop it, nothing else was sent meanwhile; where it does, the next try runs."""
    world = world_of(name)
    world.simulator.faults.switch("accepted_late", operation="batches.create", times=1, value=3 * HOUR)
    job = drop(world)

    ended = world.run(job, seconds=300, ticks_max=10_000)

    assert ended.succeeded == 25
    assert not world.charged_twice()
    assert world.tap.creates == (2 if DIALECTS[name].is_fence_known else 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_job_is_cancelled_and_keeps_what_ran(name: str) -> None:
    """The server's word for it is understood, and its answers are collected."""
    world = world_of(name, run_seconds=HOUR)
    job = drop(world)
    world.tick()
    world.tick(1_500)
    world.ask(job, "cancel")

    ended = world.run(job)

    assert ended.event == "cancelled"
    assert 0 < ended.succeeded < 25


@pytest.mark.parametrize("name", NAMES)
def test_a_long_batch_ends_as_its_server_lets_it(name: str) -> None:
    """Where windows expire the rest is sent again; where they do not it is waited for, however long it takes."""
    world = world_of(name, requests_per_second=25 / (1.2 * DAY))
    job = drop(world)

    ended = world.run(job, seconds=HOUR, ticks_max=2_000)

    assert (ended.event, ended.succeeded) == ("completed", 25)
    assert (world.tap.creates == 1) == (not SIMULATED[name].window_expires)
    assert not [call for call in world.tap.counts if call.endswith("/cancel")]


@pytest.mark.parametrize("name", ["azure", "groq", "together", "litellm", "cautious"])
def test_the_rows_are_not_one_row_with_eight_names(name: str) -> None:
    """Spoken to as to OpenAI, such a server runs nothing."""
    world = world_of(name)
    world.providers.dialects = replace(world.providers.dialects, chosen=OPENAI.name)
    job = drop(world)

    for _ in range(30):
        world.tick()

    assert world.job(job).succeeded == 0
    assert not list(world.simulator.ledger.charges())
