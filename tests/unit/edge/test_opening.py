"""The key is read when it is needed, kept for a minute, and read again once it was refused."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import httpx2
import pytest
from fakes.memory import FakeClock

from batchdrop.core.model.errors import KeyMissing, KeyRefused
from batchdrop.edge.openai.opening import KEY_KEPT_SECONDS, SecretProviders, fingerprint_of


class NotFound(Exception):
    """The secret has no value."""


@dataclass
class Secrets:
    """Secrets Manager, as far as it is called."""

    value: str | bytes | None = "sk-1"
    reads: int = 0
    exceptions: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(ResourceNotFoundException=NotFound))

    def get_secret_value(self, SecretId: str) -> dict[str, str | bytes]:  # noqa: N803 - AWS's name
        """Return the value, or say that there is none."""
        assert SecretId == "arn:secret"
        self.reads += 1
        if self.value is None:
            raise NotFound
        return {"SecretBinary" if isinstance(self.value, bytes) else "SecretString": self.value}


@dataclass
class Case:
    """Providers over a secret and a wire that can be told to refuse."""

    secrets: Secrets = field(default_factory=Secrets)
    clock: FakeClock = field(default_factory=FakeClock)
    status: int = 200

    def providers(self) -> SecretProviders:
        """Return what a process keeps."""
        wire = httpx2.MockTransport(lambda _: httpx2.Response(self.status, json={"id": "batch_1"}))
        return SecretProviders(
            lambda: self.secrets,  # type: ignore[arg-type, return-value]  # one method of many
            "arn:secret", "http://provider.invalid/v1/", self.clock, create_timeout_seconds=1, transport=wire,
        )  # fmt: skip


def test_the_key_is_kept_for_a_minute() -> None:
    """The same client serves until the key changes."""
    case = Case()
    providers = case.providers()

    first = providers.open()
    again = providers.open()
    case.clock.advance(KEY_KEPT_SECONDS)
    later = providers.open()
    case.secrets.value = "sk-2"
    case.clock.advance(KEY_KEPT_SECONDS)
    changed = providers.open()

    assert first is again is later
    assert (case.secrets.reads, changed.fingerprint) == (3, fingerprint_of("sk-2"))
    assert first.base_url == providers.base_url == "http://provider.invalid/v1"


def test_a_refused_key_is_read_again_at_once() -> None:
    """A person may have put the right one there meanwhile."""
    case = Case(status=401)
    providers = case.providers()
    with pytest.raises(KeyRefused):
        providers.open().batch("batch_1")
    case.secrets.value, case.status = "sk-2", 200

    batch = providers.open().batch("batch_1")

    assert batch.id == "batch_1"
    assert case.secrets.reads == 2


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "key_missing"),
        ("", "key_missing"),
        (" \n", "key_missing"),
        ('{"api key": "sk-canary"}', "key_is_json"),
        ('["sk-canary"]', "key_is_json"),
        ('"sk-canary"', "key_is_json"),
        ("sk-canary\u200b", "key_not_ascii"),
        ("“sk-canary”", "key_not_ascii"),
        ("sk-canary sk-two", "key_with_blanks"),
        ("Bearer sk-canary", "key_with_blanks"),
        ("sk-canary\r\nx", "key_with_blanks"),
        ("sk-canary\x00", "key_with_blanks"),
        ("x" * 8_001, "key_too_long"),
        (b"sk-canary", "key_is_binary"),
        ("[" * 100_000, "key_too_long"),
    ],
)
def test_a_secret_without_a_key_is_told(value: str | bytes | None, code: str) -> None:
    """What is no key is named and not shown; nothing is remembered of it, so the next one counts at once."""
    case = Case(Secrets(value))
    providers = case.providers()

    with pytest.raises(KeyMissing) as raised:
        providers.open()
    assert (raised.value.code, "canary" in str(raised.value)) == (code, False)
    case.secrets.value = "sk-1\n"

    assert providers.open().fingerprint == fingerprint_of("sk-1")


def test_a_fingerprint_gives_no_key_away() -> None:
    """It is short, and differs between keys."""
    assert len(fingerprint_of("sk-1")) == 16
    assert fingerprint_of("sk-1") != fingerprint_of("sk-2")
