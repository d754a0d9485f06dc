"""What the provider refuses for good, on the wire: bounded tries, one notification with its words, and an end after a day."""

import io
import json
from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest
from fakes.world import World

from batchdrop.core.admission.quota import account_of
from batchdrop.core.model.dialects import Dialect, Dialects
from batchdrop.core.model.job import JobState
from batchdrop.core.model.limits import DAY, HOUR, MINUTE, Limits
from batchdrop.core.model.shard import ShardState

S = ShardState
MODEL, OTHER = "gpt-4.1-mini", "gpt-4.1"
FILES, CREATES = "POST /v1/files", "POST /v1/batches"
WORDS = "`expires_after` is out of range for this deployment."

type Answer = Callable[[httpx2.Request], httpx2.Response | None]


def lines(count: int, model: str = MODEL, words: int = 3) -> bytes:
    """A drop of so many requests."""
    return b"".join(
        json.dumps({"model": model, "messages": [{"role": "user", "content": f"{n} " + "word " * words}]}).encode()
        + b"\n"
        for n in range(count)
    )


def error(status: int, code: str | None, message: str) -> httpx2.Response:
    """An error as the provider words it."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return httpx2.Response(status, json=body)


def refusing(call: str, status: int, code: str | None = None, message: str = WORDS) -> Answer:
    """Refuse every *call*."""
    return lambda request: error(status, code, message) if f"{request.method} {request.url.path}" == call else None


def refusing_large(bytes_max: int) -> Answer:
    """Refuse every upload whose body is larger, in a proxy's words, which are no JSON."""

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if request.method != "POST" or request.url.path != "/v1/files" or len(request.read()) <= bytes_max:
            return None
        return httpx2.Response(413, text="<html>413 Request Entity Too Large</html>")

    return answer


def waits_of(world: World, job: str) -> list[dict[str, str]]:
    """The reasons that people were told of while *job* waited."""
    told = [json.loads(notification.json) for notification in world.notifications.published]
    return [
        notification["reason"]
        for notification in told
        if notification["job"] == job and notification["event"] == "waiting"
    ]


def errors_of(world: World, job: str) -> set[tuple[str, str]]:
    """Why the items of *job* failed."""
    outcomes = [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]
    return {(outcome["error"]["code"], outcome["error"]["message"]) for outcome in outcomes if outcome["error"]}


def calls_by_hour(world: World, call: str, hours: int) -> list[int]:
    """How often *call* is made in each of so many hours, ticked minute by minute."""
    made, before = [], 0
    for _ in range(hours):
        for _ in range(60):
            world.tick(MINUTE)
        made.append(world.tap.counts[call] - before)
        before = world.tap.counts[call]
    return made


@pytest.mark.parametrize(
    ("status", "code"), [(400, None), (400, "storage_quota_exceeded"), (404, None), (422, "bad_value")]
)
def test_an_upload_that_is_refused_is_tried_thrice_then_hourly_then_fails(status: int, code: str | None) -> None:
    """The same bytes are not sent each minute; one notification quotes the provider, and so do the items after a day."""
    world = World()
    world.tap.answers.append(refusing(FILES, status, code))
    job = world.drop("inbox/three.jsonl", lines(3))

    by_hour = calls_by_hour(world, FILES, 26)
    ended = world.job(job)

    assert by_hour[0] == 3
    assert max(by_hour[1:]) <= 1
    assert 20 <= sum(by_hour) <= 28
    said = code or f"http_{status}"
    assert [reason["code"] for reason in waits_of(world, job)] == [said]
    assert WORDS in waits_of(world, job)[0]["message"]
    assert (ended.state, ended.event, ended.failed) == (JobState.ENDED, "completed_with_failures", 3)
    assert errors_of(world, job) == {(said, WORDS)}
    assert world.tap.creates == 0


def test_what_a_job_waits_for_is_said_within_ten_minutes() -> None:
    """In its status, since the first refusal, with the provider's words; and it goes on by itself once it is taken."""
    world = World()
    world.tap.answers.append(refusing(FILES, 400, "storage_quota_exceeded"))
    job = world.drop("inbox/three.jsonl", lines(3))
    began = world.clock.now()

    while not waits_of(world, job):
        world.tick(MINUTE)
    waited, waiting = world.clock.now() - began, json.loads(world.result(job, "status.json"))["waiting"]
    shard = world.shard(job)
    world.tap.answers.clear()
    ended = world.run(job)

    assert waited <= 10 * MINUTE
    assert waiting["for"] == "refused"
    assert waiting["reason"]["code"] == "storage_quota_exceeded"
    assert WORDS in waiting["reason"]["message"]
    assert (shard.state, shard.quota_tokens, shard.attempt.file.id) == (S.WAITING, 0, "")
    assert (ended.event, ended.succeeded, ended.waiting.cause) == ("completed", 3, "")
    assert len(world.notifications.published) == 2
    assert not world.charged_twice()


def test_a_refused_shard_holds_up_no_other_job() -> None:
    """Its quota is free while it waits, and nobody waits behind it."""
    world = World(limits=Limits(enqueued_tokens_per_model=100))
    world.tap.answers.append(refusing_large(1_500))
    stuck = world.drop("inbox/large.jsonl", lines(1, words=200))
    for _ in range(12):
        world.tick(MINUTE)

    job = world.drop("inbox/small.jsonl", lines(2))
    ended = world.run(job, ticks_max=20)

    assert ended.event == "completed"
    assert world.job(stuck).state is JobState.RUNNING


def test_a_file_that_is_too_large_is_split_until_it_is_taken() -> None:
    """413 in a proxy's words: the shard is halved, each line is answered once, and nothing waits or fails."""
    world = World()
    world.tap.answers.append(refusing_large(4_000))
    job = world.drop("inbox/many.jsonl", lines(64))

    ended = world.run(job, ticks_max=60)

    rows = [json.loads(line)["row"] for line in world.result(job, "outcomes.jsonl").splitlines()]
    assert (ended.event, ended.succeeded, rows) == ("completed", 64, list(range(1, 65)))
    assert len(world.shards(job)) >= 4
    assert waits_of(world, job) == []
    assert not world.charged_twice()


def test_one_line_that_is_too_large_fails_alone() -> None:
    """Its neighbours are answered at once; it is tried a few times, and fails with the words of whoever refused it."""
    world = World()
    world.tap.answers.append(refusing_large(4_000))
    job = world.drop("inbox/many.jsonl", lines(7) + lines(1, words=2_000) + lines(7))

    for _ in range(30):
        world.tick(MINUTE)
    early = world.job(job)
    ended = world.run(job, seconds=10 * MINUTE, ticks_max=200)

    assert (early.succeeded, early.failed, early.waiting.cause) == (14, 0, "refused")
    assert (ended.succeeded, ended.failed) == (14, 1)
    assert {code for code, _ in errors_of(world, job)} == {"http_413"}
    assert len(waits_of(world, job)) == 1
    assert not world.charged_twice()


def test_a_proxy_that_takes_no_line_at_all_is_not_tried_with_each() -> None:
    """Splitting ends at lone lines; once enough of them are refused, the others wait for what becomes of those."""
    limits = Limits(refused_lines_max=4)
    world = World(limits=limits)
    world.tap.answers.append(refusing_large(0))
    job = world.drop("inbox/many.jsonl", lines(100))

    uploads = sum(calls_by_hour(world, FILES, 2))
    ended = world.run(job, seconds=10 * MINUTE, ticks_max=200)

    assert uploads <= 150
    assert (ended.event, ended.failed) == ("completed_with_failures", 100)


def test_a_create_that_is_answered_404_deletes_what_was_uploaded_for_it() -> None:
    """A wrong base URL, or a server that forgets its files: three tries, then hourly, and no file stays behind."""
    world = World()
    world.tap.answers.append(refusing(CREATES, 404, None, "No such file: file-x"))
    job = world.drop("inbox/three.jsonl", lines(3))

    by_hour = calls_by_hour(world, CREATES, 26)
    ended = world.job(job)

    assert by_hour[0] == 3
    assert max(by_hour[1:]) <= 1
    assert world.tap.counts[FILES] == world.tap.creates
    assert (
        sum(count for call, count in world.tap.counts.items() if call.startswith("DELETE /v1/files/"))
        >= world.tap.creates
    )
    assert stored(world) == []
    assert (ended.state, ended.failed) == (JobState.ENDED, 3)
    assert errors_of(world, job) == {("http_404", "No such file: file-x")}
    assert [reason["code"] for reason in waits_of(world, job)] == ["http_404"]


def stored(world: World) -> list[str]:
    """The ids of the files that lie at the provider."""
    return [file.id for file in world.providers.open().list_files(None).files]


def test_a_missing_file_is_not_looked_for_again_with_each_new_one() -> None:
    """400 `cannot find file` for good: the first file gets its quarter of an hour, those that follow do not."""
    world = World()
    world.tap.answers.append(refusing(CREATES, 400, "invalid_request", "Cannot find file."))
    job = world.drop("inbox/three.jsonl", lines(3))

    by_hour = calls_by_hour(world, CREATES, 26)

    assert by_hour[0] <= 20
    assert max(by_hour[1:]) <= 1
    assert world.tap.counts[FILES] <= 28
    assert world.job(job).failed == 3


@pytest.mark.parametrize(("times", "succeeded"), [(1, 3), (2, 0)])
def test_a_fresh_file_that_a_400_names_gets_one_more_look(times: int, succeeded: int) -> None:
    """It may not be processed yet: the same file is tried once more, and only a second refusal fails the items."""
    world = World()
    left = [times]

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if request.method != "POST" or request.url.path != "/v1/batches" or not left[0]:
            return None
        left[0] -= 1
        return error(400, "invalid_file_state", "The input file must be in state processed.")

    world.tap.answers.append(answer)
    job = world.drop("inbox/three.jsonl", lines(3))

    ended = world.run(job)

    assert (ended.succeeded, world.tap.creates, world.tap.counts[FILES]) == (succeeded, 2, 1)
    assert {code for code, _ in errors_of(world, job)} == (set() if succeeded else {"invalid_file_state"})


class Processing(Dialects):
    """OpenAI's dialect, but for files that are processed first, as Azure's are."""

    def of(self, base_url: str) -> Dialect:
        """Return the row for *base_url*."""
        return replace(super().of(base_url), waits_for_processed=True)


def azure(pending_seconds: int) -> World:
    """A world whose provider processes a file for so long before it serves a batch, and whose dialect says so."""
    world = World()
    world.providers.dialects = Processing(world.providers.base_url, "openai")
    world.simulator.faults.switch("file_unprocessed", value=float(pending_seconds))
    return world


def test_where_files_are_processed_first_their_status_is_waited_for() -> None:
    """The create is made once, when the file is ready: nothing is refused, nothing is uploaded again."""
    world = azure(5 * MINUTE)
    job = world.drop("inbox/three.jsonl", lines(3))

    ended = world.run(job)

    assert (ended.event, world.tap.creates, world.tap.counts[FILES]) == ("completed", 1, 1)
    assert 5 <= looks(world) <= 8


def test_a_file_that_is_never_processed_is_waited_for_a_quarter_of_an_hour() -> None:
    """Then the create says why not, in the provider's words, and the items fail with them."""
    world = azure(DAY)
    job = world.drop("inbox/three.jsonl", lines(3))

    ended = world.run(job, ticks_max=30)

    assert (ended.failed, world.tap.counts[FILES]) == (3, 1)
    assert looks(world) <= 16
    assert all("is not processed yet" in message for _, message in errors_of(world, job))


@pytest.mark.parametrize("status", [404, 405])
def test_where_the_status_cannot_be_read_the_create_is_made_all_the_same(status: int) -> None:
    """At once where it is refused; after a quarter of an hour where the file is not shown."""
    world = azure(0)
    hidden = error(status, None, "no")
    world.tap.answers.append(
        lambda request: hidden if request.method == "GET" and "/files/" in request.url.path else None
    )
    job = world.drop("inbox/three.jsonl", lines(3))

    for _ in range(17):
        world.tick(MINUTE)

    assert world.tap.creates == 1
    assert looks(world) <= 16
    assert world.tap.counts[FILES] == 1
    assert world.shard(job).state in {S.RUNNING, S.HARVESTING}


def looks(world: World) -> int:
    """How often the status of a file was read."""
    paths = (call.split("/v1/files/") for call in world.tap.counts if call.startswith("GET /v1/files/"))
    return sum(world.tap.counts["/v1/files/".join(path)] for path in paths if "/" not in path[1])


def test_elsewhere_the_status_of_a_file_is_not_read() -> None:
    """OpenAI calls it deprecated."""
    world = World()

    assert world.run(world.drop("inbox/three.jsonl", lines(3))).event == "completed"
    assert looks(world) == 0


def test_a_refused_job_of_many_shards_is_not_tried_shard_by_shard() -> None:
    """Three of them ask for all, and when those have failed after a day the rest fails with them, without being sent."""
    world = World(limits=Limits(first_shard_tokens=40, enqueued_tokens_per_model=40))
    world.tap.answers.append(refusing(FILES, 400))
    job = world.drop("inbox/many.jsonl", lines(60))

    by_hour = calls_by_hour(world, FILES, 24)
    ended = world.run(job, seconds=MINUTE, ticks_max=400)

    assert max(by_hour) <= 9
    assert world.tap.counts[FILES] <= 9 + 4 * 26
    assert (ended.failed, errors_of(world, job)) == (60, {("http_400", WORDS)})
    assert world.clock.now() - ended.created_at < DAY + 4 * HOUR


def test_repeats_stay_under_ten_a_minute_however_many_jobs_are_refused() -> None:
    """All of them say within the hour what they wait for, and those that were let in together are not tried together."""
    world = World()
    world.tap.answers.append(refusing(FILES, 400))
    jobs = [world.drop(f"inbox/{n}.jsonl", lines(1, words=n + 3)) for n in range(60)]
    first, by_minute = world.tap.counts[FILES], []

    for _ in range(60):
        before = world.tap.counts[FILES]
        world.tick(MINUTE)
        by_minute.append(world.tap.counts[FILES] - before)

    assert first <= 60
    assert max(by_minute) < 10
    assert all(world.job(job).waiting.cause == "refused" for job in jobs)
    assert len(world.notifications.published) == 60


def test_an_upload_to_a_provider_that_is_not_there_waits_longer_each_time() -> None:
    """Each try sends all the bytes: a minute, two, four, up to ten."""
    world = World()
    unavailable = httpx2.Response(503, json={}, headers={"x-should-retry": "false"})
    world.tap.answers.append(lambda request: unavailable if request.url.path == "/v1/files" else None)
    job = world.drop("inbox/three.jsonl", lines(3))

    by_hour = calls_by_hour(world, FILES, 3)
    world.tap.answers.clear()
    ended = world.run(job)

    assert max(by_hour[1:]) <= 7
    assert (ended.event, ended.succeeded) == ("completed", 3)


def refusing_model(world: World, model: str, code: str = "model_not_found") -> Answer:
    """Refuse each create of a batch of *model*; its file says which that is."""

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if request.method != "POST" or request.url.path != "/v1/batches":
            return None
        content = io.BytesIO()
        world.providers.open().download(json.loads(request.read())["input_file_id"], content)
        is_meant = json.loads(content.getvalue().splitlines()[0])["body"]["model"] == model
        return error(403, code, f"Project p has no access to model {model}.") if is_meant else None

    return answer


@pytest.mark.parametrize("code", ["model_not_found", "model_access_denied", "no_access_to_model"])
def test_a_model_that_is_refused_holds_up_its_own_shards_alone(code: str) -> None:
    """Jobs of other models go on, the key is not blamed, one shard asks for all, and each job is told once."""
    world = World()
    world.tap.answers.append(refusing_model(world, MODEL, code))
    refused = [world.drop(f"inbox/refused-{n}.jsonl", lines(3, MODEL)) for n in range(3)]
    good = [world.drop(f"inbox/good-{n}.jsonl", lines(3, OTHER)) for n in range(6)]

    for job in good:
        assert world.run(job).event == "completed"
    for _ in range(15):
        world.tick(MINUTE)
    status = json.loads(world.result(refused[2], "status.json"))["waiting"]
    install = world.ledger.install()

    assert install is not None
    assert not install.circuits
    assert [
        notification.attributes["job"]
        for notification in world.notifications.published
        if notification.attributes["event"] == "waiting"
    ]
    for job in refused:
        assert [(reason["code"], "no access to model" in reason["message"]) for reason in waits_of(world, job)] == [
            (code, True)
        ]
    assert (status["for"], status["reason"]["code"]) == ("model", code)
    creates = world.tap.creates
    for _ in range(3 * 60):
        world.tick(MINUTE)
    assert world.tap.creates - creates <= 3


def test_a_refused_model_fails_its_items_after_a_day_with_the_providers_words() -> None:
    """Those of every job that waited for it, also what was never cut; a mixed job keeps what the other model answered."""
    world = World(limits=Limits(first_shard_tokens=40, enqueued_tokens_per_model=40))
    world.tap.answers.append(refusing_model(world, MODEL))
    mixed = world.drop("inbox/mixed.jsonl", lines(20, MODEL) + lines(3, OTHER))
    late = world.drop("inbox/late.jsonl", lines(20, MODEL))

    by_hour = calls_by_hour(world, CREATES, 23)
    early = [world.job(job).state for job in (mixed, late)]
    ended = [world.run(job, ticks_max=600) for job in (mixed, late)]

    assert early == [JobState.RUNNING] * 2
    assert max(by_hour[1:]) <= 2
    assert [(job.succeeded, job.failed) for job in ended] == [(3, 20), (0, 20)]
    for job in (mixed, late):
        assert errors_of(world, job) == {("model_not_found", f"Project p has no access to model {MODEL}.")}
    assert world.clock.now() - ended[0].created_at < DAY + 3 * HOUR


def test_a_model_that_is_granted_goes_on_within_the_hour() -> None:
    """Nothing is lost, nothing is paid twice, and the status says that nothing is waited for any more."""
    world = World()
    world.tap.answers.append(refusing_model(world, MODEL))
    jobs = [world.drop(f"inbox/{n}.jsonl", lines(3, MODEL, words=n + 3)) for n in range(3)]
    for _ in range(5 * 60):
        world.tick(MINUTE)

    world.tap.answers.clear()
    began = world.clock.now()
    ended = [world.run(job) for job in jobs]

    assert world.clock.now() - began <= HOUR + 15 * MINUTE
    assert [(job.event, job.waiting.cause) for job in ended] == [("completed", "")] * 3
    assert not world.charged_twice()
    assert world.ledger.quota(account_of(world.providers.base_url), MODEL).quota_estimate.refusal is None


def test_a_403_without_such_a_code_concerns_the_key() -> None:
    """All jobs wait, and nothing is tried shard by shard."""
    world = World()
    world.tap.answers.append(refusing(CREATES, 403, "forbidden", "Not from here."))
    jobs = [world.drop(f"inbox/{n}.jsonl", lines(3)) for n in range(3)]
    for _ in range(10):
        world.tick(MINUTE)

    install = world.ledger.install()
    assert install is not None
    assert [circuit.reason.code for circuit in install.circuits.values()] == ["forbidden"]
    assert all(json.loads(world.result(job, "status.json"))["waiting"]["for"] == "key" for job in jobs)
