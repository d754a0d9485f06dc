"""The embedded AWS: one process on loopback, with IAM enforced, whose keys are made for each start.

Rule: it never reaches for the machine around it: no Docker, no host keys, its own folder for temporary files.
Everything below it, functions included, inherits the environment that is made here. What other users and the pages of a
browser may do at its port, `entrance.py` says: nothing.
"""

import base64
import hmac
import http.client
import secrets
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict

from batchdrop_cli.local.entrance import PROOF_PATH
from batchdrop_cli.local.private import private_folder
from batchdrop_cli.local.processes import Child
from batchdrop_cli.local.signed_requests import proof

if TYPE_CHECKING:
    from botocore.config import Config

LAUNCHER = Path(__file__).with_name("launcher.py")

START_TIMEOUT_SECONDS = 30.0  # it takes 0.5 s, and a few where its byte-code is not compiled yet
HEALTH_TIMEOUT_SECONDS = 2.0
PROOF_BYTES_MAX = 100  # a digest
READ_TIMEOUT_SECONDS = 150  # longer than the Poll function's time-out, which an invocation waits for
POOL_CONNECTIONS_MAX = 32  # tests and the command read results side by side


class ClientOptions(TypedDict, total=False):
    """Keyword arguments of `boto3.client`. None are needed for the AWS that the person's environment leads to."""

    endpoint_url: str
    region_name: str
    aws_access_key_id: str
    aws_secret_access_key: str
    config: "Config"


@dataclass(frozen=True, slots=True)
class Address:
    """Where an AWS answers, and the keys of its owner. The secret is not shown in logs."""

    endpoint_url: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    @classmethod
    def on_free_port(cls) -> Self:
        """Return an address of loopback, with keys that were never used."""
        access_key_id = f"AKIA{base64.b32encode(secrets.token_bytes(10)).decode()}"
        return cls(f"http://127.0.0.1:{free_port()}", "us-east-1", access_key_id, secrets.token_urlsafe(30))

    def client_options(self) -> ClientOptions:
        """Return what a boto3 client needs to speak to it. A request is sent once; the host's proxies stay out of it."""
        from botocore.config import Config  # noqa: PLC0415  # 0.2 s that a command like `--help` need not wait for

        return {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region,
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
            "config": Config(
                retries={"total_max_attempts": 1},
                read_timeout=READ_TIMEOUT_SECONDS,
                max_pool_connections=POOL_CONNECTIONS_MAX,
                proxies={},
            ),
        }


@contextmanager
def running_emulator(python: Path, *, files: Path, log: Path) -> Iterator[Address]:
    """Run the emulator with *python*, the interpreter of its environment. *files* is its folder, emptied before and after.

    Raises ChildFailed.
    """
    address = Address.on_free_port()
    private_folder(files)
    child = Child.start(
        "The emulator", [str(python), "-P", str(LAUNCHER)], environment=environment(address, files), log=log
    )
    try:
        child.wait_until_ready(lambda: is_healthy(address), timeout_seconds=START_TIMEOUT_SECONDS)
        yield address
    finally:
        child.stop()
        shutil.rmtree(files, ignore_errors=True)


def environment(address: Address, files: Path) -> dict[str, str]:
    """Return all that the emulator's process sees."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        # As in Lambda, whatever the host speaks.
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(files),
        "TMPDIR": str(files),
        # By default it listens on every interface.
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": address.endpoint_url.rpartition(":")[2],
        "AWS_ENDPOINT_URL": address.endpoint_url,
        "AWS_ACCESS_KEY_ID": address.access_key_id,
        "AWS_SECRET_ACCESS_KEY": address.secret_access_key,
        "MINISTACK_REGION": address.region,
        "AUTH": "true",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # It sweeps containers of its own at start, and must not look into a person's Docker for them.
        "DOCKER_HOST": f"unix://{files}/no-docker",
    }


def is_healthy(address: Address) -> bool:
    """Say whether the emulator of *address* answers there, and no other program that took its port after it ended."""
    nonce = secrets.token_hex(16)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address.endpoint_url}{PROOF_PATH}{nonce}", timeout=HEALTH_TIMEOUT_SECONDS) as reply:
            return hmac.compare_digest(reply.read(PROOF_BYTES_MAX), proof(address.secret_access_key, nonce).encode())
    except (OSError, http.client.HTTPException):
        return False


def free_port() -> int:
    """Return a port that was free a moment ago; the emulator cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
