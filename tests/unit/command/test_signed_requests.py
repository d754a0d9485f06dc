"""Signatures as AWS's own client library makes them are taken; whatever differs from what was signed is refused."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode
from hypothesis import given
from hypothesis import strategies as st

from batchdrop_cli.local.signed_requests import (
    ALGORITHM,
    AskedOfProxy,
    NotSignedError,
    check_payload,
    check_signature,
    check_time,
    read_claim,
    sha256_of,
)

HOST = "127.0.0.1:4566"
SECRET = "made-for-this-start"  # of no account
CREDENTIALS = Credentials("AKIAOWNER", SECRET)
BODY = b'{"SecretId": "key"}'
NOW = datetime.now(UTC)  # what stands in the lists below is signed when this file is imported


def asked_of(request: AWSRequest, **changed: str) -> AskedOfProxy:
    """The head of *request* as a server receives it."""
    url = urlsplit(request.prepare().url)
    assert request.method
    headers = {"host": HOST} | {name.lower(): str(value) for name, value in request.headers.items()} | changed
    return AskedOfProxy.of(request.method, url.path, url.query, list(headers.items()))


def signed(method: str, path: str, body: bytes = b"", *, service: str = "s3", **headers: str) -> AskedOfProxy:
    """A request signed in its header, as boto3 does."""
    request = AWSRequest(method=method, url=f"http://{HOST}{path}", data=body, headers=headers)
    request.context["payload_signing_enabled"] = True
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    kind(CREDENTIALS, service, "us-east-1").add_auth(request)
    return asked_of(request)


def presigned(path: str, *, seconds: int = 60) -> AskedOfProxy:
    """A request by a presigned address of S3."""
    request = AWSRequest(method="GET", url=f"http://{HOST}{path}")
    S3SigV4QueryAuth(CREDENTIALS, "s3", "us-east-1", expires=seconds).add_auth(request)
    return asked_of(request)


def version_2(path: str, *, seconds: int = 60) -> AskedOfProxy:
    """A request by an address that is presigned as boto3 does when nobody says how."""
    request = AWSRequest(method="GET", url=f"http://{HOST}{path}")
    HmacV1QueryAuth(CREDENTIALS, expires=seconds).add_auth(request)
    return asked_of(request)


def check(asked: AskedOfProxy, body: bytes = b"", *, secret: str = SECRET, later_seconds: float = 0) -> None:
    """Check all that there is to check, as if it were signed just now, or so long ago. Raises NotSignedError."""
    claim = read_claim(asked)
    check_time(claim, NOW.timestamp() + later_seconds)
    check_signature(asked, claim, secret, sha256_of(body) if claim.payload is None else claim.payload)
    check_payload(claim, secret, [body[:3], body[3:]])


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        (signed("GET", "/bucket?list-type=2&prefix=a%20b%2Fc&delimiter=&max-keys=1"), b""),
        (signed("PUT", "/bucket/inbox/a%20b%2Bc%28%C3%BC%29.csv", BODY), BODY),
        (signed("PUT", "/bucket/a//b/./c", BODY), BODY),
        (signed("GET", "/bucket?versioning"), b""),
        (signed("POST", "/", BODY, service="secretsmanager", **{"X-Amz-Target": "x.GetSecretValue"}), BODY),
        (signed("POST", "/2015-03-31/functions/arn%3Aaws%3Alambda/invocations", BODY, service="lambda"), BODY),
        (signed("POST", "/000000000000/queue", BODY, service="sqs", **{"X-Spaces": "  a   b "}), BODY),
        (presigned("/bucket/a%20b.csv?versionId=1"), b""),
        (version_2("/bucket/a%20b%2B.csv"), b""),
        (version_2("/bucket/a.csv?versionId=1&response-content-type=text/plain"), b""),
    ],
)
def test_what_the_library_signs_is_taken(asked: AskedOfProxy, body: bytes) -> None:
    """Keys, queries and paths are signed as S3 wants them, or as every other service does."""
    check(asked, body)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
def test_any_key_of_an_object_is_taken(key: str) -> None:
    """Whatever a person calls a file, the library and this check agree how it is written."""
    request = AWSRequest(
        method="PUT", url=f"http://{HOST}/b/{percent_encode(key, '/~')}?prefix={percent_encode(key)}", data=BODY
    )
    request.context["payload_signing_enabled"] = True
    S3SigV4Auth(CREDENTIALS, "s3", "us-east-1").add_auth(request)

    check(asked_of(request), BODY, later_seconds=datetime.now(UTC).timestamp() - NOW.timestamp())


def with_header(name: str, value: str) -> Callable[[AskedOfProxy], AskedOfProxy]:
    """Return what sets a header after signing."""
    return lambda asked: replace(asked, headers=asked.headers | {name: value})


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: replace(asked, method="GET"),
        lambda asked: replace(asked, path="/bucket/inbox/other.csv"),
        lambda asked: replace(asked, query=(("versionId", "1"),)),
        with_header("host", "evil.example:4566"),
        with_header("x-amz-date", "20000101T000000Z"),
        with_header("x-amz-content-sha256", sha256_of(b"other")),
        with_header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        with_header("authorization", ""),
        with_header("authorization", "Bearer AKIAOWNER"),
        with_header("authorization", f"{ALGORITHM} Credential=AKIAOWNER"),
        lambda asked: replace(asked, headers={n: v for n, v in asked.headers.items() if n != "authorization"}),
        lambda asked: replace(asked, query=(("X-Amz-Credential", "test/20261130/us-east-1/s3/aws4_request"),)),
        lambda asked: replace(asked, query=(("AWSAccessKeyId", "test"), ("Signature", "x"), ("Expires", "9999999999"))),
    ],
)
def test_what_was_changed_after_signing_is_refused(change: Callable[[AskedOfProxy], AskedOfProxy]) -> None:
    """Method, path, query, host, time, body and who it is from are all signed; two signatures are none."""
    asked = signed("PUT", "/bucket/inbox/x.csv", BODY)

    with pytest.raises(NotSignedError):
        check(change(asked), BODY)


@pytest.mark.parametrize(
    "make", [lambda: signed("GET", "/bucket/x"), lambda: presigned("/b/x"), lambda: version_2("/b/x")]
)
def test_another_secret_is_refused(make: Callable[[], AskedOfProxy]) -> None:
    """Who knows the access key and not its secret gets nothing, in each of the three ways to sign."""
    with pytest.raises(NotSignedError, match="secret"):
        check(make(), secret="test")  # the emulator's own default


def test_another_body_is_refused() -> None:
    """A body whose digest was signed is read to its end before it is believed; one without digest is signed itself."""
    for asked in (signed("PUT", "/bucket/x", BODY), signed("POST", "/", BODY, service="sqs")):
        with pytest.raises(NotSignedError):
            check(asked, BODY + b" ")


@pytest.mark.parametrize(
    ("asked", "later_seconds", "message"),
    [
        (signed("GET", "/bucket/x"), 903, "too far"),
        (signed("GET", "/bucket/x"), -903, "too far"),
        (presigned("/bucket/x", seconds=60), 62, "expired"),
        (presigned("/bucket/x", seconds=60), -903, "too far"),
        (presigned("/bucket/x", seconds=999_999), 604_802, "expired"),
        (version_2("/bucket/x", seconds=60), 62, "expired"),
    ],
)
def test_what_is_too_old_or_not_yet_is_refused(asked: AskedOfProxy, later_seconds: float, message: str) -> None:
    """A signature is for now, a presigned address for as long as it says, a week at most."""
    with pytest.raises(NotSignedError, match=message):
        check(asked, later_seconds=later_seconds)


def test_a_host_that_is_not_signed_is_refused() -> None:
    """Else a signed request to one name could be sent to another."""
    asked = signed("GET", "/bucket/x")
    unsigned = asked.headers["authorization"].replace("SignedHeaders=host;", "SignedHeaders=")

    with pytest.raises(NotSignedError, match="host"):
        check(replace(asked, headers=asked.headers | {"authorization": unsigned}))


def test_only_addresses_of_s3_are_presigned() -> None:
    """Another service's body would be anybody's."""
    request = AWSRequest(method="POST", url=f"http://{HOST}/", data=b"")
    SigV4QueryAuth(CREDENTIALS, "secretsmanager", "us-east-1").add_auth(request)

    with pytest.raises(NotSignedError, match="S3"):
        read_claim(asked_of(request))


def chunked(asked: AskedOfProxy, chunks: list[bytes], secret: str = SECRET) -> bytes:
    """The body of a chunked upload, signed as Amazon's page on it says."""
    claim = read_claim(asked)
    key = f"AWS4{secret}".encode()
    for part in claim.scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    previous, body = claim.signature, b""
    for chunk in [*chunks, b""]:
        text = "\n".join(
            [f"{ALGORITHM}-PAYLOAD", claim.signed_at, claim.scope, previous, sha256_of(b""), sha256_of(chunk)]
        )
        previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + b"\r\n"
    return body


@pytest.fixture
def streaming() -> AskedOfProxy:
    """The head of a chunked upload."""

    class Streaming(S3SigV4Auth):
        def payload(self, request: AWSRequest) -> str:
            assert request
            return f"STREAMING-{ALGORITHM}-PAYLOAD"

    request = AWSRequest(method="PUT", url=f"http://{HOST}/bucket/x", data=b"")
    Streaming(CREDENTIALS, "s3", "us-east-1").add_auth(request)
    return asked_of(request)


def test_chunks_follow_from_one_another(streaming: AskedOfProxy) -> None:
    """Each chunk's signature is checked: one that was changed, cut off, swapped or signed by another is refused."""
    body = chunked(streaming, [b"first", b"second"])
    first, second = body.index(b"first"), body.index(b"second")
    swapped = chunked(streaming, [b"second", b"first"])[: first - 1] + body[first - 1 :]

    check(streaming, body)

    for wrong in (body.replace(b"first", b"First"), body[:second], swapped, b"", chunked(streaming, [b"a"], "test")):
        with pytest.raises(NotSignedError, match="chunk"):
            check(streaming, wrong)


@given(st.text(max_size=200), st.text(max_size=50))
def test_nonsense_is_refused_and_never_breaks(authorization: str, query: str) -> None:
    """Whatever an unknown program sends, the answer is a refusal."""
    nonsense = AskedOfProxy.of(
        "GET", "/x", query, [("authorization", authorization), ("Authorization", f"{ALGORITHM} {query}")]
    )

    with pytest.raises(NotSignedError):
        check(nonsense)
