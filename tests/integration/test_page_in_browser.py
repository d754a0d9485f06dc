"""A page in a real browser, beside a running local stack: it reads no secret, drops nothing, and learns no result.

The same page gets all of it from the same emulator and simulator without what stands before them, so the page does try.
Skipped where there is no Chromium.
"""

import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from batchdrop_cli.local.emulator import Address, environment
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.processes import Child
from batchdrop_cli.local.stack import LocalStack
from openai_batch_simulator import Simulator
from openai_batch_simulator.clock import WallClock
from openai_batch_simulator.http.server import SimulatorServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS_MAX = 120
PAGE = Path(__file__).with_name("page.html").read_text()
CANARY = "canary-3f9c1e"  # in what no page may read
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
OPEN = "import ministack.app; ministack.app.main()"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")


@dataclass(frozen=True)
class World:
    """What a page aims at, what it must not get, and what really became of the buckets and the simulator."""

    address: Address
    inbox: str
    results: str
    secret: str
    simulator_url: str
    secrets: tuple[str, ...]
    switches: Callable[[], list[Any]]

    def described(self) -> str:
        """What the page is told; a real one would guess it."""
        known = {
            "aws": f"{self.address.endpoint_url}/", "inbox": self.inbox, "results": self.results, "secret": self.secret,
            "simulator": self.simulator_url.removesuffix("/v1"), "drop": json.dumps({"custom_id": "page"}),
        }  # fmt: skip
        return json.dumps(known)

    def dropped(self) -> list[str]:
        """The keys below inbox/ that the page made."""
        storage = boto3.client("s3", **self.address.client_options())
        found = storage.list_objects_v2(Bucket=self.inbox, Prefix="inbox/page").get("Contents", [])
        return [entry["Key"] for entry in found]


@contextmanager
def pages(page: str) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Serve *page* from an origin of its own; yield its address, and what waits for its report."""
    reports: list[dict[str, Any]] = []
    is_told = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(page.encode())

        def do_POST(self) -> None:
            reports.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._reply(b"")
            is_told.set()

        def _reply(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    def report() -> dict[str, Any]:
        assert is_told.wait(SECONDS_MAX), "the page never told"
        return reports[0]

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", report
        finally:
            server.shutdown()


def opened_in_browser(world: World, folder: Path) -> dict[str, Any]:
    """Open the page in a browser with a profile of its own and return what it came to."""
    assert CHROMIUM
    with pages(PAGE.replace("/*WORLD*/", world.described())) as (url, report):
        command = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0", url]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # of this machine
        try:
            return report()
        finally:
            browser.terminate()
            browser.wait(SECONDS_MAX)


@pytest.fixture
def guarded(local_stack: LocalStack) -> World:
    """The stack as `batchdrop local` runs it, with something in it that is worth having."""
    at = local_stack.description
    storage = boto3.client("s3", **at.client_options())
    storage.put_object(Bucket=at.results_bucket, Key="results/canary", Body=CANARY.encode())
    secrets = boto3.client("secretsmanager", **at.client_options())
    key = secrets.get_secret_value(SecretId=at.secret_arn)["SecretString"]
    hidden = (CANARY, key, at.secret_access_key, at.simulator_token)

    def switches() -> list[Any]:
        request = urllib.request.Request(  # noqa: S310  # loopback
            f"{at.openai_base_url.removesuffix('/v1')}/_simulator/faults",
            headers={"x-simulator-token": at.simulator_token},
        )
        with urllib.request.urlopen(request) as reply:  # noqa: S310  # loopback
            return list(json.load(reply)["switches"])

    return World(at.address, at.inbox_bucket, at.results_bucket, at.secret_arn, at.openai_base_url, hidden, switches)


class OpenSimulatorServer(SimulatorServer):
    """The simulator as it was before it asked who calls."""

    def check_sender(self, *_: object) -> None:
        """Let everybody in."""


@pytest.fixture
def unguarded(environments: Environments, tmp_path: Path) -> Iterator[World]:
    """The emulator as it comes, with the keys that it comes with, and the simulator as it was."""
    address = Address(Address.on_free_port().endpoint_url, "us-east-1", "test", "test")
    files = tmp_path / "files"
    files.mkdir()
    command = [str(environments.emulator_python), "-P", "-c", OPEN]
    child = Child.start("The emulator", command, environment=environment(address, files), log=tmp_path / "log")
    simulator = Simulator(WallClock())
    try:
        child.wait_until_ready(lambda: is_open(address), timeout_seconds=30)
        storage = boto3.client("s3", **address.client_options())
        for bucket in ("inbox", "results"):
            storage.create_bucket(Bucket=bucket)
        storage.put_object(Bucket="results", Key="results/canary", Body=CANARY.encode())
        boto3.client("secretsmanager", **address.client_options()).create_secret(
            Name="key", SecretString=f"sk-{CANARY}"
        )
        with OpenSimulatorServer(simulator) as server:
            yield World(
                address, "inbox", "results", "key", server.url, (CANARY,),
                lambda: [switch.describe() for switch in simulator.faults.switches],
            )  # fmt: skip
    finally:
        child.stop()


def is_open(address: Address) -> bool:
    """Say whether the emulator answers."""
    try:
        boto3.client("sts", **address.client_options()).get_caller_identity()
    except Exception:  # noqa: BLE001  # not yet
        return False
    return True


@pytest.mark.emulator
def test_a_page_gets_nothing(guarded: World, tmp_path: Path) -> None:
    """No attempt brings back a byte, nothing lies in the inbox, no fault is switched on."""
    report = opened_in_browser(guarded, tmp_path)

    assert len(report) == 15
    assert [name for name, came in report.items() if came.get("text")] == []
    assert [secret for secret in guarded.secrets if secret in json.dumps(report)] == []
    assert (guarded.dropped(), guarded.switches()) == ([], [])


@pytest.mark.emulator
def test_the_page_would_get_it_all(unguarded: World, tmp_path: Path) -> None:
    """Without the entrance the same page reads the key and the results, drops a file, and breaks the simulator."""
    report = opened_in_browser(unguarded, tmp_path)

    assert f"sk-{CANARY}" in report["secret"]["text"]
    assert CANARY in report["results"]["text"]
    assert "inbox/page.jsonl" in unguarded.dropped()
    assert [switch["fault"] for switch in unguarded.switches()] == ["refused"]
