"""The storage's contract, on the fake and on S3: what the flows may rely upon."""

import io
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import boto3
import pytest
from fakes.memory import FakeClock, MemoryStorage
from obstore.exceptions import PreconditionError

from batchdrop.core.model.errors import NotYet, UploadRejected
from batchdrop.core.model.keys import Upload
from batchdrop.edge.aws.s3 import BLOCK_BYTES, PART_BYTES, ReadMismatch, S3Storage, open_bucket
from batchdrop.flow.ports import Storage
from batchdrop_cli.local.emulator import Address

LINE = b"0123456789abcdef" * 64  # 1 KiB


class Drop(Protocol):
    """Puts an object into the inbox and returns the upload, as a person would."""

    def __call__(self, key: str, content: bytes) -> Upload:
        """Put *content*."""


@dataclass
class Case:
    """A storage with empty buckets, and what people do to it."""

    storage: Storage
    drop: Drop
    delete: Callable[[Upload], object]
    put_task: Callable[[str, bytes], object]


def in_memory(_: pytest.FixtureRequest) -> Case:
    """Return the fake."""
    storage = MemoryStorage(clock=FakeClock(time=1_700_000_000))
    return Case(
        storage, storage.drop, lambda upload: storage.uploads.pop((upload.key, upload.version)), storage.put_task
    )


def in_s3(request: pytest.FixtureRequest, emulator: str = "emulator") -> Case:
    """Return the adapter over two buckets of its own, the inbox with versions."""
    address: Address = request.getfixturevalue(emulator)
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", address.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", address.secret_access_key)
    monkeypatch.setenv("AWS_REGION", address.region)
    client = boto3.client("s3", **address.client_options())
    inbox, results = f"inbox-{uuid.uuid4()}", f"results-{uuid.uuid4()}"
    for bucket in (inbox, results):
        client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=inbox, VersioningConfiguration={"Status": "Enabled"})
    endpoint = address.endpoint_url

    def drop(key: str, content: bytes) -> Upload:
        return Upload(inbox, key, client.put_object(Bucket=inbox, Key=key, Body=content)["VersionId"])

    return Case(
        S3Storage(open_bucket(inbox, endpoint), open_bucket(results, endpoint), inbox, lambda: client),
        drop,
        lambda upload: client.delete_object(Bucket=inbox, Key=upload.key, VersionId=upload.version),
        lambda name, content: client.put_object(
            Bucket=inbox, Key=f"tasks/{name if '.y' in name else f'{name}.yaml'}", Body=content
        ),
    )


def on_moto(request: pytest.FixtureRequest) -> Case:
    """Return the adapter over the second emulator."""
    return in_s3(request, "second_emulator")


ON_EMULATOR = (pytest.mark.emulator, pytest.mark.xdist_group("emulator"))


@pytest.fixture(
    params=[
        pytest.param(in_memory, id="memory"),
        pytest.param(in_s3, id="s3", marks=ON_EMULATOR),
        pytest.param(on_moto, id="moto", marks=ON_EMULATOR),
    ]
)
def case(request: pytest.FixtureRequest) -> Case:
    """Fresh buckets of each kind."""
    build: Callable[[pytest.FixtureRequest], Case] = request.param
    return build(request)


@pytest.fixture
def storage(case: Case) -> Storage:
    """The storage alone."""
    return case.storage


@pytest.fixture
def short_pages(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of the inbox comes by the two."""
    monkeypatch.setattr("batchdrop.edge.aws.s3.INBOX_PAGE_VERSIONS", 2)
    if isinstance(case.storage, MemoryStorage):
        case.storage.inbox_page_keys = 2


@pytest.mark.parametrize("key", ["inbox/plain.csv", "inbox/t/a b+c%20é#?&=~.csv", "inbox/日本/x", "inbox/a.b/..c"])
def test_an_upload_is_read_by_its_version(case: Case, key: str) -> None:
    """Each version keeps its content and size, whatever its key looks like."""
    first = case.drop(key, b"first")
    second = case.drop(key, b"the second")

    with case.storage.open_upload(first) as content:
        read = content.read()

    assert read == b"first"
    assert case.storage.upload_size_bytes(first) == 5
    assert case.storage.upload_size_bytes(second) == 10
    assert case.storage.upload_modified_at(second) > 1_600_000_000


def test_an_upload_is_read_from_any_byte_and_by_the_line(case: Case) -> None:
    """Across the seams of the requests that fetch it, from its first byte to its end."""
    content = b"".join(b"%08d\n" % number for number in range(BLOCK_BYTES // 9 + 1_000))
    upload = case.drop("inbox/long.jsonl", content)

    for start in (0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, len(content) - 1, len(content)):
        with case.storage.open_upload(upload, start) as lines:
            assert b"".join(lines) == content[start:]


@pytest.mark.parametrize("start", [-1, 6])
def test_a_byte_outside_of_the_upload_is_a_bug_of_ours(case: Case, start: int) -> None:
    """It is refused rather than answered with something else."""
    upload = case.drop("inbox/five", b"12345")

    with pytest.raises(ValueError, match="outside"):
        case.storage.open_upload(upload, start)


def test_an_empty_upload_is_read(case: Case) -> None:
    """It has no byte to ask for."""
    upload = case.drop("inbox/empty.csv", b"")

    with case.storage.open_upload(upload) as content:
        assert content.read() == b""


def test_an_upload_that_is_gone_is_rejected(case: Case) -> None:
    """Each way to look at it says the same."""
    upload = case.drop("inbox/gone.csv", b"x")
    case.delete(upload)

    for look in (case.storage.open_upload, case.storage.upload_size_bytes, case.storage.upload_modified_at):
        with pytest.raises(UploadRejected) as refusal:
            look(upload)
        assert refusal.value.code == "unreadable"


@pytest.mark.parametrize("key", ["inbox//x.csv", "inbox/../x.csv", "inbox/./x.csv", "inbox/x/", "inbox/a\x07b"])
def test_an_upload_whose_key_no_client_can_name_is_rejected(case: Case, key: str) -> None:
    """It may exist, and a person waits for it: it ends as a notification, not as an error of ours."""
    with pytest.raises(UploadRejected) as refusal:
        case.storage.upload_size_bytes(Upload(case.drop("inbox/any", b"").bucket, key, "v"))

    assert refusal.value.code == "unreadable"


def test_another_bucket_is_never_read(case: Case) -> None:
    """An upload that is not in the inbox is a bug of ours: events of other buckets were sorted out before."""
    with pytest.raises(ValueError, match="not the inbox"):
        case.storage.open_upload(Upload("foreign", "inbox/x", "v"))


def test_the_inbox_is_listed_by_its_current_versions(case: Case) -> None:
    """By key, each with its version and time; a superseded version, a deleted key and what is no drop are left out."""
    case.drop("inbox/b.csv", b"first")
    kept = [case.drop(key, b"x") for key in ("inbox/t/ü +%20.csv", "inbox/b.csv", "inbox/Z.csv")]
    case.delete(case.drop("inbox/gone.csv", b"x"))
    case.put_task("a", b"x")

    page = case.storage.list_inbox("")

    assert [listed.upload for listed in page.uploads] == sorted(kept, key=lambda upload: upload.key.encode())
    assert all(listed.modified_at == case.storage.upload_modified_at(listed.upload) for listed in page.uploads)
    assert page.next_after == ""


@pytest.mark.usefixtures("short_pages")
def test_the_inbox_is_listed_from_where_a_page_ended(case: Case) -> None:
    """What that page showed is not shown again, however many versions it has, and nothing is left out."""
    for key in ("inbox/a", "inbox/b", "inbox/b", "inbox/b", "inbox/c"):
        case.drop(key, b"x")

    page = case.storage.list_inbox("")
    seen = [listed.upload.key for listed in page.uploads]
    while page.next_after:
        page = case.storage.list_inbox(page.next_after, page.next_version)
        seen += [listed.upload.key for listed in page.uploads]

    assert seen == ["inbox/a", "inbox/b", "inbox/c"]


@pytest.mark.usefixtures("short_pages")
def test_a_long_inbox_comes_in_pages(case: Case) -> None:
    """Each key once, however many versions it has, and the walk ends."""
    for number in range(7):
        for _ in range(1 + number % 3):
            case.drop(f"inbox/{number}", b"x")

    pages = [case.storage.list_inbox("")]
    while pages[-1].next_after and len(pages) < 50:
        pages.append(case.storage.list_inbox(pages[-1].next_after, pages[-1].next_version))

    assert [listed.upload.key for page in pages for listed in page.uploads] == [f"inbox/{n}" for n in range(7)]
    assert len(pages) > 2


def test_tasks_are_found_by_name(case: Case) -> None:
    """A task that is missing is None, and the names that exist come sorted."""
    for name in ("b", "a"):
        case.put_task(name, name.encode())

    assert (case.storage.task("a"), case.storage.task("missing")) == (b"a", None)
    assert case.storage.task_names() == ["a", "b"]


def test_a_task_file_may_end_in_yml(case: Case) -> None:
    """Of two files of one name `.yaml` counts, and the name is listed once."""
    for name in ("a.yml", "both.yml", "both.yaml", "notes.txt.yaml"):
        case.put_task(name, name.encode())

    assert [case.storage.task(name) for name in ("a", "both")] == [b"a.yml", b"both.yaml"]
    assert case.storage.task_names() == ["a", "both", "notes.txt"]


@pytest.mark.parametrize("name", ["../evil", "a/../b", "/x", "./x", "tab\there"])
def test_a_key_that_cannot_be_named_hides_the_tasks_and_breaks_nothing(case: Case, name: str) -> None:
    """S3 takes any key below tasks/, whoever may put there; a drop whose task is missing is still rejected in words."""
    case.put_task("good", b"x")
    case.put_task(name, b"x")

    assert case.storage.task_names() is None
    assert case.storage.task("good") == b"x"


def test_an_object_is_read_as_it_was_put(storage: Storage) -> None:
    """Keys of the results are literal: what looks encoded is not decoded."""
    key = "results/a b+c%2F%25.csv/job/items/%2E~.json"
    storage.put(key, b"first")
    storage.put(key, b"second")

    with storage.open(key) as content:
        opened = content.read()

    assert (storage.read(key), opened, storage.size_bytes(key)) == (b"second", b"second", 6)
    assert storage.read("results/a b+c/%.csv/job/items/..~.json") is None


def test_an_object_that_is_not_there(storage: Storage) -> None:
    """Reading says None, opening says that it may come."""
    assert (storage.read("internal/none"), storage.size_bytes("internal/none")) == (None, None)
    with pytest.raises(NotYet):
        storage.open("internal/none")


def test_a_long_object_is_read_whole(storage: Storage) -> None:
    """Across the seams of the requests that fetch it."""
    content = LINE * (BLOCK_BYTES // len(LINE) * 2 + 3)
    storage.put("internal/long", content)

    with storage.open("internal/long") as opened:
        assert opened.read() == content


def test_many_objects_are_put_each_under_its_key(storage: Storage) -> None:
    """All of them, from an iterator that is read once; none is an answer too."""
    count = storage.put_many((f"results/items/{number}.json", b"%d" % number) for number in range(150))

    assert count == 150
    assert all(storage.read(f"results/items/{number}.json") == b"%d" % number for number in range(150))
    assert storage.put_many(()) == 0


def test_the_first_failure_of_many_puts_is_raised(storage: Storage) -> None:
    """Whether it is a key that cannot be or the maker of the objects that failed; an endless rest is not waited for."""

    def endless(bad: str) -> Iterator[tuple[str, bytes]]:
        yield "results/first.json", b"1"
        yield bad, b""
        while True:
            yield "results/more.json", b"2"

    def broken() -> Iterator[tuple[str, bytes]]:
        yield "results/first.json", b"1"
        raise KeyError("maker")

    with pytest.raises(ValueError, match="key"):
        storage.put_many(endless("results//x"))
    with pytest.raises(KeyError, match="maker"):
        storage.put_many(broken())


def test_parts_of_an_object_are_read_side_by_side(storage: Storage) -> None:
    """In the order that was asked for, the whole of it too; many more than are asked for at a time."""
    content = b"".join(b"%08d\n" % number for number in range(1_000))
    places = [(number * 9, 8) for number in range(999, -1, -1)]
    storage.put("internal/raw.jsonl", content)

    with storage.open_ranges("internal/raw.jsonl") as ranges:
        read = ranges.read(places)
        whole = ranges.read([(0, len(content))])
        nothing = ranges.read([])

    assert read == [b"%08d" % number for number in range(999, -1, -1)]
    assert (whole, nothing) == ([content], [])


def test_parts_of_two_contents_are_never_mixed(storage: Storage) -> None:
    """Whoever replaces the object meanwhile stops its reader."""
    storage.put("internal/raw.jsonl", b"before")

    with storage.open_ranges("internal/raw.jsonl") as ranges:
        storage.put("internal/raw.jsonl", b"longer than before")
        with pytest.raises((ReadMismatch, PreconditionError)):
            ranges.read([(0, 3)])


def test_parts_of_nothing_are_not_there(storage: Storage) -> None:
    """As for every other way to open it."""
    with pytest.raises(NotYet), storage.open_ranges("internal/none"):
        pass


@pytest.mark.parametrize("size_bytes", [0, 5, PART_BYTES * 2 + 1])
def test_a_writer_puts_what_it_was_given(storage: Storage, size_bytes: int) -> None:
    """The object is not there before the end, and whole after it."""
    key = "results/merged.jsonl"
    content = (LINE * (size_bytes // len(LINE) + 1))[:size_bytes]

    with storage.writer(key) as pieces:
        rest = io.BytesIO(content)
        while piece := rest.read(1 << 20):
            pieces.write(piece)
        before = storage.read(key)

    assert before is None
    assert storage.read(key) == content


@pytest.mark.parametrize("size_bytes", [5, PART_BYTES * 2 + 1])
def test_a_writer_that_fails_leaves_nothing(storage: Storage, size_bytes: int) -> None:
    """What stood there before stands there still."""
    storage.put("results/merged.jsonl", b"before")

    def fail_on_the_way() -> None:
        with storage.writer("results/merged.jsonl") as pieces:
            pieces.write(bytes(size_bytes))
            raise KeyError("on the way")

    with pytest.raises(KeyError):
        fail_on_the_way()

    assert storage.read("results/merged.jsonl") == b"before"


@pytest.mark.parametrize(
    "key", ["", "x" * 1_025, "é" * 513, "/x", "x/", "a//b", "a/../b", "a/./b", "..", "a\nb", "a\x00b", "a\x7fb"]
)
def test_a_key_that_a_store_would_bend_or_refuse_is_a_bug_of_ours(storage: Storage, key: str) -> None:
    """No way to write takes it, and no way to read looks for it."""
    calls: list[Callable[[], object]] = [
        lambda: storage.put(key, b""),
        lambda: storage.put_many([(key, b"")]),
        lambda: storage.open_ranges(key).__enter__(),
        lambda: storage.writer(key).__enter__(),
        lambda: storage.read(key),
        lambda: storage.open(key),
        lambda: storage.size_bytes(key),
    ]

    for call in calls:
        with pytest.raises(ValueError, match="key"):
            call()
