"""What a provider says is untrusted: its numbers, how deep it nests, where it leads, and a key that it says back. On the wire.

The adapter is the real one over the SDK; where a job is run, the flows are the production code.
"""

import io
import json
import re
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fakes.answered import answer_line, chat_body
from fakes.world import BASE_URL, World
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.admission.quota import account_of
from batchdrop.core.collection.answers import parse_answer, row_of_answer
from batchdrop.core.collection.verdicts import LAYOUTS, judge
from batchdrop.core.model.batches import Declined, Uncertain
from batchdrop.core.model.dialects import AZURE, OPENAI, Dialect
from batchdrop.core.model.endpoints import Shape
from batchdrop.core.model.errors import (
    KeyRefused,
    NotAtProvider,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from batchdrop.core.model.limits import HOUR, MINUTE, NESTING_MAX, REQUEST_TOKENS_MAX, Limits
from batchdrop.core.model.nesting import is_too_deep
from batchdrop.core.model.outcomes import Outcome
from batchdrop.core.model.shard import ShardState
from batchdrop.core.model.stated import stated_limit
from batchdrop.core.model.wording import iso_time
from batchdrop.edge.aws.row_format import encode_quota_estimate, encode_row
from batchdrop.edge.openai.key_mask import MASK
from batchdrop.edge.openai.provider import RETRY_AFTER_SECONDS_MAX, OpenAIProvider
from batchdrop.formats.json_text import one_line, with_answer
from openai_batch_simulator.account.behaviour import CALM

S = ShardState
KEY = "sk-proj-Zr8_" + "Q7b" * 20
HOST = "provider.invalid"
DIGITS = "9" * 5_000
DEEP = "[" * 200_000 + "]" * 200_000
MODEL = "gpt-4.1-mini"
TASK = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages: [{role: user, content: "Rate: {{ review }}"}]
"""

type Call = Callable[[OpenAIProvider], object]
CALLS: dict[str, Call] = {
    "create": lambda provider: provider.create_batch(file="f", endpoint="/v1/responses", metadata={"ticket": "t"}),
    "upload": lambda provider: provider.upload_input("a.jsonl", io.BytesIO(b"x"), 3_600),
    "list": lambda provider: provider.list_batches(None),
    "files": lambda provider: provider.list_files(None),
    "batch": lambda provider: provider.batch("id"),
    "cancel": lambda provider: provider.cancel_batch("id"),
    "exists": lambda provider: provider.file_exists("id"),
    "status": lambda provider: provider.file_status("id"),
    "delete": lambda provider: provider.delete_file("id"),
    "download": lambda provider: provider.download("id", io.BytesIO()),
}
READING = [name for name in CALLS if name not in ("create", "download", "cancel")]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the SDK sleeps before it asks again; no time passes."""
    sleeps: list[float] = []
    monkeypatch.setattr("openai._base_client.time.sleep", sleeps.append)
    return sleeps


@pytest.fixture(autouse=True)
def no_waiting(slept: list[float]) -> None:
    """No test waits."""


class Wire:
    """The provider's side: answers everything alike, and keeps where each request went and what it bore."""

    def __init__(self, answer: Callable[[httpx2.Request], httpx2.Response]) -> None:
        self._answer = answer
        self.requests: list[httpx2.Request] = []

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        return self._answer(request)

    def provider(self, dialect: Dialect = OPENAI) -> OpenAIProvider:
        """An adapter that speaks to this."""
        return OpenAIProvider(
            KEY, f"https://{HOST}/v1", "print", create_timeout_seconds=2, on_refused=lambda: None, dialect=dialect,
            transport=httpx2.MockTransport(self._handle),
        )  # fmt: skip


def saying(status: int, body: str, **headers: str) -> Wire:
    """A wire with one answer to everything."""
    named = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Wire(lambda _: httpx2.Response(status, content=body.encode(), headers=named))


def outcome_of(call: str, wire: Wire, dialect: Dialect = OPENAI) -> object:
    """What a call returns or raises."""
    try:
        return CALLS[call](wire.provider(dialect))
    except ProviderError as error:
        return error


def told_by(world: World) -> list[dict[str, Any]]:
    """What was published, as programs read it."""
    return [json.loads(notification.json) for notification in world.notifications.published]


# ------------------------------------------------------------------ when to come back

LONG = ["3601", "86400", DIGITS, f"{DIGITS}.5", "1e300", "Fri, 31 Dec 2999 23:59:59 GMT"]


@pytest.mark.parametrize("asked", LONG)
def test_an_hour_is_the_longest_that_a_server_is_left_alone(asked: str) -> None:
    """What asks for more is said, to people once and in the log, and asked again; once it takes the batch the job continues."""
    world = World()
    left = [3]

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if (request.method, request.url.path) != ("POST", "/v1/batches") or not left[0]:
            return None
        left[0] -= 1
        return httpx2.Response(429, json={"error": {"message": "Come back later."}}, headers={"retry-after": asked})

    world.tap.answers.append(answer)
    job = world.drop("inbox/a.jsonl", lines(2))
    first, due_at = world.clock.time, world.shard(job).due_at
    for _ in range(250):
        world.tick(MINUTE)
        if world.tap.creates > 3:
            break
    asked_for = (world.clock.time - first) / HOUR
    world.run(job)

    (told,) = [said for said in told_by(world) if said["event"] == "waiting"]
    assert due_at is not None
    assert (due_at - first, world.job(job).event) == (HOUR, "completed")
    assert 3 <= asked_for <= 3.2
    assert (told["id"], told["jobs"], told["reason"]["code"]) == ("install/provider/1", 1, "asked_to_wait")
    assert told["reason"]["message"].endswith("asked again after 1 h, and every 1 h from then on; no attempt is used. "
                                              "The provider says: Come back later.")  # fmt: skip
    assert world.log.events.count("create.asked_to_wait") == 3


def test_a_long_wait_is_said_once_however_many_jobs_meet_it() -> None:
    """In one notification for all of them, which an outage that is told late does not repeat; each status says it."""
    world = World()
    is_struck, waits = [True], iter(["7200", "9000"])

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if (request.method, request.url.path) != ("POST", "/v1/batches") or not is_struck[0]:
            return None
        return httpx2.Response(429, json={"error": {"message": "Later."}}, headers={"retry-after": next(waits, "30")})

    world.tap.answers.append(answer)
    jobs = [world.drop(f"inbox/{name}.jsonl", lines(2)) for name in ("a", "b", "c")]
    for _ in range(30):
        world.tick(10 * MINUTE)
    waiting = [json.loads(world.result(job, "status.json"))["waiting"] for job in jobs]
    told = told_by(world)
    is_struck[0] = False

    assert [(said["event"], said["jobs"], said["reason"]["code"]) for said in told] == [("waiting", 3, "asked_to_wait")]
    assert "asks not to be called for 2 h 30 min." in told[0]["reason"]["message"]
    assert {(wait["for"], wait["reason"]["code"]) for wait in waiting} == {("provider", "asked_to_wait")}
    assert {world.run(job).event for job in jobs} == {"completed"}


@pytest.mark.parametrize(
    "asked", ["0", "-5", "nan", "inf", "soon", "", "4x", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec", "0.9"]
)
def test_what_cannot_be_waited_for_is_no_wait(asked: str) -> None:
    """Nobody is told of it, and the create is tried as always."""
    assert outcome_of("create", saying(429, "{}", retry_after=asked)) == Declined(429, "", "Error code: 429")


@pytest.mark.parametrize("header", ["retry_after", "retry_after_ms"])
@pytest.mark.parametrize("call", ["list", "batch", "delete"])
def test_no_call_sleeps_for_long(call: str, header: str, slept: list[float]) -> None:
    """The SDK would sleep for two minutes where a server asks for it, in seconds or in thousandths.

    A look at one batch and a deletion are one try a call, so they never sleep.
    """
    for asked in ("4", "100", DIGITS):
        outcome_of(call, saying(503, "{}", **{header: asked if header == "retry_after" else f"{asked}000"}))

    assert bool(slept) == (call == "list")
    assert max(slept, default=0) <= RETRY_AFTER_SECONDS_MAX


# ------------------------------------------------------------------ numbers

FOREIGN = f"""{{"id": "batch_2", "status": "completed", "created_at": {DIGITS}, "expires_at": -{DIGITS}, "completed_at": 1e999,
 "request_counts": {{"total": {DIGITS}, "completed": -1, "failed": 9007199254740993}}, "usage": {{"input_tokens": {DIGITS}}},
 "errors": {{"data": [{{"code": "c", "line": {DIGITS}, "message": "m"}}]}}, "metadata": {{"ticket": {DIGITS}}}}}"""


def test_a_number_that_nobody_can_mean_hides_nothing_else() -> None:
    """Of the batch that it stands in, and of the others on the page."""
    page = f'{{"data": [{FOREIGN}, {{"id": "batch_1", "created_at": 5}}], "has_more": true, "n": {DIGITS}}}'

    listed = saying(200, page).provider().list_batches(None)
    alone = saying(200, FOREIGN).provider().batch("batch_2")

    assert [(batch.id, batch.created_at) for batch in listed.batches] == [("batch_2", 0), ("batch_1", 5)]
    assert listed.next_after == "batch_1"
    assert (alone.created_at, alone.expires_at, alone.ended_at) == (0, 0, 0)
    assert (alone.total, alone.completed, alone.failed) == (None, None, None)
    assert [(error.code, error.line) for error in alone.errors] == [("c", None)]
    assert alone == listed.batches[0]


@pytest.mark.parametrize(
    ("call", "body", "expected"),
    [
        ("upload", f'{{"id": "file-1", "bytes": {DIGITS}}}', "file-1"),
        ("status", f'{{"id": "f", "status": "Processed", "created_at": {DIGITS}}}', "processed"),
        ("exists", f'{{"id": "f", "bytes": {DIGITS}}}', True),
        ("delete", f'{{"deleted": true, "n": {DIGITS}}}', None),
        ("cancel", f'{{"id": "b", "created_at": {DIGITS}}}', None),
    ],
)
def test_an_answer_with_such_a_number_is_read(call: str, body: str, expected: object) -> None:
    """A file was stored, whatever its size is said to be."""
    assert outcome_of(call, saying(200, body)) == expected


@pytest.mark.parametrize(
    ("time", "read"),
    [
        ("253402300799", 253_402_300_799), ("253402300800", 0), ("1800000000000", 0), ("-1", 0), ("1e999", 0), ("NaN", 0),
        (f"{DIGITS}.5", 0), ('"9999-12-31T23:59:59Z"', 253_402_300_799), ('"9999-12-31T23:59:59-14:00"', 0),
        ('"10000-01-01T00:00:00Z"', 0), ('"1969-12-31T23:59:59Z"', 0), ('"0001-01-01T00:00:00+14:00"', 0),
    ],
)  # fmt: skip
def test_a_time_that_no_date_can_name_is_none(time: str, read: int) -> None:
    """What came in thousandths, before 1970 or beyond the year 9999: it is shown as a date, and kept as a whole number."""
    said = f'{{"id": "b", "created_at": {time}, "expires_at": {time}, "completed_at": {time}}}'

    batch = saying(200, said).provider().batch("b")

    assert (batch.created_at, batch.expires_at, batch.ended_at) == (read, read, read)
    assert iso_time(read) is None or iso_time(read) == "9999-12-31T23:59:59Z"


def test_a_created_batch_with_such_a_number_is_accepted() -> None:
    """It exists and is paid for: not knowing of it would park it."""
    answer: Any = outcome_of("create", saying(200, FOREIGN))

    assert answer.batch.id == "batch_2"


@pytest.mark.parametrize("call", CALLS)
def test_a_refusal_with_such_a_number_keeps_its_code_and_words(call: str) -> None:
    """Or want of money would be taken for a rate limit."""
    body = f'{{"error": {{"message": "No money.", "code": "insufficient_quota", "param": {DIGITS}}}, "n": {DIGITS}}}'

    found: Any = outcome_of(call, saying(429, body, x_should_retry="false"))

    assert isinstance(found, Declined | KeyRefused)
    assert found.code == "insufficient_quota"
    assert "No money." in str(found)


@pytest.mark.parametrize("code", [DIGITS, f'"{"c" * 65}"', '"two\\nlines"', "[]", "true", "1.5", "null", '""'])
def test_what_cannot_be_a_code_is_none(code: str) -> None:
    """Codes are names of ledger rows, notifications and columns of results."""
    answer: Any = outcome_of("create", saying(400, f'{{"error": {{"message": "m", "code": {code}, "param": {code}}}}}'))

    assert isinstance(answer, Declined)
    assert (answer.code, answer.message) == ("", "m")
    assert len(answer.param) <= 200


def test_names_that_no_row_could_hold_are_none() -> None:
    """An id of a megabyte is none; so are statuses, parameters and ids of requests."""
    long = "x" * 1_001
    page = f'{{"data": [{{"id": "{long}"}}, {{"id": "b", "status": "{long}", "output_file_id": "{long}"}}]}}'

    (batch,) = saying(200, page).provider().list_batches(None).batches
    created = outcome_of("create", saying(200, f'{{"id": "{long}"}}'))
    uploaded = outcome_of("upload", saying(200, f'{{"id": "{long}"}}'))
    declined = outcome_of("create", saying(400, '{"error": {"message": "m"}}', x_request_id=long))

    assert (batch.id, batch.status, batch.output_file) == ("b", "", None)
    assert isinstance(created, Uncertain)
    assert isinstance(uploaded, ProviderUnavailable)
    assert declined == Declined(400, "", "m")


def test_what_is_wrong_with_a_batch_fits_into_a_row() -> None:
    """A code or a parameter of a megabyte is none, words are cut, and of what is kept beside a batch nothing may be deep."""
    long = "m" * 1_000_000
    deep = "[" * 5_000 + "]" * 5_000
    said = (
        f'{{"id": "b", "endpoint": "{long}", "error": "{long}",'
        f' "metadata": {{"ticket": "t", "n": 3, "x": "{long}", "y": {deep}}},'
        f' "errors": {{"data": [{{"code": "{long}", "message": "{long}", "param": "{long}"}}]}}}}'
    )

    batch = saying(200, said).provider().batch("b")

    assert [(error.code, len(error.message), error.param) for error in batch.errors] == [("", 1_000, None)] * 2
    assert (batch.endpoint, batch.metadata) == ("", {"ticket": "t", "n": "3"})


@pytest.mark.parametrize("length", [DIGITS, "-1", "١٢", "1_0"])
def test_a_length_that_is_none_is_not_waited_for(length: str) -> None:
    """The connection alone tells that a download is whole."""
    wire = Wire(lambda _: httpx2.Response(200, content=b"whole", headers={b"content-length": length.encode()}))
    target = io.BytesIO()

    assert (wire.provider().download("f", target), target.getvalue()) == (5, b"whole")


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (f"Limit: {DIGITS} enqueued tokens", 0),
        (f"Limit: {','.join(['999'] * 2_000)} tokens", 0),
        ("limit" + " " * 50_000 + "x", 0),
        ("limit " * 5_000 + "is" + " " * 50_000 + "30", 30),
        ("Limit: 30,000 enqueued tokens", 30_000),
    ],
)
def test_a_stated_limit_is_read_at_once(message: str, limit: int) -> None:
    """However long its digits are and however many blanks there are: searching does not go back."""
    assert stated_limit(message) == limit


def test_a_refusal_that_states_such_a_limit_backs_off() -> None:
    """The job waits for quota, and ends once there is some."""
    world = World()
    left = [1]

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if (request.method, request.url.path) != ("POST", "/v1/batches") or not left[0]:
            return None
        left[0] -= 1
        message = f"Enqueued token limit reached. Limit: {DIGITS} enqueued tokens."
        return httpx2.Response(400, json={"error": {"message": message, "code": "token_limit_exceeded"}})

    world.tap.answers.append(answer)
    job = world.drop("inbox/a.jsonl", lines(2))

    assert world.run(job).event == "completed"


# ------------------------------------------------------------------ depth


@pytest.mark.parametrize("call", READING)
@pytest.mark.parametrize("body", [DEEP, f'{{"id": {DEEP}}}', f'{{"data": [{DEEP}]}}'])
def test_json_that_nests_without_end_is_an_outage(call: str, body: str) -> None:
    """A list of it shows nothing to be absent, a file of it was not stored."""
    found = outcome_of(call, saying(200, body))

    assert isinstance(found, ProviderUnavailable)
    assert len(str(found)) < 300


@pytest.mark.parametrize("body", [DEEP, f'{{"id": "batch_1", "metadata": {DEEP}}}'])
def test_a_create_that_is_answered_so_is_uncertain(body: str) -> None:
    """The list will tell."""
    assert isinstance(outcome_of("create", saying(200, body)), Uncertain)


@pytest.mark.parametrize("call", [name for name in CALLS if name != "cancel"])
@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        f'{{"error": {{"message": "m", "code": "c", "param": {DEEP}}}}}',
        '{"detail":' * 5_000 + '"end"' + "}" * 5_000,
        '{"detail":[{"loc":[' + "[" * 5_000 + "]" * 5_000 + '],"msg":"m"}]}',
    ],
)
def test_a_refusal_that_nests_without_end_is_a_refusal(call: str, body: str) -> None:
    """By its status; its words are cut."""
    found: Any = outcome_of(call, saying(422, body))

    assert isinstance(found, Declined | ProviderRefused)
    assert (found.status, len(found.message) <= 1_000) == (422, True)


@given(depth=st.integers(0, 3 * NESTING_MAX), pair=st.sampled_from(["[]", '{"a":|}']), text=st.text())
def test_depth_is_counted_outside_of_texts(depth: int, pair: str, text: str) -> None:
    """Brackets in a text are none; those side by side are no depth."""
    start, end = (pair[0], pair[1]) if pair == "[]" else pair.split("|")
    padding = json.dumps("[{" * 2_000 + text)
    content = f"[{padding}," * 1 + start * depth + padding + end * depth + ",[],{}" * 2_000 + "]"

    assert is_too_deep(content.encode()) == (depth + 1 > NESTING_MAX)


def deep_line(line: bytes, depth: int) -> bytes:
    """An output line whose answer holds something that nests."""
    return line.replace(b'"choices"', b'"deep":' + b"[" * depth + b"]" * depth + b',"choices"', 1)


# Readers give up somewhere below 10,000; where, depends on what called them.
@pytest.mark.parametrize("depth", [NESTING_MAX, 5_000, *range(9_960, 10_000, 2), 10_000, 200_000])
def test_an_output_line_of_any_depth_ends_its_item(depth: int) -> None:
    """Either it is read, or its item fails for that and is not paid again; its neighbours are delivered."""
    world, job = ran(lambda row, line: deep_line(line, depth) if row == 2 else line)

    outcomes = outcomes_of(world, job)
    assert [outcome["row"] for outcome in outcomes] == [1, 2, 3]
    assert {outcomes[0]["status"], outcomes[2]["status"]} == {"succeeded"}
    assert outcomes[1]["status"] == "succeeded" or outcomes[1]["error"]["code"] == "unreadable_answer"
    assert (outcomes[1]["status"] == "failed") == (depth > 9_998) or 9_900 < depth < 10_000
    assert {outcome["attempts"] for outcome in outcomes} == {1}
    assert not world.charged_twice()


@pytest.mark.parametrize("depth", [NESTING_MAX - 1, NESTING_MAX, NESTING_MAX + 1, 9_994, 9_996, 9_997, 9_998, 200_000])
def test_structured_output_of_any_depth_ends_its_item(depth: int) -> None:
    """What an outcome puts around it has to be read as well: beyond the limit it is no object that anybody asked for."""
    text = '{"a":' * depth + "1" + "}" * depth
    answer = parse_answer(answer_line(1, chat_body(text)))

    verdict = judge(answer, LAYOUTS[Shape.CHAT], is_structured=True)

    assert (verdict.failure is None) == (depth <= NESTING_MAX)
    assert verdict.failure is None or verdict.failure.code == "incomplete"
    assert verdict.usage is not None


@pytest.mark.parametrize("key", ["a.jsonl", "a.json"])
@pytest.mark.parametrize("depth", [NESTING_MAX - 1, NESTING_MAX, 9_994, 9_996, 9_997, 9_998, 200_000])
def test_a_record_of_any_depth_ends_its_item(key: str, depth: int) -> None:
    """The same limit holds for what people drop; the record alone fails, and says so."""
    world = World()
    world.storage.put_task("t", TASK)
    records = ['{"review":"a"}', '{"review":"b","deep":' + "[" * depth + "]" * depth + "}", '{"review":"c"}']
    content = f"[{','.join(records)}]" if key.endswith(".json") else "\n".join(records)

    job = world.drop(f"inbox/t/{key}", content.encode())
    world.run(job)

    outcomes = outcomes_of(world, job)
    errors = [outcome["error"] and outcome["error"]["code"] for outcome in outcomes]
    assert errors == [None, "not_json" if depth >= NESTING_MAX else None, None]
    assert errors[1] is None or f"deeper than {NESTING_MAX} levels" in outcomes[1]["error"]["message"]


@pytest.mark.parametrize("depth", [NESTING_MAX, NESTING_MAX + 1, 9_996, 9_998, 200_000])
@pytest.mark.parametrize("opens", ["[", '{"a":'])
def test_what_is_put_into_results_nests_no_deeper(opens: str, depth: int) -> None:
    """A record that failed for it is `null` there: what stands around it could not be read."""
    text = opens * depth + "1" + {"[": "]"}.get(opens, "}") * depth

    assert one_line(f" {text}\n".encode()) == (text.encode() if depth <= NESTING_MAX else b"null")
    assert json.loads(with_answer(one_line(text.encode()), Outcome(name="R", row=1, status="failed"), b""))


@pytest.mark.parametrize("depth", [NESTING_MAX - 2, NESTING_MAX + 10])
def test_a_deep_record_passes_the_template_engine(depth: int) -> None:
    """Python's own functions go less deep than readers of JSON; the limit lies below that."""
    world = World()
    world.storage.put_task("t", TASK.replace(b"{{ review }}", b"{{ review | upper }}{{ deep | length }}"))
    record = '{"review":"b","deep":' + "[" * depth + "]" * depth + "}\n"

    job = world.drop("inbox/t/a.jsonl", record.encode() + b'{"review":"a","deep":[]}\n')

    assert world.run(job).succeeded == (2 if depth < NESTING_MAX else 1)


# ------------------------------------------------------------------ usage


def ran(twist: Callable[[int, bytes], bytes], content: bytes = b"", limits: Limits | None = None) -> tuple[World, str]:
    """A world in which a job ended whose output lines were changed on the way."""
    world = World(limits=limits or Limits())
    world.storage.put_task("t", TASK)

    def twisted(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if not request.url.path.endswith("/content"):
            return response
        found = response.read().splitlines(keepends=True)
        changed = [twist(int(json.loads(line)["custom_id"]), line) for line in found]
        return httpx2.Response(200, content=b"".join(changed))

    world.tap.twists.append(twisted)
    job = world.drop("inbox/t/a.csv", content or b"review\na\nb\nc\n")
    world.run(job)
    return world, job


def outcomes_of(world: World, job: str) -> list[dict[str, Any]]:
    """What became of each item."""
    return [json.loads(line) for line in world.result(job, "outcomes.jsonl").splitlines()]


def counting(usage: str) -> Callable[[int, bytes], bytes]:
    """A twist that lets every answer report *usage*."""

    def twist(_: int, line: bytes) -> bytes:
        answer = json.loads(line)
        answer["response"]["body"]["usage"] = "HERE"
        return json.dumps(answer).replace('"HERE"', usage).encode() + b"\n"

    return twist


ODD = {
    "negative": '{"prompt_tokens": -5, "completion_tokens": 3}',
    "negative answer": '{"prompt_tokens": 5, "completion_tokens": -3000000}',
    "negative cache": '{"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": -9}}',
    "absurd": f'{{"prompt_tokens": {REQUEST_TOKENS_MAX + 1}, "completion_tokens": 3}}',
    "absurd answer": '{"prompt_tokens": 5, "completion_tokens": 1000000000000000000}',
    "beyond 64 bits": '{"prompt_tokens": 5, "completion_tokens": 100000000000000000000000000000}',
    "5,000 digits": f'{{"prompt_tokens": {DIGITS}, "completion_tokens": 3}}',
    "other names": '{"input_tokens": 5, "output_tokens": -1}',
    "text": '{"prompt_tokens": "5", "completion_tokens": "3"}',
}


@pytest.mark.parametrize("usage", ODD.values(), ids=ODD)
def test_usage_that_nobody_can_mean_is_unknown(usage: str) -> None:
    """It is in no sum and no quota estimate, the receipt says of how many answers, and so does the log."""
    world, job = ran(counting(usage))
    row, summary = world.job(job), json.loads(world.result(job, "summary.json"))
    quota = world.ledger.quota(account_of(BASE_URL), MODEL)

    assert (row.event, row.succeeded) == ("completed", 3)
    assert row.money.spent == 0
    assert summary["receipt"]["unknown"] == [{"what": "usage", "count": 3, "model": ""}]
    assert (summary["usage"], summary["receipt"]["total_dollars"]) == ({}, None)
    assert (dict(quota.quota_estimate.ratios), dict(quota.quota_estimate.lengths)) == ({}, {})
    assert [fields["count"] for _, event, fields in world.log.lines if event == "usage.not_believed"] == [3]


@pytest.mark.parametrize("usage", ["null", "{}", "[]", '"none"', "7", '{"seconds": 4}'])
def test_usage_that_is_absent_is_unknown_and_no_lie(usage: str) -> None:
    """As some servers have it: nothing in the log."""
    world, job = ran(counting(usage))

    assert json.loads(world.result(job, "summary.json"))["receipt"]["unknown"][0]["count"] == 3
    assert "usage.not_believed" not in world.log.events


@pytest.mark.parametrize(
    ("usage", "is_learned"),
    [
        ('{"prompt_tokens": 7, "completion_tokens": 900000}', True),
        ('{"prompt_tokens": 7, "completion_tokens": 1100000}', False),
        (f'{{"prompt_tokens": 7, "completion_tokens": {REQUEST_TOKENS_MAX}}}', False),
        (f'{{"prompt_tokens": {REQUEST_TOKENS_MAX}, "completion_tokens": 2}}', True),
    ],
)
def test_nothing_is_learned_beyond_a_bound(usage: str, is_learned: bool) -> None:  # noqa: FBT001  a column of the table
    """Or one batch would hold every later job above its cap; what is not learned is said. It is paid all the same."""
    world, job = ran(counting(usage))
    quota_estimate = world.ledger.quota(account_of(BASE_URL), MODEL).quota_estimate

    assert bool(quota_estimate.lengths) == is_learned
    assert all(lengths.tokens <= 1_000_000 * lengths.answers for lengths in quota_estimate.lengths.values())
    assert all(ratio.counted_tokens <= 20 * ratio.base_tokens for ratio in quota_estimate.ratios.values())
    said = "usage.not_learned" in world.log.events
    assert said == (not is_learned or str(REQUEST_TOKENS_MAX) in usage)
    assert world.job(job).money.spent > 0


def test_embeddings_are_in_order_whatever_one_says_of_its_place() -> None:
    """One number that nobody can mean does not make an answer empty."""
    entries = [f'{{"index": {place}, "embedding": [{at}]}}' for at, place in enumerate(("0", "1", DIGITS))]
    body = f'{{"data": [{entries[1]}, {entries[0]}, {entries[2]}]}}'
    line = b'{"custom_id": "1", "response": {"status_code": 200, "body": ' + body.encode() + b"}}"

    verdict = judge(parse_answer(line), LAYOUTS[Shape.EMBEDDINGS], is_structured=False)

    assert json.loads(bytes(verdict.output)) == [[0], [2], [1]]


@pytest.mark.parametrize("member", ["custom_id", "status_code"])
def test_an_output_line_with_such_a_number_is_nobodys_or_a_failure(member: str) -> None:
    """It breaks no reader."""
    line, old = answer_line(1, chat_body("a")), {"custom_id": rb'"1"', "status_code": b"200"}[member]

    changed, count = re.subn(
        rb'"%s": ?%s' % (member.encode(), old), b'"%s":%s' % (member.encode(), DIGITS.encode()), line
    )

    assert count == 1
    assert (row_of_answer(changed), parse_answer(changed).status) == {
        "custom_id": (None, 200),
        "status_code": (1, None),
    }[member]


# ------------------------------------------------------------------ redirects

ELSEWHERE = [
    "https://elsewhere.invalid/v1/files",
    f"http://{HOST}/v1/files",
    f"https://{HOST}:8443/v1/files",
    f"https://{HOST}.invalid/v1",
    f"https://user:pass@elsewhere.invalid/?{HOST}",
    "//elsewhere.invalid/v1",
    "http://[",
    "ftp://elsewhere.invalid/",
]


@pytest.mark.parametrize("dialect", [OPENAI, AZURE], ids=lambda dialect: dialect.key_header)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_call_leaves_its_host(status: int, call: str, dialect: Dialect) -> None:
    """Neither the key, in whichever header, nor what is uploaded; the call is refused, with words that help."""
    for target in ELSEWHERE:
        wire = saying(status, "", location=target)

        found = outcome_of(call, wire, dialect)

        assert {request.url.host for request in wire.requests} == {HOST}
        assert len(wire.requests) == 1
        if call == "create":
            assert isinstance(found, Uncertain)
        else:
            assert isinstance(found, ProviderRefused), target
            assert (found.status, found.code) == (status, "redirected")
            assert "OpenAIBaseUrl" in found.message
            assert "pass" not in found.message


@pytest.mark.parametrize("call", [name for name in CALLS if name != "create"])
@pytest.mark.parametrize("target", [f"https://{HOST}:443/there/", "/there/"])
def test_a_redirect_on_the_host_itself_is_followed(call: str, target: str) -> None:
    """As a server has it that wants a slash at the end."""
    body = '{"id": "x", "data": [], "status": "processed"}'

    def answer(request: httpx2.Request) -> httpx2.Response:
        is_there = request.url.path.startswith("/there")
        return httpx2.Response(200, content=body) if is_there else httpx2.Response(307, headers={"location": target})

    wire = Wire(answer)
    found = outcome_of(call, wire)

    assert not isinstance(found, ProviderError)
    assert [request.headers["authorization"] for request in wire.requests] == [f"Bearer {KEY}"] * 2


def test_an_upload_that_is_led_away_is_said_and_given_up() -> None:
    """The job waits for what refuses it, people are told where it leads, and after a day its items fail with these words."""
    world = World()
    world.tap.answers.append(
        lambda request: (
            httpx2.Response(307, headers={"location": "https://elsewhere.invalid/v1/files"})
            if (request.method, request.url.path) == ("POST", "/v1/files")
            else None
        )
    )
    job = world.drop("inbox/a.jsonl", lines(2))
    for _ in range(15):
        world.tick(MINUTE)
    (told,) = told_by(world)
    world.run(job, ticks_max=400, seconds=10 * MINUTE)

    assert "The server leads to https://elsewhere.invalid" in told["reason"]["message"]
    assert {outcome["error"]["code"] for outcome in outcomes_of(world, job)} == {"redirected"}
    assert world.tap.creates == 0


# ------------------------------------------------------------------ a key that is said back

ECHOES = {
    "message": json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}. See our page.", "code": "bad"}}),
    "code": json.dumps({"error": {"message": "m", "code": KEY[:60], "param": KEY}}),
    "detail": json.dumps({"detail": [{"loc": ["header", KEY], "msg": f"Bearer {KEY} is no key"}]}),
    "text": f"<html>{KEY}</html>",
    "json text": json.dumps(f"no {KEY}"),
    "escaped": json.dumps({"error": {"message": KEY, "code": "bad"}}).replace(
        KEY, "".join(f"\\u{ord(c):04x}" for c in KEY)
    ),
    "address": json.dumps({"error": {"message": f"https://x/?key={KEY}&b"}}),
    "cut": json.dumps({"error": {"message": f"{KEY[:-8]}… is wrong"}}),
    "beyond what is kept": json.dumps({"error": {"message": "x" * 980 + KEY}}),
    "many": json.dumps({"error": {"message": f"{KEY}{KEY} {KEY}" * 3}}),
    "broken": f'{{"error": {{"message": "{KEY}',
    "name": json.dumps({"error": {KEY: KEY}}),
}


def shows_key(text: str) -> bool:
    """Whether *text* holds enough of the key to use it."""
    return any(KEY[at : at + len(KEY) // 2] in text for at in range(len(KEY) // 2))


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 422, 429, 500])
@pytest.mark.parametrize("body", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("call", CALLS)
def test_nothing_that_a_call_says_holds_the_key(call: str, body: str, status: int) -> None:
    """Neither its answer, nor its error, nor what a traceback shows of the SDK's own error behind it."""
    wire = saying(status, body, x_request_id=KEY, x_should_retry="false")

    try:
        said = repr(CALLS[call](wire.provider()))
    except ProviderError as error:
        said = repr(error) + "".join(traceback.format_exception(error)) + repr(vars(error))

    assert not shows_key(said)


@pytest.mark.parametrize("broken", [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError])
@pytest.mark.parametrize("call", CALLS)
def test_nothing_that_a_broken_connection_says_holds_the_key(call: str, broken: type[httpx2.HTTPError]) -> None:
    """Some libraries quote what they sent."""

    def fail(_: httpx2.Request) -> httpx2.Response:
        raise broken(f"while sending authorization: Bearer {KEY}")

    try:
        said = repr(CALLS[call](Wire(fail).provider()))
    except ProviderError as error:
        said = repr(error) + "".join(traceback.format_exception(error))

    assert not shows_key(said)


def test_a_traceback_keeps_its_cause_where_that_shows_no_key() -> None:
    """Or nobody could tell what broke."""
    with pytest.raises(NotAtProvider) as plain:
        saying(404, '{"error": {"message": "gone"}}').provider().batch("id")

    assert plain.value.__cause__ is not None


def world_with_key() -> World:
    """A world with a key as long as real ones are."""
    world = World(behaviour=replace(CALM, run_seconds=5 * MINUTE))
    world.providers.key = KEY
    world.storage.put_task("t", TASK)
    return world


def everything(world: World) -> str:
    """All that is kept or shown: rows, quotas, objects, log, notifications."""
    rows = "".join(encode_row(row) for row in world.ledger.rows.values())
    quotas = "".join(encode_quota_estimate(quota.quota_estimate) for quota in world.ledger.quotas.values())
    objects = b"".join(world.storage.objects.values()).decode()
    told = "".join(f"{told.subject}{told.text}{told.json}" for told in world.notifications.published)
    return f"{rows}{quotas}{objects}{told}{world.log.lines}"


CALLS_OF_A_JOB = ["POST /v1/files", "POST /v1/batches", "GET /v1/batches", "GET /v1/files", "DELETE /v1/files"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("call", CALLS_OF_A_JOB)
def test_a_job_keeps_and_shows_no_key(call: str, status: int) -> None:
    """Whichever of its calls is refused for hours by a server that says the key back."""
    world = world_with_key()
    method, path = call.split()
    is_struck = [True]

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if not is_struck[0] or request.method != method or not request.url.path.startswith(path):
            return None
        error = {"message": f"The key {KEY} is refused", "code": f"k-{KEY[:50]}", "param": KEY}
        return httpx2.Response(status, json={"error": error}, headers={"x-request-id": KEY})

    world.tap.answers.append(answer)
    job = world.drop("inbox/t/a.csv", b"review\na\nb\n")
    for _ in range(30):
        world.tick(10 * MINUTE)
    during = everything(world)
    is_struck[0] = False
    world.run(job, ticks_max=400, seconds=10 * MINUTE)

    # A file that is not there is deleted: that leaves no words behind.
    assert (MASK in during) == ((call, status) != ("DELETE /v1/files", 404))
    assert not shows_key(during + everything(world))


def test_batches_and_answers_that_say_the_key_back_are_kept_without_it() -> None:
    """In the errors of a batch that failed, and in lines of its files: archive, outcomes, results and notification."""
    world = world_with_key()
    told = {"message": f"Bearer {KEY}", "code": "bad_key", "line": 1}

    def twisted(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        content = response.read()
        if request.url.path.endswith("/content"):
            return httpx2.Response(200, content=content.replace(b'"custom_id"', f'"note":"{KEY}","custom_id"'.encode()))
        return response

    world.tap.twists.append(twisted)
    job = world.drop("inbox/t/a.csv", b"review\na\nb\n")
    world.run(job)
    failing: list[bool] = [True]

    def failed(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if request.method != "GET" or not request.url.path.startswith("/v1/batches") or not failing:
            return response
        page = json.loads(response.read())
        for batch in page.get("data", [page]):
            if batch["status"] not in ("completed", "failed"):
                batch |= {"status": "failed", "errors": {"data": [told]}}
        return httpx2.Response(200, json=page)

    world.tap.twists.append(failed)
    second = world.drop("inbox/t/b.csv", b"review\nc\n")
    ended = world.run(second)

    assert (world.job(job).event, ended.failed) == ("completed", 1)
    assert "bad_key" in everything(world)
    assert not shows_key(everything(world))


def lines(count: int) -> bytes:
    """Ready-made requests."""
    return b"".join(
        json.dumps({"model": MODEL, "messages": [{"role": "user", "content": f"{n}"}]}).encode() + b"\n"
        for n in range(count)
    )
