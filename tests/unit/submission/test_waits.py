"""A job that waits for a person: one notification for each job and cause, which survives crashes; none for ordinary quota."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest
from fakes.shards import changed, new_shard
from fakes.tasks import THREE_TIMES_YES
from fakes.world import World

from batchdrop.core.model.install import Asked, Circuit, Install
from batchdrop.core.model.job import Group, Job, JobState, JobWait
from batchdrop.core.model.limits import HOUR, MINUTE, Limits
from batchdrop.core.model.reasons import Reason, Wait, WaitingFor
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.model.wording import provider_words
from batchdrop.core.submission.common_waits import PAST_WAITS_MAX, Cause, after_cause, cause_of, concerns, waiting_jobs
from batchdrop.core.submission.waits import owed, told, turn_waited_for
from batchdrop.flow.ports import Notification
from openai_batch_simulator.account.behaviour import CALM

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
    return [
        re.sub(r"^[0-9a-f]{20}/", "", json.loads(notification.json)["id"])
        for notification in world.notifications.published
    ]


def hours(world: World, count: int) -> None:
    """Tick for some hours, five minutes apart."""
    for _ in range(count * 12):
        world.tick(5 * MINUTE)


def test_without_a_key_one_notification_serves_all_jobs(world: World) -> None:
    """However long it lasts; each status says so; then all go on, and each says that it is done."""
    world.providers.key = None
    jobs = [world.drop(f"inbox/{number}.jsonl", THREE_TIMES_YES) for number in range(2)]

    hours(world, 10)
    waiting, notification = published(world), json.loads(world.notifications.published[0].json)
    statuses = [json.loads(world.result(job, "status.json")) for job in jobs]
    world.providers.key = "sk-test"
    for job in jobs:
        world.run(job)

    assert waiting == ["install/key/1"]
    assert (notification["job"], notification["upload"], notification["jobs"]) == (None, None, 2)
    assert [status["waiting"]["for"] for status in statuses] == ["key"] * 2
    assert {status["waiting"]["reason"]["code"] for status in statuses} == {"key_missing"}
    assert published(world) == ["install/key/1"] + ["completed"] * 2
    assert [json.loads(world.result(job, "status.json"))["waiting"] for job in jobs] == [None] * 2


@pytest.mark.parametrize(
    ("key", "code", "said"),
    [
        ('{"OPENAI_API_KEY": "sk-canary"}', "key_is_json", "plain text"),
        ("sk\u2011canary", "key_not_ascii", "outside of ASCII"),
        ("sk-canary two", "key_with_blanks", "blanks"),
        ("sk-canary\nsk-two", "key_with_blanks", "line breaks"),
        ("sk-canary" * 1_000, "key_too_long", "8,000"),
    ],
)
def test_a_key_that_cannot_be_sent_is_waited_for_by_name(world: World, key: str, code: str, said: str) -> None:
    """What was put into the secret instead is named in status and notification, never shown, and never sent."""
    world.providers.key = key
    job = world.drop("inbox/one.jsonl", THREE_TIMES_YES)
    hours(world, 2)

    waiting = json.loads(world.result(job, "status.json"))["waiting"]
    told, calls = world.notifications.published[0], sum(world.tap.counts.values())
    world.providers.key = ""
    hours(world, 1)
    missing = json.loads(world.result(job, "status.json"))["waiting"]
    world.providers.key = "sk-test"
    world.run(job)

    assert (waiting["for"], waiting["reason"]["code"], calls) == ("key", code, 0)
    assert said in waiting["reason"]["message"]
    assert said in told.text
    assert missing["reason"]["code"] == "key_missing"
    assert published(world) == ["install/key/1", "install/key/2", "completed"]
    assert "canary" not in repr(world.notifications.published) + repr(world.log.lines) + json.dumps(waiting)


def test_a_job_that_is_dropped_later_waits_without_another_notification(world: World) -> None:
    """Its status says what for, since its drop, before any tick."""
    world.providers.key = None
    world.drop("inbox/first.jsonl", THREE_TIMES_YES)
    hours(world, 1)

    later = world.drop("inbox/later.jsonl", THREE_TIMES_YES)
    status = json.loads(world.result(later, "status.json"))
    hours(world, 1)

    assert status["waiting"]["for"] == "key"
    assert status["waiting"]["since"] == status["created_at"]
    assert published(world) == ["install/key/1"]


def test_each_cause_is_told_when_it_begins(world: World) -> None:
    """A revoked key, then no money, then the key again after hours: three notifications, numbered, with the provider's code."""
    job = world.drop("inbox/first.jsonl", THREE_TIMES_YES.replace(b"yes", b"no"))
    world.run(job)
    world.tap.answers.append(refusing(401, "invalid_api_key"))
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    hours(world, 2)
    world.tap.answers[:] = [refusing(429, "insufficient_quota")]
    hours(world, 2)
    status = json.loads(world.result(job, "status.json"))
    world.tap.answers[:] = [refusing(401, "invalid_api_key")]
    hours(world, 2)
    world.tap.answers.clear()
    world.run(job)

    assert published(world) == ["completed", "install/key/1", "install/account/2", "install/key/3", "completed"]
    codes = [json.loads(notification.json)["reason"]["code"] for notification in world.notifications.published[1:3]]
    assert codes == ["invalid_api_key", "insufficient_quota"]
    assert status["waiting"]["for"] == "account"
    assert not world.charged_twice()


def test_a_cause_that_soon_comes_back_is_not_told_again() -> None:
    """A key that is refused now and then would otherwise send a mail each time."""
    world = World()
    world.tap.answers.append(refusing(401, "invalid_api_key"))
    jobs = [world.drop("inbox/first.jsonl", THREE_TIMES_YES)]
    hours(world, 1)
    for number in range(3):
        world.tap.answers.clear()
        world.run(jobs[-1])
        world.tap.answers.append(refusing(401, "invalid_api_key"))
        jobs.append(world.drop(f"inbox/{number}.jsonl", THREE_TIMES_YES))
        hours(world, 1)

    assert [told for told in published(world) if told != "completed"] == ["install/key/1"]


def test_a_key_that_is_revoked_while_batches_run_is_told(world: World) -> None:
    """The answers cannot be fetched."""
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    world.tap.answers.append(refusing(401, "invalid_api_key", "/v1/"))
    hours(world, 3)
    world.tap.answers.clear()
    world.run(job)

    assert published(world) == ["install/key/1", "completed"]


def test_a_job_that_has_everything_at_the_provider_does_not_wait_for_money(world: World) -> None:
    """Another job's create found the account empty; what runs is paid for already."""
    running = world.drop("inbox/running.jsonl", THREE_TIMES_YES)
    world.tap.answers.append(refusing(429, "insufficient_quota"))
    waiting = world.drop("inbox/waiting.jsonl", THREE_TIMES_YES.replace(b"yes", b"no"))

    hours(world, 1)

    statuses = [json.loads(world.result(job, "status.json"))["waiting"] for job in (running, waiting)]
    assert [json.loads(notification.json)["jobs"] for notification in world.notifications.published] == [1]
    assert statuses[0] is None
    assert statuses[1]["for"] == "account"
    assert world.run(running).event == "completed"


def test_ordinary_quota_is_no_cause() -> None:
    """It comes by itself."""
    limits = Limits(chunk_lines_max=1, shard_requests_max=1, enqueued_tokens_per_model=30)
    world = World(behaviour=replace(CALM, run_seconds=HOUR), limits=limits)

    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    world.run(job, seconds=5 * MINUTE, ticks_max=400)

    assert published(world) == ["completed"]


def test_a_provider_that_fails_is_a_cause_after_a_while(world: World) -> None:
    """Nobody here can put that right, but somebody waits."""
    world.tap.answers.append(refusing(503, "", "/v1/"))
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    hours(world, 2)
    world.tap.answers.clear()
    world.run(job, ticks_max=400)

    assert published(world) == ["install/provider/1", "completed"]


def test_the_providers_words_are_repeated_without_the_key(world: World) -> None:
    """They may quote a part of it."""
    world.tap.answers.append(refusing(401, "invalid_api_key"))

    world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    hours(world, 1)

    (notification,) = world.notifications.published
    assert "The provider says: Incorrect API key provided: [key]. (invalid_api_key)" in notification.text
    assert "canary" not in repr(world.notifications.published) + repr(world.log.lines)


def test_a_notification_that_could_not_be_published_is_owed(world: World) -> None:
    """The topic is down for an hour: it is published when it is back."""
    publish = world.notifications.publish

    def fail(notification: Notification) -> None:
        raise OSError(f"no topic for {notification.subject}")

    world.notifications.publish = fail  # type: ignore[method-assign]  # the topic is down
    world.providers.key = None
    world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    for _ in range(12):
        world.advance(5 * MINUTE)
        try:
            world.tick(0)
        except OSError:
            world.wakeups.tells = 0
    world.notifications.publish = publish  # type: ignore[method-assign]  # and up again

    hours(world, 1)

    assert published(world) == ["install/key/1"]


def test_a_crash_after_publishing_sends_a_copy_with_the_same_id(world: World) -> None:
    """At least once, as every notification."""
    publish = world.notifications.publish

    def publish_and_die(notification: Notification) -> None:
        publish(notification)
        world.notifications.publish = publish  # type: ignore[method-assign]  # only once
        raise KeyboardInterrupt

    world.notifications.publish = publish_and_die  # type: ignore[method-assign]  # the process dies after the call
    world.providers.key = None
    world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    with pytest.raises(KeyboardInterrupt):
        hours(world, 1)
    world.wakeups.tells = 0

    hours(world, 1)

    assert published(world) == ["install/key/1", "install/key/1"]


def test_a_wait_that_outlives_its_jobs_ends() -> None:
    """Where nothing is under way nothing waits: the next drop's status does not say so."""
    world = World()
    world.providers.key = None
    job = world.drop("inbox/three.jsonl", THREE_TIMES_YES)
    hours(world, 1)
    world.ask(job, "cancel")
    world.run(job)

    world.tick()

    install = world.ledger.install()
    assert install is not None
    assert install.wait is None


JOB = Job(id="j", bucket="b", key="inbox/k", version="v", created_at=1, state=JobState.RUNNING)
QUOTA = Reason("insufficient_quota", "No.")
LIMITS = Limits()


@pytest.mark.parametrize("waits_for", [WaitingFor.KEY, WaitingFor.ACCOUNT])
@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.RUNNING])
def test_only_a_running_job_waits(state: JobState, waits_for: WaitingFor) -> None:
    """Planning needs no key, and what ends has no use for it."""
    job = replace(JOB, state=state, groups=(Group("e", "m", lines=3),), waits=(Wait(QUOTA),))

    assert not concerns(Cause(waits_for, QUOTA), job, [])
    assert owed(job) == {}


def test_a_cancelled_job_owes_nothing() -> None:
    """Nobody should put anything right for it."""
    job = replace(JOB, cancelled_at=5, waits=(Wait(QUOTA),))

    assert not concerns(Cause(WaitingFor.KEY, QUOTA), job, [])
    assert owed(job) == {}


def test_causes_that_ended_are_bounded() -> None:
    """Codes are the provider's: a new one each time must not fill the row, and each gets a number of its own."""
    install, numbers = Install(id="i", started_at=1), []
    for number in range(3 * PAST_WAITS_MAX):
        install = after_cause(install, Cause(WaitingFor.KEY, Reason(f"code_{number}", "x")), 1, 9 + number, LIMITS)
        assert install.wait is not None
        numbers.append(install.wait.number)

    assert len(install.past_waits) == PAST_WAITS_MAX
    assert len(set(numbers)) == len(numbers)


RESTING = new_shard(job="j", number=1, account="a", endpoint="e", model="m", group=0, attempt=2, due_at=60)


@pytest.mark.parametrize(
    ("job", "waiting", "now", "expected"),
    [
        (JOB, (), 9, ""),
        (JOB, (RESTING,), 9, "next attempt"),
        (JOB, (RESTING,), 60, "room"),  # it is due and was not let in
        (JOB, (RESTING, replace(RESTING, due_at=0)), 9, "room"),
        (JOB, (changed(RESTING, attempt=1),), 9, "room"),
        (JOB, (changed(RESTING, refused_count=1),), 9, "room"),  # others fill the provider's queue
        (replace(JOB, groups=(Group("e", "m", lines=5, cut_lines=3),)), (RESTING,), 9, "room"),
        (replace(JOB, waiting=JobWait(WaitingFor.NEXT_ATTEMPT)), (RESTING,), 60, "room"),
        (replace(JOB, waiting=JobWait(WaitingFor.QUOTA)), (RESTING,), 9, "room"),
        (replace(JOB, waiting=JobWait(WaitingFor.DAILY_CAP)), (RESTING,), 9, "daily cap"),
        (replace(JOB, waiting=JobWait(WaitingFor.KEY)), (RESTING,), 9, "next attempt"),  # an older release wrote it
        (replace(JOB, cancelled_at=5), (RESTING,), 9, ""),
    ],
)
def test_a_next_attempt_is_not_waited_for_as_quota(
    job: Job, waiting: tuple[Shard, ...], now: int, expected: str
) -> None:
    """A shard that is not due would not be let in however much quota there were."""
    assert turn_waited_for(job, waiting, now) == expected


def test_a_cause_begins_with_the_first_job_that_waits_for_it() -> None:
    """Nobody is told that no job waits; once it has begun it lasts until the cause is gone."""
    cause, install = Cause(WaitingFor.KEY, QUOTA), Install(id="i", started_at=1)

    begun = after_cause(install, cause, 1, 9, LIMITS)

    assert after_cause(install, cause, 0, 9, LIMITS) == install
    assert after_cause(begun, cause, 0, 10, LIMITS) == begun
    assert after_cause(begun, None, 0, 10, LIMITS).wait is None


def test_what_is_told_is_owed_no_more() -> None:
    """Each by its number."""
    job = replace(JOB, waits=(Wait(QUOTA), Wait(Reason("no_list", "x"))))

    assert list(owed(job)) == [1, 2]
    assert list(owed(told(job, 1))) == [2]
    assert list(owed(told(told(job, 1), 2))) == []


def opened(code: str, message: str) -> Circuit:
    """Return the circuit of a key that was refused."""
    return Circuit(1, Reason(code, message), refused=Asked.LOOK)


def test_a_cause_is_said_with_the_providers_words() -> None:
    """Without a key its circuit does not matter; a code of money concerns the account, any other the key."""
    missing = cause_of(opened("http_403", WORDS), Reason("key_missing", "There is no API key yet."))
    refused = cause_of(opened("http_403", WORDS), None)
    unpaid = cause_of(opened("insufficient_quota", "You exceeded your current quota."), None)

    assert cause_of(None, None) is None
    assert missing is not None
    assert (missing.waits_for, missing.reason.code) == (WaitingFor.KEY, "key_missing")
    assert refused is not None
    assert (refused.waits_for, refused.reason.code, "canary" in refused.reason.message) == (
        WaitingFor.KEY,
        "http_403",
        False,
    )
    assert unpaid is not None
    assert unpaid.waits_for == WaitingFor.ACCOUNT
    assert unpaid.reason.message.endswith("The provider says: You exceeded your current quota.")


@pytest.mark.parametrize("state", list(ShardState))
def test_a_job_waits_for_money_while_a_shard_is_on_its_way(state: ShardState) -> None:
    """Not any more once the create may have been made."""
    shard = Shard(job="j", number=0, account="a", endpoint="e", model="m", group=0, state=state)

    assert waiting_jobs(Cause(WaitingFor.ACCOUNT, QUOTA), [JOB], [shard]) == (
        state in {"WAITING", "RESERVED", "UPLOADED"}
    )
    assert waiting_jobs(Cause(WaitingFor.KEY, QUOTA), [JOB], [shard]) == 1


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Incorrect API key provided: sk-proj-********************1a2B.", "Incorrect API key provided: [key]."),
        (
            "Received API Key = sk-...wxyz, Key Hash (Token) =" + "0f" * 32,
            "Received API Key = [key], Key Hash (Token) =[key]",
        ),
        ("Invalid key gsk_abcDEF123, see /account/api-keys", "Invalid key [key], see /account/api-keys"),
        (
            "No access to gpt-4.1-mini-2025-04-14 (request req_123)",
            "No access to gpt-4.1-mini-2025-04-14 (request req_123)",
        ),
        ("two\n lines", "two lines"),
    ],
)
def test_a_providers_words_are_shown_without_keys(said: str, shown: str) -> None:
    """Models, links and requests stay, since they say what to do."""
    assert provider_words(said) == f"The provider says: {shown}"


def test_a_providers_words_are_short() -> None:
    """A proxy may answer with a page."""
    assert len(provider_words("word " * 1_000)) < 600
    assert provider_words(" ") == ""
