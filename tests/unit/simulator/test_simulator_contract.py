"""Holds every answer of the simulator against OpenAI's own specification, and against the SDK's own types.

Rule: 0 violations over every route, status and shape of a line. The specification declares answers of 200 only and no
nulls, though its examples have them: errors are held against its `ErrorResponse`, and a null stands for a field left out.
"""

import functools
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import openai
import pytest
import yaml
from openai.types import Batch, FileDeleted, FileObject
from openapi_schema_validator import OAS31Validator
from pydantic import BaseModel

from openai_batch_simulator import Behaviour, Simulator, VirtualClock
from openai_batch_simulator.account.batches import Status
from openai_batch_simulator.http.transport import transport
from openai_batch_simulator.sdk import BASE_URL, chat_file, request_file

CHAT: Final = "/v1/chat/completions"
VARIABLE, SLICE = "BATCH_API_CONTRACT", "batch-slice-bodies.yaml"
BODY_SCHEMAS = {
    CHAT: "CreateChatCompletionResponse",
    "/v1/embeddings": "CreateEmbeddingResponse",
    "/v1/completions": "CreateCompletionResponse",
    "/v1/moderations": "CreateModerationResponse",
}
SLOW = Behaviour(validate_seconds=10, run_seconds=100, finalize_seconds=10, cancel_seconds=60)


@functools.cache
def read_specification(path: Path) -> dict[str, Any]:
    """Return the specification; reading it takes a second, so it is read once."""
    specification = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    assert isinstance(specification, dict)
    return specification


@dataclass(slots=True)
class Contract:
    """The specification, what was held against it, and what did not fit."""

    specification: dict[str, Any]
    checked: set[tuple[str, str, int]] = field(default_factory=set)  # method, path, status
    violations: list[str] = field(default_factory=list)

    def check(self, response: httpx2.Response) -> None:
        """Hold one answer against the operation that it answers."""
        response.read()
        method, path = response.request.method.lower(), response.request.url.path.removeprefix("/v1")
        template = next(
            known for known in self.specification["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path)
        )
        where = (method, template, response.status_code)
        self.checked.add(where)
        if response.is_error:
            self._check_schema(where, {"$ref": "#/components/schemas/ErrorResponse"}, response.json())
            return
        content = self.specification["paths"][template][method]["responses"][str(response.status_code)]["content"]
        if not template.endswith("/content"):
            self._check_schema(where, content["application/json"]["schema"], response.json())

    def check_lines(self, kind: str, endpoint: str, text: str) -> None:
        """Hold the lines of an output or error file against the shape of a line, and their bodies against their schema."""
        assert text.endswith("\n")
        for line in map(json.loads, text.splitlines()):
            where = f"{kind} line of {endpoint}"
            keys_fit = line.keys() == {"id", "custom_id", "response", "error"} and line["id"].startswith("batch_req_")
            if not keys_fit or (line["response"] is None) == (line["error"] is None):
                self.violations.append(f"{where}: {line.keys()}")
            if line["error"] is not None and line["error"].keys() != {"code", "message"}:
                self.violations.append(f"{where}: error {line['error']}")
            if line["response"] is not None:
                self._check_response(where, endpoint, line["response"])

    def _check_response(self, where: str, endpoint: str, response: dict[str, Any]) -> None:
        if response.keys() != {"status_code", "request_id", "body"}:
            self.violations.append(f"{where}: response {response.keys()}")
        schema = BODY_SCHEMAS.get(endpoint) if response["status_code"] == 200 else "ErrorResponse"
        if schema is not None:
            self._check_schema(where, {"$ref": f"#/components/schemas/{schema}"}, response["body"])

    def _check_schema(self, where: object, schema: dict[str, Any], value: object) -> None:
        validator = OAS31Validator({"components": self.specification["components"], **schema})
        self.violations += [
            f"{where}: {'/'.join(map(str, error.absolute_path))}: {error.message}"
            for error in validator.iter_errors(value)
            if error.instance is not None
        ]


@pytest.fixture
def contract() -> Contract:
    """The slice of the specification that the variable points to."""
    folder = os.environ.get(VARIABLE)
    if folder is None or not (Path(folder) / SLICE).exists():
        pytest.skip(f"{VARIABLE} does not name a folder that holds {SLICE}")
    return Contract(read_specification(Path(folder) / SLICE))


@pytest.fixture
def simulator() -> Simulator:
    """An account whose states last long enough to look at each of them."""
    return Simulator(VirtualClock(), behaviour=SLOW)


def connect(simulator: Simulator, contract: Contract) -> openai.OpenAI:
    """Return the SDK with every answer held against the contract."""
    http_client = httpx2.Client(transport=transport(simulator), event_hooks={"response": [contract.check]})
    return openai.OpenAI(api_key="key", base_url=BASE_URL, max_retries=0, http_client=http_client)


def submit(client: openai.OpenAI, content: bytes, endpoint: Any = CHAT) -> Batch:  # noqa: ANN401 - one of many literals
    """Upload *content* and create its batch."""
    file = client.files.create(file=("requests.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"ticket": "1"}
    )


def batches_of_every_status(simulator: Simulator, client: openai.OpenAI) -> Iterator[Batch]:
    """Yield a batch in each of the eight statuses."""
    failing = submit(client, b"not json\n")
    simulator.faults.switch("line_server_error", value=2)
    batch = submit(client, chat_file(10))
    yield batch
    simulator.clock.advance(60)
    yield client.batches.retrieve(failing.id)
    yield client.batches.retrieve(batch.id)
    cancelled = client.batches.cancel(batch.id)
    yield cancelled
    simulator.clock.advance(60)
    yield client.batches.retrieve(cancelled.id)
    batch = submit(client, chat_file(10))
    simulator.clock.advance(115)
    yield client.batches.retrieve(batch.id)
    simulator.clock.advance(10)
    yield client.batches.retrieve(batch.id)
    simulator.faults.switch("expires")
    batch = submit(client, chat_file(10))
    simulator.clock.advance(25 * 3600)
    yield client.batches.retrieve(batch.id)


def test_batches_of_every_status_keep_the_contract(simulator: Simulator, contract: Contract) -> None:
    """The object of a batch is the specification's in each of its eight statuses, and so are the lines of its files."""
    client = connect(simulator, contract)

    seen = list(batches_of_every_status(simulator, client))

    for batch in seen:
        for kind, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
            if file_id is not None:
                contract.check_lines(kind, CHAT, client.files.content(file_id).text)
    assert {batch.status for batch in seen} == {status.value for status in Status}
    assert contract.violations == []


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "Hi"}], "n": 2}),
        ("/v1/embeddings", {"input": ["a", "b"], "dimensions": 8}),
        ("/v1/completions", {"prompt": "Hi"}),
        ("/v1/moderations", {"input": "Hi"}),
    ],
)
def test_lines_of_every_endpoint_keep_the_contract(
    simulator: Simulator, contract: Contract, endpoint: str, body: dict[str, object]
) -> None:
    """A good line and a refused one of each endpoint whose answer the slice describes have its shape."""
    client = connect(simulator, contract)
    batch = submit(client, request_file(endpoint, [{"model": "m", **body}, {"model": "m"}]), endpoint)

    simulator.clock.advance(1_000)

    batch = client.batches.retrieve(batch.id)
    contract.check_lines("output", endpoint, client.files.content(str(batch.output_file_id)).text)
    contract.check_lines("error", endpoint, client.files.content(str(batch.error_file_id)).text)
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    assert contract.violations == []


def test_every_route_keeps_the_contract(simulator: Simulator, contract: Contract) -> None:
    """Each route of files and batches answers as specified, well and ill; chunked uploads are not simulated."""
    client = connect(simulator, contract)
    batch = submit(client, chat_file(1))
    client.batches.retrieve(batch.id)
    client.batches.cancel(batch.id)
    list(client.batches.list(limit=1))
    list(client.files.list(limit=1))
    client.files.retrieve(batch.input_file_id)
    client.files.content(batch.input_file_id)
    client.files.delete(batch.input_file_id)
    client.files.list()

    calls = (
        lambda: client.files.create(file=("a.txt", b""), purpose="batch"),
        lambda: client.files.list(limit=0),
        lambda: client.files.retrieve("file-gone"),
        lambda: client.files.content("file-gone"),
        lambda: client.files.delete("file-gone"),
        lambda: client.batches.create(input_file_id="file-gone", endpoint=CHAT, completion_window="24h"),
        lambda: client.batches.list(limit=0),
        lambda: client.batches.retrieve("batch_gone"),
        lambda: client.batches.cancel("batch_gone"),
    )
    for call in calls:
        with pytest.raises(openai.APIStatusError):
            call()

    specified = {
        (method, path)
        for path, operations in contract.specification["paths"].items()
        for method in operations
        if not path.startswith("/uploads")
    }
    assert {(method, path) for method, path, status in contract.checked if status == 200} == specified
    assert {(method, path) for method, path, status in contract.checked if status >= 400} == specified
    assert contract.violations == []


def test_the_check_bites(simulator: Simulator, contract: Contract) -> None:
    """An answer that breaks the specification is found, so that no violation is good news."""
    client = connect(simulator, contract)
    simulator.faults.switch("unknown_status")

    submit(client, chat_file(1))

    assert len(contract.violations) == 1
    assert "simulated_unknown_status" in contract.violations[0]


def test_sdk_accepts_every_object_in_strict_mode(simulator: Simulator) -> None:
    """The SDK's types take each object as it is, without converting a value and without a field that they do not know."""
    answers: list[httpx2.Response] = []

    def keep(response: httpx2.Response) -> None:
        response.read()
        answers.append(response)

    http_client = httpx2.Client(transport=transport(simulator), event_hooks={"response": [keep]})
    client = openai.OpenAI(api_key="key", base_url=BASE_URL, max_retries=0, http_client=http_client)
    statuses = {batch.status for batch in batches_of_every_status(simulator, client)}
    client.files.delete(client.files.list().data[0].id)

    kinds: dict[str, type[BaseModel]] = {"batch": Batch, "file": FileObject}
    for answer in answers:
        body = answer.json()
        for element in body["data"] if body["object"] == "list" else [body]:
            kind = kinds[element["object"]] if "deleted" not in element else FileDeleted
            assert kind.model_validate(element, strict=True).model_extra == {}
    assert len(statuses) == 8
