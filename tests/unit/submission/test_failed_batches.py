"""Batches that failed before they ran, on the wire: what nobody is to blame for is tried again, and the words are kept."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from fakes.tasks import THREE_TIMES_YES
from fakes.world import World

from batchdrop.core.admission.quota import account_of
from batchdrop.core.model.change import Change as LedgerChange
from batchdrop.core.model.change import QuotaWrite
from batchdrop.core.model.limits import HOUR, Limits
from batchdrop.core.model.quota import QuotaEstimate
from openai_batch_simulator.account.behaviour import CALM

MODEL = "gpt-4.1-mini"

type Json = dict[str, object]


def failing(errors: object, times: int = 1) -> Callable[[httpx2.Request, httpx2.Response], httpx2.Response]:
    """Show the first *times* batches as failed in validation, with these *errors*, wherever they are shown."""
    failed: set[str] = set()

    def twisted(batch: Json) -> Json:
        if len(failed) < times:
            failed.add(str(batch["id"]))
        if batch["id"] not in failed:
            return batch
        counts = {"total": 0, "completed": 0, "failed": 0}
        return batch | {"status": "failed", "failed_at": batch["created_at"], "errors": errors, "request_counts": counts,
                        "output_file_id": None, "error_file_id": None}  # fmt: skip

    def twist(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if request.method != "GET" or not request.url.path.startswith("/v1/batches"):
            return response
        body = json.loads(response.read())
        if "data" in body:
            return httpx2.Response(
                200, json=body | {"data": [twisted(batch) for batch in reversed(body["data"])][::-1]}
            )
        return httpx2.Response(200, json=twisted(body)) if "status" in body else response

    return twist


def listed(*errors: Json) -> Json:
    """The provider's list of a batch's errors."""
    return {"object": "list", "data": list(errors)}


def error(code: str | None, message: str | None, line: int | None = None) -> Json:
    """One entry of it."""
    return {"code": code, "message": message, "line": line, "param": None}


UNEXPLAINED = "The batch failed before it ran: the provider gave neither a code nor a message."


@pytest.mark.parametrize(
    "errors",
    [None, [], {}, listed(), listed(error(None, None)), listed(error("server_error", "The server had an error.")),
     listed(error(None, "Please try again.")), "no"],
)  # fmt: skip
def test_nothing_ran_so_it_is_tried_afresh(errors: object) -> None:
    """Without an error, with null ones, or with the server's own: another batch answers all, and none is paid twice."""
    world = World()
    world.tap.twists.append(failing(errors))
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)

    ended = world.run(job)

    assert (ended.event, ended.succeeded, world.tap.creates) == ("completed", 3, 2)
    assert {outcome["attempts"] for outcome in outcomes(world, job)} == {2}


@pytest.mark.parametrize(
    ("errors", "code", "words"),
    [
        (None, "batch_failed", UNEXPLAINED),
        (listed(error(None, None)), "batch_failed", UNEXPLAINED),
        (listed(error("server_error", "Ours.")), "server_error", "The batch failed before it ran: Ours."),
        (listed(error("server_error", None)), "server_error", "The batch failed before it ran: the provider gave no message."),
    ],
)  # fmt: skip
def test_a_batch_that_always_fails_ends_at_the_cap_with_what_is_known(errors: object, code: str, words: str) -> None:
    """Three attempts, and then its items fail with words that are never empty."""
    world = World()
    world.tap.twists.append(failing(errors, times=100))
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)

    ended = world.run(job)

    assert (ended.event, ended.failed, world.tap.creates) == ("completed_with_failures", 3, 3)
    for outcome in outcomes(world, job):
        assert outcome["error"]["code"] == code
        assert outcome["error"]["message"] == f"{words} It was sent 3 times; the cap is 3."


def outcomes(world: World, job: str) -> list[dict[str, Any]]:
    """The job's outcomes."""
    return [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]


def full(stated: str) -> Json:
    """A queue that is full, in Azure's wording."""
    return listed(
        error("token_limit_exceeded", f"The enqueued token limit of {stated} for this deployment is reached.")
    )


def test_a_limit_in_thousands_fails_nothing() -> None:
    """Read as 30 tokens it would fail every request for good; it is 30,000, and the batch goes when there is quota."""
    world = World(limits=Limits(first_shard_tokens=500))
    world.tap.twists.append(failing(full("30K"), times=2))
    job = world.drop("inbox/one.jsonl", line(words=200))

    ended = world.run(job, ticks_max=400)

    assert (ended.event, ended.succeeded) == ("completed", 1)


def test_a_limit_far_below_what_was_taken_before_fails_nothing() -> None:
    """However it was misread or mistaken: the provider took a hundred times as much, so the request is asked again for a day."""
    world = World()
    quota = world.ledger.quota(account_of(world.providers.base_url), MODEL)
    world.ledger.write(LedgerChange((), (QuotaWrite(quota, QuotaEstimate(limit=100_000, high_water=0, most=90_000)),)))
    world.tap.twists.append(failing(full("30"), times=6))
    job = world.drop("inbox/one.jsonl", line(words=200))

    ended = world.run(job, ticks_max=400, seconds=HOUR // 4)

    assert (ended.event, ended.succeeded) == ("completed", 1)


def test_a_lone_request_that_a_stated_limit_cannot_hold_still_fails_at_once() -> None:
    """Nothing was ever taken that would speak against it."""
    world = World(behaviour=CALM)
    world.tap.twists.append(failing(full("30"), times=6))
    job = world.drop("inbox/one.jsonl", line(words=200))

    ended = world.run(job, ticks_max=10)

    assert (ended.event, ended.failed) == ("completed_with_failures", 1)
    assert b"the provider takes 30 at a time" in world.result(job, "outcomes.jsonl")


def line(words: int) -> bytes:
    """A lone request of so many words."""
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "word " * words}]}).encode()
