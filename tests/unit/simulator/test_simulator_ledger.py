import json
from typing import Any

import httpx2
import openai
import pytest

from openai_batch_simulator import FAULTS, Simulator, VirtualClock
from openai_batch_simulator.http.transport import transport
from openai_batch_simulator.sdk import chat_file, connect


@pytest.fixture
def simulator() -> Simulator:
    """An account on a clock that stands still."""
    return Simulator(VirtualClock())


def control(simulator: Simulator, method: str, name: str, **options: Any) -> httpx2.Response:  # noqa: ANN401 - as httpx2's
    """Call the control endpoint."""
    with httpx2.Client(transport=transport(simulator)) as client:
        return client.request(method, f"http://simulator/_simulator/{name}", **options)


def run(client: openai.OpenAI, count: int = 3) -> str:
    """Create a batch of *count* lines and return its id."""
    file = client.files.create(file=("job-1.jsonl", chat_file(count)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"ticket": "t1"}
    ).id


def test_ledger_names_every_line_that_ran(simulator: Simulator) -> None:
    """Each line is there once, with its place in the input, its id and whether it was charged and delivered."""
    client = connect(simulator)
    simulator.faults.switch("line_timeout", value=1)
    simulator.faults.switch("lines_missing", value=1)
    batch_id = run(client)
    simulator.clock.advance(60)

    charges = sorted(simulator.ledger.charges(), key=lambda charge: charge.line)

    assert [(charge.batch_id, charge.line, charge.custom_id) for charge in charges] == [
        (batch_id, number, str(number)) for number in (1, 2, 3)
    ]
    assert sorted(charge.status_code for charge in charges) == [0, 200, 200]
    assert [charge.charged for charge in charges] == [charge.status_code == 200 for charge in charges]
    assert sum(not charge.delivered for charge in charges) == 1


def test_ledger_outlives_the_deletion_of_an_input(simulator: Simulator) -> None:
    """What was paid is known after every file is deleted."""
    client = connect(simulator)
    run(client)
    simulator.clock.advance(60)
    for file in list(client.files.list()):
        client.files.delete(file.id)

    assert {charge.custom_id for charge in simulator.ledger.charges()} == {"1", "2", "3"}


def test_same_id_with_another_body_is_no_repetition(simulator: Simulator) -> None:
    """Two requests that share only their custom_id are two requests."""
    client = connect(simulator)
    for model in ("gpt-4.1", "gpt-4.1-mini"):
        file = client.files.create(file=("a.jsonl", chat_file(1, model)), purpose="batch")
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")

    simulator.clock.advance(60)

    assert len(list(simulator.ledger.charges())) == 2
    assert simulator.ledger.charged_more_than_once() == {}


def test_control_endpoint_shows_the_ledger(simulator: Simulator) -> None:
    """Calls, files, batches and lines can be read while the simulator runs."""
    client = connect(simulator)
    batch_id = run(client)
    simulator.clock.advance(60)

    ledger = control(simulator, "GET", "ledger").json()

    assert ledger["calls"] == {"files.create": 1, "batches.create": 1}
    assert [file["filename"] for file in ledger["files"]] == ["job-1.jsonl", f"{batch_id}_output.jsonl"]
    assert [(batch["id"], batch["metadata"], batch["lines_charged"]) for batch in ledger["batches"]] == [
        (batch_id, {"ticket": "t1"}, 3)
    ]
    assert (ledger["lines_ran"], ledger["lines_charged"], len(ledger["lines"])) == (3, 3, 3)
    assert "lines" not in control(simulator, "GET", "ledger", params={"lines": "false"}).json()


def test_control_endpoint_switches_faults(simulator: Simulator) -> None:
    """A fault can be switched on, seen to strike, and switched off by HTTP alone."""
    client = connect(simulator)
    asked = {"fault": "refused", "operation": "batches.list", "value": 503, "times": 1}

    switched = control(simulator, "POST", "faults", json=asked).json()
    with pytest.raises(openai.InternalServerError):
        client.batches.list()
    shown = control(simulator, "GET", "faults").json()
    cleared = control(simulator, "DELETE", "faults").json()

    assert switched["struck"] == 0
    assert [switch["struck"] for switch in shown["switches"]] == [1]
    assert shown["faults"].keys() == FAULTS.keys()
    assert cleared == {"switches": []}
    assert simulator.faults.switches == []


def test_control_endpoint_moves_the_clock(simulator: Simulator) -> None:
    """A day can pass at once."""
    client = connect(simulator)
    batch_id = run(client)

    control(simulator, "POST", "clock", json={"advance_seconds": 86_400})

    assert client.batches.retrieve(batch_id).status == "completed"
    assert control(simulator, "GET", "clock").json() == {"now": simulator.clock.now()}


@pytest.mark.parametrize(
    ("method", "name", "content", "status"),
    [
        ("POST", "faults", b'{"fault":"gremlins"}', 400),
        ("POST", "faults", b'{"fault":"refused","colour":"red"}', 400),
        ("POST", "faults", b"not json", 400),
        ("POST", "clock", b'{"advance_seconds":-1}', 400),
        ("GET", "secrets", b"", 404),
    ],
)
def test_control_endpoint_refuses_what_it_does_not_know(
    simulator: Simulator, *, method: str, name: str, content: bytes, status: int
) -> None:
    """A mistake in a control call is told, and changes nothing."""
    before = simulator.clock.now()

    response = control(simulator, method, name, content=content)

    assert response.status_code == status
    assert response.json()["error"]["message"]
    assert (simulator.faults.switches, simulator.clock.now()) == ([], before)


def test_control_calls_are_not_the_clients(simulator: Simulator) -> None:
    """Reading the ledger is not counted as a call of the API."""
    control(simulator, "GET", "ledger")

    assert json.loads(control(simulator, "GET", "ledger").text)["calls"] == {}
