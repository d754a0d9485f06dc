"""What the adapter sends to servers of each dialect, and what it makes of their answers."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser

import httpx2
import pytest

from batchdrop.core.model.batches import Accepted, BatchError, StoredFile, Uncertain
from batchdrop.core.model.dialects import AIBRIX, AZURE, CAUTIOUS, DIALECTS, GROQ, OPENAI, TOGETHER, Dialect
from batchdrop.core.model.errors import ProviderUnavailable
from batchdrop.core.model.limits import DAY
from batchdrop.core.planning.plan import Request
from batchdrop.core.planning.requests import body_of_line, request_line, sent_lines
from batchdrop.edge.openai.provider import OpenAIProvider

BASE_URL = "http://provider.invalid/v1"
ROWS = tuple(DIALECTS.values())
JOB = {
    "id": "b6f2", "status": "IN_PROGRESS", "input_file_id": "file-1", "created_at": "2026-11-22T00:00:00Z",
    "job_deadline": "2026-11-23T00:00:00Z", "completed_at": None, "endpoint": "/v1/chat/completions", "progress": 75.0,
}  # fmt: skip
NOON = 1_795_305_600


@dataclass
class Wire:
    """Answers as told, and keeps every request."""

    answers: Iterator[object]
    requests: list[httpx2.Request] = field(default_factory=list)

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Read the request to its end, then answer."""
        request.read()
        self.requests.append(request)
        return httpx2.Response(200, json=next(self.answers))


def speaking(dialect: Dialect, *answers: object) -> tuple[OpenAIProvider, Wire]:
    """Return an adapter for a server of *dialect*, and the wire that answers it."""
    wire = Wire(iter(answers))
    provider = OpenAIProvider(
        "sk-secret", BASE_URL, "print", create_timeout_seconds=2, on_refused=lambda: None, dialect=dialect,
        transport=httpx2.MockTransport(wire.handle),
    )  # fmt: skip
    return provider, wire


def form_of(request: httpx2.Request) -> dict[str, str]:
    """Return the parts of a form by name; of a file its name."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head + request.content).get_payload()
    assert isinstance(parts, list)
    found: dict[str, str] = {}
    for part in parts:
        name = str(part.get_param("name", header="content-disposition"))  # type: ignore[union-attr]  # a message
        found[name] = part.get_filename() or str(part.get_payload())  # type: ignore[union-attr]  # a message
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_key_is_sent_in_one_header(row: Dialect) -> None:
    """In the one that the server reads, of every call, and in no other."""
    provider, wire = speaking(row, {"id": "file-1"}, JOB, {"data": []}, {"id": "file-1", "deleted": True})

    provider.upload_input("t.jsonl", io.BytesIO(b"{}\n"), DAY)
    provider.create_batch(file="file-1", endpoint="/v1/chat/completions", metadata={})
    provider.list_batches(None)
    provider.delete_file("file-1")

    bearing = [[name for name, value in request.headers.items() if "sk-secret" in value] for request in wire.requests]
    assert bearing == [[row.key_header]] * 4


def test_azure_wants_its_own_header() -> None:
    """`api-key: <key>`, without a scheme."""
    provider, wire = speaking(AZURE, {"data": []})

    provider.list_batches(None)

    assert wire.requests[0].headers["api-key"] == "sk-secret"
    assert "authorization" not in wire.requests[0].headers


@pytest.mark.parametrize(
    ("dialect", "path", "form"),
    [
        (OPENAI, "/v1/files", {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "604800"}),
        (AZURE, "/v1/files", {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "1209600"}),
        (GROQ, "/v1/files", {"purpose": "batch"}),
        (TOGETHER, "/v1/files/upload", {"purpose": "batch-api", "file_name": "t.jsonl"}),
        (CAUTIOUS, "/v1/files", {"purpose": "batch"}),
    ],
    ids=lambda value: value.name if isinstance(value, Dialect) else "",
)  # fmt: skip
def test_an_upload_is_what_the_server_takes(dialect: Dialect, path: str, form: dict[str, str]) -> None:
    """Its path, its purpose, a lifetime within its range or none, and the file under its ticket's name."""
    provider, wire = speaking(dialect, {"id": "file-1"})

    assert provider.upload_input("t.jsonl", io.BytesIO(b'{"custom_id":"1"}\n'), 7 * DAY) == "file-1"

    (request,) = wire.requests
    assert (request.method, request.url.path) == ("POST", path)
    assert form_of(request) == form | {"file": "t.jsonl"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_upload_is_repeated_whole_by_whoever_asked(row: Dialect) -> None:
    """Not by the adapter, which sends the bytes once; a file that was read once is read again from its beginning."""
    bodies: list[bytes] = []

    def flaky(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.read())
        return httpx2.Response(500 if len(bodies) == 1 else 200, json={"id": "file-1"})

    provider = OpenAIProvider(
        "k", BASE_URL, "p", create_timeout_seconds=2, on_refused=lambda: None, dialect=row,
        transport=httpx2.MockTransport(flaky),
    )  # fmt: skip

    lines = io.BytesIO(b'{"custom_id":"1"}\n' * 1_000)
    with pytest.raises(ProviderUnavailable):
        provider.upload_input("t.jsonl", lines, DAY)
    provider.upload_input("t.jsonl", lines, DAY)

    assert [body.count(b"custom_id") for body in bodies] == [1_000, 1_000]


@pytest.mark.parametrize(
    ("dialect", "endpoint", "sent"),
    [
        (OPENAI, "/v1/chat/completions", "/v1/chat/completions"),
        (AZURE, "/v1/chat/completions", "/chat/completions"),
        (AZURE, "/v1/embeddings", "/embeddings"),
        (AZURE, "/v1/responses", "/v1/responses"),
        (GROQ, "/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_a_create_names_the_endpoint_as_its_lines_do(dialect: Dialect, endpoint: str, sent: str) -> None:
    """The same form in both, because servers compare them."""
    provider, wire = speaking(dialect, {"id": "batch_1"})
    line = request_line(7, Request("a", endpoint, "m", b'{"model":"m"}', 1, 0))

    provider.create_batch(file="file-1", endpoint=endpoint, metadata={"ticket": "t"})
    (made,) = sent_lines([line], endpoint, dialect)

    asked = json.loads(wire.requests[0].content)
    assert (asked["endpoint"], asked["completion_window"]) == (sent, "24h")
    assert json.loads(made) == {"custom_id": "7", "method": "POST", "url": sent, "body": {"model": "m"}}


def test_a_line_may_have_no_url() -> None:
    """Together's lines are an id and a body; nothing else of them changes, whatever the body says."""
    planted = '","method":"POST","url":"/v1/chat/completions","body":'
    body = json.dumps({"model": "m", "input": planted}).encode()
    line = request_line(7, Request("a", "/v1/chat/completions", "m", body, 1, 0))

    (made,) = sent_lines([line], "/v1/chat/completions", TOGETHER)

    assert json.loads(made) == {"custom_id": "7", "body": json.loads(body)}
    assert body_of_line(made) == body


def test_a_batch_may_lie_below_job() -> None:
    """Together answers a create so; its times are text, its status is in capitals, and it counts nothing."""
    provider, _ = speaking(TOGETHER, {"job": JOB, "warning": "slow today"})

    answer = provider.create_batch(file="file-1", endpoint="/v1/chat/completions", metadata={"ticket": "t"})

    assert isinstance(answer, Accepted)
    batch = answer.batch
    assert (batch.id, batch.status, batch.input_file) == ("b6f2", "in_progress", "file-1")
    assert (batch.created_at, batch.expires_at, batch.total) == (NOON, NOON + DAY, None)


@pytest.mark.parametrize("made", [{"job": None}, {"job": {"status": "VALIDATING"}}, {"job": "b6f2"}])
def test_a_job_without_an_id_is_no_batch(made: object) -> None:
    """Then it is uncertain whether there is one."""
    provider, _ = speaking(TOGETHER, made)

    assert isinstance(provider.create_batch(file="f", endpoint="/v1/chat/completions", metadata={}), Uncertain)


def test_a_list_may_be_bare_and_whole() -> None:
    """Together's has nothing around it and no pages: asked without parameters, nothing follows it."""
    provider, wire = speaking(TOGETHER, [JOB, JOB | {"id": "b6f3"}])

    page = provider.list_batches(None)

    assert [batch.id for batch in page.batches] == ["b6f2", "b6f3"]
    assert (page.next_after, wire.requests[0].url.query) == (None, b"")


def test_a_list_may_name_its_cursor() -> None:
    """Groq's next page is asked for by `cursor`, with what `paging` says."""
    provider, wire = speaking(GROQ, {"data": [{"id": "batch_1"}], "paging": {"next_cursor": "c1"}}, {"data": []})

    first = provider.list_batches(None)
    last = provider.list_batches(first.next_after)

    assert (first.next_after, last.next_after) == ("c1", None)
    assert [request.url.query for request in wire.requests] == [b"", b"cursor=c1"]


@pytest.mark.parametrize(
    ("dialect", "query"),
    [
        (OPENAI, b"purpose=batch&order=asc&limit=1000"),
        (AIBRIX, b"purpose=batch&order=asc&limit=100"),
        (TOGETHER, b"purpose=batch-api"),
    ],
)
def test_a_list_of_files_asks_for_what_the_server_takes(dialect: Dialect, query: bytes) -> None:
    """AIBrix refuses more than 100 on a page."""
    provider, wire = speaking(dialect, {"data": [{"id": "file-1", "filename": "t.jsonl", "created_at": 5}]})

    page = provider.list_files(None)

    assert page.files == (StoredFile("file-1", "t.jsonl", 5),)
    assert wire.requests[0].url.query == query


@pytest.mark.parametrize(
    ("dialect", "word", "status"),
    [
        (TOGETHER, "CANCELLED", "cancelled"),
        (TOGETHER, "CANCELING", "cancelling"),
        (AZURE, "canceled", "cancelled"),
        (AIBRIX, "scheduling", "validating"),
        (OPENAI, "Completed", "completed"),
        (CAUTIOUS, "brand_new", "brand_new"),
    ],
)
def test_a_status_is_told_in_openais_words(dialect: Dialect, word: str, status: str) -> None:
    """What nobody knows is kept as it came, and waited on."""
    provider, _ = speaking(dialect, {"id": "batch_1", "status": word})

    assert provider.batch("batch_1").status == status


@pytest.mark.parametrize(
    "raw",
    [
        {"errors": {"object": "list", "data": [{"code": "c", "message": "m", "line": 4}]}},
        {"errors": [{"code": "c", "message": "m", "line": 4}]},
    ],
)
def test_errors_of_a_batch_may_be_a_list_of_their_own(raw: dict[str, object]) -> None:
    """Groq's documents show it without the object around it."""
    provider, _ = speaking(GROQ, {"id": "batch_1", "status": "failed", **raw})

    assert provider.batch("batch_1").errors == (BatchError("c", "m", 4),)


def test_the_error_of_a_batch_may_be_a_sentence() -> None:
    """Together has one text for all."""
    provider, _ = speaking(TOGETHER, JOB | {"status": "FAILED", "error": "line 3 is not JSON"})

    assert provider.batch("b6f2").errors == (BatchError("", "line 3 is not JSON", None),)


@pytest.mark.parametrize(
    ("answer", "status"),
    [({"status": "Processed"}, "processed"), ({"status": None}, ""), ({}, ""), ({"status": 3}, "")],
)
def test_the_status_of_a_file_is_read(answer: dict[str, object], status: str) -> None:
    """In lower case, and empty where there is none."""
    provider, _ = speaking(AZURE, {"id": "file-1", **answer})

    assert provider.file_status("file-1") == status


@pytest.mark.parametrize(
    "read", [lambda row: row.lifetime_seconds(7 * DAY), lambda row: row.endpoint("/v1/moderations")]
)
def test_no_row_fails_on_what_it_is_asked(read: Callable[[Dialect], object]) -> None:
    """Every row has an answer, if only the cautious one."""
    for row in ROWS:
        read(row)
