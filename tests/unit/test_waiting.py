"""A job that waits for a person: one notice for each job and cause, which survives crashes; none for ordinary room."""

import json
from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest
from fakes.world import World

from batchdrop.core.ledger_rows import Group, Job, JobState, Reason, Shard, ShardState, Wait
from batchdrop.core.limits import HOUR, MINUTE, Limits
from batchdrop.core.waiting import KEY_MISSING, WAITS_MAX, cause_of, jobs_to_send, owed, told, turn_waited_for, waits
from batchdrop.flow.ports import Notice
from openai_batch_simulator.behaviour import CALM

DROP = b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Say yes."}]}\n' * 3
WORDS = "Incorrect API key provided: sk-canary."

type Answer = Callable[[httpx2.Request], httpx2.Response | None]


@pytest.fixture
def world() -> World:
    """A world whose batches take an hour."""
    return World(behaviour=replace(CALM, run_seconds=HOUR))


def refusing(status: int, code: str, path: str = "/v1/batches") -> Answer:
    """Refuse every create, or every call below another *path*."""
    body = {"error": {"message": WORDS, "code": code}}
    headers = {"x-should-retry": "false"}

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        is_meant = request.url.path.startswith(path) and (path != "/v1/batches" or request.method == "POST")
        return httpx2.Response(status, json=body, headers=headers) if is_meant else None

    return answer


def published(world: World) -> list[str]:
    """The ids of what was published, copies and all, without the job."""
    return [json.loads(notice.json)["id"].partition("/")[2] for notice in world.notices.published]


def hours(world: World, count: int) -> None:
    """Tick for some hours, five minutes apart."""
    for _ in range(count * 12):
        world.tick(5 * MINUTE)


def test_without_a_key_each_job_says_so_once(world: World) -> None:
    """However long it lasts; then it goes on, and says that it is done."""
    world.providers.key = None
    jobs = [world.drop(f"inbox/{number}.jsonl", DROP) for number in range(2)]

    hours(world, 10)
    waiting, status = published(world), json.loads(world.result(jobs[0], "status.json"))
    world.providers.key = "sk-test"
    for job in jobs:
        world.run(job)

    assert waiting == ["waiting/1"] * 2
    assert status["waiting"]["for"] == "key"
    assert published(world) == ["waiting/1"] * 2 + ["completed"] * 2
    assert json.loads(world.result(jobs[0], "status.json"))["waiting"] is None


def test_each_cause_is_told_once(world: World) -> None:
    """A revoked key, then no money, then the key again: two notices, numbered."""
    job = world.drop("inbox/first.jsonl", DROP.replace(b"yes", b"no"))
    world.run(job)
    world.tap.answers.append(refusing(401, "invalid_api_key"))
    job = world.drop("inbox/three.jsonl", DROP)
    hours(world, 2)
    world.tap.answers[:] = [refusing(429, "insufficient_quota")]
    hours(world, 2)
    status = json.loads(world.result(job, "status.json"))
    world.tap.answers[:] = [refusing(401, "invalid_api_key")]
    hours(world, 2)
    world.tap.answers.clear()
    world.run(job)

    assert published(world) == ["completed", "waiting/1", "waiting/2", "completed"]
    codes = [json.loads(notice.json)["reason"]["code"] for notice in world.notices.published[1:3]]
    assert codes == ["invalid_api_key", "insufficient_quota"]
    assert status["waiting"]["for"] == "account"
    assert not world.charged_twice()


def test_a_key_that_is_revoked_while_batches_run_is_told(world: World) -> None:
    """The answers cannot be fetched."""
    job = world.drop("inbox/three.jsonl", DROP)
    world.tap.answers.append(refusing(401, "invalid_api_key", "/v1/"))
    hours(world, 3)
    world.tap.answers.clear()
    world.run(job)

    assert published(world) == ["waiting/1", "completed"]


def test_a_job_that_has_everything_at_the_provider_does_not_wait_for_money(world: World) -> None:
    """Another job's create found the account empty; what runs is paid for already."""
    running = world.drop("inbox/running.jsonl", DROP)
    world.tap.answers.append(refusing(429, "insufficient_quota"))
    waiting = world.drop("inbox/waiting.jsonl", DROP.replace(b"yes", b"no"))

    hours(world, 1)

    assert [notice.attributes["job"] for notice in world.notices.published] == [waiting]
    assert world.run(running).event == "completed"


def test_ordinary_room_is_no_cause() -> None:
    """It comes by itself."""
    limits = Limits(chunk_lines_max=1, shard_requests_max=1, room_tokens_per_model=30)
    world = World(behaviour=replace(CALM, run_seconds=HOUR), limits=limits)

    job = world.drop("inbox/three.jsonl", DROP)
    world.run(job, seconds=5 * MINUTE, ticks_max=400)

    assert published(world) == ["completed"]


def test_a_provider_that_fails_is_no_cause(world: World) -> None:
    """Nobody here can put that right."""
    world.tap.answers.append(refusing(503, "", "/v1/"))
    job = world.drop("inbox/three.jsonl", DROP)
    hours(world, 2)
    world.tap.answers.clear()
    world.run(job, ticks_max=400)

    assert published(world) == ["completed"]


def test_neither_the_key_nor_the_providers_words_are_repeated(world: World) -> None:
    """They may quote a part of the key."""
    world.tap.answers.append(refusing(401, "invalid_api_key"))

    world.drop("inbox/three.jsonl", DROP)
    hours(world, 1)

    assert len(world.notices.published) == 1
    assert "canary" not in repr(world.notices.published) + repr(world.log.lines)


def test_a_notice_that_could_not_be_published_is_owed(world: World) -> None:
    """The topic is down for an hour: it is published when it is back."""
    publish = world.notices.publish

    def fail(notice: Notice) -> None:
        raise OSError(f"no topic for {notice.subject}")

    world.notices.publish = fail  # type: ignore[method-assign]  # the topic is down
    world.providers.key = None
    world.drop("inbox/three.jsonl", DROP)
    for _ in range(12):
        world.advance(5 * MINUTE)
        try:
            world.tick(0)
        except OSError:
            world.hints.completes.clear()
    world.notices.publish = publish  # type: ignore[method-assign]  # and up again

    hours(world, 1)

    assert published(world) == ["waiting/1"]


def test_a_crash_after_publishing_sends_a_copy_with_the_same_id(world: World) -> None:
    """At least once, as every notice."""
    publish = world.notices.publish

    def publish_and_die(notice: Notice) -> None:
        publish(notice)
        world.notices.publish = publish  # type: ignore[method-assign]  # only once
        raise KeyboardInterrupt

    world.notices.publish = publish_and_die  # type: ignore[method-assign]  # the process dies after the call
    world.providers.key = None
    world.drop("inbox/three.jsonl", DROP)
    with pytest.raises(KeyboardInterrupt):
        hours(world, 1)
    world.hints.completes.clear()

    hours(world, 1)

    assert published(world) == ["waiting/1", "waiting/1"]


JOB = Job(id="j", bucket="b", key="inbox/k", version="v", created_at=1, state=JobState.RUNNING)
QUOTA = Reason("insufficient_quota", "No.")


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.RUNNING])
def test_only_a_running_job_waits(state: JobState) -> None:
    """Planning needs no key, and what ends has no use for it."""
    job = replace(JOB, state=state, waits=(Wait(QUOTA),))

    assert waits(job, KEY_MISSING, 9, is_to_send=True) == job
    assert owed(job) == {}


def test_a_cancelled_job_owes_nothing() -> None:
    """Nobody should put anything right for it."""
    job = replace(JOB, cancelled_at=5, waits=(Wait(QUOTA),))

    assert waits(job, KEY_MISSING, 9, is_to_send=True) == job
    assert owed(job) == {}


def test_waiting_for_something_else_is_left_alone() -> None:
    """Room is noted by those who look for it."""
    job = replace(JOB, waiting_for="room", waiting_since=5)

    assert waits(job, None, 9, is_to_send=True) == job


RESTING = Shard(job="j", number=1, account="a", endpoint="e", model="m", group=0, attempt=2, due_at=60)


@pytest.mark.parametrize(
    ("job", "waiting", "now", "expected"),
    [
        (JOB, (), 9, ""),
        (JOB, (RESTING,), 9, "next attempt"),
        (JOB, (RESTING,), 60, "room"),  # it is due and was not let in
        (JOB, (RESTING, replace(RESTING, due_at=0)), 9, "room"),
        (JOB, (replace(RESTING, attempt=1),), 9, "room"),
        (JOB, (replace(RESTING, refused_count=1),), 9, "room"),  # others fill the provider's queue
        (replace(JOB, groups=(Group("e", "m", lines=5, cut_lines=3),)), (RESTING,), 9, "room"),
        (replace(JOB, waiting_for="next attempt"), (RESTING,), 60, "room"),
        (replace(JOB, waiting_for="room"), (RESTING,), 9, "room"),
        (replace(JOB, waiting_for="key"), (RESTING,), 9, "key"),
        (replace(JOB, cancelled_at=5), (RESTING,), 9, ""),
    ],
)
def test_a_next_attempt_is_not_waited_for_as_room(
    job: Job, waiting: tuple[Shard, ...], now: int, expected: str
) -> None:
    """A shard that is not due would not be let in however much room there were."""
    assert turn_waited_for(job, waiting, now) == expected


def test_the_causes_of_a_job_are_bounded() -> None:
    """Codes are the provider's: a new one each time must not fill the row."""
    job = JOB
    for number in range(3 * WAITS_MAX):
        job = waits(job, Reason(f"code_{number}", "x"), 9, is_to_send=True)

    assert len(job.waits) == WAITS_MAX


def test_what_is_told_is_owed_no_more() -> None:
    """Each by its number."""
    job = replace(JOB, waits=(Wait(QUOTA), Wait(KEY_MISSING)))

    assert list(owed(job)) == [1, 2]
    assert list(owed(told(job, 1))) == [2]
    assert list(owed(told(told(job, 1), 2))) == []


def test_a_cause_is_said_in_our_words() -> None:
    """The provider's code is kept; without a key its circuit does not matter."""
    assert cause_of(None, is_key_there=True) is None
    assert cause_of(Reason("http_403", WORDS), is_key_there=False) == KEY_MISSING
    for code in ("http_403", "insufficient_quota"):
        said = cause_of(Reason(code, WORDS), is_key_there=True)
        assert said is not None
        assert (said.code, "canary" in said.message) == (code, False)


@pytest.mark.parametrize("state", list(ShardState))
def test_a_job_has_something_to_send_while_a_shard_is_on_its_way(state: ShardState) -> None:
    """Not any more once the create may have been made."""
    shard = Shard(job="j", number=0, account="a", endpoint="e", model="m", group=0, state=state)

    assert bool(jobs_to_send([JOB], [shard])) == (state in {"WAITING", "RESERVED", "UPLOADED"})
