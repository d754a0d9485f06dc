"""What is done for some items in a row, against the same done one by one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import batched
from typing import NamedTuple

import pytest
from fakes.answered import AnsweredJob, answer_line, chat_body, chat_request, error_line, json_lines, success
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.core.collection.answers import row_of_answer
from batchdrop.flow.collection import collect as harvest
from batchdrop.flow.collection import described
from batchdrop.flow.collection.answer_index import AnswerFile, AnswerIndex, Disk
from batchdrop.flow.collection.described import describe

ROWS = st.lists(st.integers(1, 9), max_size=12)
STRANGE = b'{"custom_id": "nobody"}\n'


class Parts(NamedTuple):
    """One object of the archive."""

    content: bytes

    def read(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes at each place."""
        return [self.content[start : start + size_bytes] for start, size_bytes in places]


@contextmanager
def indexed(content: Mapping[str, bytes], size_bytes_max: int, piece_bytes: int) -> Iterator[AnswerIndex]:
    """Yield the index of both files, which came in pieces; of their bytes so many fit on disk."""
    disk = Disk(size_bytes_max)
    with ExitStack() as opened:
        files = {key: AnswerFile(key, disk, counts_passing=True) for key in content}
        for key, file in files.items():
            opened.callback(file.leave_disk)
            for start in range(0, len(content[key]), piece_bytes):
                file.write(content[key][start : start + piece_bytes])
            file.finish()
        yield AnswerIndex(files["out"], files["err"], lambda key: Parts(content[key]))


@given(
    output=ROWS,
    errors=ROWS,
    wanted=st.sets(st.integers(1, 9)),
    length=st.integers(1, 9),
    size_bytes_max=st.integers(0, 6_000),
    piece_bytes=st.integers(1, 2_000),
    strange=st.booleans(),
)
def test_answers_taken_in_runs_are_the_answers_taken_one_by_one(
    output: list[int],
    errors: list[int],
    wanted: set[int],
    length: int,
    size_bytes_max: int,
    piece_bytes: int,
    *,
    strange: bool,
) -> None:
    """Lines that are missing, come twice or answer nobody count the same wherever a run ends, and wherever they are read."""
    content = {
        "out": b"".join(map(success, output)) + STRANGE * strange,
        "err": b"".join(error_line(row, "batch_expired") for row in errors),
    }
    rows = sorted(wanted)
    expected = [
        [line for kind in content.values() for line in kind.splitlines(keepends=True) if row_of_answer(line) == row]
        for row in rows
    ]

    with indexed(content, size_bytes_max, piece_bytes) as index:
        one_by_one = [list(index.take(row)) for row in rows]
        index.finish()
        counted = index.unknown, index.duplicates
        index.restart()
        found = [list(lines) for run in batched(rows, length) for lines in index.take_run(run)]
        index.finish()
        again = [index.find(row) for row in rows]

    assert found == one_by_one == again == expected
    assert (index.unknown, index.duplicates) == counted


def two_attempts() -> dict[str, bytes]:
    """Return what is written for answers of many kinds, some of which come at the second attempt."""
    rows = range(1, 41)
    job = AnsweredJob("inbox/q.jsonl", json_lines(chat_request(f"Question {row}") for row in rows))
    lines = {row: success(row, f"answer {row} é") for row in rows}
    lines[3] = answer_line(3, {"error": {"code": "bad"}}, 400)
    lines[8] = lines[8] * 2
    lines[11] = answer_line(11, chat_body(None, tool_calls=[{"id": "call"}]))
    lines[12] = answer_line(12, {"choices": "none"})
    expired = {6, 7, 21, 40}
    errors = b"".join(error_line(row, "batch_expired") for row in expired)
    shard = job.shard()
    first = job.harvest(shard, b"".join(lines[row] for row in rows if row not in expired), errors)
    assert first.again_lines == len(expired)
    job.harvest(job.next_attempt(shard, first), b"".join(lines[row] for row in expired))
    return job.storage.objects


@pytest.mark.parametrize(("items", "size_bytes"), [(1, 1_000_000), (2, 1_000_000), (7, 1_000_000), (32, 1), (32, 700)])
def test_runs_leave_no_trace(items: int, size_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However items are cut into runs, the same objects are written."""
    expected = two_attempts()
    for module in (described, harvest):
        monkeypatch.setattr(module, "RUN_ITEMS", items)
        monkeypatch.setattr(module, "RUN_BYTES", size_bytes)

    found = two_attempts()

    assert found == expected


@pytest.mark.parametrize(("text_bytes", "lengths"), [(10, [32, 18]), (100_000, [5] * 10), (1_000_000, [1] * 50)])
def test_a_run_is_bounded_by_its_bytes(text_bytes: int, lengths: list[int]) -> None:
    """Records and request lines of any size: what is held is a megabyte, and what the last item has."""
    job = AnsweredJob("inbox/q.jsonl", json_lines(chat_request("x" * text_bytes) for _ in range(50)))

    runs = describe(job.ports, job.planned, job.shard())

    assert [len(run) for run in runs] == lengths
