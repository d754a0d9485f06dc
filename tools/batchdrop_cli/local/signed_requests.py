"""Checks that a request to the embedded AWS was signed with a key of this start, as AWS checks it.

Rule: pure, and the standard library alone: the emulator's environment imports it as well as ours. What cannot be read for
sure is refused. Sources: Signature Version 4
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, 2026-11-30), chunked uploads
(https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html, 2026-11-30), and Version 2 for addresses alone,
because boto3 still presigns with it.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
CLOCK_SKEW_SECONDS_MAX: Final = 900  # as AWS
PRESIGNED_SECONDS_MAX: Final = 604_800  # as AWS

_UNSIGNED_PAYLOADS: Final = frozenset({UNSIGNED_PAYLOAD, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
_CHUNKED_PAYLOADS: Final = frozenset({f"STREAMING-{ALGORITHM}-PAYLOAD", f"STREAMING-{ALGORITHM}-PAYLOAD-TRAILER"})
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK_HEAD: Final = re.compile(rb"([0-9a-fA-F]{1,8});chunk-signature=([0-9a-f]{64})\r\n")
_EMPTY_DIGEST: Final = hashlib.sha256(b"").hexdigest()

_NAMES_OF_SIGNATURES: Final = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signature", "x-amz-signedheaders"}
    | {"awsaccesskeyid", "signature", "expires"}
)

# What of a query Version 2 signs
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html, 2026-11-30).
_SIGNED_BY_VERSION_2: Final = frozenset(
    {
        *("acl", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "requestPayment"),
        *("tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website", "delete"),
        *(f"response-{name}" for name in ("content-type", "content-language", "expires", "cache-control")),
        *(f"response-{name}" for name in ("content-disposition", "content-encoding")),
    }
)


class NotSignedError(Exception):
    """The request is not from an owner of a key. The sender should read the code and the message, as of AWS."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class AskedOfProxy:
    """The head of a request: its path as it was sent, header names in lower case, repeated values joined by a comma."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]

    @classmethod
    def of(cls, method: str, path: str, query_string: str, headers: Sequence[tuple[str, str]]) -> "AskedOfProxy":
        """Return the head whose parts are as they came over the wire."""
        joined: dict[str, str] = {}
        for name, value in headers:
            known = joined.get(name.lower())
            joined[name.lower()] = value if known is None else f"{known},{value}"
        return cls(method, path, tuple(parse_qsl(query_string, keep_blank_values=True)), joined)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of its signature. *payload* is None where the body's digest is signed without being sent."""

    access_key_id: str
    scope: str  # date, region, service and an end word, with slashes
    signed_headers: tuple[str, ...]
    signature: str
    signed_at: str
    payload: str | None
    lifetime_seconds: int | None  # of a presigned address; None for a signed header
    is_version_2: bool = False

    @property
    def service(self) -> str:
        """The service that was asked, as the signer says."""
        return self.scope.split("/")[2]


def read_claim(asked: AskedOfProxy) -> Claim:
    """Return what *asked* says of its signature, in its header or its query, not in both. Raises NotSignedError."""
    query = dict(asked.query)
    header = asked.headers.get("authorization")
    named = [name.lower() for name, _ in asked.query if name.lower() in _NAMES_OF_SIGNATURES]
    if len(named) != len(set(named)) or (named and header is not None):
        raise NotSignedError("InvalidArgument", "A request is signed once, by its header or by its query.")
    if header is not None:
        return _claim_of_header(header, asked)
    if "X-Amz-Signature" in query:
        return _claim_of_query(query)
    if "AWSAccessKeyId" in query:
        return _claim_of_version_2(query)
    raise NotSignedError("AccessDenied", "The request is not signed.")


def _claim_of_header(header: str, asked: AskedOfProxy) -> Claim:
    algorithm, _, rest = header.partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    if algorithm != ALGORITHM or not {"Credential", "SignedHeaders", "Signature"} <= set(fields):
        raise NotSignedError("IncompleteSignature", f"The Authorization header is not one of {ALGORITHM}.")
    return _claim(
        credential=fields["Credential"],
        signed_headers=fields["SignedHeaders"],
        signature=fields["Signature"],
        signed_at=asked.headers.get("x-amz-date", ""),
        payload=asked.headers.get("x-amz-content-sha256"),
        lifetime_seconds=None,
    )


def _claim_of_query(query: dict[str, str]) -> Claim:
    expires = query.get("X-Amz-Expires", "")
    if query.get("X-Amz-Algorithm") != ALGORITHM or not expires.isdecimal() or len(expires) > len("604800"):
        raise NotSignedError("AuthorizationQueryParametersError", "The address is not signed by AWS4-HMAC-SHA256.")
    claim = _claim(
        credential=query.get("X-Amz-Credential", ""),
        signed_headers=query.get("X-Amz-SignedHeaders", ""),
        signature=query["X-Amz-Signature"],
        signed_at=query.get("X-Amz-Date", ""),
        payload=None,
        lifetime_seconds=int(expires),
    )
    if claim.service != "s3":  # whose presigned addresses alone stand for any body
        raise NotSignedError("AuthorizationQueryParametersError", "Only addresses of S3 may be presigned.")
    return replace(claim, payload=UNSIGNED_PAYLOAD)


def _claim_of_version_2(query: dict[str, str]) -> Claim:
    expires = query.get("Expires", "")
    if not expires.isdecimal() or len(expires) > len("9999999999") or "Signature" not in query:
        raise NotSignedError("AccessDenied", "The address lacks its Signature or Expires.")
    return Claim(
        query["AWSAccessKeyId"], "//s3/", (), query["Signature"], "", UNSIGNED_PAYLOAD, int(expires), is_version_2=True
    )


def _claim(
    *,
    credential: str,
    signed_headers: str,
    signature: str,
    signed_at: str,
    payload: str | None,
    lifetime_seconds: int | None,
) -> Claim:
    access_key_id, _, scope = credential.partition("/")
    names = tuple(signed_headers.split(";"))
    if scope.count("/") != 3 or not scope.endswith("/aws4_request") or not _moment(signed_at):  # noqa: PLR2004
        raise NotSignedError("IncompleteSignature", "The credential or the date of the signature is incomplete.")
    if "host" not in names:
        raise NotSignedError("IncompleteSignature", "The header 'host' must be signed.")
    if scope.split("/")[0] != signed_at[:8]:
        raise NotSignedError("SignatureDoesNotMatch", "The date of the credential is not the date of the request.")
    return Claim(access_key_id, scope, names, signature, signed_at, payload, lifetime_seconds)


def check_time(claim: Claim, now: float) -> None:
    """Raise NotSignedError where *claim* was not made for *now*, in seconds since the epoch."""
    if claim.is_version_2:
        if claim.lifetime_seconds is None or now > claim.lifetime_seconds:
            raise NotSignedError("AccessDenied", "Request has expired.")
        return
    moment = _moment(claim.signed_at)
    assert moment is not None  # noqa: S101  # read_claim looked
    age_seconds = now - moment
    if claim.lifetime_seconds is not None:
        if age_seconds > min(claim.lifetime_seconds, PRESIGNED_SECONDS_MAX):
            raise NotSignedError("AccessDenied", "Request has expired.")
        age_seconds = min(age_seconds, 0)
    if abs(age_seconds) > CLOCK_SKEW_SECONDS_MAX:
        raise NotSignedError("RequestTimeTooSkewed", "The request's time is too far from this machine's.")


def check_signature(asked: AskedOfProxy, claim: Claim, secret: str, payload: str) -> None:
    """Raise NotSignedError where the signature is not the one that *secret* makes, the body's digest being *payload*."""
    if claim.is_version_2:
        expected = _signature_of_version_2(asked, secret)
    else:
        text = _string_to_sign(ALGORITHM, claim, sha256_of(_canonical_request(asked, claim, payload).encode()))
        expected = _mac(_signing_key(secret, claim), text).hex()
    if not hmac.compare_digest(expected.encode(), claim.signature.encode("utf-8", "replace")):
        raise NotSignedError("SignatureDoesNotMatch", "The signature is not the one that the secret key makes.")


def check_payload(claim: Claim, secret: str, pieces: Sequence[bytes]) -> None:
    """Raise NotSignedError where the body, in *pieces*, is not the one that was signed. The signature was checked."""
    payload = claim.payload
    if payload is None or payload in _UNSIGNED_PAYLOADS:
        return
    if payload in _CHUNKED_PAYLOADS:
        _check_chunks(claim, secret, b"".join(pieces))
        return
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    if not _DIGEST.fullmatch(payload) or digest.hexdigest() != payload:
        raise NotSignedError("XAmzContentSHA256Mismatch", "The body is not the one that was signed.")


def sha256_of(content: bytes) -> str:
    """Return the digest of *content* as signatures name it."""
    return hashlib.sha256(content).hexdigest()


def proof(secret: str, nonce: str) -> str:
    """Return what only an owner of *secret* can answer to *nonce*; it signs nothing else."""
    return hmac.new(f"proof of {secret}".encode(), nonce.encode(), hashlib.sha256).hexdigest()


def _check_chunks(claim: Claim, secret: str, body: bytes) -> None:
    """Check that each chunk's signature follows from the one before; the first follows from the request's."""
    key, previous, position = _signing_key(secret, claim), claim.signature, 0
    while head := _CHUNK_HEAD.match(body, position):
        size_bytes, given = int(head[1], 16), head[2].decode()
        chunk = body[head.end() : head.end() + size_bytes]
        parts = f"{previous}\n{_EMPTY_DIGEST}\n{sha256_of(chunk)}"
        previous = _mac(key, _string_to_sign(f"{ALGORITHM}-PAYLOAD", claim, parts)).hex()
        if len(chunk) != size_bytes or not hmac.compare_digest(previous, given):
            break
        if not size_bytes:
            return
        position = head.end() + size_bytes + len("\r\n")
    raise NotSignedError("SignatureDoesNotMatch", "A chunk's signature is not the one that the secret key makes.")


def _canonical_request(asked: AskedOfProxy, claim: Claim, payload: str) -> str:
    path = _encoded(unquote(asked.path), "/") if claim.service == "s3" else _encoded(_normalized(asked.path), "/")
    pairs = sorted(
        (_encoded(name), _encoded(value))
        for name, value in asked.query
        if claim.lifetime_seconds is None or name != "X-Amz-Signature"
    )
    headers = "".join(f"{name}:{' '.join(asked.headers.get(name, '').split())}\n" for name in claim.signed_headers)
    query = "&".join(f"{name}={value}" for name, value in pairs)
    return "\n".join([asked.method, path, query, headers, ";".join(claim.signed_headers), payload])


def _string_to_sign(algorithm: str, claim: Claim, rest: str) -> str:
    return f"{algorithm}\n{claim.signed_at}\n{claim.scope}\n{rest}"


def _signing_key(secret: str, claim: Claim) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in claim.scope.split("/"):
        key = _mac(key, part)
    return key


def _signature_of_version_2(asked: AskedOfProxy, secret: str) -> str:
    query = dict(asked.query)
    amazon = sorted(
        [(name, value) for name, value in asked.headers.items() if name.startswith("x-amz-")]
        + [(name.lower(), value) for name, value in asked.query if name.lower().startswith("x-amz-")]
    )
    signed = sorted((name, value) for name, value in asked.query if name in _SIGNED_BY_VERSION_2)
    resource = "&".join(f"{name}={value}" if value else name for name, value in signed)
    lines = [
        asked.method,
        asked.headers.get("content-md5", ""),
        asked.headers.get("content-type", ""),
        query["Expires"],
        *(f"{name}:{value}" for name, value in amazon),
        asked.path + (f"?{resource}" if resource else ""),
    ]
    return base64.b64encode(hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha1).digest()).decode()


def _normalized(path: str) -> str:
    """Return *path* without empty parts and dots, as every service but S3 signs it."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in {"", "."}:
            kept.append(part)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def _encoded(text: str, also_safe: str = "") -> str:
    return quote(text, safe=f"-_.~{also_safe}")


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _moment(text: str) -> float | None:
    """Return the seconds since the epoch of a time such as 20261130T120000Z, None where it is none."""
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
