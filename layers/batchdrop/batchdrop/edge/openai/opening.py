"""Opens the provider with the key as the secret holds it now.

Rule: the key lives in this process for a minute at most, and not at all once it was refused; it is never logged and never
in a variable of the environment. The SDK is imported when the provider is first opened, because it costs half a second.
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from batchdrop.core.model.api_key import binary_key, read_key
from batchdrop.core.model.dialects import BY_HOST, Dialects
from batchdrop.flow.ports import Clock, Provider

if TYPE_CHECKING:
    import httpx2
    from mypy_boto3_secretsmanager import SecretsManagerClient

KEY_KEPT_SECONDS = 60
FINGERPRINT_CHARS = 16


class SecretProviders:
    """One secret and one base URL. A process keeps one of these, so that connections outlive an invocation."""

    def __init__(
        self,
        client: Callable[[], "SecretsManagerClient"],
        secret: str,
        base_url: str,
        clock: Clock,
        *,
        dialect: str = BY_HOST,
        create_timeout_seconds: int,
        transport: "httpx2.BaseTransport | None" = None,
    ) -> None:
        self._client = client
        self._secret = secret
        self._base_url = base_url.rstrip("/")
        self._dialects = Dialects(self._base_url, dialect)
        self._clock = clock
        self._create_timeout_seconds = create_timeout_seconds
        self._transport = transport
        self._key = ""
        self._read_at = 0
        self._opened: Provider | None = None

    @property
    def base_url(self) -> str:
        """Where it is, also while there is no key."""
        return self._base_url

    @property
    def dialects(self) -> Dialects:
        """What servers want and do, by base URL."""
        return self._dialects

    def open(self) -> Provider:
        """Return the provider. Raises KeyMissing while the secret has no value that is a key."""
        if not self._key or self._clock.now() - self._read_at >= KEY_KEPT_SECONDS:
            self._take(self._read_key())
        if self._opened is None:
            self._opened = self._build()
        return self._opened

    def _take(self, key: str) -> None:
        if key != self._key:
            self._opened = None
        self._key, self._read_at = key, self._clock.now()

    def _forget(self) -> None:
        """Read the key again next time: it was refused, and a person may have changed it."""
        self._read_at = 0

    def _read_key(self) -> str:
        client = self._client()
        try:
            found = client.get_secret_value(SecretId=self._secret)
        except client.exceptions.ResourceNotFoundException:
            return read_key("")  # what Secrets Manager says of a secret that never had a value
        if "SecretBinary" in found:
            raise binary_key()
        return read_key(found.get("SecretString", ""))

    def _build(self) -> Provider:
        from batchdrop.edge.openai.provider import OpenAIProvider  # noqa: PLC0415 - half a second, spent only by who needs it

        return OpenAIProvider(
            self._key,
            self._base_url,
            fingerprint_of(self._key),
            create_timeout_seconds=self._create_timeout_seconds,
            on_refused=self._forget,
            dialect=self._dialects.of(self._base_url),
            transport=self._transport,
        )


def fingerprint_of(key: str) -> str:
    """Return a short digest of *key*, which tells keys apart and gives none away."""
    return hashlib.sha256(key.encode()).hexdigest()[:FINGERPRINT_CHARS]
