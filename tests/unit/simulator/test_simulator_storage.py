import gc
import math
import re
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openai_batch_simulator.api.multipart import read_form
from openai_batch_simulator.api.paging import page_of
from openai_batch_simulator.app import Simulator
from openai_batch_simulator.blobs import MEMORY_BYTES_MAX, Blobs, DiskFullError
from openai_batch_simulator.clock import VirtualClock
from openai_batch_simulator.draws import Draws, Identifiers
from openai_batch_simulator.messages import Refusal
from openai_batch_simulator.schedule import Schedule
from openai_batch_simulator.sdk import connect

BOUNDARY = "simulated-boundary"
SIZES = st.lists(st.integers(1, 200), min_size=1, max_size=20)


def form_of(filename: str, content: bytes) -> bytes:
    """Return the body of a form with a purpose and a file, as the SDK sends it."""
    return (
        (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            f"Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        + content
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )


def pieces(text: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Yield *text* in pieces of *sizes*, which repeat."""
    position = turn = 0
    while position < len(text):
        yield text[position : position + sizes[turn % len(sizes)]]
        position += sizes[turn % len(sizes)]
        turn += 1


# Contents that look like the delimiters of a form, and so try the reader where it must not stop.
TRICKY = st.lists(
    st.sampled_from([b"\r\n", b"--", b"\r\n--", b"\r\n--simulated", BOUNDARY.encode(), b"x", b"\x00", b"\r"]),
    max_size=30,
).map(b"".join)


@settings(deadline=None)
@given(TRICKY, SIZES)
def test_form_is_read_whatever_the_pieces(content: bytes, sizes: list[int]) -> None:
    """A file in a form comes out unchanged, however the network cut the body."""
    assume(f"\r\n--{BOUNDARY}".encode() not in content)

    form = read_form(
        f"multipart/form-data; boundary={BOUNDARY}", pieces(form_of("a.jsonl", content), sizes), Blobs().new
    )

    filename, blob = form.files["file"]
    assert (form.fields, filename, b"".join(blob.chunks())) == ({"purpose": "batch"}, "a.jsonl", content)


@settings(deadline=None)
@given(TRICKY, SIZES, st.integers(0, 400))
def test_form_that_ends_early_is_refused(content: bytes, sizes: list[int], kept: int) -> None:
    """A form without its end is refused, wherever it was cut."""
    assume(f"\r\n--{BOUNDARY}".encode() not in content)
    whole = form_of("a.jsonl", content)
    body = whole[: min(kept, len(whole) - 4)]

    with pytest.raises(Refusal) as refusal:
        read_form(f"multipart/form-data; boundary={BOUNDARY}", pieces(body, sizes), Blobs().new)

    assert refusal.value.status == 400


@pytest.mark.parametrize("size_bytes", [0, 1, MEMORY_BYTES_MAX, MEMORY_BYTES_MAX + 1, 3 * MEMORY_BYTES_MAX])
def test_blob_is_the_same_in_memory_and_on_disk(size_bytes: int) -> None:
    """What is appended is read again, before and after a blob outgrows the memory, and its last byte can be dropped."""
    content = bytes(index % 251 for index in range(size_bytes))
    blob = Blobs().new()

    for piece in pieces(content, [1000, 7, 65_536]):
        blob.append(piece)
    whole = b"".join(blob.chunks())
    blob.drop_last_byte()

    assert whole == content
    assert b"".join(blob.chunks()) == content[:-1]
    assert blob.size_bytes == len(content[:-1])


def test_large_blobs_leave_the_disk_with_their_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a simulator's files is gone once nothing refers to the simulator."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    blobs = Blobs()
    blobs.new().append(bytes(MEMORY_BYTES_MAX + 1))
    before = list(tmp_path.iterdir())

    del blobs

    assert len(before) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_large_blob_leaves_the_disk_when_nothing_refers_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was deleted, or refused half-way, takes no space from those that follow."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    blobs = Blobs()
    kept, gone = blobs.new(), blobs.new()
    kept.append(bytes(MEMORY_BYTES_MAX + 1))
    gone.append(bytes(MEMORY_BYTES_MAX + 1))

    del gone
    gc.collect()

    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
    assert len(b"".join(kept.chunks())) == MEMORY_BYTES_MAX + 1


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes to disk finds it full."""
    numbers = iter(range(100))

    def on_full_disk(_blobs: Blobs) -> Path:
        path = tmp_path / str(next(numbers))
        path.symlink_to("/dev/full")
        return path

    monkeypatch.setattr(Blobs, "path", on_full_disk)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_told_and_adds_nothing() -> None:
    """What was there before is there still."""
    blob = Blobs().new()
    blob.append(b"before")

    with pytest.raises(DiskFullError, match="No space is left"):
        blob.append(bytes(MEMORY_BYTES_MAX))

    assert (b"".join(blob.chunks()), blob.size_bytes) == (b"before", 6)


@pytest.mark.usefixtures("full_disk")
def test_an_upload_that_finds_the_disk_full_is_refused_in_words() -> None:
    """The client hears why, and small files go on."""
    simulator = Simulator(VirtualClock())
    client = connect(simulator, max_retries=0)

    with pytest.raises(openai.InternalServerError, match="No space is left") as refused:
        client.files.create(file=("a.jsonl", bytes(2 * MEMORY_BYTES_MAX)), purpose="batch")
    small = client.files.create(file=("b.jsonl", b"{}"), purpose="batch")

    assert (refused.value.status_code, refused.value.code) == (507, "insufficient_storage")
    assert [file.id for file in client.files.list()] == [small.id]


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(0, 20))
def test_schedule_runs_what_is_due_in_the_order_of_time(times: list[int], now: int) -> None:
    """Events run once, each told its own time, those of one time in the order in which they were noted."""
    schedule = Schedule()
    happened: list[tuple[float, int]] = []
    for number, due in enumerate(times):
        schedule.add(due, lambda moment, number=number: happened.append((moment, number)))  # type: ignore[misc]  # binds it

    while schedule.run_next(now):
        pass

    assert happened == sorted((due, number) for number, due in enumerate(times) if due <= now)


class Thing:
    """Something that is listed."""

    def __init__(self, number: int) -> None:
        self.id = f"thing_{number}"


@given(st.integers(0, 30), st.integers(1, 12))
def test_pages_visit_everything_once(count: int, limit: int) -> None:
    """Following a list from page to page sees each object once and in order, on no more pages than it takes."""
    things = [Thing(number) for number in range(count)]
    pages = [page_of(things, None, limit)]

    while pages[-1].has_more:
        pages.append(page_of(things, pages[-1].items[-1].id, limit))

    assert [thing for page in pages for thing in page.items] == things
    assert len(pages) == max(1, math.ceil(count / limit))


def test_page_after_nothing_known_is_refused() -> None:
    """A cursor that names no object of the list is an error, not an empty page."""
    with pytest.raises(Refusal):
        page_of([Thing(1)], "thing_2", 10)


def test_identifiers_look_like_the_providers_and_never_repeat() -> None:
    """Identifiers have the provider's prefixes and lengths, and those of one seed are all different."""
    identifiers = Identifiers(7)

    batches, files = [identifiers.batch() for _ in range(1000)], [identifiers.file() for _ in range(1000)]

    assert len({*batches, *files}) == 2000
    assert all(re.fullmatch(r"batch_[0-9a-f]{32}", identifier) for identifier in batches)
    assert all(re.fullmatch(r"file-[A-Za-z0-9]{22}", identifier) for identifier in files)
    assert Identifiers(7).batch() == batches[0] != Identifiers(8).batch()


@given(st.integers(), st.integers(0, 300), st.integers(0, 400))
def test_draws_stay_within_its_bounds(seed: int, length: int, count: int) -> None:
    """A permutation holds every number once, and a sample is a part of them."""
    draws = Draws(seed, "test")

    assert sorted(draws.permutation(length)) == list(range(length))
    sample = draws.sample(length, count)
    assert len(sample) == min(length, count)
    assert sample <= set(range(length))


def test_virtual_time_never_runs_backwards() -> None:
    """A clock that would be turned back is a defect of the caller."""
    clock = VirtualClock(100.0)

    with pytest.raises(AssertionError):
        clock.advance(-1)

    assert clock.now() == 100.0
