"""The adapter to the provider: what it sends, how often, and what it makes of each answer."""

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from batchdrop.core.model.batches import Accepted, Batch, BatchError, Declined, NotSent, StoredFile, Uncertain
from batchdrop.core.model.errors import (
    DownloadCut,
    KeyRefused,
    NotAtProvider,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from batchdrop.core.model.limits import COMPLETION_WINDOW
from batchdrop.edge.openai.provider import RETRIES_MAX, OpenAIProvider

BASE_URL = "http://provider.invalid/v1"
BATCH = {"id": "batch_1", "object": "batch", "status": "VALIDATING", "created_at": 5, "metadata": {"ticket": "t"}}
METADATA = {"ticket": "i.j.1.1.1", "job": "j", "shard": "1"}


@dataclass
class Wire:
    """The provider's side: answers as told, and keeps every request."""

    answer: Callable[[httpx2.Request], httpx2.Response]
    requests: list[httpx2.Request] = field(default_factory=list)
    refused: int = 0

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Read the request to its end, then answer."""
        request.read()
        self.requests.append(request)
        return self.answer(request)

    def provider(self) -> OpenAIProvider:
        """Return an adapter that speaks to this."""
        return OpenAIProvider(
            "sk-test",
            BASE_URL,
            "print",
            create_timeout_seconds=2,
            on_refused=self._count_refusal,
            transport=httpx2.MockTransport(self.handle),
        )

    def _count_refusal(self) -> None:
        self.refused += 1


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own retries do not sleep."""
    monkeypatch.setattr("openai._base_client.time.sleep", lambda _: None)


def replying(status: int, body: object = None, **headers: str) -> Wire:
    """Return a wire with one answer to everything."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Wire(lambda _: httpx2.Response(status, json=body, headers=named))


def failing(error: Exception) -> Wire:
    """Return a wire that breaks."""

    def fail(_: httpx2.Request) -> httpx2.Response:
        raise error

    return Wire(fail)


def create(wire: Wire) -> object:
    """Create a batch over *wire*."""
    return wire.provider().create_batch(file="file-1", endpoint="/v1/responses", metadata=METADATA)


def error(code: str | None = None, message: str = "why") -> dict[str, Any]:
    """Return the provider's envelope of an error."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


def test_a_create_says_what_it_is_for() -> None:
    """The body names file, endpoint, window and ticket, and nothing else."""
    wire = replying(200, BATCH)

    create(wire)

    assert [(request.method, str(request.url)) for request in wire.requests] == [("POST", f"{BASE_URL}/batches")]
    assert json.loads(wire.requests[0].content) == {
        "input_file_id": "file-1",
        "endpoint": "/v1/responses",
        "completion_window": COMPLETION_WINDOW,
        "metadata": METADATA,
    }


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_batch_with_an_id_is_accepted(status: int) -> None:
    """Any 2xx will do; the status comes in lower case."""
    wire = replying(status, BATCH)

    answer = create(wire)

    assert isinstance(answer, Accepted)
    assert (answer.batch.id, answer.batch.status, answer.batch.ticket) == ("batch_1", "validating", "t")
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "refusals"),
    [(400, "x", 0), (404, None, 0), (413, None, 0), (422, None, 0), (401, None, 1), (403, None, 1), (429, None, 0),
     (429, "insufficient_quota", 1), (400, "billing_hard_limit_reached", 1), (403, "model_not_found", 0),
     (403, "Model_Access_Denied", 0), (401, "model_not_found", 1)],
)  # fmt: skip
def test_a_definite_no_is_declined(status: int, code: str | None, refusals: int) -> None:
    """One POST, the provider's code and words, when to come back, and the key read again where it was the reason."""
    wire = replying(status, error(code), retry_after="17", x_request_id="req_9")

    answer = create(wire)

    assert answer == Declined(status, code or "", "why (request req_9)", 17)
    assert (len(wire.requests), wire.refused) == (1, refusals)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": [{"loc": ["body", "expires_after", 0], "msg": "too small"}, {"loc": [], "msg": "no"}, 7]},
         "body.expires_after.0: too small; no"),
        ({"detail": "Not here."}, "Not here."), ({"detail": {"message": "Not there."}}, "Not there."),
        ({"error": "Nope."}, "Nope."), ({"message": "Neither."}, "Neither."),
    ],
)  # fmt: skip
def test_the_words_of_a_refusal_are_kept_in_whatever_form_they_come(body: object, said: str) -> None:
    """FastAPI's `detail` for a 422, a bare text, a message without an envelope."""
    answer = create(replying(422, body))

    assert isinstance(answer, Declined)
    assert (answer.status, answer.message) == (422, said)


def test_a_code_that_nobody_knows_is_kept_as_it_came() -> None:
    """A number, other cases, and what the refusal is about."""
    envelope = {"error": {"message": "m", "code": 1234, "param": "input_file_id"}}

    assert create(replying(400, envelope)) == Declined(400, "1234", "m", 0, "input_file_id")
    assert create(replying(400, error("Some-New.Code"))) == Declined(400, "Some-New.Code", "why")


@pytest.mark.parametrize(
    "status", [300, 301, 302, 303, 304, 307, 308, 408, 409, 425, 460, 499, 500, 502, 503, 504, 529]
)
def test_any_other_status_is_uncertain_and_not_repeated(status: int) -> None:
    """Not even where the answer asks for it: a redirect is not followed, a retry not made."""
    headers = {"location": "http://provider.invalid/v1/elsewhere", "x_should_retry": "true", "retry_after": "0"}
    wire = replying(status, error(), **headers)

    answer = create(wire)

    assert isinstance(answer, Uncertain)
    assert len(wire.requests) == 1


@pytest.mark.parametrize("status", [400, 402, 404, 405, 406, 410, 413, 415, 418, 422, 423, 426, 431, 451])
def test_a_definite_refusal_of_a_create_is_no_uncertain_one(status: int) -> None:
    """What is registered as a client's error says that nothing was done: no batch is looked for."""
    wire = replying(status, {"detail": "not here"})

    answer = create(wire)

    assert isinstance(answer, Declined)
    assert (answer.status, len(wire.requests)) == (status, 1)


@pytest.mark.parametrize(
    "broken",
    [httpx2.ReadTimeout("x"), httpx2.ReadError("x"), httpx2.WriteTimeout("x"), httpx2.WriteError("x"),
     httpx2.RemoteProtocolError("x"), httpx2.ProxyError("x"), OSError("x")],
)  # fmt: skip
def test_a_broken_connection_is_uncertain_and_not_repeated(broken: Exception) -> None:
    """Also one that probably never reached the provider: nobody knows."""
    wire = failing(broken)

    answer = create(wire)

    assert isinstance(answer, Uncertain)
    assert len(wire.requests) == 1


@pytest.mark.parametrize("broken", [httpx2.ConnectError("x"), httpx2.ConnectTimeout("x"), httpx2.PoolTimeout("x")])
def test_a_connection_that_was_never_made_has_sent_nothing(broken: Exception) -> None:
    """Told apart from what is uncertain, and not repeated by the adapter either."""
    wire = failing(broken)

    answer = create(wire)

    assert isinstance(answer, NotSent)
    assert len(wire.requests) == 1


def test_nobody_listens_and_nobody_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection and a name that does not exist, over real sockets, are errors that say that nothing was sent."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for base_url in (f"http://127.0.0.1:{port}/v1", "http://nobody.invalid/v1"):
        provider = OpenAIProvider("sk", base_url, "p", create_timeout_seconds=20, on_refused=lambda: None)

        answer = provider.create_batch(file="f", endpoint="/v1/responses", metadata={})

        assert isinstance(answer, NotSent), base_url
        provider.close()


@pytest.mark.parametrize(
    "body", [b"", b"<html>fine</html>", b"{", b"null", b"[]", b"{}", b'{"id": ""}', b'{"id": null}', b'{"id": 7}']
)
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_a_success_that_is_no_batch_is_uncertain(body: bytes, content_type: str) -> None:
    """A proxy's page, half an answer, or an object without an id."""
    wire = Wire(lambda _: httpx2.Response(200, content=body, headers={"content-type": content_type}))

    answer = create(wire)

    assert isinstance(answer, Uncertain)
    assert len(wire.requests) == 1


@pytest.fixture
def dripping() -> Iterator[tuple[str, list[bytes]]]:
    """A server that accepts and then sends one byte of its answer each tenth of a second, for ever."""
    server = socket.create_server(("127.0.0.1", 0))
    heads: list[bytes] = []
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                heads.append(connection.recv(65_536))
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not stop.wait(0.1):
                        connection.sendall(b"x")
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", heads
    stop.set()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_a_reply_that_drips_ends_at_the_deadline(dripping: tuple[str, list[bytes]]) -> None:
    """Each byte comes in time, the answer never does; the call ends when it was to end, with one POST."""
    base_url, heads = dripping
    provider = OpenAIProvider("sk", base_url, "p", create_timeout_seconds=1, on_refused=lambda: None)
    began = time.monotonic()

    answer = provider.create_batch(file="f", endpoint="/v1/responses", metadata={})

    assert answer == Uncertain("no answer within 1 s", is_silent=True)
    assert time.monotonic() - began < 3
    assert len(heads) == 1


type Asked = Callable[[OpenAIProvider], object]

READS: dict[str, Asked] = {
    "list": lambda provider: provider.list_batches(None),
    "retrieve": lambda provider: provider.batch("batch_1"),
    "cancel": lambda provider: provider.cancel_batch("batch_1"),
    "files": lambda provider: provider.list_files(None),
    "file": lambda provider: provider.file_exists("file-1"),
    "status": lambda provider: provider.file_status("file-1"),
    "delete": lambda provider: provider.delete_file("file-1"),
    "upload": lambda provider: provider.upload_input("t.jsonl", io.BytesIO(b"{}\n"), 3_600),
    "download": lambda provider: provider.download("file-1", io.BytesIO()),
}


@pytest.mark.parametrize("name", READS)
def test_a_call_in_a_hurry_is_one_try_within_what_is_left(name: str) -> None:
    """Whatever it waits for, on the wire too; the provider that is not in a hurry stays as it was."""
    wire = replying(503)
    provider = wire.provider()
    left = iter([7.0] * 9)

    with pytest.raises(ProviderUnavailable):
        READS[name](provider.hurried(lambda: next(left)))
    (request,) = wire.requests
    with pytest.raises(ProviderUnavailable):
        READS[name](provider)

    assert request.extensions["timeout"]["read"] == 7.0
    assert request.extensions["timeout"]["connect"] == 5.0
    assert wire.requests[-1].extensions["timeout"]["read"] >= 60.0


def test_what_a_refusal_quotes_of_a_key_goes_nowhere() -> None:
    """Neither into a log nor into a row: what is written as a key is left out where the words come in."""
    wire = replying(
        401, {"error": {"message": "Incorrect API key provided: sk-canary***1234.", "code": "invalid_api_key"}}
    )

    with pytest.raises(KeyRefused) as refused:
        wire.provider().batch("batch_1")
    answer = create(wire)

    assert "canary" not in f"{refused.value} {answer}"
    assert "Incorrect API key provided: [key]." in str(refused.value)


@pytest.mark.parametrize("name", READS)
def test_a_call_without_time_is_not_made(name: str) -> None:
    """It would be cut off at once, and nobody would know what came of it."""
    wire = replying(200, BATCH)

    with pytest.raises(ProviderUnavailable, match="time for calls"):
        READS[name](wire.provider().hurried(lambda: 0.5))

    assert wire.requests == []


@pytest.mark.slow  # a second of waiting each
@pytest.mark.parametrize("name", READS)
def test_an_answer_that_drips_ends_when_the_time_is_over(name: str, dripping: tuple[str, list[bytes]]) -> None:
    """Each byte comes in time; the call as a whole does not."""
    base_url, heads = dripping
    provider = OpenAIProvider("sk", base_url, "p", create_timeout_seconds=60, on_refused=lambda: None)
    began = time.monotonic()

    with pytest.raises(ProviderUnavailable, match="time that was left"):
        READS[name](provider.hurried(lambda: 1.0))

    assert time.monotonic() - began < 3
    assert len(heads) == 1


def test_a_create_keeps_its_own_time() -> None:
    """It is never cut short: what a cut create did nobody knows."""
    wire = replying(200, BATCH)

    answer = wire.provider().hurried(lambda: 1.0).create_batch(file="f", endpoint="/v1/responses", metadata={})

    assert isinstance(answer, Accepted)
    assert wire.requests[0].extensions["timeout"]["read"] == 2.0


def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for creating, not for reading: no organisation, project, header, key or address."""
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "planted")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://planted.invalid")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Planted: planted\nAuthorization: planted")
    wire = replying(200, BATCH)

    create(wire)
    wire.provider().batch("batch_1")

    for request in wire.requests:
        assert "planted" not in f"{request.url} {request.headers!r}"
        assert request.headers["authorization"] == "Bearer sk-test"


def test_an_odd_batch_is_read() -> None:
    """Nulls, missing and foreign fields, other cases, and numbers as text: nothing is guessed, nothing raises."""
    odd = {
        "id": "batch/ü+1", "status": "Brand_New", "created_at": None,
        "errors": {"data": [{"line": "four", "code": True}, "x", None]},
        "request_counts": {"total": None, "completed": 2.0, "failed": "3"}, "output_file_id": "", "metadata": [1],
        "usage": "none", "in_progress_at": "soon", "expires_at": "soon", "new": {"deep": 1},
    }  # fmt: skip

    batch = replying(200, odd).provider().batch("batch_1")

    nothing = BatchError("", "", None)
    assert batch == Batch(
        id="batch/ü+1", status="brand_new", created_at=0, errors=(nothing, nothing, nothing), completed=2
    )


def test_a_failed_batch_tells_line_and_code() -> None:
    """As the provider sends it."""
    failed = BATCH | {
        "status": "failed",
        "failed_at": 9,
        "errors": {"object": "list", "data": [{"code": "c", "message": "m", "param": None, "line": 4}, {"code": 1301}]},
        "request_counts": {"total": 3, "completed": 0, "failed": 0},
    }

    batch = replying(200, failed).provider().batch("batch_1")

    assert (batch.status, batch.ended_at, batch.errors) == (
        "failed",
        9,
        (BatchError("c", "m", 4), BatchError("1301", "", None)),
    )
    assert (batch.total, batch.completed, batch.failed) == (3, 0, 0)


def test_a_list_says_where_it_goes_on() -> None:
    """A hundred a page; the last batch leads on while there are more."""
    page = {"object": "list", "data": [BATCH, BATCH | {"id": "batch_2"}], "has_more": True}
    wire = replying(200, page)
    provider = wire.provider()

    first = provider.list_batches(None)
    provider.list_batches(first.next_after)

    assert ([batch.id for batch in first.batches], first.next_after) == (["batch_1", "batch_2"], "batch_2")
    assert [dict(request.url.params) for request in wire.requests] == [
        {"limit": "100"},
        {"limit": "100", "after": "batch_2"},
    ]


@pytest.mark.parametrize("page", [{"data": [], "has_more": True}, {"data": None, "has_more": True}, {"data": [BATCH]}])
def test_a_list_ends(page: dict[str, object]) -> None:
    """An empty page that promises more would never end."""
    assert replying(200, page).provider().list_batches(None).next_after is None


@pytest.mark.parametrize("body", [b"", b"<html>fine</html>", b"{", b"null", b"[]", b'"no"', b"\xff\xfe{"])
@pytest.mark.parametrize("lists", [OpenAIProvider.list_batches, OpenAIProvider.list_files])
def test_a_list_that_is_none_shows_nothing_to_be_absent(
    lists: Callable[[OpenAIProvider, str | None], object], body: bytes
) -> None:
    """A page of a proxy is an outage: an empty list would mean that a batch does not exist."""
    wire = Wire(lambda _: httpx2.Response(200, content=body))

    with pytest.raises(ProviderUnavailable):
        lists(wire.provider(), None)


def test_input_files_are_listed_from_the_oldest_on() -> None:
    """Whoever stored them; a page leads on while there are more, and odd entries are passed over."""
    stored = {"id": "file-1", "filename": "a.jsonl", "created_at": 7, "purpose": "batch"}
    page = {"object": "list", "data": [stored, {"id": ""}, None, {"id": "file-2"}], "has_more": True}
    wire = replying(200, page)
    provider = wire.provider()

    first = provider.list_files(None)
    provider.list_files(first.next_after)

    assert first.files == (StoredFile("file-1", "a.jsonl", 7), StoredFile("file-2", "", 0))
    asked = {"purpose": "batch", "order": "asc", "limit": "1000"}
    assert [dict(request.url.params) for request in wire.requests] == [asked, asked | {"after": "file-2"}]


def test_an_upload_names_its_file_and_its_end() -> None:
    """The file is sent from its start under the ticket's name, to expire by itself."""
    wire = replying(200, {"id": "file-9"})
    lines = io.BytesIO(b'{"custom_id": "1"}\n')
    lines.seek(0, io.SEEK_END)

    file = wire.provider().upload_input("ticket.jsonl", lines, 7 * 86_400)

    sent = wire.requests[0].content
    assert file == "file-9"
    assert all(
        part in sent
        for part in (b'filename="ticket.jsonl"', b'{"custom_id": "1"}\n', b"604800", b"created_at", b"batch")
    )


type Call = Callable[[OpenAIProvider], object]
NAMED: dict[str, Call] = {
    "batch": lambda provider: provider.batch("id"),
    "download": lambda provider: provider.download("id", io.BytesIO()),
}
OTHERS: dict[str, Call] = {
    "upload": lambda provider: provider.upload_input("a.jsonl", io.BytesIO(b"x"), 3_600),
    "list": lambda provider: provider.list_batches(None),
    "files": lambda provider: provider.list_files(None),
    "exists": lambda provider: provider.file_exists("id"),
    "delete": lambda provider: provider.delete_file("id"),
}
CALLS = NAMED | OTHERS
REFUSALS = [
    (400, ""),
    (400, "file_too_large"),
    (405, ""),
    (413, ""),
    (415, ""),
    (422, "x"),
    (451, ""),
    (403, "model_not_found"),
]


# Whoever asked comes again in a minute, and a sweep comes for files that are left.
TRIES_MAX = {"upload": 1, "batch": 1, "delete": 1, "download": 1}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("wire", "expected", "posts"),
    [
        (lambda: replying(401, error("invalid_api_key")), KeyRefused, 1),
        (lambda: replying(403, error()), KeyRefused, 1),
        (lambda: replying(429, error("insufficient_quota"), x_should_retry="false"), KeyRefused, 1),
        *((lambda status=status: replying(status, error()), ProviderUnavailable, 3) for status in (408, 409)),
        (lambda: replying(425, error()), ProviderUnavailable, 1),
        (lambda: replying(429, error()), ProviderUnavailable, 3),
        (lambda: replying(429, error(), retry_after="100"), ProviderUnavailable, 1),
        (lambda: replying(503, error()), ProviderUnavailable, 3),
        (lambda: failing(httpx2.ConnectError("x")), ProviderUnavailable, 3),
        (lambda: failing(httpx2.ReadTimeout("x")), ProviderUnavailable, 3),
    ],
)
def test_failures_are_told_by_who_must_act(
    call: str, wire: Callable[[], Wire], expected: type[ProviderError], posts: int
) -> None:
    """What may be repeated is, within seconds; what waits for a person is not, and the key is read again."""
    played = wire()

    with pytest.raises(expected):
        CALLS[call](played.provider())

    assert len(played.requests) == min(posts, TRIES_MAX.get(call, RETRIES_MAX + 1))
    assert played.refused == (1 if expected is KeyRefused else 0)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_definite_no_is_told_with_the_providers_words(call: Call, status: int, code: str) -> None:
    """Asked once; the key is not what is meant, so it is not read again."""
    wire = replying(status, error(code or None, "Too much."), x_request_id="req_9")

    with pytest.raises(ProviderRefused) as refused:
        call(wire.provider())

    told = refused.value
    assert (told.status, told.code, told.message) == (status, code, "Too much. (request req_9)")
    assert (len(wire.requests), wire.refused) == (1, 0)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("call", NAMED.values(), ids=NAMED)
def test_what_the_provider_does_not_know(call: Call, status: int) -> None:
    """A 404 about an id is told apart, and what was there once."""
    with pytest.raises(NotAtProvider):
        call(replying(status, error()).provider())


@pytest.mark.parametrize(("call", "status"), [("upload", 404), ("list", 404), ("files", 405), ("delete", 410)])
def test_a_404_about_no_id_is_a_refusal(call: str, status: int) -> None:
    """Of a list that a server does not have, nothing is concluded; and 410 may mean the call: it fences nothing off."""
    with pytest.raises(ProviderRefused):
        CALLS[call](replying(status, error()).provider())


@pytest.mark.parametrize("status", [200, 400, 409])
def test_a_cancel_of_what_has_ended_is_one_call_and_no_failure(status: int) -> None:
    """The SDK would send it again after a 409; the batch is looked at later anyway."""
    wire = replying(status, {"id": "b"} if status == 200 else error())

    wire.provider().cancel_batch("b")

    assert [(request.method, request.url.path) for request in wire.requests] == [("POST", "/v1/batches/b/cancel")]


@pytest.mark.parametrize(("status", "expected"), [(404, NotAtProvider), (401, KeyRefused), (503, ProviderUnavailable)])
def test_a_cancel_that_was_not_heard_is_told(status: int, expected: type[ProviderError]) -> None:
    """One call: whoever asked asks again in their own time."""
    wire = replying(status, error())

    with pytest.raises(expected):
        wire.provider().cancel_batch("b")

    assert len(wire.requests) == 1


def test_a_file_that_is_gone_counts_as_deleted() -> None:
    """404 and `deleted` are the same; `deleted: false` is not."""
    assert replying(404, error()).provider().file_exists("f") is False
    assert replying(200, {"id": "f"}).provider().file_exists("f") is True
    replying(404, error()).provider().delete_file("f")
    replying(200, {"id": "f", "deleted": True}).provider().delete_file("f")
    with pytest.raises(ProviderUnavailable):
        replying(200, {"id": "f", "deleted": False}).provider().delete_file("f")


class Cut(httpx2.SyncByteStream):
    """A body that breaks off."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"half"
        raise httpx2.RemoteProtocolError("peer closed connection")


def test_a_download_is_whole() -> None:
    """The bytes as they came, counted."""
    target = io.BytesIO()
    wire = Wire(lambda _: httpx2.Response(200, content=b"line\n" * 1_000))

    size_bytes = wire.provider().download("file-1", target)

    assert (size_bytes, target.getvalue()) == (5_000, b"line\n" * 1_000)


@pytest.mark.parametrize(
    "response",
    [lambda: httpx2.Response(200, stream=Cut()), lambda: httpx2.Response(200, stream=Cut(), headers={"content-length": "9"}),
     lambda: httpx2.Response(200, content=b"half", headers={"content-length": "9"})],
)  # fmt: skip
def test_a_download_that_ends_early_is_told(response: Callable[[], httpx2.Response]) -> None:
    """Whether the connection broke or the length is short."""
    with pytest.raises(DownloadCut):
        Wire(lambda _: response()).provider().download("file-1", io.BytesIO())
