import contextlib
import http.client
import io
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2
import openai
import pytest
from click.testing import CliRunner

from openai_batch_simulator import Behaviour, Simulator, VirtualClock, WallClock
from openai_batch_simulator.answers.remote import RemoteResponder
from openai_batch_simulator.blobs import Blobs
from openai_batch_simulator.http.server import SimulatorServer
from openai_batch_simulator.main import main
from openai_batch_simulator.sdk import chat_file, connect

CHAT: Final = "/v1/chat/completions"
QUICK = Behaviour(validate_seconds=0.05, run_seconds=0.1, finalize_seconds=0.05, cancel_seconds=0.05)
COMMAND = Path(sys.executable).with_name("openai-batch-simulator")

# Makes a client of a simulator, with a read time-out in seconds.
type Connect = Callable[[float], openai.OpenAI]


class OpenSdk(Protocol):
    """Makes a client of a base URL."""

    def __call__(self, url: str, timeout_seconds: float = 20) -> openai.OpenAI:
        """Return the client."""


@pytest.fixture
def sdk() -> Iterator[OpenSdk]:
    """Opens the SDK on a base URL with its own HTTP client, its retries off; closes every connection in the end."""
    with contextlib.ExitStack() as stack:

        def open_sdk(url: str, timeout_seconds: float = 20) -> openai.OpenAI:
            client = openai.OpenAI(api_key="key", base_url=url, max_retries=0, timeout=timeout_seconds)
            return stack.enter_context(client)

        yield open_sdk


@pytest.fixture
def simulator() -> Simulator:
    """An account whose batches take a quarter of a second."""
    return Simulator(WallClock(), behaviour=QUICK)


@pytest.fixture
def url(simulator: Simulator) -> Iterator[str]:
    """The account's base URL on loopback."""
    with SimulatorServer(simulator) as server:
        yield server.url


@pytest.fixture(params=["in process", "on loopback"])
def clients(request: pytest.FixtureRequest, simulator: Simulator, sdk: OpenSdk) -> Connect:
    """The same account, without a socket and behind one: what holds for one must hold for the other."""
    if request.param == "in process":
        return lambda timeout_seconds: connect(simulator, timeout_seconds=timeout_seconds)
    base_url = str(request.getfixturevalue("url"))
    return lambda timeout_seconds: sdk(base_url, timeout_seconds)


def port_of(url: str) -> int:
    """Return the port of a base URL."""
    return httpx2.URL(url).port or 0


def upload(client: openai.OpenAI, content: bytes | None = None) -> str:
    """Upload an input file and return its id."""
    return client.files.create(file=("a.jsonl", content or chat_file(3)), purpose="batch").id


def create(client: openai.OpenAI, file_id: str) -> openai.types.Batch:
    """Create the batch of an input file."""
    return client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")


def test_a_run_that_finds_the_disk_full_stops_the_simulator_in_words(
    simulator: Simulator, sdk: OpenSdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has run is charged and cannot be written: going on would be a lie, and standing still a riddle."""
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with SimulatorServer(simulator) as server:
        client = sdk(server.url)
        file = upload(client, chat_file(200))
        monkeypatch.setattr(Blobs, "path", lambda _: full)

        create(client, file)
        server.wait()

    assert "No space is left" in server.failure


def wait_for_end(client: openai.OpenAI, batch_id: str) -> openai.types.Batch:
    """Return the batch once it has ended."""
    deadline = time.monotonic() + 20
    while (batch := client.batches.retrieve(batch_id)).status not in ("completed", "failed", "cancelled", "expired"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    return batch


def test_sdk_drives_every_route(clients: Connect) -> None:
    """A batch goes from its upload to its answers by the real SDK, in process and on loopback alike."""
    client = clients(20)
    file_id = upload(client)
    batch = create(client, file_id)

    ended = wait_for_end(client, batch.id)

    lines = client.files.content(str(ended.output_file_id)).text.splitlines()
    assert {json.loads(line)["custom_id"] for line in lines} == {"1", "2", "3"}
    assert [listed.id for listed in client.batches.list()] == [batch.id]
    assert {file.id for file in client.files.list()} == {file_id, ended.output_file_id}
    assert client.files.retrieve(file_id).bytes == len(chat_file(3))
    assert client.files.delete(file_id).deleted
    second = create(client, upload(client))
    assert client.batches.cancel(second.id).status == "cancelling"
    assert wait_for_end(client, second.id).status == "cancelled"


@pytest.mark.parametrize(
    ("fault", "value", "error"),
    [
        ("dropped_before", None, openai.APIConnectionError),
        ("dropped_after", None, openai.APIConnectionError),
        ("accepted_late", 0.1, openai.APIConnectionError),
        ("delayed", 2.0, openai.APITimeoutError),
        ("failed_after", 500, openai.InternalServerError),
        ("refused", 409, openai.ConflictError),
    ],
)
def test_faults_of_a_call_are_the_same_error_on_both_ways(
    simulator: Simulator, clients: Connect, fault: str, value: float | None, error: type[openai.APIError]
) -> None:
    """What a socket does to a call, the transport in process does too."""
    client = clients(0.3)
    file_id = upload(client)
    simulator.faults.switch(fault, operation="batches.create", value=value, times=1)

    with pytest.raises(error):
        create(client, file_id)

    time.sleep(0.2)
    done = fault in ("dropped_after", "accepted_late", "delayed", "failed_after")
    assert len(client.batches.list().data) == done


def test_dripping_answer_outlasts_the_time_out_on_both_ways(simulator: Simulator, clients: Connect) -> None:
    """An answer that drips takes longer than the read time-out, and is an answer."""
    client = clients(0.3)
    simulator.faults.switch("dripped", operation="files.list", value=0.8, times=1)
    started = time.monotonic()

    assert client.files.list().data == []

    assert time.monotonic() - started > 0.7


def test_redirect_creates_twice_on_both_ways(simulator: Simulator, clients: Connect) -> None:
    """A client that follows a 307 posts again, even with its retries off."""
    client = clients(20)
    file_id = upload(client)
    simulator.faults.switch("redirected", times=1)

    create(client, file_id)

    assert len(client.batches.list().data) == 2


def test_cut_download_fails_on_both_ways(simulator: Simulator, clients: Connect) -> None:
    """A download that is cut brings some bytes and then the exception of a closed connection, which is not the SDK's."""
    client = clients(20)
    batch = wait_for_end(client, create(client, upload(client)).id)
    simulator.faults.switch("content_cut", value=100)
    received = bytearray()

    with (
        client.files.with_streaming_response.content(str(batch.output_file_id)) as response,
        pytest.raises(httpx2.RemoteProtocolError, match="peer closed connection"),
    ):
        received.extend(itertools.chain.from_iterable(response.iter_bytes()))

    assert int(response.headers["content-length"]) > 100
    assert len(received) <= 100


def test_large_file_goes_through_in_both_directions(clients: Connect) -> None:
    """A file of 20 MB arrives and comes back unchanged."""
    content = bytes(range(256)) * 80_000
    client = clients(20)

    file = client.files.create(file=("a.jsonl", io.BytesIO(content)), purpose="batch")

    with client.files.with_streaming_response.content(file.id) as response:
        assert b"".join(response.iter_bytes()) == content


def test_calls_are_quick_on_one_connection(url: str, sdk: OpenSdk) -> None:
    """A call takes a few milliseconds, not the 40 of a delayed acknowledgement, and connections are kept."""
    client = sdk(url)
    client.batches.list()
    started = time.monotonic()

    for _ in range(20):
        client.batches.list()

    assert (time.monotonic() - started) / 20 < 0.03


def test_calls_go_on_while_a_large_batch_runs(url: str, sdk: OpenSdk) -> None:
    """A call waits for a step of a batch at most, not for all of it."""
    client = sdk(url)
    batch = create(client, upload(client, chat_file(20_000)))
    waits = []

    while client.batches.retrieve(batch.id).status != "completed":
        started = time.monotonic()
        client.files.list()
        waits.append(time.monotonic() - started)

    assert max(waits) < 2
    assert len(waits) > 5


def test_body_may_come_in_chunks(url: str) -> None:
    """A body of unknown length is received."""
    asked = json.dumps({"input_file_id": "file-x", "endpoint": CHAT, "completion_window": "24h"}).encode()

    response = httpx2.post(
        f"{url}/batches", content=iter([asked[:20], asked[20:]]), headers={"authorization": "Bearer k"}
    )

    assert (response.status_code, response.json()["error"]["param"]) == (400, "file_id")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-length": "many"}, b"", 400),
        ({"content-length": str(1 << 40)}, b"", None),
        ({"transfer-encoding": "chunked"}, b"many\r\n", 400),
        ({"transfer-encoding": "chunked"}, b"ffffffffff\r\n", 413),
    ],
)
def test_malformed_bodies_end_their_connection_only(
    url: str, sdk: OpenSdk, headers: dict[str, str], body: bytes, status: int | None
) -> None:
    """A body that cannot be received is refused or dropped, and the server goes on."""
    port = port_of(url)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.putrequest("POST", "/v1/batches")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)

    if status is None:
        connection.close()
    else:
        response = connection.getresponse()
        assert (response.status, response.headers["connection"]) == (status, "close")
    connection.close()

    assert sdk(url).batches.list().data == []


def test_server_listens_on_loopback_only(url: str) -> None:
    """Nothing but this machine reaches the simulator."""
    port = port_of(url)
    others = {address[4][0] for address in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}

    for host in others - {"127.0.0.1"}:
        with pytest.raises(OSError, match=""):  # noqa: PT011 - refused or unreachable, as the machine has it
            socket.create_connection((str(host), port), timeout=1)

    assert url.startswith("http://127.0.0.1:")


# A server that a responder asks.


class Model(BaseHTTPRequestHandler):
    """Answers what its body says: `reply` as JSON, with `status`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = asked["reply"].encode()
        self.send_response(asked.get("status", 200))
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet."""


@pytest.fixture
def model_url() -> Iterator[str]:
    """The base URL of a server that speaks like OpenAI's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("body", "status", "tokens"),
    [
        ({"reply": '{"usage":{"prompt_tokens":3,"completion_tokens":4}}'}, 200, (3, 4)),
        ({"reply": '{"usage":{"input_tokens":5,"output_tokens":6}}'}, 200, (5, 6)),
        ({"reply": '{"error":{"message":"too long"}}', "status": 400}, 400, (0, 0)),
        ({"reply": "not json"}, 502, (0, 0)),
    ],
)
def test_responder_passes_answers_on(
    model_url: str, body: dict[str, Any], status: int, tokens: tuple[int, int]
) -> None:
    """What a server behind a URL answers is the answer, with its status and its usage."""
    answer = RemoteResponder(model_url).answer(CHAT, json.dumps(body).encode(), 0.0)

    assert (answer.status_code, (answer.input_tokens, answer.output_tokens)) == (status, tokens)
    assert answer.body.decode() == body["reply"] or status == 502


def test_responder_that_cannot_be_reached_fails_the_line() -> None:
    """A server that is not there is a failed line, not a failed simulator."""
    answer = RemoteResponder("http://127.0.0.1:9/v1").answer(CHAT, b"{}", 0.0)

    assert answer.status_code == 503
    assert b"did not answer" in answer.body


def test_batch_is_answered_by_a_responder(model_url: str) -> None:
    """A local model can answer a whole batch."""
    simulator = Simulator(VirtualClock(), responder=RemoteResponder(model_url))
    client = connect(simulator)
    body = {"model": "m", "reply": '{"usage":{"prompt_tokens":3,"completion_tokens":4}}'}
    line = {"custom_id": "1", "method": "POST", "url": CHAT, "body": body}
    batch = create(client, upload(client, json.dumps(line).encode()))

    simulator.clock.advance(60)

    ended = client.batches.retrieve(batch.id)
    assert ended.usage is not None
    assert ended.usage.total_tokens == 7
    assert '"prompt_tokens":3' in client.files.content(str(ended.output_file_id)).text


# The command.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_serves_until_it_is_told_to_end(tmp_path: Path, sdk: OpenSdk, number: signal.Signals) -> None:
    """The command prints its URL once it serves, writes it to the ready file, and ends at once on a signal."""
    ready_file = tmp_path / "ready"
    command = [str(COMMAND), "--ready-file", str(ready_file), "--run-seconds", "0.1", "--enqueued-tokens", "m=5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        assert process.stdout is not None
        line = process.stdout.readline()
        url = ready_file.read_text().strip()
        listed = sdk(url).batches.list().data
        started = time.monotonic()
        process.send_signal(number)
        status = process.wait(timeout=10)

    assert line == f"openai-batch-simulator listening on {url} (simulated answers)\n"
    assert (listed, status) == ([], 0)
    assert time.monotonic() - started < 1


def test_options_of_the_command_take_effect(tmp_path: Path) -> None:
    """Keys, models, queues, limits, pace and faults are those that the command line names."""
    ready_file = tmp_path / "ready"
    options = "--key sk-a=a --model gpt-4.1-mini --enqueued-tokens gpt-4.1-mini=40 --creates-per-hour 2 --validate-seconds 0.05"
    fault = "--fault refused,operation=files.list,value=503,times=1"
    command = [str(COMMAND), "--ready-file", str(ready_file), *options.split(), *fault.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        assert process.stdout is not None
        process.stdout.readline()
        url = ready_file.read_text().strip()
        with (
            openai.OpenAI(api_key="sk-a", base_url=url, max_retries=0) as client,
            openai.OpenAI(api_key="sk-b", base_url=url, max_retries=0) as stranger,
        ):
            with pytest.raises(openai.AuthenticationError):
                stranger.batches.list()
            with pytest.raises(openai.InternalServerError):
                client.files.list()
            unknown = create(client, upload(client, chat_file(1, "gpt-9")))
            too_large = create(client, upload(client, chat_file(9)))
            with pytest.raises(openai.RateLimitError):
                create(client, upload(client))
            ended = [wait_for_end(client, batch.id) for batch in (unknown, too_large)]
        process.terminate()

    errors = [batch.errors.data[0].code for batch in ended if batch.errors and batch.errors.data]
    assert errors == ["model_not_found", "token_limit_exceeded"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--profile", "friendly"], "'friendly' is not one of"),
        (["--fault", "gremlins"], "there is no fault 'gremlins'"),
        (["--fault", "refused,colour=red"], "a fault has no option 'colour'"),
        (["--fault", "refused,value=many"], "could not convert"),
        (["--fault", "refused,value"], "not of the form"),
        (["--enqueued-tokens", "gpt-4.1=many"], "is not a number of tokens"),
        (["--key", "alone"], "not of the form"),
        (["--responder-url", "ftp://example.com"], "http or https"),
        (["--run-seconds", "-1"], "Invalid value"),
        (["--unknown"], "No such option"),
    ],
)
def test_command_refuses_what_it_cannot_honour(arguments: list[str], problem: str) -> None:
    """A wrong option is told before anything is served."""
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert problem in result.output


def test_command_says_that_its_port_is_taken(url: str) -> None:
    """A port that another process serves is a message, not a trace."""
    port = port_of(url)

    result = CliRunner().invoke(main, ["--port", str(port)])

    assert result.exit_code == 1
    assert f"port {port} cannot be served" in result.output


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_server_ends_when_its_world_stands_still(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect that stops the events stops the server, rather than leave a client to wait for ever."""

    def fail() -> bool:
        raise RuntimeError("a defect")

    monkeypatch.setattr(simulator, "advance_once", fail)

    with SimulatorServer(simulator) as server:
        server.wait()

        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.get(f"{server.url}/batches", headers={"authorization": "Bearer k"})
