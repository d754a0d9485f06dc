"""Create once, on the wire: each answer that a create call may get, and what it costs.

The flows are the production code, the adapter is the real one, and what is posted is counted on its transport. The
simulator's ledger says what was paid.
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest
from fakes.tasks import THREE_TIMES_YES
from fakes.world import World

from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.flow import poll, submit
from openai_batch_simulator.account.behaviour import CALM

S = ShardState
LIMITS = Limits()
CREATE = "/v1/batches"

type Answer = Callable[[httpx2.Request], httpx2.Response | None]


def error(
    status: int, code: str | None = None, message: str = "no", headers: dict[str, str] | None = None
) -> httpx2.Response:
    """An error as the provider words it."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return httpx2.Response(status, json=body, headers=headers)


def to_creates(respond: Callable[[httpx2.Request], httpx2.Response], times: int = 1) -> Answer:
    """Answer the next *times* creates by *respond*; the simulator does not see them."""
    left = [times]

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if request.method != "POST" or request.url.path != CREATE or not left[0]:
            return None
        left[0] -= 1
        return respond(request)

    return answer


def disconnected(request: httpx2.Request) -> httpx2.Response:
    """Close the connection instead of answering."""
    raise httpx2.RemoteProtocolError("Server disconnected without sending a response.", request=request)


def timed_out(request: httpx2.Request) -> httpx2.Response:
    """Answer too late."""
    raise httpx2.ReadTimeout("The read operation timed out", request=request)


@pytest.fixture
def world() -> World:
    """A world whose provider is calm."""
    return World()


def assert_paid_once(world: World, job: str) -> None:
    """Every item succeeded, was paid, and was paid once."""
    ended = world.job(job)
    assert (ended.event, ended.succeeded, ended.failed) == ("completed", 3, 0)
    assert not world.charged_twice()
    assert sum(1 for _ in world.simulator.ledger.charges()) == 3


def test_a_drop_is_one_post(world: World) -> None:
    """The usual way costs one create, made in the invocation that took the drop."""
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)

    assert world.shard(job).state is S.RUNNING
    world.run(job)

    assert world.tap.creates == 1
    assert_paid_once(world, job)


@pytest.mark.parametrize("place", ["http://second.invalid/v1", "http://simulator.invalid/other/v1"])
def test_a_file_at_another_base_url_is_uploaded_again(world: World, place: str) -> None:
    """The key is the same, and so is its fingerprint: a create names no file that lies elsewhere."""
    world.clock.remaining = LIMITS.create_timeout_seconds  # too little for a create
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    before, creates = world.shard(job), list[tuple[str, str]]()
    assert (before.state, before.base_url, world.tap.creates) == (S.UPLOADED, "http://simulator.invalid/v1", 0)
    world.clock.remaining = 900.0

    def note(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "POST" and request.url.path.endswith("/batches"):
            creates.append((request.url.host, json.loads(request.read())["input_file_id"]))
        if request.url.path.startswith("/other"):
            request.url = request.url.copy_with(path=request.url.path.removeprefix("/other"))
        return None

    world.tap.answers.append(note)
    world.providers.base_url = place
    world.tick()
    world.tick()
    after = world.shard(job)

    assert (after.state, after.base_url, after.fingerprint) == (S.RUNNING, place, before.fingerprint)
    assert creates == [(httpx2.URL(place).host, after.attempt.file.id)]
    assert after.attempt.file.id != before.attempt.file.id
    world.run(job)
    assert_paid_once(world, job)


def test_a_second_event_for_the_same_version_changes_nothing(world: World) -> None:
    """A redelivered event is the same job."""
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    rows = dict(world.ledger.rows)
    upload = world.storage.drop("inbox/three.jsonl", THREE_TIMES_YES, version=world.job(job).version)

    submit.handle_upload(world.ports(), LIMITS, upload)

    assert world.ledger.rows == rows
    assert world.tap.creates == 1


@pytest.mark.parametrize(
    ("fault", "value"),
    [
        ("dropped_after", None),
        ("failed_after", 500),
        ("failed_after", 408),
        ("failed_after", 409),
        ("failed_after", 503),
        ("redirected", None),
        ("garbled", None),
        ("delayed", 700),
    ],
)
def test_a_batch_whose_answer_was_lost_is_adopted(world: World, fault: str, value: float | None) -> None:
    """The call took effect but nobody said so: the list shows the ticket, and the batch is taken."""
    world.simulator.faults.switch(fault, value=value, times=1)

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    assert (world.tap.creates, world.shard(job).state) == (1, S.CREATING)
    world.run(job)

    assert world.tap.creates == 1
    assert_paid_once(world, job)


def test_a_list_that_shows_a_failed_batch_as_alive_hides_no_create(world: World) -> None:
    """The batch of an earlier try, refused for want of quota, is adopted by mistake; the uncertain create is found behind it."""
    world.simulator.faults.switch("queue_full", times=1)
    world.simulator.faults.switch("dropped_after", times=1, skip=1)
    job = world.drop("inbox/one.jsonl", THREE_TIMES_YES.splitlines()[0])
    for _ in range(20):
        if world.shard(job).state is not S.CREATING:
            world.tick()
    first, second = world.shard(job).attempt.tickets
    world.simulator.faults.switch("list_lags", value=90, times=1)  # behind the second batch
    world.simulator.faults.switch("unknown_status", times=1)  # of the first

    world.tick()
    mistaken = world.shard(job)
    world.run(job)

    shown = {batch.id: (batch.metadata or {})["ticket"] for batch in world.simulator.account.batches.values()}
    assert (mistaken.state, mistaken.attempt.ticket, shown[mistaken.attempt.batch]) == (S.RUNNING, second, first)
    assert (world.tap.creates, world.job(job).event, world.job(job).succeeded) == (2, "completed", 1)
    assert [charge.charged for charge in world.simulator.ledger.charges()] == [True]


@pytest.mark.parametrize(
    "respond", [disconnected, timed_out, lambda _: error(500), lambda _: httpx2.Response(200, text="<html>")]
)
def test_a_create_that_took_no_effect_is_fenced_before_another(
    world: World, respond: Callable[[httpx2.Request], httpx2.Response]
) -> None:
    """Nothing is listed: after the grace the file is deleted, after the wait a new file is sent. Never sooner."""
    world.tap.answers.append(to_creates(respond))
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    began = world.clock.now()
    first_file = world.shard(job).attempt.file.id

    while world.tap.creates == 1:
        world.tick()
    waited = world.clock.now() - began

    assert (
        LIMITS.grace_seconds + LIMITS.fence_wait_seconds
        <= waited
        <= LIMITS.grace_seconds + LIMITS.fence_wait_seconds + 6 * MINUTE
    )
    assert world.shard(job).attempt.file.id != first_file
    assert world.tap.counts[f"DELETE /v1/files/{first_file}"] == 1
    world.run(job)
    assert world.tap.creates == 2
    assert_paid_once(world, job)


def test_a_create_that_takes_effect_late_is_adopted(world: World) -> None:
    """The connection broke, the call came through minutes later, within the grace."""
    world.simulator.faults.switch("accepted_late", value=10 * MINUTE, times=1)

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    world.run(job)

    assert world.tap.creates == 1
    assert_paid_once(world, job)


def test_a_create_that_takes_effect_after_the_fence_runs_nothing(world: World) -> None:
    """Its input file is gone: the late batch fails, the new one is the only one that is paid."""
    world.simulator.faults.switch("accepted_late", value=LIMITS.grace_seconds + 5 * MINUTE, times=1)

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    world.run(job)
    world.advance(DAY)

    assert world.tap.creates == 2
    assert_paid_once(world, job)


def test_a_file_that_is_not_visible_yet_is_not_taken_for_deleted() -> None:
    """A 404 to its deletion soon after the upload proves nothing: however short the grace, the fence waits until it does."""
    world = World(limits=Limits(grace_seconds=2 * MINUTE))
    world.simulator.faults.switch("file_unseen", value=10 * MINUTE, times=1)
    world.simulator.faults.switch("accepted_late", value=2 * HOUR, times=1)

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    world.run(job)
    world.advance(DAY)

    assert_paid_once(world, job)


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (error(400, "invalid_endpoint", "no such endpoint"), "invalid_endpoint"),
        (error(413, "file_too_large", "too large"), "file_too_large"),
        (error(422, "unprocessable", "no"), "unprocessable"),
    ],
)
def test_a_definite_refusal_fails_the_items_and_is_not_repeated(
    world: World, response: httpx2.Response, code: str
) -> None:
    """What the provider will never take is not sent again; the notification says why."""
    world.tap.answers.append(to_creates(lambda _: response))

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    ended = world.run(job)

    assert (ended.event, ended.failed, world.tap.creates) == ("completed_with_failures", 3, 1)
    assert code in world.notifications.published[0].json
    assert not list(world.simulator.ledger.charges())


@pytest.mark.parametrize(
    ("response", "circuit_opens"),
    [
        (error(429, "rate_limit_exceeded", headers={"retry-after": "1"}), False),
        (error(429, "insufficient_quota"), True),
        (error(401, "invalid_api_key"), True),
        (error(403, None), True),
        (error(400, "billing_hard_limit_reached"), True),
    ],
)
def test_being_turned_away_is_not_uncertain(world: World, response: httpx2.Response, circuit_opens: bool) -> None:  # noqa: FBT001 - a column
    """No batch exists: the same file goes again later under a new ticket, without grace or fence."""
    world.tap.answers.append(to_creates(lambda _: response))

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    turned = world.shard(job)
    assert (turned.state, turned.attempt.uncertain, turned.attempt.try_number) == (S.UPLOADED, 0, 2)
    install = world.ledger.install()
    assert install is not None
    assert bool(install.circuits) == circuit_opens
    began = world.clock.now()
    world.run(job)

    assert world.tap.creates == 2
    assert world.tap.counts["POST /v1/files"] == 1
    assert world.clock.now() - began < LIMITS.grace_seconds
    assert_paid_once(world, job)


@pytest.mark.parametrize(
    "broken", [httpx2.ConnectError("refused"), httpx2.ConnectTimeout("x"), httpx2.PoolTimeout("x")]
)
def test_a_create_that_was_never_sent_goes_again_in_a_minute(world: World, broken: Exception) -> None:
    """The connection was not made, so nothing is uncertain: the same file, without grace, fence or new upload."""

    def unreachable(_: httpx2.Request) -> httpx2.Response:
        raise broken

    world.tap.answers.append(to_creates(unreachable, times=2))

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    turned = world.shard(job)
    assert (turned.state, turned.attempt.uncertain, turned.attempt.try_number) == (S.UPLOADED, 0, 2)
    began = world.clock.now()
    world.run(job)

    assert (world.tap.creates, world.tap.counts["POST /v1/files"]) == (3, 1)
    assert world.clock.now() - began < 15 * MINUTE
    assert_paid_once(world, job)


def test_an_open_circuit_lets_one_call_probe_for_all(world: World) -> None:
    """While the key is refused, jobs wait without calling; when it is right again all go on by themselves."""
    world.tap.answers.append(to_creates(lambda _: error(401, "invalid_api_key"), times=3))

    jobs = [world.drop(f"inbox/{number}.jsonl", THREE_TIMES_YES.replace(b"yes", b"%d" % number)) for number in range(5)]
    creates_at_first = world.tap.creates
    for _ in range(4):
        world.tick()
    creates_while_open = world.tap.creates
    for job in jobs:
        world.run(job)

    assert (creates_at_first, creates_while_open) == (1, 1)
    assert all(world.job(job).event == "completed" for job in jobs)
    assert world.tap.creates == 5 + 3
    assert not world.charged_twice()


def test_a_fresh_file_that_cannot_be_found_is_asked_for_again(world: World) -> None:
    """Within a quarter of an hour of its upload the same file is tried again, a minute apart."""
    world.tap.answers.append(to_creates(lambda _: error(400, "invalid_request", "Cannot find file."), times=2))

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    world.run(job)

    assert (world.tap.creates, world.tap.counts["POST /v1/files"]) == (3, 1)
    assert_paid_once(world, job)


def test_a_file_that_is_gone_is_uploaded_again(world: World) -> None:
    """A 404 is definite: a new file and a new ticket, and no uncertain create is counted."""
    world.tap.answers.append(to_creates(lambda _: error(404, None, "not found")))

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    assert (world.shard(job).state, world.shard(job).attempt.uncertain) == (S.RESERVED, 0)
    world.run(job)

    assert (world.tap.creates, world.tap.counts["POST /v1/files"]) == (2, 2)
    assert_paid_once(world, job)


def test_five_uncertain_creates_park_the_shard_and_an_outage_ends_by_itself(world: World) -> None:
    """Creates fail for a day while everything else works: one try an hour, no quota held, and then it goes on."""
    world.tap.answers.append(to_creates(lambda _: error(503), times=10))
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)

    while world.shard(job).state is not S.PARKED:
        world.tick(5 * MINUTE)
    parked, creates = world.shard(job), world.tap.creates
    assert (parked.attempt.uncertain, parked.quota_tokens, creates) == (5, 0, 5)
    assert world.ledger.quota(parked.account, parked.model).used == 0
    world.run(job, seconds=5 * MINUTE, ticks_max=400)

    assert world.tap.creates == 11
    assert_paid_once(world, job)


def test_a_provider_that_never_says_ends_after_a_week(world: World) -> None:
    """The items fail as `submission_unknown`, nothing is paid, and the notification says so."""
    world.tap.answers.append(to_creates(lambda _: error(503), times=10_000))

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    ended = world.run(job, seconds=HOUR, ticks_max=400)

    assert (ended.event, ended.failed) == ("completed_with_failures", 3)
    assert b'"submission_unknown"' in world.result(job, "outcomes.jsonl")
    assert world.tap.creates < 200


def test_a_fence_that_nobody_confirms_lets_no_new_try_begin(world: World) -> None:
    """Deletions fail for a day: the shard is parked unfenced, and only a batch in the list may bring it back."""

    def undeletable(request: httpx2.Request) -> httpx2.Response | None:
        # Without the header the SDK would sleep between its own tries, in real time.
        return error(500, headers={"x-should-retry": "false"}) if request.method == "DELETE" else None

    world.tap.answers += [to_creates(disconnected), undeletable]
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    while world.shard(job).state is not S.PARKED:
        world.tick(10 * MINUTE)

    for _ in range(48):
        world.tick(HOUR)

    assert (world.shard(job).attempt.is_unfenced, world.tap.creates) == (True, 1)


def test_a_busy_project_does_not_hold_up_an_uncertain_create() -> None:
    """More batches than a tick may list lie between it and an older shard: what is newer than its intent is enough."""
    world = World(limits=Limits(list_pages_max=1), behaviour=replace(CALM, run_seconds=12 * HOUR))
    old = world.drop("inbox/old.jsonl", THREE_TIMES_YES)
    shard, provider = world.shard(old), world.providers.open()
    world.advance(HOUR)
    for _ in range(150):
        provider.create_batch(file=shard.attempt.file.id, endpoint=shard.endpoint, metadata={"whose": "another's"})
    world.advance(HOUR)
    world.tap.answers.append(to_creates(disconnected))

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES.replace(b"yes", b"no"))
    for _ in range(60):
        world.tick()

    assert (world.shard(old).state, world.shard(job).state, world.shard(job).attempt.uncertain) == (
        S.RUNNING,
        S.RUNNING,
        1,
    )


def test_a_list_without_order_that_does_not_end_fences_nothing() -> None:
    """What it does not show may be on a page that was not read."""
    world = World(limits=Limits(list_pages_max=1))
    world.simulator.faults.switch("list_reordered")
    first = world.drop("inbox/first.jsonl", THREE_TIMES_YES.replace(b"yes", b"no"))
    world.run(first)
    provider = world.providers.open()
    file = provider.upload_input("another.jsonl", io.BytesIO(THREE_TIMES_YES), DAY)
    for _ in range(150):
        world.advance(1)
        provider.create_batch(file=file, endpoint="/v1/chat/completions", metadata={"whose": "another's"})
    world.tap.answers.append(to_creates(disconnected))

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    for _ in range(60):
        world.tick()

    assert (world.shard(job).state, world.tap.counts[f"DELETE /v1/files/{world.shard(job).attempt.file.id}"]) == (
        S.CREATING,
        0,
    )


@pytest.mark.parametrize(
    "created_at", ["1800000000000", "253402300800", "9" * 5_000, "-1", "null", "true", '"10000-01-01T00:00:00Z"']
)
def test_a_list_whose_times_cannot_be_read_shows_no_age(created_at: str) -> None:
    """In thousandths, beyond the year 9999, or none: all pages are read, the batch is found, and none is paid twice."""
    world = World(behaviour=replace(CALM, run_seconds=3 * HOUR))
    world.simulator.faults.switch("dropped_after", times=1)

    def small_pages(request: httpx2.Request) -> None:
        if "limit" in request.url.params:
            request.url = request.url.copy_set_param("limit", "1")

    def odd_times(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if (request.method, request.url.path) != ("GET", CREATE):
            return response
        return httpx2.Response(
            200, content=re.sub(rb'"created_at": ?\d+', f'"created_at":{created_at}'.encode(), response.read())
        )

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    provider = world.providers.open()
    file = provider.upload_input("another.jsonl", io.BytesIO(THREE_TIMES_YES.replace(b"yes", b"no")), DAY)
    for _ in range(3):
        provider.create_batch(file=file, endpoint="/v1/chat/completions", metadata={"whose": "another's"})
    world.tap.answers.append(small_pages)
    world.tap.twists.append(odd_times)
    creates = world.tap.creates
    ended = world.run(job)

    assert (ended.event, world.tap.creates - creates) == ("completed", 0)
    assert world.shard(job).batches


def test_the_intent_is_written_before_the_call(world: World) -> None:
    """At the moment of the POST the ledger already says CREATING under the ticket that travels."""
    seen = []

    def look(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "POST" and request.url.path == CREATE:
            row = next(row for row in world.ledger.rows.values() if isinstance(row, Shard))
            seen.append((row.state, row.attempt.ticket.encode() in request.read()))
        return None

    world.tap.answers.append(look)
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)

    assert seen == [(S.CREATING, True)]
    assert world.shard(job).state is S.RUNNING


def test_without_time_for_the_answer_no_call_is_made(world: World) -> None:
    """A function about to be stopped leaves the create to the next one."""
    world.clock.remaining = LIMITS.create_timeout_seconds + LIMITS.create_margin_seconds - 1

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    assert (world.tap.creates, world.shard(job).state) == (0, S.UPLOADED)
    world.clock.remaining = 900
    world.run(job)

    assert_paid_once(world, job)


def test_two_workers_make_one_create(world: World) -> None:
    """A wake-up message that comes twice finds the other's intent and stops."""
    world.providers.key = None
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    world.providers.key = "sk-test"
    world.advance(60)

    poll.tick(world.ports(), LIMITS)
    world.wakeups.submits *= 2
    world.deliver()
    world.run(job)

    assert world.tap.creates == 1
    assert_paid_once(world, job)


def test_without_a_key_everything_waits(world: World) -> None:
    """No value in the secret: the drop is planned, nothing is called, and it goes on when the key comes."""
    world.providers.key = None
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    for _ in range(30):
        world.tick()
    assert (world.tap.counts, world.job(job).items) == ({}, 3)

    world.providers.key = "sk-test"
    world.run(job)

    assert_paid_once(world, job)


def test_a_key_rotated_within_the_project_changes_nothing() -> None:
    """The new key sees the old key's batch: that proves the project, and the answers are taken."""
    world = World(behaviour=replace(CALM, projects={"sk-test": "p", "sk-new": "p"}))
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)

    world.providers.key = "sk-new"
    world.run(job)

    assert world.tap.creates == 1
    assert_paid_once(world, job)


def test_a_key_of_another_project_resends_nothing() -> None:
    """What it does not see means nothing: the shard waits, and after a week its items fail as unreachable."""
    world = World(behaviour=replace(CALM, projects={"sk-test": "p", "sk-other": "q"}))
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)

    world.providers.key = "sk-other"
    ended = world.run(job, seconds=HOUR, ticks_max=400)

    assert (ended.failed, world.tap.creates) == (3, 1)
    assert b'"unreachable"' in world.result(job, "outcomes.jsonl")
    assert not world.charged_twice()


def test_an_uncertain_create_under_another_key_waits_for_the_right_one() -> None:
    """An empty list under an unproved key is no proof that there is no batch."""
    world = World(behaviour=replace(CALM, projects={"sk-test": "p", "sk-other": "q"}))
    world.simulator.faults.switch("dropped_after", times=1)
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)

    world.providers.key = "sk-other"
    for _ in range(10):
        world.tick(HOUR)
    assert (world.tap.creates, world.shard(job).state) == (1, S.CREATING)
    world.providers.key = "sk-test"
    world.run(job, seconds=HOUR)

    assert world.tap.creates == 1
    assert_paid_once(world, job)


# ------------------------------------------------------------------ where nothing is known to stop a create


@pytest.fixture
def unfenced() -> World:
    """A world whose provider is of a kind that nobody told what a deleted file does."""
    return World(dialect="cautious")


def deletions(world: World) -> int:
    """How many files were deleted."""
    return sum(count for call, count in world.tap.counts.items() if call.startswith("DELETE"))


def test_an_uncertain_create_is_parked_where_no_fence_is_known(unfenced: World) -> None:
    """Its file stays, nothing is sent again, the owner is told once, and after a week its items fail."""
    unfenced.tap.answers.append(to_creates(disconnected, times=100))
    job = unfenced.drop("inbox/three.jsonl", THREE_TIMES_YES)

    for _ in range(60):
        unfenced.tick(MINUTE)

    parked = unfenced.shard(job)
    assert (parked.state, parked.attempt.is_unfenced, bool(parked.attempt.file.id)) == (S.PARKED, True, True)
    assert (unfenced.tap.creates, deletions(unfenced)) == (1, 0)
    told = [json.loads(notification.json) for notification in unfenced.notifications.published]
    assert [(notification["event"], notification["reason"]["code"]) for notification in told] == [
        ("waiting", "submission_unknown")
    ]
    ended = unfenced.run(job, ticks_max=10_000, seconds=HOUR)
    assert (ended.event, ended.failed, unfenced.tap.creates) == ("completed_with_failures", 3, 1)
    assert b"submission_unknown" in unfenced.result(job, "outcomes.jsonl")


def test_a_batch_that_comes_late_is_collected_although_it_was_parked(unfenced: World) -> None:
    """The provider took it after all, days later: it is adopted, paid once, and delivered."""
    unfenced.simulator.faults.switch("accepted_late", value=2 * DAY, times=1)
    job = unfenced.drop("inbox/three.jsonl", THREE_TIMES_YES)

    for _ in range(60):
        unfenced.tick(MINUTE)
    assert unfenced.shard(job).state is S.PARKED
    unfenced.run(job, ticks_max=10_000, seconds=HOUR)

    assert_paid_once(unfenced, job)


def test_a_definite_answer_needs_no_fence(unfenced: World) -> None:
    """A create that was refused, or never sent, is made again: only what may have been taken is parked."""
    unfenced.tap.answers.append(to_creates(lambda _: error(429), times=2))
    job = unfenced.drop("inbox/three.jsonl", THREE_TIMES_YES)

    unfenced.run(job)

    assert_paid_once(unfenced, job)
    assert unfenced.tap.creates == 3
