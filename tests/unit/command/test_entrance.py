"""What the embedded AWS sees of the world, and the world of it: an application that notes what reaches it stands for it."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from batchdrop_cli.local.entrance import PROOF_PATH, UNKNOWN_BODY_BYTES_MAX, Message, Receive, Send, guarded
from batchdrop_cli.local.signed_requests import proof

PORT = 4566
HOST = f"127.0.0.1:{PORT}"
SECRETS = {"AKIAOWNER": "the-owners", "ASIAFUNCTION": "a-functions"}


@dataclass
class Emulator:
    """Notes the bodies that reach it, and answers as the emulator does: every page may read."""

    bodies: list[bytes] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self.scopes.append(scope["type"])
        if scope["type"] != "http":
            return
        body, has_more = b"", True
        while has_more:
            message = await receive()
            body, has_more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        headers = [(b"Access-Control-Allow-Origin", b"*"), (b"access-control-expose-headers", b"*"), (b"etag", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"the secret"})


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


@pytest.fixture
def emulator() -> Emulator:
    """One that nothing has reached yet."""
    return Emulator()


def ask(emulator: Emulator, scope: dict[str, Any], *messages: Message) -> Reply | None:
    """Send a request through the entrance; None where nothing is answered."""
    entrance = guarded(emulator, port=PORT, owner_secret=SECRETS["AKIAOWNER"], secret_of=SECRETS.get, now=time.time)
    waiting, sent = list(messages), list[Message]()

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def one_request() -> None:
        await entrance(scope, receive, send)

    asyncio.run(one_request())
    if not sent or sent[0]["type"] != "http.response.start":
        return None
    return Reply(sent[0]["status"], dict(sent[0]["headers"]), b"".join(message["body"] for message in sent[1:]))


def signed(
    body: bytes, *, key: str = "AKIAOWNER", secret: str = "", service: str = "s3", path: str = "/b/x"
) -> dict[str, Any]:
    """The scope of a request signed with *key*."""
    request = AWSRequest(method="PUT" if service == "s3" else "POST", url=f"http://{HOST}{path}", data=body)
    request.context["payload_signing_enabled"] = True
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    kind(Credentials(key, secret or SECRETS.get(key, "unknown")), service, "us-east-1").add_auth(request)
    assert request.method
    return scope_of(request.method, path, {"host": HOST, **{n.lower(): str(v) for n, v in request.headers.items()}})


def scope_of(method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    """The scope of a request as the server gives it."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    path, _, query = path.partition("?")
    return {
        "type": "http", "method": method, "raw_path": path.encode(), "query_string": query.encode(), "headers": pairs,
    }  # fmt: skip


def pieces(*bodies: bytes) -> list[Message]:
    """The messages of a body that comes in pieces."""
    last = len(bodies) - 1
    return [{"type": "http.request", "body": body, "more_body": i < last} for i, body in enumerate(bodies)]


@pytest.mark.parametrize("service", ["s3", "sqs"])
@pytest.mark.parametrize("key", SECRETS)
def test_a_signed_request_passes_whole(emulator: Emulator, key: str, service: str) -> None:
    """Its body arrives as it was sent, and the reply comes back without the headers that let pages read it."""
    reply = ask(emulator, signed(b"abcdef", key=key, service=service), *pieces(b"abc", b"", b"def"))

    assert reply
    assert (emulator.bodies, reply.status, reply.body) == ([b"abcdef"], 200, b"the secret")
    assert reply.headers == {b"etag": b"1"}


def with_headers(scope: dict[str, Any], **changed: str) -> dict[str, Any]:
    """Return *scope* with other headers."""
    kept = [(name, value) for name, value in scope["headers"] if name.decode() not in changed]
    return scope | {"headers": kept + [(name.encode(), value.encode()) for name, value in changed.items()]}


PAGE = {"origin": "http://evil.example", "content-type": "application/x-amz-json-1.1"}
FORGED = (
    f"AWS4-HMAC-SHA256 Credential={{}}/20261130/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={'0' * 64}"
)


@pytest.mark.parametrize(
    "scope",
    [
        scope_of("POST", "/", {"host": HOST}),
        scope_of("GET", "/", {"host": HOST, "authorization": FORGED.format("test")}),
        scope_of("GET", "/", {"host": HOST, "authorization": FORGED.format("000000000000")}),
        scope_of("GET", "/", {"host": HOST, "authorization": FORGED.format("")}),
        scope_of("GET", "/", {"host": HOST, "authorization": FORGED.format("AKIAOWNER"), "x-amz-date": "20261130T000000Z"}),
        scope_of("GET", "/b/x?AWSAccessKeyId=test&Signature=x&Expires=9999999999", {"host": HOST}),
        scope_of("OPTIONS", "/", {"host": HOST, **PAGE, "access-control-request-method": "POST"}),
        scope_of("POST", "/_ministack/reset", {"host": HOST}),
        scope_of("GET", "/_ministack/health", {"host": HOST}),
        scope_of("GET", "/health", {"host": HOST}),
        scope_of("GET", f"{PROOF_PATH}short", {"host": HOST}),
        scope_of("GET", f"{PROOF_PATH}{'0' * 32}", {"host": "evil.example"}),
        scope_of("GET", f"{PROOF_PATH}{'0' * 32}", {"host": HOST, **PAGE}),
        signed(b"x", key="test", secret="test"),
        signed(b"x", secret="test"),
        signed(b"other"),
        signed(b"other", service="sqs"),
        signed(b"x", path="/_ministack/reset"),
        with_headers(signed(b"x"), origin="null"),
        with_headers(signed(b"x"), origin=f"http://{HOST}"),
        with_headers(signed(b"x"), host=f"evil.example:{PORT}"),
        with_headers(signed(b"x"), host="127.0.0.1"),
        with_headers(signed(b"x"), host=""),
    ],
)  # fmt: skip
def test_nothing_else_reaches_the_emulator(emulator: Emulator, scope: dict[str, Any]) -> None:
    """No page, no other name that leads here, no key that the emulator would take unasked, no changed body."""
    reply = ask(emulator, scope, *pieces(b"x"))

    assert reply
    assert (emulator.scopes, reply.status) == ([], 403)
    assert not [name for name in reply.headers if name.startswith(b"access-control")]


def test_a_web_socket_is_closed(emulator: Emulator) -> None:
    """The same origin policy does not hold for them."""
    assert ask(emulator, {"type": "websocket"}, {"type": "websocket.connect"}) is None
    assert emulator.scopes == []


def test_the_server_starts_and_stops_it(emulator: Emulator) -> None:
    """What the server itself says is handed on."""
    ask(emulator, {"type": "lifespan"})

    assert emulator.scopes == ["lifespan"]


def test_a_body_of_nobody_is_not_kept(emulator: Emulator) -> None:
    """What must be read before it is known who sent it is bounded; what an unknown key sends is not read at all."""
    part, needed = b"x" * 7_000_000, UNKNOWN_BODY_BYTES_MAX // 7_000_000 + 1
    messages = [*pieces(*[part] * (needed + 3))]

    reply = ask(emulator, signed(b"x", service="sqs"), *messages)

    assert reply
    assert (reply.status, json.loads(reply.body)["__type"]) == (403, "EntityTooLarge")
    assert emulator.bodies == []


def test_a_client_that_leaves_is_not_answered(emulator: Emulator) -> None:
    """Half of a body does nothing."""
    assert ask(emulator, signed(b"abcdef"), {"type": "http.request", "body": b"abc", "more_body": True}) is None
    assert emulator.bodies == []


def test_the_stack_proves_itself(emulator: Emulator) -> None:
    """Who has the keys can tell this stack from a program that took its port; the proof is good for nothing else."""
    nonce = "0123456789abcdef" * 2

    reply = ask(emulator, scope_of("GET", f"{PROOF_PATH}{nonce}", {"host": HOST}))

    assert reply
    assert (reply.status, reply.body.decode()) == (200, proof(SECRETS["AKIAOWNER"], nonce))
    assert proof("another", nonce) != proof(SECRETS["AKIAOWNER"], nonce)


@pytest.mark.parametrize(
    ("service", "headers", "said"),
    [
        ("s3", {}, "<Error><Code>InvalidAccessKeyId</Code>"),
        (
            "sns",
            {"content-type": "application/x-www-form-urlencoded"},
            "<ErrorResponse><Error><Code>InvalidAccessKeyId",
        ),
        ("sqs", {}, '{"__type": "InvalidAccessKeyId"'),
    ],
)
def test_a_refusal_is_said_as_the_service_says_it(
    emulator: Emulator, service: str, headers: dict[str, str], said: str
) -> None:
    """A client of the stack of yesterday reads what is wrong and where the keys of today are."""
    reply = ask(
        emulator, with_headers(signed(b"x", key="test", secret="test", service=service), **headers), *pieces(b"x")
    )

    assert reply
    assert reply.body.decode().startswith(said)
    assert "new at each start: see .local/stack.json" in reply.body.decode()
