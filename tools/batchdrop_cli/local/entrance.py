"""The one entrance to the embedded AWS: only its owner's programs and its own functions pass, no page of a browser.

Rule: before the emulator sees a request, its host is this machine's own address, no page sent it, and it is signed with a
key of this start. No reply says that a page may read it. The emulator itself would take the keys `test` and `test`, check
no owner's signature, and let every page of the machine's browser in. Run inside the emulator's process: a proxy would
send every byte twice.
"""

import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final
from xml.sax.saxutils import escape

from batchdrop_cli.local.signed_requests import (
    AskedOfProxy,
    NotSignedError,
    check_payload,
    check_signature,
    check_time,
    proof,
    read_claim,
    sha256_of,
)

type Message = dict[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Message, Receive, Send], Awaitable[None]]
type SecretOf = Callable[[str], str | None]  # the secret of an access key; None where there is no such key

PROOF_PATH: Final = "/_batchdrop/proof/"
# Of the emulator: it would empty itself, or show any queue.
OWN_PATHS: Final = ("/_ministack", "/_localstack")
# A body whose digest is signed without being sent is read before anybody knows who sent it. The largest is a function's
# code: 50 MB, as base64 (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, 2026-11-30).
UNKNOWN_BODY_BYTES_MAX: Final = 70_000_000
_NONCE: Final = re.compile(r"[0-9a-f]{32}")
_GRANTS_TO_PAGES: Final = b"access-control-"


class Disconnected(Exception):
    """The client left before its request was complete; there is no client to answer."""


def guarded(
    application: Application, *, port: int, owner_secret: str, secret_of: SecretOf, now: Callable[[], float]
) -> Application:
    """Return *application*, an ASGI one on *port* of loopback, as only signed requests from outside of a browser reach it."""
    hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})

    async def entrance(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
        elif scope["type"] == "http":
            await admit(scope, receive, send)
        else:  # a web socket: nothing here has one
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def admit(scope: Message, receive: Receive, send: Send) -> None:
        asked = head_of(scope)
        try:
            check_sender(asked, hosts)
            if asked.path.startswith(PROOF_PATH):
                await answer(send, HTTPStatus.OK, "text/plain", proof_for(asked, owner_secret).encode())
                return
            pieces = await checked_body(asked, receive, secret_of, now())
        except NotSignedError as error:
            await refuse(send, asked, error)
        except Disconnected:
            return
        else:
            await application(scope, replayed(pieces, receive), unreadable_to_pages(send))

    return entrance


def head_of(scope: Message) -> AskedOfProxy:
    """Return the head of the request of an ASGI *scope*."""
    headers = [(name.decode("latin-1"), _text(value)) for name, value in scope["headers"]]
    return AskedOfProxy.of(scope["method"], scope["raw_path"].decode("latin-1"), _text(scope["query_string"]), headers)


def check_sender(asked: AskedOfProxy, hosts: frozenset[str]) -> None:
    """Raise NotSignedError for what a page sent, or what was sent to another name that leads here."""
    if "origin" in asked.headers:
        raise NotSignedError("AccessDenied", "Requests of a page in a browser are refused.")
    if asked.path.startswith(OWN_PATHS):
        raise NotSignedError("AccessDenied", "The emulator's own calls are closed.")
    if asked.headers.get("host", "").lower() not in hosts:
        raise NotSignedError("AccessDenied", f"Ask {' or '.join(sorted(hosts))}; requests to other names are refused.")


def proof_for(asked: AskedOfProxy, owner_secret: str) -> str:
    """Return the proof that this is the stack of *owner_secret*. Raises NotSignedError for what is not asked rightly."""
    nonce = asked.path.removeprefix(PROOF_PATH)
    if asked.method != "GET" or not _NONCE.fullmatch(nonce):
        raise NotSignedError("AccessDenied", "A proof is of 32 hexadecimal digits.")
    return proof(owner_secret, nonce)


async def checked_body(asked: AskedOfProxy, receive: Receive, secret_of: SecretOf, now: float) -> list[bytes]:
    """Return the body of *asked*, in pieces, its signature checked before anything is kept. Raises NotSignedError."""
    claim = read_claim(asked)
    secret = secret_of(claim.access_key_id)
    if not secret:
        raise NotSignedError("InvalidAccessKeyId", "The access key is not one of this start of the local stack.")
    check_time(claim, now)
    if claim.payload is None:
        pieces = await body_of(receive, UNKNOWN_BODY_BYTES_MAX)
        check_signature(asked, claim, secret, sha256_of(b"".join(pieces)))
        return pieces
    check_signature(asked, claim, secret, claim.payload)
    pieces = await body_of(receive, None)
    check_payload(claim, secret, pieces)
    return pieces


async def body_of(receive: Receive, bytes_max: int | None) -> list[bytes]:
    """Return the body that *receive* yields, in pieces. Raises Disconnected, NotSignedError where it is too long."""
    pieces, size_bytes, has_more = [], 0, True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        pieces.append(message.get("body", b""))
        size_bytes += len(pieces[-1])
        if bytes_max is not None and size_bytes > bytes_max:
            raise NotSignedError("EntityTooLarge", f"A body without its digest may have {bytes_max:,} bytes.")
        has_more = message.get("more_body", False)
    return pieces


def replayed(pieces: list[bytes], receive: Receive) -> Receive:
    """Return what yields *pieces*, each of them let go of once it is given, and what comes after them."""
    pieces.reverse()

    async def receive_again() -> Message:
        if not pieces:
            return await receive()
        piece = pieces.pop()
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    return receive_again


def unreadable_to_pages(send: Send) -> Send:
    """Return *send* without the headers by which a browser lets a page of another origin read a reply."""

    async def send_without(message: Message) -> None:
        if "headers" in message:
            kept = [pair for pair in message["headers"] if not bytes(pair[0]).lower().startswith(_GRANTS_TO_PAGES)]
            message = message | {"headers": kept}
        await send(message)

    return send_without


async def refuse(send: Send, asked: AskedOfProxy, error: NotSignedError) -> None:
    """Answer with *error*, in the form that the client of the service reads."""
    text = f"{error} The keys are new at each start: see .local/stack.json."
    scope = asked.headers.get("authorization", "")
    if "/s3/" in scope or asked.method != "POST":
        body = f"<Error><Code>{error.code}</Code><Message>{escape(text)}</Message></Error>"
    elif asked.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        body = (
            f"<ErrorResponse><Error><Code>{error.code}</Code><Message>{escape(text)}</Message></Error></ErrorResponse>"
        )
    else:
        await answer(
            send, HTTPStatus.FORBIDDEN, "application/json", json.dumps({"__type": error.code, "message": text}).encode()
        )
        return
    await answer(send, HTTPStatus.FORBIDDEN, "application/xml", body.encode())


async def answer(send: Send, status: HTTPStatus, kind: str, body: bytes) -> None:
    """Send a whole reply. What was not read of the request ends with the connection."""
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
