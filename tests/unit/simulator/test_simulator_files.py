import httpx2
import openai
import pytest

from openai_batch_simulator import Behaviour, Simulator, VirtualClock
from openai_batch_simulator.http.transport import transport
from openai_batch_simulator.sdk import BASE_URL, chat_file, connect

DAY_SECONDS = 24 * 3600


@pytest.fixture
def simulator() -> Simulator:
    """An account on a clock that stands still."""
    return Simulator(VirtualClock())


@pytest.fixture
def client(simulator: Simulator) -> openai.OpenAI:
    """The SDK, connected to that account."""
    return connect(simulator)


def upload(client: openai.OpenAI, name: str = "requests.jsonl", content: bytes = b"{}\n") -> openai.types.FileObject:
    """Upload *content* as an input file."""
    return client.files.create(file=(name, content), purpose="batch")


def test_file_returns_the_bytes_that_were_uploaded(client: openai.OpenAI) -> None:
    """A file of any bytes, boundaries of forms among them, comes back unchanged."""
    content = b"\r\n--boundary\r\n\x00\xff" * 20_000

    file = upload(client, content=content)

    assert client.files.content(file.id).content == content
    assert file.bytes == len(content)


def test_input_file_expires_after_thirty_days(simulator: Simulator, client: openai.OpenAI) -> None:
    """A file of purpose batch that names no expiry is there for 30 days and then is not."""
    file = upload(client)

    simulator.clock.advance(30 * DAY_SECONDS - 1)

    assert client.files.retrieve(file.id).expires_at == file.created_at + 30 * DAY_SECONDS
    simulator.clock.advance(1)
    with pytest.raises(openai.NotFoundError):
        client.files.content(file.id)
    assert client.files.list().data == []


def test_file_expires_when_it_was_asked_to(simulator: Simulator, client: openai.OpenAI) -> None:
    """An upload's own expiry takes the place of the default."""
    file = client.files.create(
        file=("a.jsonl", b"{}"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )

    simulator.clock.advance(3600)

    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


@pytest.mark.parametrize("seconds", [3599, 30 * DAY_SECONDS + 1])
def test_expiry_outside_of_an_hour_to_thirty_days_is_refused(client: openai.OpenAI, seconds: int) -> None:
    """An expiry policy that the API does not have uploads nothing."""
    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.create(
            file=("a.jsonl", b"{}"), purpose="batch", expires_after={"anchor": "created_at", "seconds": seconds}
        )

    assert refusal.value.param == "expires_after.seconds"
    assert client.files.list().data == []


def test_batch_file_must_be_named_jsonl(client: openai.OpenAI) -> None:
    """The name of an input file is checked at upload."""
    with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
        upload(client, name="requests.json")


def test_upload_does_not_look_at_lines(client: openai.OpenAI) -> None:
    """A file whose lines are no requests is accepted, because lines are looked at when a batch is validated."""
    file = upload(client, content=b"not json\n")

    assert file.status == "processed"


def test_unknown_purpose_is_refused(client: openai.OpenAI) -> None:
    """A purpose that the API does not have uploads nothing."""
    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.create(file=("a.jsonl", b"{}"), purpose="poetry")  # type: ignore[arg-type]  # the point of the test

    assert refusal.value.param == "purpose"


def test_files_are_listed_in_pages_newest_first(client: openai.OpenAI) -> None:
    """Following `after` visits every file once, in the order that was asked for."""
    uploaded = [upload(client).id for _ in range(5)]

    assert [file.id for file in client.files.list(limit=2)] == uploaded[::-1]
    assert [file.id for file in client.files.list(limit=2, order="asc")] == uploaded
    assert client.files.list(limit=2).has_more


def test_files_are_listed_by_purpose(client: openai.OpenAI) -> None:
    """The filter of a list leaves only files of that purpose."""
    upload(client)
    picture = client.files.create(file=("a.png", b"png"), purpose="vision")

    assert [file.id for file in client.files.list(purpose="vision")] == [picture.id]


@pytest.mark.parametrize("limit", [0, 10_001])
def test_limit_of_a_file_list_has_bounds(client: openai.OpenAI, limit: int) -> None:
    """A page holds 1 to 10,000 files."""
    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.list(limit=limit)

    assert refusal.value.param == "limit"


def test_unknown_parameter_is_refused(client: openai.OpenAI) -> None:
    """A parameter that the simulator does not know is refused by name, not ignored."""
    with pytest.raises(openai.BadRequestError) as refusal:
        client.files.list(extra_query={"colour": "red"})

    assert (refusal.value.param, refusal.value.code) == ("colour", "unknown_parameter")


def test_deleted_file_is_gone(client: openai.OpenAI) -> None:
    """A deletion says so once; after it the file is unknown to every call."""
    file = upload(client)

    assert client.files.delete(file.id).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(file.id)


def test_other_projects_see_nothing() -> None:
    """A file belongs to the project of its key; to another it does not exist."""
    behaviour = Behaviour(projects={"key-a": "a", "key-a2": "a", "key-b": "b"})
    simulator = Simulator(VirtualClock(), behaviour=behaviour)
    file = upload(connect(simulator, key="key-a"))
    stranger = connect(simulator, key="key-b")

    assert connect(simulator, key="key-a2").files.retrieve(file.id).id == file.id
    assert stranger.files.list().data == []
    with pytest.raises(openai.NotFoundError):
        stranger.files.delete(file.id)


@pytest.mark.parametrize("key", ["unknown", " "])
def test_unknown_key_is_refused(key: str) -> None:
    """A key that opens no project is answered 401 with the provider's code."""
    simulator = Simulator(VirtualClock(), behaviour=Behaviour(projects={"key-a": "a"}))

    with pytest.raises(openai.AuthenticationError) as refusal:
        connect(simulator, key=key).files.list()

    assert refusal.value.code == "invalid_api_key"


def test_uploads_are_limited_per_minute() -> None:
    """One upload too many is answered 429, and a minute later uploads go on."""
    simulator = Simulator(VirtualClock(), behaviour=Behaviour(uploads_per_minute=2))
    client = connect(simulator)
    upload(client)
    upload(client)

    with pytest.raises(openai.RateLimitError) as refusal:
        upload(client)

    assert refusal.value.response.headers["retry-after"] == "60"
    simulator.clock.advance(60)
    assert upload(client).id


def test_file_above_its_maximum_is_refused() -> None:
    """A file that is larger than any file may be is refused at upload."""
    client = connect(Simulator(VirtualClock(), behaviour=Behaviour(file_bytes_max=100)))

    with pytest.raises(openai.APIStatusError) as refusal:
        upload(client, content=chat_file(1))

    assert refusal.value.status_code == 413


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data; boundary=x", b"--x\r\nunfinished", 400),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + b"y" * 20_000,
            413,
        ),
    ],
)
def test_malformed_upload_is_refused(simulator: Simulator, content_type: str, body: bytes, status: int) -> None:
    """A body that is no whole form is refused in the error envelope, and stores nothing."""
    headers = {"content-type": content_type, "authorization": "Bearer key"}
    with httpx2.Client(transport=transport(simulator), base_url=BASE_URL) as client:
        response = client.post("/files", content=body, headers=headers)

    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert simulator.account.files.by_id == {}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/files", 405)])
def test_unknown_routes_are_refused(simulator: Simulator, method: str, path: str, status: int) -> None:
    """A route that is not simulated is refused, and the answer says by whom."""
    with httpx2.Client(transport=transport(simulator), base_url=BASE_URL) as client:
        response = client.request(method, path)

    assert response.status_code == status
    assert response.headers["openai-simulated"] == "true"
    assert response.headers["x-request-id"].startswith("req_")
