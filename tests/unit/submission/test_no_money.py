"""An account without money, told by batches and lines instead of creates: all wait, no attempt is used, and it goes on."""

import json
from dataclasses import replace
from typing import Any

import pytest
from fakes.world import World

from batchdrop.core.model.job import JobState
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from openai_batch_simulator.account.behaviour import CALM

WORDS = "You exceeded your current quota, please check your plan and billing details."


def lines(count: int, word: str = "word") -> bytes:
    """A drop of so many requests."""
    bodies = ({"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": f"{word} {n}"}]} for n in range(count))
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)


def waiting(world: World) -> list[dict[str, Any]]:
    """The notifications that something is waited for."""
    told = [json.loads(notification.json) for notification in world.notifications.published]
    return [notification for notification in told if notification["event"] == "waiting"]


def status_of(world: World, job: str) -> dict[str, Any]:
    """What a person sees."""
    status: dict[str, Any] = json.loads(world.result(job, "status.json"))
    return status


def attempts_of(world: World, job: str) -> set[int]:
    """How many attempts the job's items took."""
    return {json.loads(line)["attempts"] for line in world.result(job, "outcomes.jsonl").splitlines()}


CODES = ["insufficient_quota", "billing_hard_limit_reached", "BILLING_NOT_ACTIVE", "project_spend_limit_exceeded"]


@pytest.mark.parametrize("code", CODES)
def test_a_batch_that_failed_for_want_of_money_waits_as_a_create_does(code: str) -> None:
    """For hours: one notification for all jobs, in the provider's words, no attempt used; then it goes on by itself."""
    world = World()
    world.simulator.faults.switch("fails", code=code, message=WORDS)
    jobs = [world.drop(f"inbox/{n}.jsonl", lines(3, f"w{n}")) for n in range(3)]
    for _ in range(6 * 60):
        world.tick(MINUTE)

    told, creates, status = waiting(world), world.tap.creates, status_of(world, jobs[1])["waiting"]
    world.simulator.faults.clear()
    began = world.clock.now()
    ended = [world.run(job) for job in jobs]

    assert [notification["reason"]["code"] for notification in told] == [code]
    assert WORDS in told[0]["reason"]["message"]
    assert (told[0]["job"], told[0]["jobs"]) == (None, 3)
    assert status["for"] == "account"
    assert creates <= 6 + 4 + 3
    assert [job.event for job in ended] == ["completed"] * 3
    assert all(attempts_of(world, job) == {1} for job in jobs)
    assert world.clock.now() - began < HOUR + 10 * MINUTE
    assert not world.charged_twice()
    install = world.ledger.install()
    assert install is not None
    assert not install.circuits


@pytest.mark.parametrize(("status", "code"), [(429, CODES[0]), (429, CODES[1]), (403, CODES[3]), (400, CODES[1])])
def test_lines_that_failed_for_want_of_money_are_no_attempt(status: int, code: str) -> None:
    """Batches are taken and run into it: one asks for all, at most once an hour, and the items are answered in the end."""
    world = World()
    world.simulator.faults.switch("line_refused", value=100.0, status=status, code=code, message=WORDS)
    jobs = [world.drop(f"inbox/{n}.jsonl", lines(3, f"w{n}")) for n in range(3)]
    for _ in range(12 * 60):
        world.tick(MINUTE)

    told, creates = waiting(world), world.tap.creates
    early = [world.job(job).state for job in jobs]
    world.simulator.faults.clear()
    ended = [world.run(job, ticks_max=300) for job in jobs]

    assert [notification["reason"]["code"] for notification in told] == [code]
    assert early == [JobState.RUNNING] * 3
    assert creates <= 12 + 4 + 3
    assert [job.event for job in ended] == ["completed"] * 3
    assert all(attempts_of(world, job) == {1} for job in jobs)
    assert not world.charged_twice()


def test_what_was_answered_before_the_money_ran_out_is_kept() -> None:
    """Half of the lines: the others are sent again when there is money, and each is paid for once."""
    world = World()
    world.simulator.faults.switch("line_refused", value=0.5, status=429, code="insufficient_quota")
    job = world.drop("inbox/many.jsonl", lines(20))
    for _ in range(3):
        world.tick(MINUTE)
    world.simulator.faults.clear()

    ended = world.run(job, ticks_max=300)

    assert (ended.event, ended.succeeded) == ("completed", 20)
    assert attempts_of(world, job) == {1}
    assert len(waiting(world)) == 1
    assert not world.charged_twice()


def test_a_slow_batch_asks_for_all_while_it_runs() -> None:
    """Creates are taken all the time, so a create shows nothing: only answers do, and no second batch is made meanwhile."""
    world = World(behaviour=replace(CALM, run_seconds=20 * MINUTE))
    world.simulator.faults.switch("line_refused", value=100.0, status=429, code="insufficient_quota")
    jobs = [world.drop(f"inbox/{n}.jsonl", lines(3, f"w{n}")) for n in range(4)]
    for _ in range(30):
        world.tick(MINUTE)
    before = world.tap.creates
    for _ in range(4 * 60):
        world.tick(MINUTE)
    asked = world.tap.creates - before
    world.simulator.faults.clear()
    ended = [world.run(job, ticks_max=300) for job in jobs]

    assert before <= 5
    assert asked <= 4 + 4
    assert [job.event for job in ended] == ["completed"] * 4
    assert not world.charged_twice()


def test_attempts_that_do_not_count_are_bounded() -> None:
    """An account that never has money again does not fill the bucket: after so many attempts they count."""
    world = World(limits=Limits(unpaid_attempts_max=2))
    world.simulator.faults.switch("line_refused", value=100.0, status=429, code="insufficient_quota")
    job = world.drop("inbox/three.jsonl", lines(3))

    ended = world.run(job, ticks_max=600)

    assert (ended.event, ended.failed) == ("completed_with_failures", 3)
    assert world.tap.creates == 2 + 3


def test_an_ordinary_rate_limit_still_counts() -> None:
    """Only money is no attempt."""
    world = World()
    world.simulator.faults.switch("line_refused", value=100.0, status=429, code="rate_limit_exceeded")
    job = world.drop("inbox/three.jsonl", lines(3))

    ended = world.run(job)

    assert (ended.failed, world.tap.creates) == (3, 3)
    assert attempts_of(world, job) == {3}
    assert not waiting(world)
