"""What the simulator refuses and says as a server of another kind, asked by a plain HTTP client."""

import json
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from openai_batch_simulator import Behaviour, Simulator, VirtualClock
from openai_batch_simulator.account.dialects import DIALECTS, Dialect
from openai_batch_simulator.http.transport import transport

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Say yes."}]}
ROWS = tuple(DIALECTS.values())
DAY_SECONDS = 24 * 3600


@dataclass
class Asker:
    """A plain HTTP client of one kind of server, which it asks as that server wants to be asked."""

    dialect: Dialect
    simulator: Simulator
    http: httpx2.Client

    def get(self, path: str, **query: str) -> httpx2.Response:
        """Ask for something."""
        return self.http.get(path, params=query)

    def upload(self, lines: bytes | None = None, /, **fields: str) -> httpx2.Response:
        """Upload an input file, as is right but for *fields*; one that is empty is left out."""
        form = {"purpose": self.dialect.purpose or "batch"} | (
            {"file_name": "r.jsonl"} if self.dialect.needs_file_name else {}
        )
        form = {name: value for name, value in (form | fields).items() if value}
        content = self.line() * 4 if lines is None else lines
        return self.http.post(self.dialect.upload_path, data=form, files={"file": ("r.jsonl", content)})

    def line(self, **changes: object) -> bytes:
        """A line as is right but for *changes*; what is None is left out."""
        self._lines = getattr(self, "_lines", 0) + 1
        whole: dict[str, object] = {"custom_id": str(self._lines), "body": BODY}
        if not self.dialect.lines_are_bare:
            whole |= {"method": "POST", "url": self.dialect.url(CHAT)}
        return (
            json.dumps({name: value for name, value in (whole | changes).items() if value is not None}).encode() + b"\n"
        )

    def create(self, file: str, **changes: object) -> httpx2.Response:
        """Create a batch, as is right but for *changes*."""
        asked = {"input_file_id": file, "endpoint": self.dialect.url(CHAT), "completion_window": "24h"}
        return self.http.post("/v1/batches", json=asked | changes)

    def made(self, lines: bytes | None = None) -> dict[str, Any]:
        """Return a batch that was just created."""
        content = b"".join(self.line() for _ in range(4)) if lines is None else lines
        file = self.upload(content).json()["id"]
        self.simulator.clock.advance(self.dialect.process_seconds)
        answer = self.create(file).json()
        return dict(answer["job"] if self.dialect.batch_form == "job" else answer)

    def ended(self, lines: bytes | None = None) -> dict[str, Any]:
        """Return a batch that has ended."""
        batch = self.made(lines)
        self.simulator.clock.advance(3_600)
        return dict(self.get(f"/v1/batches/{batch['id']}").json())


def asking(dialect: Dialect, **behaviour: float) -> Asker:
    """Return a client of a server of that kind."""
    simulator = Simulator(VirtualClock(), behaviour=Behaviour(dialect=dialect, **behaviour))  # type: ignore[arg-type]  # as named
    headers = {"api-key": "k"} if dialect.key_header == "api-key" else {"authorization": "Bearer k"}
    return Asker(
        dialect, simulator, httpx2.Client(transport=transport(simulator), base_url="http://s", headers=headers)
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_kind_of_server_runs_a_batch(row: Dialect) -> None:
    """Asked as it wants to be asked it runs every line, and its word for that is its own."""
    batch = asking(row).ended()

    assert batch["status"] == row.status("completed")
    assert batch["output_file_id"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_key_is_read_in_one_header(row: Dialect) -> None:
    """In the other one it is none."""
    asker = asking(row)
    wrong = {"authorization": "Bearer k"} if row.key_header == "api-key" else {"api-key": "k"}

    answer = httpx2.Client(transport=transport(asker.simulator), headers=wrong).get("http://s/v1/batches")

    assert (asker.get("/v1/batches").status_code, answer.status_code) == (200, 401)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_lifetime_is_taken_refused_or_ignored(row: Dialect) -> None:
    """Azure takes 14 days and not 7; whoever knows no `expires_after` refuses it, but for those that ignore it."""
    asker = asking(row)
    statuses = [
        asker.upload(
            None, **{"expires_after[anchor]": "created_at", "expires_after[seconds]": str(days * DAY_SECONDS)}
        ).status_code
        for days in (7, 14)
    ]

    if row.expiry is None:
        assert statuses == ([200, 200] if row.ignores_expiry else [400, 400])
    else:
        assert statuses == [200 if row.expiry[0] <= days * DAY_SECONDS <= row.expiry[1] else 400 for days in (7, 14)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_upload_has_one_path_and_one_purpose(row: Dialect) -> None:
    """Together's is `/v1/files/upload`, for `batch-api`, with the name of the file in a field."""
    asker = asking(row)
    elsewhere = "/v1/files" if row.upload_path != "/v1/files" else "/v1/files/upload"

    assert asker.upload().status_code == 200
    assert replace(asker, dialect=replace(row, upload_path=elsewhere)).upload().status_code in (404, 405)
    assert asker.upload(purpose="assistants" if row.purpose else "none").status_code == 400
    assert asker.upload(file_name="" if row.needs_file_name else "r.jsonl").status_code == 400


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_endpoint_is_written_in_one_way(row: Dialect) -> None:
    """At create, and in each line: the other form is refused."""
    asker = asking(row)
    other = CHAT if row.url(CHAT) != CHAT else "/chat/completions"
    file = asker.upload().json()["id"]
    asker.simulator.clock.advance(row.process_seconds)

    assert asker.create(file, endpoint=other).status_code == 400
    if not row.lines_are_bare:
        assert asker.ended(asker.line(url=other))["status"] == row.status("failed")


def test_bare_lines_have_nothing_else() -> None:
    """Together's are an id and a body."""
    asker = asking(DIALECTS["together"])

    assert asker.ended(asker.line(method="POST", url=CHAT))["status"] == "FAILED"
    assert asker.ended(asker.line())["status"] == "COMPLETED"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_file_is_pending_where_files_are_processed(row: Dialect) -> None:
    """Azure refuses a create before that, and says so in the file's status."""
    asker = asking(row)
    file = asker.upload().json()

    assert (asker.create(file["id"]).status_code >= 400) == (row.process_seconds > 0)
    asker.simulator.clock.advance(row.process_seconds)
    assert asker.get(f"/v1/files/{file['id']}").json()["status"] == "processed"
    assert asker.create(file["id"]).status_code < 300


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_window_expires_or_it_does_not(row: Dialect) -> None:
    """A batch of two days expires after one, or runs to its end."""
    asker = asking(row, run_seconds=2 * DAY_SECONDS)
    batch = asker.made()

    asker.simulator.clock.advance(1.5 * DAY_SECONDS)
    late = asker.get(f"/v1/batches/{batch['id']}").json()["status"]
    asker.simulator.clock.advance(DAY_SECONDS)

    assert late == row.status("expired" if row.window_expires else "in_progress")
    assert (asker.get(f"/v1/batches/{batch['id']}").json()["status"] == row.status("completed")) != row.window_expires


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_deleted_file_stops_a_batch_or_it_does_not(row: Dialect) -> None:
    """Where nothing is documented, the worst is played: the batch runs, and is charged."""
    asker = asking(row)
    file = asker.upload(asker.line()).json()["id"]
    asker.simulator.clock.advance(row.process_seconds)
    answer = asker.http.delete(f"/v1/files/{file}")

    created = asker.create(file)
    asker.simulator.clock.advance(3_600)

    assert answer.json().get("deleted", "untold") is (True if row.tells_deleted else "untold") or not row.tells_deleted
    assert (created.status_code < 300) != row.deletion_stops_create
    assert any(charge.charged for charge in asker.simulator.ledger.charges()) != row.deletion_stops_create


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_pages_follow_as_the_server_has_them(row: Dialect) -> None:
    """After an id, after a cursor, or all in one array; a parameter of another kind is refused."""
    asker = asking(row)
    made = [asker.made()["id"] for _ in range(23)]

    page = asker.get("/v1/batches").json()
    seen = [batch["id"] for batch in (page if isinstance(page, list) else page["data"])]
    if row.list_form == "cursor":
        more = asker.get("/v1/batches", cursor=page["paging"]["next_cursor"]).json()
        seen += [batch["id"] for batch in more["data"]]
        assert more["paging"]["next_cursor"] is None
    elif row.list_form == "after":
        seen += [batch["id"] for batch in asker.get("/v1/batches", after=seen[-1]).json()["data"]]

    assert seen == made[::-1]
    assert (asker.get("/v1/batches", after=made[5]).status_code == 200) == (row.list_form == "after")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_page_of_files_has_its_limit(row: Dialect) -> None:
    """AIBrix refuses more than 100."""
    asker = asking(row)

    if row.list_form == "after":
        assert asker.get("/v1/files", limit=str(row.files_page_max)).status_code == 200
        assert asker.get("/v1/files", limit=str(row.files_page_max + 1)).status_code == 400


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_metadata_is_shown_or_refused(row: Dialect) -> None:
    """Who does not show it does not take it."""
    asker = asking(row)
    file = asker.upload().json()["id"]
    asker.simulator.clock.advance(row.process_seconds)

    answer = asker.create(file, metadata={"ticket": "t"})

    assert (answer.status_code < 300) == row.shows_metadata
    if row.shows_metadata:
        assert answer.json()["metadata"] == {"ticket": "t"}


def test_a_job_is_shown_as_together_shows_it() -> None:
    """Below `job` at create, its times as text, a percentage instead of counts, one sentence instead of errors."""
    asker = asking(DIALECTS["together"])
    done, failed = asker.ended(), asker.ended(asker.line(url=CHAT))

    assert (done["progress"], done["error"]) == (100.0, None)
    assert done["created_at"].endswith("Z")
    assert not done.keys() & {"request_counts", "metadata", "errors", "object", "expires_at"}
    assert (failed["status"], "an id and a body" in failed["error"]) == ("FAILED", True)


def test_errors_are_a_list_at_groq() -> None:
    """Without the object around it."""
    asker = asking(DIALECTS["groq"])

    batch = asker.ended(asker.line(method="GET"))

    assert [error["code"] for error in batch["errors"]] == ["invalid_method"]


def test_azure_names_an_error_file_without_bytes() -> None:
    """Also where nothing failed."""
    asker = asking(DIALECTS["azure"])

    batch = asker.ended()

    assert asker.get(f"/v1/files/{batch['error_file_id']}/content").content == b""


def test_bodies_of_ogx_are_text() -> None:
    """The body of each answer is JSON in a string."""
    asker = asking(DIALECTS["ogx"])

    content = asker.get(f"/v1/files/{asker.ended()['output_file_id']}/content").content

    bodies = [json.loads(line)["response"]["body"] for line in content.splitlines()]
    assert all(isinstance(body, str) and "choices" in json.loads(body) for body in bodies)


def test_aibrix_leaves_out_what_is_null_and_refuses_in_detail() -> None:
    """And says `scheduling` before it validates."""
    asker = asking(DIALECTS["aibrix"])
    batch = asker.made()

    assert (batch["status"], None in batch.values()) == ("scheduling", False)
    assert "message" in asker.get("/v1/batches/none").json()["detail"]["error"]


def test_litellm_forgets_a_files_name_and_does_not_say_deleted() -> None:
    """A file that it manages is called otherwise, and a deletion is answered with the file."""
    asker = asking(DIALECTS["litellm"])
    file = asker.upload().json()

    assert file["filename"] == "modified_file.jsonl"
    assert "deleted" not in asker.http.delete(f"/v1/files/{file['id']}").json()
